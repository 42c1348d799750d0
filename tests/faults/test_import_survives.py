"""Imports that die, or find no room: the ledger is as it was, or complete."""

import datetime as dt
import gzip
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from weighbridge.units import InputError
from weighbridge.usage import importing, store
from weighbridge.usage.importing import ImportRequest, import_logs
from weighbridge.usage.store import open_ledger

NOW = dt.datetime(2026, 11, 21, tzinfo=dt.UTC)
HEADER = "TIMESTAMP,ContextTokens,GeneratedTokens"


def log(file: Path, first: int, n: int) -> Path:
    start = dt.datetime(2023, 11, 16)  # noqa: DTZ001  (the trace carries no zone)
    rows = [
        f"{start + dt.timedelta(minutes=7 * i)},{i % 4000},{i % 300}"
        for i in range(first, first + n)
    ]
    file.write_text("\n".join([HEADER, *rows]) + "\n")
    return file


def run(into: Path, *files: Path) -> None:
    import_logs(ImportRequest("azure-llm-2023", files, into), now=NOW)


def listing(folder: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    run(tmp_path / "ledger", log(tmp_path / "one.csv", 0, 500))
    return tmp_path / "ledger"


def test_importing_again_leaves_every_byte_as_it_was(ledger: Path, tmp_path: Path) -> None:
    before = listing(ledger)
    run(ledger, tmp_path / "one.csv")
    assert listing(ledger) == before


WITHOUT_PANDAS = """
import sys
from weighbridge.usage.staging import _NoPandas
sys.meta_path.insert(0, _NoPandas())  # saves seconds of start
"""

KILLED_AT_EACH_RENAME = (
    WITHOUT_PANDAS
    + """
import datetime as dt, os, pathlib, shutil, signal
from weighbridge.catalog.prices import compile_prices
from weighbridge.usage import importing

before, folder, *files = map(pathlib.Path, sys.argv[1:])
plain = pathlib.Path.rename
compile_prices().digest  # once, for every child

def imported_until(steps, into):
    def rename(self, to):
        nonlocal steps
        steps -= 1
        if steps < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return plain(self, to)

    pathlib.Path.rename = rename
    request = importing.ImportRequest("azure-llm-2023", tuple(files), into)
    importing.import_logs(request, now=dt.datetime(2026, 11, 21, tzinfo=dt.UTC), n_workers=0)

for steps in range(200):
    into = folder / f"after-{steps}"
    if before.exists():
        shutil.copytree(before, into)
    child = os.fork()
    if child == 0:
        imported_until(steps, into)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    print(steps, os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0)
    if not os.WIFSIGNALED(status):
        break
"""
)


def killed_at_each_rename(before: Path, folder: Path, *files: Path) -> list[Path]:
    """Ledgers after an import died at its first, second ... rename; the last one was not killed.

    Renames are the steps by which a commit shows: each part, each rejects file, each manifest.
    """
    folder.mkdir()
    arguments = [sys.executable, "-c", KILLED_AT_EACH_RENAME, str(before), str(folder)]
    done = subprocess.run(
        [*arguments, *map(str, files)], capture_output=True, text=True, check=True
    )
    codes = [int(line.split()[1]) for line in done.stdout.splitlines()]
    assert codes == [int(signal.SIGKILL)] * (len(codes) - 1) + [0]
    return [folder / f"after-{step}" for step in range(len(codes))]


def test_killed_at_any_rename_the_ledger_is_as_before_or_complete(
    ledger: Path, tmp_path: Path
) -> None:
    two, three = log(tmp_path / "two.csv", 500, 400), log(tmp_path / "three.csv", 900, 200)
    before = open_ledger(ledger)
    *killed, whole = killed_at_each_rename(ledger, tmp_path / "out", two, three)
    assert len(killed) > 8  # parts drafted and moved, and two manifests
    for after in killed:
        found = open_ledger(after)
        assert (found.n_rows, found.digest) == (before.n_rows, before.digest)
    assert len(list((killed[-1] / "imports").iterdir())) == 2  # one manifest of two was in place
    assert open_ledger(whole).n_rows == 1100


def test_an_import_after_one_that_died_completes_and_sweeps(ledger: Path, tmp_path: Path) -> None:
    two = log(tmp_path / "two.csv", 500, 400)
    *killed, whole = killed_at_each_rename(ledger, tmp_path / "out", two)
    for after in killed:
        run(after, two)
        assert open_ledger(after).digest == open_ledger(whole).digest
        stored = {str(file) for file in (after / "requests").rglob("*.parquet")}
        assert stored == set(open_ledger(after).parquet_files)
        assert not (after / ".staging").exists()


def test_a_killed_first_import_leaves_no_ledger(tmp_path: Path) -> None:
    file = log(tmp_path / "one.csv", 0, 50)
    *killed, whole = killed_at_each_rename(tmp_path / "none", tmp_path / "out", file)
    for after in killed:
        with pytest.raises(InputError, match="ledger"):
            open_ledger(after)
        run(after, file)
        assert open_ledger(after).digest == open_ledger(whole).digest


FULL = (
    WITHOUT_PANDAS
    + """
import datetime as dt, pathlib, resource
from weighbridge.usage import importing
from weighbridge.units import InputError

resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    importing.import_logs(
        importing.ImportRequest("azure-llm-2023", (sys.argv[2],), pathlib.Path(sys.argv[1])),
        now=dt.datetime(2026, 11, 21, tzinfo=dt.UTC),
    )
except InputError as fault:
    print(fault)
    sys.exit(fault.exit_code)
"""
)


def test_a_full_disk_is_told_and_nothing_is_written(ledger: Path, tmp_path: Path) -> None:
    before = listing(ledger)
    file = log(tmp_path / "two.csv", 500, 2000)
    arguments = [sys.executable, "-c", FULL, str(ledger), str(file)]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert "could not be written" in done.stdout
    assert listing(ledger) == before


def test_a_disk_that_fills_up_while_committing_changes_nothing(
    ledger: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = open_ledger(ledger)

    def full(*_: object) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(store, "_sync_folders", full)
    with pytest.raises(InputError, match="No space left on device"):
        run(ledger, log(tmp_path / "two.csv", 500, 30))
    assert open_ledger(ledger) == before


def test_a_truncated_gzip_writes_nothing(ledger: Path, tmp_path: Path) -> None:
    before = listing(ledger)
    whole = gzip.compress(log(tmp_path / "two.csv", 500, 5000).read_bytes())
    (tmp_path / "two.csv.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="truncated"):
        run(ledger, tmp_path / "two.csv.gz")
    assert listing(ledger) == before


def test_a_log_that_grows_while_it_is_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "log.jsonl"
    row = {"timestamp": 1, "input_length": 5, "output_length": 2}
    file.write_text(json.dumps(row) + "\n")
    plain = importing.Reading._line_tasks

    def growing(self: importing.Reading, *arguments: object) -> object:
        yield from plain(self, *arguments)
        with file.open("a") as stream:
            stream.write(json.dumps(row) + "\n")

    monkeypatch.setattr(importing.Reading, "_line_tasks", growing)
    with pytest.raises(InputError, match="changed while it was read"):
        import_logs(ImportRequest("mooncake", (file,), tmp_path / "l"), now=NOW)
    assert not (tmp_path / "l").exists()
