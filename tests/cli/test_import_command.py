"""`weighbridge import` as a person meets it."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from weighbridge.cli.importing import import_
from weighbridge.units import InputError, TooManyRejectsError
from weighbridge.usage.store import open_ledger

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "import"


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(import_, [str(argument) for argument in arguments])


def test_the_summary_names_counts_period_unpriced_models_and_gaps(tmp_path: Path) -> None:
    done = run("litellm", GOLDEN / "litellm.jsonl", "--into", tmp_path / "l")
    assert done.exit_code == 0, done.output
    for told in (
        "read  stored  duplicate  rejected",
        "period       2026-10-05T09:00:01 to 2026-10-05T09:00:10 UTC",
        "house-model-1 (1)",
        "failed       2 of 10 requests",
        "cannot tell",
        "LiteLLM stores UTC",
    ):
        assert told in done.stdout
    assert max(len(line) for line in done.stdout.splitlines() if "/" not in line) <= 100


def test_rejects_are_quoted_with_their_lines(tmp_path: Path) -> None:
    lines = (GOLDEN / "litellm.jsonl").read_text().splitlines()
    bad = json.dumps({**json.loads(lines[0]), "request_id": "bad", "prompt_tokens": -5})
    (tmp_path / "log.jsonl").write_text("\n".join([*lines, bad]) + "\n")
    done = run("litellm", tmp_path / "log.jsonl", "--into", tmp_path / "l")
    assert "1 x input_tokens: is negative" in done.stdout
    assert f"{tmp_path}/log.jsonl:11: input_tokens: is negative" in done.stdout
    assert isinstance(done.exception, TooManyRejectsError)
    assert open_ledger(tmp_path / "l").n_rows == 10


def test_a_map_given_by_options_reads_a_table(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("t,p,c\n2026-10-01 10:00:00,10,2\n")
    done = run(
        *("csv", tmp_path / "log.csv", "--into", tmp_path / "l", "--timezone", "UTC"),
        *("--map", "started_at=t", "--map", "input_tokens=p", "--map", "output_tokens=c"),
        *("--constant", "model=gpt-4o-mini", "--constant", "provider=openai"),
    )
    assert done.exit_code == 0, done.output
    assert "instants without a time zone are UTC (--timezone)" in done.stdout
    assert "tenant: no column is mapped to it" in done.stdout
    assert "unpriced" not in done.stdout


def test_a_map_adds_what_a_known_source_does_not_hold(tmp_path: Path) -> None:
    done = run(
        *("litellm", GOLDEN / "litellm.jsonl", "--into", tmp_path / "l"),
        *("--map", "template=metadata.spend_logs_metadata.template", "--constant", "feature=chat"),
    )
    assert done.exit_code == 0, done.output
    assert "feature: only known" not in done.stdout


def test_a_second_import_says_that_there_was_nothing_to_do(tmp_path: Path) -> None:
    for _ in range(2):
        done = run("litellm", GOLDEN / "litellm.jsonl", "--into", tmp_path / "l")
    assert "imported before, nothing to do" in done.stdout


def test_a_log_of_only_failures_says_so(tmp_path: Path) -> None:
    lines = (GOLDEN / "litellm.jsonl").read_text().splitlines()
    (tmp_path / "log.jsonl").write_text(lines[4] + "\n")
    done = run("litellm", tmp_path / "log.jsonl", "--into", tmp_path / "l")
    assert "1 of 1 requests; the log holds only failures" in done.stdout


def test_an_unknown_source_lists_those_that_exist(tmp_path: Path) -> None:
    done = run("litelm", GOLDEN / "litellm.jsonl", "--into", tmp_path / "l")
    assert isinstance(done.exception, InputError)
    assert "azure-llm-2024, mooncake" in str(done.exception)


@pytest.mark.parametrize("missing", [["litellm", "--into", "x"], ["litellm", "a.jsonl"]])
def test_a_missing_argument_is_a_usage_error(missing: list[str]) -> None:
    assert run(*missing).exit_code == 2


GOLDENS = {
    "litellm.jsonl": "litellm",
    "litellm.json": "litellm",
    "litellm.csv": "litellm",
    "azure-llm-2023.csv": "azure-llm-2023",
    "mooncake.jsonl": "mooncake",
    "openai-usage.json": "openai-usage",
    "anthropic-usage.json": "anthropic-usage",
    "openrouter.csv": "openrouter",
    "helicone.jsonl": "helicone",
    "helicone.json": "helicone",
    "helicone.csv": "helicone",
    "litellm-payload.jsonl": "litellm-payload",
    "langfuse.jsonl": "langfuse",
    "bedrock.jsonl": "bedrock",
    "otel-genai.jsonl": "otel-genai",
    "otel-genai-sdk.json": "otel-genai",
    "azure-llm-2024.csv": "azure-llm-2024",
    "burstgpt.csv": "burstgpt",
    "langfuse.json": "langfuse",
    "langfuse.csv": "langfuse",
    "bedrock-cloudwatch.json": "bedrock",
    "../bills/openai-costs.json": "openai-costs",
    "../bills/anthropic-costs.json": "anthropic-costs",
    "../bills/focus.csv": "focus",
    "../bills/bill-csv.csv": "bill-csv",
}


@pytest.mark.parametrize("name", GOLDENS)
def test_detect_names_every_golden_file_and_the_command_that_reads_it(name: str) -> None:
    done = run("--detect", GOLDEN / name)
    assert done.exit_code == 0, done.exception
    head, *rest = done.stdout.splitlines()
    assert head == f"{GOLDEN / name}: {GOLDENS[name]}"
    reads = "reconcile --bill" if "bills" in name else f"import {GOLDENS[name]}"
    assert rest[-1].startswith(f"  next: weighbridge {reads} {GOLDEN / name}")


def test_what_detect_says_to_run_next_reads_the_file(tmp_path: Path) -> None:
    for name in GOLDENS:
        if "bills" not in name:
            next_line = run("--detect", GOLDEN / name).stdout.splitlines()[-1]
            words = next_line.removeprefix("  next: weighbridge import ").split()
            done = run(*words[:-1], tmp_path / name)
            assert done.exit_code == 0, (name, done.exception)


def test_detect_says_why_not_and_names_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("TIMESTAMP,ContextTokens,Answer\n")
    done = run("--detect", tmp_path / "log.csv")
    assert isinstance(done.exception, InputError)
    assert "Nearest is azure-llm-2023 (Azure LLM inference trace 2023 (CSV)): lacks Gen" in str(
        done.exception
    )
    assert "weighbridge import csv FILE" in str(done.exception)


@pytest.mark.parametrize("name", ["vllm_bench.json", "guidellm.json", "metrics_after.txt"])
def test_detect_knows_results_of_benchmarks(name: str) -> None:
    file = Path(__file__).resolve().parents[1] / "usage" / "bench" / "golden" / name
    done = run("--detect", file)
    assert f"next: weighbridge calibrate {file} --out" in done.stdout


def test_a_quoted_pattern_names_several_files(tmp_path: Path) -> None:
    for name in ("litellm.csv", "litellm.jsonl"):
        (tmp_path / name).write_bytes((GOLDEN / name).read_bytes())
    done = run("litellm", tmp_path / "litellm.*", "--into", tmp_path / "l")
    assert done.exit_code == 0, done.output
    assert "all 2 files" in done.stdout


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("servegen", "rates.csv"), "Missing option '--lengths-from'"),
        (("servegen", "a.csv", "b.csv", "--lengths-from", "t.csv"), "drawn from one FILE"),
        (("litellm", "a.jsonl", "--seed", "2"), "--seed is of servegen"),
        (("litellm", "a.jsonl", "--lengths-from", "t.csv"), "--lengths-from is of servegen"),
    ],
)
def test_draws_are_of_servegen_and_of_nothing_else(
    words: tuple[str, ...], problem: str, tmp_path: Path
) -> None:
    done = run(*words, "--into", tmp_path / "l")
    assert done.exit_code == 2
    assert problem in done.output
    assert not (tmp_path / "l").exists()


def test_records_that_are_no_requests_are_told_as_left_out(tmp_path: Path) -> None:
    done = run("langfuse", GOLDEN / "langfuse.jsonl", "--into", tmp_path / "l")
    assert done.exit_code == 0, done.exception
    assert "left out     2 records that are no requests" in done.stdout
