"""Files that real tools wrote, where they are kept beside the checkout."""

import json
from pathlib import Path

import numpy as np
import pytest

from weighbridge.usage.bench.detect import read_loads, read_runs


def _shared(checkout: Path, name: str) -> Path:
    path = checkout.parent / "shared" / name
    if not path.exists():
        pytest.skip(f"no ../shared/{name} beside this checkout")
    return path


def test_aiperfs_own_means_are_found_again(checkout: Path) -> None:
    (run,) = read_runs(_shared(checkout, "bench_samples/aiperf_profile_export.jsonl"))
    totals = json.loads(
        _shared(checkout, "bench_samples/aiperf_profile_export_aiperf.json").read_bytes()
    )
    assert run.requests.n_requests == totals["request_count"]["avg"]
    assert run.ttft_s.mean() == pytest.approx(totals["time_to_first_token"]["avg"] / 1000)
    assert run.e2e_s.mean() == pytest.approx(totals["request_latency"]["avg"] / 1000)
    total = totals["total_usage_completion_tokens"]["avg"]
    assert run.requests.output_tokens.sum() == total
    assert (run.n_concurrent, run.settings.kv_tokens) == (None, 524288)


def test_guidellms_own_means_are_found_again(checkout: Path) -> None:
    path = _shared(checkout, "bench_samples/guidellm_v2.json")
    (run,) = read_runs(path)
    metrics = json.loads(path.read_bytes())["benchmarks"][0]["metrics"]
    ttft_ms = metrics["time_to_first_token_ms"]["successful"]["mean"]
    itl_ms = metrics["inter_token_latency_ms"]["successful"]["mean"]
    decoded = run.requests.output_tokens - 1
    assert run.ttft_s.mean() * 1000 == pytest.approx(ttft_ms)
    assert ((run.e2e_s - run.ttft_s) / decoded).mean() * 1000 == pytest.approx(itl_ms)


def test_vllms_own_means_are_found_again(checkout: Path) -> None:
    path = _shared(checkout, "bench_samples/vllm_bench_serve_detailed.json")
    (run,) = read_runs(path)
    totals = json.loads(path.read_bytes())
    decoded = run.requests.output_tokens - 1
    tpot_s = (run.e2e_s - run.ttft_s) / decoded
    assert run.ttft_s.mean() * 1000 == pytest.approx(totals["mean_ttft_ms"])
    assert tpot_s.mean() * 1000 == pytest.approx(totals["mean_tpot_ms"])
    assert run.requests.output_tokens.sum() == totals["total_output_tokens"]
    assert run.requests.input_tokens.sum() == totals["total_input_tokens"]


def test_the_engines_metrics_agree_with_the_client_that_drove_it(checkout: Path) -> None:
    (load,) = read_loads(_shared(checkout, "bench_samples/aiperf_server_metrics_export.json"))
    (run,) = read_runs(_shared(checkout, "bench_samples/aiperf_profile_export.jsonl"))
    assert load.n_succeeded == run.requests.n_requests
    assert load.output_tokens is not None
    assert load.ttft_s is not None
    assert load.e2e_s is not None
    assert load.output_tokens.mean == run.requests.output_tokens.mean()
    assert load.e2e_s.mean <= run.e2e_s.mean()  # the client sees the way there as well
    assert load.e2e_s.mean == pytest.approx(run.e2e_s.mean(), rel=0.01)
    assert load.ttft_s.quantile(0.9) == pytest.approx(np.quantile(run.ttft_s, 0.9), rel=0.15)


@pytest.mark.parametrize(
    ("name", "n_ranks", "gpu"),
    [
        ("RTX4090/Llama-3.1-8B", 1, "NVIDIA GeForce RTX 4090"),
        ("RTXPRO6000/Llama-3.1-8B", 1, "RTXPRO6000"),
        ("RTXPRO6000/Qwen3-30B-A3B-Instruct-2507", 2, "RTXPRO6000"),
    ],
)
def test_engine_logs_of_vllm_are_read(checkout: Path, name: str, n_ranks: int, gpu: str) -> None:
    (run,) = read_runs(_shared(checkout, f"measured/vllm_runs/{name}"))
    assert (run.requests.n_requests, run.n_failed) == (300, 0)
    assert 25 < run.requests.duration_s < 35
    assert (run.queue_s <= run.ttft_s).all()
    assert (run.ttft_s < run.e2e_s).all()
    assert (run.settings.n_data_parallel, run.settings.gpu) == (n_ranks, gpu)
