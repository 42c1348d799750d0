"""What a file is, told by its content: packed, cut off, under any name, or of no known kind."""

import gzip
import io
import json
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from weighbridge.units import InputError
from weighbridge.usage.detect import Detected, detect, sample_of, told
from weighbridge.usage.kinds import KINDS
from weighbridge.usage.log_files import LogFile, find_files

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "import"
PAGE = (GOLDEN / "openai-usage.json").read_bytes()


def found_in(file: Path) -> Detected:
    return detect(LogFile(str(file), file))


def named(file: Path, data: bytes) -> str:
    file.write_bytes(data)
    best = found_in(file).best
    return "" if best is None else best.kind.name


def test_a_packed_file_is_told_by_what_is_in_it(tmp_path: Path) -> None:
    assert named(tmp_path / "a.bin", gzip.compress(PAGE)) == "openai-usage"
    with pa.CompressedOutputStream(str(tmp_path / "b.bin"), "zstd") as stream:
        stream.write(PAGE)
    best = found_in(tmp_path / "b.bin").best
    assert best is not None
    assert best.kind.name == "openai-usage"


@pytest.mark.parametrize("cut", [400, 700, 900])
def test_half_a_document_is_still_told(cut: int, tmp_path: Path) -> None:
    assert named(tmp_path / "half", PAGE[:cut]) == "openai-usage"


def test_a_long_array_is_told_by_its_beginning(tmp_path: Path) -> None:
    rows = (GOLDEN / "litellm.json").read_bytes().strip()[1:-1]
    data = b"[" + b",".join([rows] * 200) + b"]"
    assert len(data) > 1 << 20
    assert named(tmp_path / "array", data) == "litellm"


def test_a_first_line_of_ten_megabytes_is_told_by_its_beginning(tmp_path: Path) -> None:
    row = {"request_created_at": "2026-10-01", "response_status": 200, "prompt_tokens": 1}
    row |= {"completion_tokens": 1, "request_body": "x" * 10_000_000}
    assert named(tmp_path / "long", json.dumps(row).encode()) == "helicone"


def test_parquet_is_told_by_its_columns(tmp_path: Path) -> None:
    table = pa.table({"BilledCost": [1.0], "BillingCurrency": ["USD"], "ChargePeriodStart": ["x"]})
    pq.write_table(table, tmp_path / "p")
    best = found_in(tmp_path / "p").best
    assert best is not None
    assert best.kind.name == "focus"


def test_standard_input_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(PAGE)))
    (file,) = find_files(["-"], ("json",), tmp_path)
    assert told(detect(file))[0] == "-: openai-usage"


def test_no_kind_is_mistaken_for_another(tmp_path: Path) -> None:
    for kind in KINDS:
        if kind.formats[0] == "csv":
            names, begins = kind.signature.required, kind.signature.begins
            cells = [begins.get(name, "") for name in names]
            text = ",".join(names) + "\n" + ",".join(cells) * bool(begins)
            assert named(tmp_path / "f", text.encode()) == kind.name


def test_the_margin_is_that_to_the_next_kind(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("TIMESTAMP,ContextTokens,GeneratedTokens\n")
    assert found_in(tmp_path / "f").margin_frac == pytest.approx(1 / 4)  # 2024's lacks its year
    (tmp_path / "g").write_bytes(PAGE)
    found = found_in(tmp_path / "g")
    assert found.best is not None
    assert found.margin_frac == pytest.approx(1 / 3)
    assert found.others[0].kind.name == "openai-costs"


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "the file is empty"),
        (b"\xff\xfea\0", "is UTF-16 text"),
        (b"\x00\x01\x02", "is not text"),
        (b"caf\xe9,b\n", "is not UTF-8 text"),
        (b"\x1f\x8b\x08abc", "the gzip data is truncated or damaged"),
        (b"[1, 2, 3]", "holds no JSON object"),
        (b"{", "holds no JSON object"),
    ],
)
def test_what_cannot_be_read_is_refused(data: bytes, problem: str, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(data)
    with pytest.raises(InputError, match=problem):
        found_in(tmp_path / "f")


def test_a_strange_table_is_shown_how_to_be_mapped(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("when;who;how_much\n1;2;3\n")
    found = found_in(tmp_path / "f")
    assert found.margin_frac == 0.0
    with pytest.raises(InputError, match="it holds when, who, how_much") as caught:
        told(found)
    assert "--map started_at=COLUMN" in str(caught.value)
    assert sample_of(LogFile("f", tmp_path / "f")).delimiter == ";"


def test_a_refusal_shows_names_and_no_values(tmp_path: Path) -> None:
    (tmp_path / "f").write_text('{"prompt": "SECRET", "n": {"inner": "SECRET"}}\n')
    assert "SECRET" not in str(found_in(tmp_path / "f").refusal())
