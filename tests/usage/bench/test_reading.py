"""Each tool's file, read into runs: what is the arrival, what are tokens, what has failed."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from weighbridge.usage.bench.detect import name_format, read_loads, read_runs
from weighbridge.usage.bench.metrics import read_scrapes
from weighbridge.usage.bench.vllm_bench import rebuilt_starts
from weighbridge.usage.observed import ObservedHistogram

GOLDEN = Path(__file__).parent / "golden"


def _near(array: np.ndarray, *values: float) -> None:
    np.testing.assert_allclose(array, values, rtol=0, atol=1e-6)


def test_aiperf_counts_from_sending_and_takes_the_servers_token_counts() -> None:
    (run,) = read_runs(GOLDEN / "profile_export.jsonl")
    _near(run.requests.arrival_s, 0, 0.25, 0.5, 0.75, 1.25, 1.5)
    _near(run.ttft_s, 0.1, 0.11, 0.12, 0.09, 0.13, 0.14)
    _near(run.e2e_s, 0.5, 0.56, 0.62, 0.4, 0.7, 0.78)
    assert run.requests.input_tokens.tolist() == [111, 111, 111, 100, 211, 211]
    # The fourth has no usage: the client's count, reasoning included.
    assert run.requests.output_tokens.tolist() == [10, 10, 10, 12, 10, 10]
    assert np.isnan(run.queue_s).all()
    assert run.n_failed == 2  # one error, one cancelled; the warm-up counts nowhere


def test_aiperf_takes_model_concurrency_and_cache_from_the_files_beside_it() -> None:
    (run,) = read_runs(GOLDEN / "profile_export.jsonl")
    assert run.n_concurrent == 4
    settings = run.settings
    assert (settings.model, settings.engine) == ("made-8b", "vllm")
    assert (settings.kv_tokens, settings.n_block_tokens, settings.prefix_caching) == (
        16000,
        16,
        True,
    )


def test_aiperf_alone_does_not_guess_what_it_is_not_told(tmp_path: Path) -> None:
    path = tmp_path / "profile_export.jsonl"
    path.write_bytes((GOLDEN / "profile_export.jsonl").read_bytes())
    (run,) = read_runs(path)
    assert (run.n_concurrent, run.settings.model) == (None, None)


def test_phases_of_aiperf_are_runs_of_their_own(tmp_path: Path) -> None:
    lines = (GOLDEN / "profile_export.jsonl").read_text().splitlines()[1:]
    second = [line.replace('"phase_name":"profiling"', '"phase_name":"more"') for line in lines]
    path = tmp_path / "profile_export.jsonl"
    path.write_text("\n".join(lines + second))
    first, more = read_runs(path)
    assert (first.name, more.name) == (f"{path}#profiling", f"{path}#more")
    assert first.requests.n_requests == more.requests.n_requests == 6


def test_guidellm_gives_a_run_per_benchmark() -> None:
    closed, opened = read_runs(GOLDEN / "guidellm.json")
    assert closed.name.endswith("guidellm.json#benchmarks[0] concurrent@2")
    assert (closed.n_concurrent, closed.n_failed) == (2, 3)
    _near(closed.requests.arrival_s, 0, 0.25, 0.5, 0.75, 1.0)
    _near(closed.ttft_s, 0.1, 0.11, 0.12, 0.13, 0.14)
    _near(closed.e2e_s, 0.499, 0.599, 0.699, 0.799, 0.899)  # to the last token, not the last byte
    assert (opened.n_concurrent, opened.n_failed, opened.settings.model) == (None, 0, "made-8b")
    assert opened.requests.input_tokens.tolist() == [32] * 6


def test_vllm_bench_leaves_failures_out_and_knows_its_closed_loop() -> None:
    (run,) = read_runs(GOLDEN / "vllm_bench.json")
    _near(run.requests.arrival_s, 0, 0, 0.5, 0.75, 1.0, 1.25)
    assert (run.n_concurrent, run.n_failed) == (2, 1)
    assert run.requests.output_tokens.tolist() == [3] * 6
    _near(run.e2e_s, 0.5, 0.75, 0.5, 0.5, 0.5, 0.5)


def _vllm_bench(tmp_path: Path, **changed: object) -> Path:
    result = json.loads((GOLDEN / "vllm_bench.json").read_text()) | changed
    path = tmp_path / "result.json"
    path.write_text(json.dumps({k: v for k, v in result.items() if v is not None}))
    return path


def test_older_vllm_bench_has_its_closed_loop_rebuilt(tmp_path: Path) -> None:
    (whole,) = read_runs(GOLDEN / "vllm_bench.json")
    (rebuilt,) = read_runs(_vllm_bench(tmp_path, start_times=None, latencies=None))
    _near(rebuilt.e2e_s, *whole.e2e_s)
    _near(rebuilt.requests.arrival_s, *whole.requests.arrival_s)


def test_a_rebuilt_loop_sends_when_another_ends() -> None:
    assert rebuilt_starts([3.0, 1.0, 1.0, 5.0], 2) == [0.0, 0.0, 1.0, 2.0]


def test_a_cap_under_a_rate_is_no_closed_loop(tmp_path: Path) -> None:
    (run,) = read_runs(_vllm_bench(tmp_path, request_rate=4.0))
    assert run.n_concurrent is None


def test_appended_results_of_vllm_bench_are_runs_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "appended.json"
    path.write_text("\n".join([(GOLDEN / "vllm_bench.json").read_text()] * 2))
    first, second = read_runs(path)
    assert (first.name, second.name) == (f"{path}#0", f"{path}#1")


def test_an_engine_log_is_read_by_the_engines_clock() -> None:
    (run,) = read_runs(GOLDEN / "engine_log")
    _near(run.requests.arrival_s, 0, 0.375, 0.4375, 0.5, 1.0)
    _near(run.queue_s, 0, 0.125, 0.5625, 0.5, 1.5)
    _near(run.ttft_s, 0.25, 0.375, 0.8125, 0.75, 1.75)
    _near(run.e2e_s, 1.25, 1.625, 2.3125, 2.0, 2.5)
    assert run.requests.input_tokens.tolist() == [100, 100, 200, 100, 100]
    assert run.n_failed == 2  # one without tokens, one that meta.json counts and the log lacks
    assert run.n_concurrent is None
    settings = run.settings
    assert (settings.gpu, settings.engine) == ("MADE4090", "vllm 0.19.0")
    assert (settings.n_tensor_parallel, settings.n_max_requests) == (2, 64)
    assert (settings.kv_tokens, settings.async_scheduling) == (16000, True)


def test_a_folder_holds_all_runs_in_it() -> None:
    names = [run.name.rpartition("/")[2] for run in read_runs(GOLDEN)]
    assert names == [
        "guidellm.json#benchmarks[0] concurrent@2",
        "guidellm.json#benchmarks[1] poisson",
        "profile_export.jsonl",
        "vllm_bench.json",
        "engine_log",
    ]


def test_what_tools_leave_beside_their_results_is_passed_over(tmp_path: Path) -> None:
    run = tmp_path / "c4"
    run.mkdir()
    for name in ("profile_export.jsonl", "profile_export_aiperf.json", "metrics_after.txt"):
        (run / name).write_bytes((GOLDEN / name).read_bytes())
    (run / ".ready.json").touch()
    (run / "inputs.json").write_text('{"data": []}')
    assert [one.n_concurrent for one in read_runs(tmp_path)] == [4]


@pytest.mark.parametrize("name", ["profile_export.jsonl", "guidellm.json", "vllm_bench.json"])
def test_packed_files_read_as_plain_ones(tmp_path: Path, name: str) -> None:
    path = tmp_path / f"{name}.gz"
    path.write_bytes(gzip.compress((GOLDEN / name).read_bytes()))
    packed, plain = read_runs(path), read_runs(GOLDEN / name)
    assert [run.ttft_s.tolist() for run in packed] == [run.ttft_s.tolist() for run in plain]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("profile_export.jsonl", "aiperf"),
        ("profile_export_aiperf.json", "aiperf totals"),
        ("server_metrics_export.json", "vllm metrics"),
        ("metrics_after.txt", "vllm metrics"),
        ("guidellm.json", "guidellm"),
        ("vllm_bench.json", "vllm bench"),
        ("engine_log/requests.jsonl", "engine log"),
        ("points.csv", "measured points"),
    ],
)
def test_the_format_is_told_by_content(tmp_path: Path, name: str, kind: str) -> None:
    path = tmp_path / "anything.dat"
    path.write_bytes((GOLDEN / name).read_bytes())
    assert name_format(path) == kind


def test_a_metrics_page_sums_over_ranks_and_unescapes_names() -> None:
    (load,) = read_loads(GOLDEN / "metrics_after.txt")
    assert (load.n_succeeded, load.n_failed, load.n_preemptions) == (12, 3, 6)
    assert load.ttft_s is not None
    assert (load.ttft_s.n_values, load.ttft_s.mean) == (12, 0.1875)
    assert load.ttft_s.n_cumulative.tolist() == [6, 12, 12]
    assert load.prefix_hit_frac == 0.25
    assert load.mean_running_requests is None  # one instant is no mean
    assert (load.settings.model, load.settings.kv_tokens) == ('made "8b", v1', 16000)
    assert load.settings.prefix_caching is False


def test_two_pages_tell_of_what_lies_between_them() -> None:
    load = read_scrapes(GOLDEN / "metrics_before.txt", GOLDEN / "metrics_after.txt", 60.0)
    assert (load.n_succeeded, load.n_failed, load.n_preemptions) == (8, 2, 4)
    assert load.ttft_s is not None
    assert load.ttft_s.n_cumulative.tolist() == [4, 8, 8]
    assert load.ttft_s.mean == pytest.approx(0.1875)
    assert load.duration_s == 60.0


def test_aiperfs_export_of_metrics_has_means_over_time() -> None:
    (load,) = read_loads(GOLDEN / "server_metrics_export.json")
    assert (load.n_succeeded, load.n_failed, load.n_preemptions) == (6, 1, 3)
    assert (load.mean_running_requests, load.mean_kv_frac, load.duration_s) == (2.5, 0.25, 3.5)
    assert load.ttft_s is not None
    assert load.ttft_s.quantile(0.5) == pytest.approx(0.125)


def test_a_quantile_beyond_the_last_edge_is_not_made_up() -> None:
    counted = ObservedHistogram(4, 1.0, np.array([1.0, np.inf]), np.array([2, 4]))
    assert counted.quantile(0.25) == 0.5
    assert counted.quantile(0.99) == np.inf
