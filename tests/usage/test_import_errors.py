"""Errors of whole files, word for word; `REGOLD=1` writes tests/golden/import/errors.txt anew."""

import datetime as dt
import gzip
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from weighbridge.units import InputError
from weighbridge.usage.importing import ImportOptions, ImportRequest, import_logs
from weighbridge.usage.sources.table import read_column_map
from weighbridge.usage.store import open_ledger

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "import"
ERRORS = GOLDEN / "errors.txt"
NOW = dt.datetime(2026, 11, 21, tzinfo=dt.UTC)
LOG = (GOLDEN / "litellm.jsonl").read_bytes()
CSV_MAPS = ("started_at=when", "input_tokens=in", "output_tokens=out")


def write(data: bytes, name: str = "log.jsonl") -> Callable[[Path], tuple[str | Path, ...]]:
    def make(folder: Path) -> tuple[str | Path, ...]:
        (folder / name).write_bytes(data)
        return (folder / name,)

    return make


def page(source: str, **change: object) -> bytes:
    """A page of a usage report, with its first row changed."""
    found = json.loads((GOLDEN / f"{source}.json").read_text().partition("\n}\n")[0] + "}")
    found["data"][0]["results"][0] |= change
    return json.dumps(found).encode()


def symlink_loop(folder: Path) -> tuple[str | Path, ...]:
    (folder / "logs").mkdir()
    (folder / "logs" / "again").symlink_to(folder / "logs")
    return (folder / "logs",)


def link_to_itself(folder: Path) -> tuple[str | Path, ...]:
    (folder / "logs").mkdir()
    (folder / "logs" / "a.jsonl").symlink_to(folder / "logs" / "a.jsonl")
    return (folder / "logs",)


def directory_without_logs(folder: Path) -> tuple[str | Path, ...]:
    (folder / "logs").mkdir()
    (folder / "logs" / "notes.txt").write_text("nothing")
    return (folder / "logs",)


def good_then_bad(folder: Path) -> tuple[str | Path, ...]:
    (folder / "good.jsonl").write_bytes(LOG)
    (folder / "bad.jsonl").write_bytes(b"")
    return (folder / "good.jsonl", folder / "bad.jsonl")


CASES = {
    "unknown source": ("llmlite", write(LOG)),
    "a bill named as a source": ("openai-costs", write(LOG)),
    "no such file": ("litellm", lambda folder: (folder / "missing.jsonl",)),
    "empty file": ("litellm", write(b"")),
    "only blank lines": ("litellm", write(b"\n\n\n")),
    "truncated gzip": ("litellm", write(gzip.compress(LOG)[:-200], "log.jsonl.gz")),
    "damaged gzip": ("litellm", write(b"\x1f\x8b" + bytes(200), "log.jsonl.gz")),
    "utf-16": ("litellm", write(LOG.decode().encode("utf-16"))),
    "latin-1": ("litellm", write(LOG + b'{"request_id": "caf\xe9"}\n')),
    "latin-1 csv": (
        "azure-llm-2023",
        write(b"TIMESTAMP,ContextTokens,GeneratedTokens\n\xe9,1,1\n"),
    ),
    "half a json array": ("litellm", write((GOLDEN / "litellm.json").read_bytes()[:-100])),
    "not json at all": ("mooncake", write(b"hello\n")),
    "unknown header": ("azure-llm-2023", write(b"time,prompt,answer\n1,2,3\n", "log.csv")),
    "another tool's rows": ("litellm", write(b'{"id": "a", "usage": {}}\n')),
    "column named twice": ("csv", write(b"when,in,in\n1,2,3\n", "log.csv")),
    "mapped column is not there": ("csv", write(b"time,in,out\n1,2,3\n", "log.csv")),
    "no row is usable": (
        "csv",
        write(b"when,in,out\n2026-10-01 10:00:00,2,3\n2026-10-01 10:00:01,2,3\n", "log.csv"),
    ),
    "parquet as csv": ("csv", write(b"PAR1xxxxPAR1", "log.csv")),
    "damaged parquet": ("parquet", write(b"PAR1xxxxPAR1", "log.parquet")),
    "directory without logs": ("litellm", directory_without_logs),
    "symlink loop": ("litellm", symlink_loop),
    "symlink to itself": ("litellm", link_to_itself),
    "a good file and an empty one": ("litellm", good_then_bad),
    "a pattern that fits nothing": ("litellm", lambda folder: (folder / "*.jsonl",)),
    "a workbook": ("openrouter", write(b"PK\x03\x04" + bytes(60), "activity.xlsx")),
    "a picture": ("litellm", write(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "log.jsonl")),
    "utf-16 without a mark": ("openrouter", write("generation_id,a\n".encode("utf-16-le"))),
    "packed with xz": ("litellm", write(b"\xfd7zXZ\0\0\4", "log.jsonl.xz")),
    "another source named": ("openrouter", write(LOG)),
    "a usage report as spend logs": ("litellm", write(page("openai-usage"))),
    "spend logs as a usage report": ("openai-usage", write(LOG)),
    "one provider's report as the other's": ("anthropic-usage", write(page("openai-usage"))),
    "a bill as a usage report": (
        "openai-usage",
        write((GOLDEN.parent / "bills" / "openai-costs.json").read_bytes()),
    ),
    "half a usage report": ("openai-usage", write(page("openai-usage")[:-30])),
    "a refusal of the service": (
        "openai-usage",
        write(b'{"error": {"message": "You have insufficient permissions"}}'),
    ),
    "a refusal of Helicone": ("helicone", write(b'{"data": null, "error": "invalid limit"}')),
    "a report without requests": ("anthropic-usage", write(page("anthropic-usage"))),
    "a report of very many requests": (
        "openai-usage",
        write(page("openai-usage", num_model_requests=30_000_000)),
    ),
    "a header of another version": (
        "openrouter",
        write(b"id,created_at,tokens_prompt,tokens_completion\n1,2026-10-01,1,1\n", "log.csv"),
    ),
    "semicolons between columns": (
        "openrouter",
        write(
            b"generation_id;created_at;tokens_prompt;tokens_completion\n1;2026-10-01;1;1\n",
            "log.csv",
        ),
    ),
}


