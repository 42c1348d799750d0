"""`weighbridge calibrate`: a profile that can be read again, and errors that write nothing."""

from __future__ import annotations

import datetime as dt
import json
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from click.testing import CliRunner, Result

from weighbridge.capacity.calibrate import calibration
from weighbridge.capacity.calibrate.calibration import HELD_OUT_FRAC
from weighbridge.capacity.calibrate.evidence import LEAST_REQUESTS
from weighbridge.capacity.calibrate.search import Effort
from weighbridge.capacity.simulation import simulate
from weighbridge.capacity.step_time import EngineLimits, StepTime
from weighbridge.capacity.traffic import Requests
from weighbridge.cli import weighbridge
from weighbridge.study.calibrate import load_endpoint_profile
from weighbridge.units import InputError
from weighbridge.usage.store import SCHEMA, write_table

QUICK = Effort(n_starts=8, n_members=0, n_generations=0, n_polish=20, n_refits=2, n_per_refit=12)
POINTS = """source,model,gpu,num_gpus,tp,precision,engine,isl,osl,concurrency,output_tok_s,ttft_ms,\
tpot_ms,notes
a,m,g,1,1,fp8,vllm,512,128,1,,50,10,
b,m,g,1,1,fp8,vllm,512,128,4,,60,11,
c,m,g,1,1,fp8,vllm,512,128,16,,90,15,
d,m,g,1,1,fp8,vllm,512,128,64,,200,28,
e,m,other,1,1,fp8,vllm,512,128,64,,200,28,
"""


@pytest.fixture(autouse=True)
def _little_effort(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration, "_effort", lambda: QUICK)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(weighbridge, ["calibrate", *map(str, arguments)])


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Requests of a made engine, as an engine's own log gives them."""
    rng = np.random.default_rng(0)
    n = 80
    requests = Requests(
        np.cumsum(rng.exponential(0.2, n)), rng.integers(20, 900, n), rng.integers(2, 90, n)
    )
    step = StepTime(np.full(65, 0.02), 0.02 + 4e-5 * np.arange(2049.0), 1e-7, 0.0, 0.0, "roofline")
    limits = EngineLimits(65536, 64, 2048)
    outcome = simulate(requests, step, limits, compiled=False)
    folder = tmp_path / "engine"
    folder.mkdir()
    rows = []
    for i in range(n):
        at = 1000.0 + requests.arrival_s[i]
        row = {
            "request_id": f"r{i}",
            "input_toks": int(requests.input_tokens[i]),
            "output_toks": int(requests.output_tokens[i]),
            "arrival_time": 1.7e9 + requests.arrival_s[i],
            "queued_ts": at,
            "scheduled_ts": at + outcome.queue_s[i],
            "first_token_ts": at + outcome.ttft_s[i],
            "last_token_ts": at + outcome.e2e_s[i],
        }
        rows.append(
            json.dumps({k: v if isinstance(v, str | int) else float(v) for k, v in row.items()})
        )
    (folder / "requests.jsonl").write_text("\n".join(rows) + "\n")
    return folder


def test_a_profile_is_written_and_read_again(log: Path, tmp_path: Path) -> None:
    out = tmp_path / "profile.json"
    told = ("--max-requests", 64, "--max-batched-tokens", 2048, "--kv-tokens", 65536)
    plot = tmp_path / "errors.html"
    result = run(log, *told, "--model", "made", "-o", out, "--plot", plot)
    assert result.exit_code == 0, result.output
    profile = load_endpoint_profile(out)
    assert profile.limits.kv_tokens == 65536
    assert profile.settings.model == "made"
    assert profile.sources[0].n_requests == 80
    assert {one.metric for one in profile.held_out} == {"ttft", "tpot", "e2e"}
    assert len(profile.step_time().mixed_s) == 2049
    assert "On the last 50% of each run, which a fit did not see" in result.output
    assert max(map(len, result.output.splitlines())) <= 100
    assert plot.read_text().count("<svg ") == 1


