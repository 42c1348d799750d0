"""`weighbridge size`: an answer, files that agree with it, and errors that write nothing."""

import csv
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from weighbridge.cli import weighbridge

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "size"
SLO = "ttft_p95=1s,tpot_p95=50ms"


def write_trace(path: Path, n: int = 600, seed: int = 0, longest: int = 1500) -> Path:
    rng = np.random.default_rng(seed)
    at = np.datetime64("2024-05-06T09:00:00") + (np.sort(rng.uniform(0, 240, n)) * 1e6).astype(
        "timedelta64[us]"
    )
    lines = ["TIMESTAMP,ContextTokens,GeneratedTokens"]
    lines += [
        f"{str(t).replace('T', ' ')},{i},{o}"
        for t, i, o in zip(at, rng.integers(50, longest, n), rng.integers(2, 150, n), strict=True)
    ]
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="module")
def trace(tmp_path_factory) -> Path:
    return write_trace(tmp_path_factory.mktemp("trace") / "trace.csv")


def run(*arguments: object):
    return CliRunner().invoke(weighbridge, ["size", *map(str, arguments)])


@pytest.fixture(scope="module")
def sized(trace, tmp_path_factory):
    out = tmp_path_factory.mktemp("out") / "size"
    result = run(
        *("--trace", trace, "--model", "Llama-3.1-8B", "--gpu", "H100", "--gpu", "l40s"),
        *("--slo", SLO, "--out", out, "--api-model", "openai/gpt-4o-mini", "--threads", 1),
        *("--tensor-parallel", 1, "--precision", "bf16", "--precision", "fp8"),
    )
    assert result.exit_code == 0, result.output
    return result.stdout, out


def test_the_screen_says_best_first_in_a_hundred_columns(sized) -> None:
    screen, _ = sized
    assert max(map(len, screen.splitlines())) <= 100
    first = screen.splitlines()[0]
    assert "GPUs)" in first
    assert "per million tokens" in screen
    for words in ("Flattering", "Binds:", "A loss:", "Other ways to run it", "replicas needed"):
        assert words in screen
    for words in ("Range: kept", "Everything to the API", "no saving"):
        assert words in screen


def test_no_way_to_run_it_is_cut_short(sized) -> None:
    screen, out = sized
    ways = screen[screen.index("Other ways to run it") : screen.index("Note:")]
    assert "\N{HORIZONTAL ELLIPSIS}" not in ways
    with (out / "ways.csv").open() as text:
        rows = [row for row in csv.DictReader(text) if row["kind"] == "all_to_api"]
    assert [row["slo_met"] for row in rows] == [""]
    assert float(rows[0]["usd_per_month"]) > 0


def test_every_file_is_written_and_the_numbers_agree(sized) -> None:
    _, out = sized
    names = {"report.html", "size.json", "answers.csv", "frontier.csv", "multiples.csv"}
    names |= {"load.csv", "ways.csv", "plans.csv"}
    assert {path.name for path in out.iterdir()} == names
    study = json.loads((out / "size.json").read_text())
    with (out / "answers.csv").open() as text:
        rows = list(csv.DictReader(text))
    assert len(rows) == len(study["answers"])
    best = study["answers"][0]
    assert float(rows[0]["usd_per_hour"]) == best["cost"]["usd_per_hour"]
    assert int(rows[0]["n_kept"]) == best["safety"]["n_fleet_replicas"]
    page = (out / "report.html").read_text()
    assert f"${best['cost']['reserved_usd_per_mtok']:,.2f}" in page
    assert page.count("<svg ") == 5


def test_answers_are_cheapest_first_and_cost_follows_from_their_fleet(sized) -> None:
    _, out = sized
    study = json.loads((out / "size.json").read_text())
    whole = [a for a in study["answers"] if a["status"] == "sized"]
    costs = [a["cost"]["usd_per_hour"] for a in whole]
    assert costs == sorted(costs)
    for a in whole:
        n_gpus = a["safety"]["n_fleet_replicas"] * a["setup"]["n_gpus"]
        assert a["cost"]["usd_per_hour"] == pytest.approx(n_gpus * a["price"]["usd_per_gpu_hour"])
        assert a["cost"]["usd_per_month"] == pytest.approx(730 * a["cost"]["usd_per_hour"])
        assert a["cost"]["reserved_usd_per_mtok"] >= a["cost"]["full_load_usd_per_mtok"]
        hours = a["week"]["duration_s"] / 3600
        tokens = a["week"]["input_tokens"] + a["week"]["output_tokens"]
        per_mtok = a["cost"]["usd_per_hour"] * hours / tokens * 1e6
        assert a["cost"]["reserved_usd_per_mtok"] == pytest.approx(per_mtok)


def test_the_same_question_gives_the_same_answer_with_other_threads(trace, tmp_path) -> None:
    told = []
    for threads in (1, 3):
        out = tmp_path / str(threads)
        run(
            *("--trace", trace, "--model", "llama-3.1-8b", "--gpu", "l40s", "--slo", SLO),
            *("--tensor-parallel", 1, "--out", out, "--threads", threads),
        )
        study = json.loads((out / "size.json").read_text())
        study["provenance"].pop("command")
        told.append(study)
    assert told[0] == told[1]