def message(source: str, files: tuple[str | Path, ...], folder: Path) -> str:
    maps = CSV_MAPS if source in ("csv", "parquet") else ()
    options = ImportOptions(read_column_map(None, maps))
    with pytest.raises(InputError) as caught:
        import_logs(ImportRequest(source, files, folder / "ledger", options), now=NOW)
    return str(caught.value).replace(str(folder), "DIR")


def golden_texts() -> dict[str, str]:
    blocks = ERRORS.read_text(encoding="utf-8").split("\n\n")
    return {head: text for head, _, text in (block.strip().partition("\n") for block in blocks)}


@pytest.mark.parametrize("case", CASES)
def test_a_faulty_file_is_refused_with_its_mend_and_nothing_is_written(
    case: str, tmp_path: Path
) -> None:
    source, make = CASES[case]
    told = message(source, make(tmp_path), tmp_path)
    assert not (tmp_path / "ledger").exists()
    assert "mend:" in told
    if os.environ.get("REGOLD"):
        texts = golden_texts() if ERRORS.exists() else {}
        texts[f"## {case}"] = told
        ordered = [f"## {name}" for name in CASES if f"## {name}" in texts]
        body = "\n\n".join(f"{head}\n{texts[head]}" for head in ordered)
        ERRORS.write_text(body + "\n", encoding="utf-8")
    assert golden_texts()[f"## {case}"] == told


def test_an_unreadable_option_is_refused(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_bytes(LOG)
    faulty = {
        "no time zone 'Mars/Base'": ImportOptions(timezone="Mars/Base"),
        "instants of its own": ImportOptions(start="2026-01-01T00:00:00Z"),
    }
    for told, options in faulty.items():
        request = ImportRequest("litellm", (tmp_path / "log.jsonl",), tmp_path / "l", options)
        with pytest.raises(InputError, match=told):
            import_logs(request, now=NOW)
        assert not (tmp_path / "l").exists()


@pytest.mark.parametrize(
    ("maps", "constants", "told"),
    [
        (("colour=x",), (), "colour: there is no such field"),
        (("started_at",), (), "has no `=`"),
        ((), ("input_tokens=5",), "cannot be the same for every row"),
        (("started_at=t", "output_tokens=o"), (), "input_tokens: is not mapped"),
        (("output_tokens=o",), (), "started_at: no column is mapped to it"),
        (
            ("started_at=t", "output_tokens=o", "input_tokens=i", "uncached_input_tokens=u"),
            (),
            "is mapped twice",
        ),
        (
            ("started_at=t", "output_tokens=o", "input_tokens=i", "cache_read_tokens=c"),
            (),
            "nothing says whether input_tokens includes them",
        ),
    ],
)
def test_a_faulty_map_is_refused(
    maps: tuple[str, ...], constants: tuple[str, ...], told: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=told):
        import_logs(
            ImportRequest(
                "csv",
                ("x.csv",),
                tmp_path / "l",
                ImportOptions(read_column_map(None, maps, constants)),
            ),
            now=NOW,
        )


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("started_at: {column: t, unit: hours}", "unit: is 'hours'"),
        ("started_at: {col: t}", "col"),
        ("started_at: {column: t, constant: u}", "needs either a column or a constant"),
        ("input_includes_cache: maybe", "is 'maybe'"),
        ("- a\n- b", "is not a mapping"),
        ("delimiter: ab", "is not one character"),
    ],
)
def test_a_faulty_map_file_is_refused(text: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "map.yaml").write_text(text)
    with pytest.raises(InputError, match=told):
        read_column_map(tmp_path / "map.yaml")


def test_a_file_imported_with_other_settings_is_refused(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_bytes(
        b"TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03,1,2\n"
    )

    def run(zone: str) -> None:
        options = ImportOptions(timezone=zone)
        request = ImportRequest("azure-llm-2023", (tmp_path / "log.csv",), tmp_path / "l", options)
        import_logs(request, now=NOW)

    run("UTC")
    before = open_ledger(tmp_path / "l").digest
    with pytest.raises(InputError, match="timezone 'UTC', now 'Europe/Berlin'"):
        run("Europe/Berlin")
    assert open_ledger(tmp_path / "l").digest == before


def test_a_folder_of_other_files_is_no_place_for_a_ledger(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_bytes(LOG)
    with pytest.raises(InputError, match="holds other files"):
        import_logs(ImportRequest("litellm", (tmp_path / "log.jsonl",), tmp_path), now=NOW)
    assert [item.name for item in tmp_path.iterdir()] == ["log.jsonl"]