def test_a_target_is_calibrated_from_what_the_gateway_saw(log: Path, tmp_path: Path) -> None:
    """Queueing is seen from outside only: times to first and last token, and nothing else."""
    seen = [json.loads(line) for line in (log / "requests.jsonl").read_text().splitlines()]
    start = dt.datetime(2026, 10, 1, 12, 0, tzinfo=dt.UTC)
    rows = [
        {
            "request_id": one["request_id"],
            "started_at": start + dt.timedelta(seconds=one["queued_ts"] - 1000.0),
            "target": "fleet",
            "model": "made-8b",
            "status": "ok",
            "price_state": "self_hosted",
            "attempts": 1,
            "uncached_input_tokens": one["input_toks"],
            "cache_read_tokens": 0,
            "cache_write_tokens": 0,
            "output_tokens": one["output_toks"],
            "reasoning_tokens": 0,
            "latency_s": one["last_token_ts"] - one["queued_ts"],
            "ttft_s": one["first_token_ts"] - one["queued_ts"],
            "queue_s": 0.0,
            "streamed": True,
            "endpoint": "chat",
        }
        for one in seen
    ]
    arrays = {
        field.name: pa.array([row.get(field.name) for row in rows], field.type)
        for field in SCHEMA
        if field.name != "import_id"
    }
    write_table(tmp_path / "ledger", pa.table(arrays), "made")
    out = tmp_path / "p.json"
    result = run("--ledger", tmp_path / "ledger", "--target", "fleet", "-o", out)
    assert result.exit_code == 0, result.output
    profile = load_endpoint_profile(out)
    assert profile.settings.model == "made-8b"
    assert [one.n_requests for one in profile.held_out] == [40, 40, 40]


def test_what_is_not_told_is_assumed_aloud(log: Path, tmp_path: Path) -> None:
    result = run(log, "-o", tmp_path / "p.json")
    assert "assumed: the cache's size is not told: taken as never full" in result.output
    assert "assumed: asynchronous scheduling is not told: taken as off" in result.output


def test_aggregate_points_give_latency_over_concurrency(tmp_path: Path) -> None:
    table = tmp_path / "points.csv"
    table.write_text(POINTS)
    out = tmp_path / "profile.json"
    result = run(table, "--gpu", "g", "-o", out)
    assert result.exit_code == 0, result.output
    profile = load_endpoint_profile(out)
    assert [curve.metric for curve in profile.curves] == ["ttft", "tpot"]
    found, _ = profile.curves[1].at(8)
    assert 0.011 < found.mid < 0.015
    with pytest.raises(InputError, match="made of aggregate figures alone"):
        profile.step_time()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "is given nothing to read"),
        (("nowhere.json",), "nowhere.json"),
        (("--ledger", "."), "--target: : is missing"),
        (("--plot", "errors.pdf"), "is of no known kind"),
        (("--target", "nobody"), "--target: : means nothing without --ledger"),
        (("--url", "http://localhost:1"), "--url: : means nothing without --drive"),
        (("--tokenizer", "zz"), "--tokenizer: : means nothing without --drive"),
        (("--results", "."), "--results: : means nothing without --drive"),
        (("--requests", 9), "--requests: : means nothing without --drive"),
        (("--api-key-variable", "K"), "--api-key-variable: : means nothing without --drive"),
        (("--concurrency", "1,8"), "--concurrency: : means nothing without --drive"),
        (("--concurrency", "abc"), "--concurrency: abc: cannot be read"),
        (("--drive", "vllm", "--concurrency", "4,0"), "--concurrency: 4,0: cannot be read"),
        (
            ("--drive", "aiperf", "--url", "http://localhost:1"),
            "--model: : is missing with --drive",
        ),
    ],
)
def test_bad_input_is_told_and_nothing_is_written(
    arguments: tuple[str, ...], told: str, tmp_path: Path
) -> None:
    out = tmp_path / "profile.json"
    result = run(*arguments, "-o", out)
    assert result.exit_code == 2
    assert told.replace(": : ", ": ") in result.output
    assert not out.exists()


@pytest.fixture
def recorded(log: Path) -> Path:
    """The same log with what its engine was."""
    meta = {
        "model": "meta-llama/Llama-3.1-8B-Instruct",
        "vllm_version": "0.19.0",
        "engine_kwargs": {
            "tensor_parallel_size": 1,
            "data_parallel_size": 1,
            "enable_expert_parallel": False,
            "max_num_seqs": 64,
            "max_num_batched_tokens": 2048,
        },
        "kv_cache": {"num_kv_tokens": 65536, "block_size": 16, "enable_prefix_caching": False},
        "hardware": {"device_name": "NVIDIA GeForce RTX 4090"},
        "num_requests": 80,
    }
    (log / "meta.json").write_text(json.dumps(meta))
    return log