BAD = {
    "unknown model": ("--model", "lama-3.1-8b", "--slo", SLO),
    "unknown gpu": ("--model", "llama-3.1-8b", "--gpu", "h1000", "--slo", SLO),
    "no unit": ("--model", "llama-3.1-8b", "--slo", "ttft_p95=500"),
    "does not fit": (
        *("--model", "llama-3.1-405b", "--gpu", "l4", "--tensor-parallel", 1),
        *("--precision", "bf16", "--slo", SLO),
    ),
    "impossible": (
        *("--model", "llama-3.1-8b", "--gpu", "l40s", "--tensor-parallel", 1),
        *("--precision", "bf16", "--slo", "ttft_p95=1ms,tpot_p95=1ms"),
    ),
    "headroom": ("--model", "llama-3.1-8b", "--slo", SLO, "--headroom", -1),
    "api": (
        *("--model", "llama-3.1-8b", "--gpu", "l40s", "--slo", SLO),
        *("--api-model", "openai/no-such-model"),
    ),
}


def test_every_bad_question_exits_two_says_what_to_do_and_writes_nothing(trace, tmp_path) -> None:
    told = []
    for name, arguments in BAD.items():
        out = tmp_path / "never"
        result = run("--trace", trace, *arguments, "--out", out, "--threads", 1)
        assert result.exit_code == 2, (name, result.output, result.exception)
        assert "mend:" in result.stderr or "try " in result.stderr, result.stderr
        assert not out.exists(), name
        lines = "\n".join(line for line in result.stderr.splitlines() if line.strip())
        # What a replica reaches is the fit's, which new measurements move.
        lines = re.sub(r"it is [\d.]+m?s([;,])", r"it is (so long)\1", lines)
        told.append(f"# {name}\n" + lines.replace(str(trace), "trace.csv") + "\n")
    golden, found = GOLDEN / "command_errors.txt", "\n".join(told)
    if os.environ.get("WEIGHBRIDGE_WRITE_GOLDEN"):
        golden.write_text(found, encoding="utf-8")
    assert found == golden.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("TIMESTAMP,ContextTokens,GeneratedTokens\n", "holds no row"),
        (
            "TIMESTAMP,ContextTokens,GeneratedTokens\n2024-05-06 09:00:00,10,5\n",
            "holds 1 requests",
        ),
    ],
)
def test_a_trace_of_nothing_is_told(tmp_path, text, words) -> None:
    path = tmp_path / "empty.csv"
    path.write_text(text)
    result = run("--trace", path, "--model", "llama-3.1-8b", "--slo", SLO, "--out", tmp_path / "o")
    assert result.exit_code == 2
    assert words in result.stderr
    assert not (tmp_path / "o").exists()


def test_traffic_is_named_once(tmp_path, trace) -> None:
    result = run("--model", "llama-3.1-8b", "--slo", SLO)
    assert (result.exit_code, "no traffic is named" in result.stderr) == (2, True)
    result = run("--model", "llama-3.1-8b", "--slo", SLO, "--trace", trace, "--usage", tmp_path)
    assert (result.exit_code, "named twice" in result.stderr) == (2, True)


def test_requests_beyond_the_models_context_are_refused(tmp_path) -> None:
    path = write_trace(tmp_path / "long.csv", 100, longest=60_000)
    result = run("--trace", path, "--model", "phi-4", "--slo", SLO, "--gpu", "h100-sxm")
    assert result.exit_code == 2
    assert "are longer than the 16,384 tokens" in result.stderr


def test_help_reads_as_its_golden_copy() -> None:
    golden = GOLDEN / "help.txt"
    # In a process of its own: click keeps the help option of whoever asked a command first.
    command = [sys.executable, "-m", "weighbridge", "size", "--help"]
    env = {**os.environ, "COLUMNS": "82"}
    found = subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout
    if os.environ.get("WEIGHBRIDGE_WRITE_GOLDEN"):
        golden.write_text(found, encoding="utf-8")
    assert found == golden.read_text(encoding="utf-8")


def test_a_ledger_and_the_log_it_was_made_from_size_alike(trace, tmp_path) -> None:
    usage = tmp_path / "usage"
    done = CliRunner().invoke(
        weighbridge, ["import", "azure-llm-2023", str(trace), "--into", str(usage)]
    )
    assert done.exit_code == 0, done.output
    told = []
    for option, place in (("--trace", trace), ("--usage", usage)):
        out = tmp_path / option.strip("-")
        result = run(
            *(option, place, "--model", "llama-3.1-8b", "--gpu", "l40s", "--slo", SLO),
            *("--tensor-parallel", 1, "--precision", "fp8", "--out", out, "--threads", 1),
        )
        assert result.exit_code == 0, result.output
        told.append(json.loads((out / "size.json").read_text()))
    for name in ("n_requests", "mean_input_tokens", "mean_output_tokens"):
        assert told[0]["traffic"][name] == told[1]["traffic"][name]
    counts = [t["answers"][0]["safety"]["n_fleet_replicas"] for t in told]
    assert counts[0] == counts[1]
