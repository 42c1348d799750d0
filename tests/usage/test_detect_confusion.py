"""Every golden file of every kind, detected: each as itself, and as nothing else."""

from pathlib import Path

import pytest

from weighbridge.units import InputError
from weighbridge.usage.bench.detect import name_format
from weighbridge.usage.detect import benchmark_of, detect
from weighbridge.usage.kinds import KINDS
from weighbridge.usage.log_files import LogFile

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
NO_LOGS = {"errors.txt", "table.csv", "table.map.yaml"}
NOT_BY_NAME = {"bedrock-cloudwatch.json": "bedrock", "otel-genai-sdk.json": "otel-genai"}
LOGS = sorted(
    file
    for folder in ("import", "bills")
    for file in (GOLDEN / folder).iterdir()
    if file.name not in NO_LOGS and not file.name.endswith(".expected.json")
)


def expected(file: Path) -> str:
    return NOT_BY_NAME.get(file.name, file.name.rsplit(".", 1)[0])


@pytest.mark.parametrize("file", LOGS, ids=lambda file: file.name)
def test_every_golden_log_and_bill_is_told_as_itself(file: Path) -> None:
    found = detect(LogFile(str(file), file))
    assert found.best is not None
    assert found.best.kind.name == expected(file)
    assert benchmark_of(LogFile(str(file), file)) is None
    ties = [m.kind.name for m in found.others if not m.missing]
    assert ties in ([], ["azure-llm-2023"])  # 2024's columns are 2023's, and the year tells
    assert [m for m in found.others if not m.missing and m.n_names >= found.best.n_names] == []


def test_there_is_a_golden_file_of_every_kind_that_is_imported_or_reconciled() -> None:
    named = {kind.name for kind in KINDS if kind.command and kind.name != "gateway-spool"}
    assert {expected(file) for file in LOGS} == named - {"servegen"}


def test_results_of_benchmarks_are_no_logs(checkout: Path) -> None:
    made = Path(__file__).parent / "bench" / "golden"
    samples = checkout.parent / "shared" / "bench_samples"
    folders = [made, *([samples] if samples.is_dir() else [])]
    files = [file for folder in folders for file in folder.iterdir() if file.is_file()]
    told = 0
    for file in files:
        try:
            name_format(file)
        except InputError:
            continue
        try:
            best = detect(LogFile(str(file), file)).best
        except InputError:
            best = None
        assert best is None, (file.name, best)
        told += 1
    assert told >= 5


def test_the_shared_traces_are_told(shared_traces: Path) -> None:
    for name, folder in (
        ("azure-llm-2023", "azure2023"),
        ("mooncake", "mooncake"),
        ("servegen", "servegen"),
    ):
        for file in (shared_traces / folder).iterdir():
            best = detect(LogFile(str(file), file)).best
            assert best is not None
            assert best.kind.name == name