@pytest.mark.parametrize(
    ("option", "value", "records"),
    [
        ("--gpu", "h100-sxm", "NVIDIA GeForce RTX 4090"),
        ("--gpu", "a-gpu-of-mine", "NVIDIA GeForce RTX 4090"),
        ("--model", "qwen3-32b", "meta-llama/Llama-3.1-8B-Instruct"),
        ("--tensor-parallel", "2", "1"),
        ("--data-parallel", "4", "1"),
        ("--expert-parallel", None, "False"),
        ("--engine", "sglang", "vllm 0.19.0"),
        ("--engine", "vllm 0.18.0", "vllm 0.19.0"),
    ],
)
def test_what_is_told_against_the_files_record_is_refused(
    recorded: Path, tmp_path: Path, option: str, value: str | None, records: str
) -> None:
    out = tmp_path / "profile.json"
    result = run(recorded, *filter(None, (option, value)), "-o", out)
    assert result.exit_code == 2
    assert result.output.startswith(f"error: {option}: {value or True}: is not what was measured: ")
    assert f"records {records}\n" in result.output
    assert f"leave {option} out" in result.output
    assert not out.exists()


def test_a_number_format_against_the_recorded_models_name_is_refused(
    recorded: Path, tmp_path: Path
) -> None:
    meta = json.loads((recorded / "meta.json").read_text())
    (recorded / "meta.json").write_text(
        json.dumps(meta | {"model": "nvidia/Llama-3.1-8B-Instruct-FP8"})
    )
    result = run(recorded, "--precision", "fp4", "-o", tmp_path / "p.json")
    assert result.exit_code == 2
    assert "--precision: fp4: is not what was measured" in result.output
    result = run(recorded, "-o", tmp_path / "p.json")
    assert result.exit_code == 0, result.output
    assert "llama-3.1-8b on rtx-4090, fp8" in " ".join(result.output.split())


def test_another_spelling_of_what_the_files_record_is_no_contradiction(
    recorded: Path, tmp_path: Path
) -> None:
    out = tmp_path / "p.json"
    told = ("--model", "llama-3.1-8b", "--gpu", "RTX4090", "--engine", "vllm", "--kv-tokens", 65520)
    result = run(recorded, *told, "-o", out)
    assert result.exit_code == 0, result.output
    said = " ".join(result.output.split())
    assert "kv_tokens is told as 65520, against 65536 in the files" in said


def test_a_name_of_ones_own_in_the_files_may_be_said_to_be_a_model(
    recorded: Path, tmp_path: Path
) -> None:
    meta = json.loads((recorded / "meta.json").read_text())
    (recorded / "meta.json").write_text(json.dumps(meta | {"model": "our-assistant"}))
    result = run(recorded, "--model", "llama-3.1-8b", "-o", tmp_path / "p.json")
    assert result.exit_code == 0, result.output
    said = " ".join(result.output.split())
    assert "the files call the model 'our-assistant', taken to be llama-3.1-8b" in said


def test_points_of_two_systems_are_refused_by_name(tmp_path: Path) -> None:
    table = tmp_path / "points.csv"
    table.write_text(POINTS)
    result = run(table, "-o", tmp_path / "p.json")
    assert result.exit_code == 2
    assert "are of 2 systems" in result.output
    assert not (tmp_path / "p.json").exists()


def test_a_word_of_ones_own_that_the_catalog_does_not_know_is_an_error(
    log: Path, tmp_path: Path
) -> None:
    out = tmp_path / "p.json"
    result = run(log, "--model", "llama-3.1-8b", "--gpu", "h1000", "-o", out)
    assert result.exit_code == 2
    assert "h1000" in result.output
    assert not out.exists()


def test_a_file_that_is_no_profile_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    path.write_text("{")
    with pytest.raises(InputError, match="is not JSON"):
        load_endpoint_profile(path)
    with pytest.raises(InputError, match="cannot be read"):
        load_endpoint_profile(tmp_path / "none.json")


@pytest.mark.parametrize("page", ["calibrating.md", "benchmarks-to-bring.md"])
def test_the_pages_name_the_least_number_of_requests(page: str) -> None:
    text = (Path(__file__).resolve().parents[2] / "docs" / page).read_text("utf-8")
    n_in_all = round(LEAST_REQUESTS / (1 - HELD_OUT_FRAC))
    assert re.search(rf"\b{n_in_all}\b", text)
    assert re.search(rf"\b{LEAST_REQUESTS}\b", text)
    assert "--drive" in text
    assert "weighbridge calibrate" in text
