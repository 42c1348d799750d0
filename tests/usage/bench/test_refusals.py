"""What is wrong with a file is told by its name, its field and what would mend it."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from weighbridge.units import InputError
from weighbridge.usage.bench.detect import SUPPORTED, read_loads, read_runs
from weighbridge.usage.bench.metrics import read_scrapes

GOLDEN = Path(__file__).parent / "golden"
AS_WRITTEN = "\n  mend: give the file as the tool wrote it"
WHOLE = "\n  mend: give the file that the tool wrote when it had finished"


def _refusal(path: Path) -> str:
    """The error's text, the folder it was read from left out."""
    with pytest.raises(InputError) as caught:
        read_runs(path)
    return str(caught.value).replace(f"{path.parent}/", "")


def _file(folder: Path, name: str, content: bytes | str) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", f"f: is empty{WHOLE}"),
        (" \n", f"f: is empty{WHOLE}"),
        (b"\xff\xfe\x00", "f: is not text: byte 0 is not UTF-8\n  mend: give the file that the"),
        ("a\x00b", "f: is not text: it holds zero bytes\n  mend: give the file that the tool"),
        (gzip.compress(b"{}" * 99)[:-9], "f: is gzip that is cut off or damaged\n  mend: copy"),
        ('{"benchmarks": [', f"f:1: is not whole JSON: it is cut off or damaged{WHOLE}"),
        ("[" * 100_000, "f: is nested too deeply\n  mend: give the file that the tool wrote"),
        ("[1, 2]", f"f: is of no known benchmark\n  mend: give {SUPPORTED}"),
        ('{"a": 1}', f"f: is of no known benchmark\n  mend: give {SUPPORTED}"),
        ("# A page\n", f"f: is of no known benchmark\n  mend: give {SUPPORTED}"),
    ],
)
def test_what_is_no_benchmark_is_told(tmp_path: Path, content: bytes | str, told: str) -> None:
    assert _refusal(_file(tmp_path, "f", content)).startswith(told)


def test_files_and_folders_that_cannot_be_read_are_told(tmp_path: Path) -> None:
    assert _refusal(tmp_path / "gone").startswith("gone: is not there\n  mend: give a file")
    assert _refusal(tmp_path).endswith(
        f"holds no file of a known benchmark\n  mend: give {SUPPORTED}"
    )
    _file(tmp_path, "ledger.json", "{}")
    assert "is a ledger, which holds several targets\n  mend: name the target" in _refusal(tmp_path)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        (
            "profile_export_aiperf.json",
            "is aiperf's aggregate, which holds no single request\n"
            "  mend: give profile_export.jsonl, which aiperf writes beside it",
        ),
        (
            "metrics_after.txt",
            f"holds an engine's totals, which tell of no single request\n  mend: give {SUPPORTED}",
        ),
        (
            "points.csv",
            "is a table of measured points, which holds no single request\n"
            f"  mend: give {SUPPORTED}",
        ),
    ],
)
def test_totals_are_not_taken_for_runs(name: str, told: str) -> None:
    assert _refusal(GOLDEN / name) == f"{name}: {told}"


def _aiperf(folder: Path, change: dict[str, Any], n: int = 9) -> Path:
    """The golden export with fields of its third record (line 3) changed; None takes one out."""
    lines = (GOLDEN / "profile_export.jsonl").read_text().splitlines()[:n]
    record = json.loads(lines[2])
    _change(record, change)
    lines[2] = json.dumps(record)
    return _file(folder, "profile_export.jsonl", "\n".join(lines))


def _change(value: Any, change: dict[str, Any]) -> None:
    for path, new in change.items():
        *parents, last = path.split("/")
        spot = value
        for key in parents:
            spot = spot[int(key)] if isinstance(spot, list) else spot[key]
        if new is None:
            del spot[last]
        elif isinstance(spot, list):
            spot[int(last)] = new
        else:
            spot[last] = new


M = "profile_export.jsonl:3: metrics."


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            {"metrics/time_to_first_token/value": -3.0},
            f"{M}time_to_first_token: lies 0.003 s before arrival: its clocks differ\n"
            "  mend: take all stamps of a request from one clock, or leave the request out",
        ),
        (
            {"metrics/request_latency/value": 50.0},
            f"{M}request_latency: lies 0.05 s before metrics.time_to_first_token: its clocks",
        ),
        ({"metrics/request_latency": None}, f"{M}request_latency: is missing{AS_WRITTEN}"),
        (
            {"metrics/request_latency/unit": "KB"},
            f"{M}request_latency.unit: is no unit of time\n  mend: write one of ns, us, ms, s",
        ),
        (
            {"metrics/request_latency/value": "secret"},
            f"{M}request_latency.value: is text, not a number{AS_WRITTEN}",
        ),
        (
            {"metrics/usage_prompt_tokens/value": 1.5},
            f"{M}usage_prompt_tokens.value: is 1.5, not a count{AS_WRITTEN}",
        ),
        (
            {"metrics/usage_prompt_tokens/value": 0},
            f"{M}input_sequence_length: is 0: the length of the prompt is not known\n  mend: run",
        ),
        (
            {"metrics/usage_completion_tokens": None, "metrics/output_sequence_length": None},
            f"{M}output_sequence_length: is missing, and the server counted nothing either\n",
        ),
        (
            {"metadata/request_start_ns": None},
            "profile_export.jsonl:3: metadata.request_start_ns: is missing" + AS_WRITTEN,
        ),
    ],
)
def test_a_record_of_aiperf_is_told_by_line_and_metric(
    tmp_path: Path, change: dict[str, Any], told: str
) -> None:
    assert _refusal(_aiperf(tmp_path, change)).startswith(told)


def test_a_record_that_is_cut_off_is_told_by_its_line(tmp_path: Path) -> None:
    whole = (GOLDEN / "profile_export.jsonl").read_text()
    path = _file(tmp_path, "profile_export.jsonl", whole[:-300])
    told = f"profile_export.jsonl:9: is not a whole line of JSON: it is cut off or damaged{WHOLE}"
    assert _refusal(path) == told


def test_too_few_and_no_successes_are_told(tmp_path: Path) -> None:
    assert _refusal(_aiperf(tmp_path, {}, n=4)) == (
        "profile_export.jsonl: holds 3 requests that succeeded, too few to learn from\n"
        "  mend: run it with 5 or more requests, better 100"
    )
    failed = (GOLDEN / "profile_export.jsonl").read_text().splitlines()[5:7]
    assert _refusal(_file(tmp_path, "profile_export.jsonl", "\n".join(failed))) == (
        "profile_export.jsonl: holds no request that succeeded (2 failed)\n"
        "  mend: run it again and see that the endpoint answers"
    )
    warmup = (GOLDEN / "profile_export.jsonl").read_text().splitlines()[0]
    assert _refusal(_file(tmp_path, "profile_export.jsonl", warmup)).startswith(
        "profile_export.jsonl: holds warm-up requests only\n"
    )


def test_an_aggregate_of_another_schema_is_refused(tmp_path: Path) -> None:
    path = _aiperf(tmp_path, {})
    _file(tmp_path, "profile_export_aiperf.json", '{"schema_version": "2.0"}')
    assert _refusal(path) == (
        "profile_export_aiperf.json: schema_version: is 2.0, and 1.x is read\n"
        "  mend: run the benchmark with aiperf 0.13"
    )


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            {"metadata/version": 3},
            "g.json: metadata.version: is 3, and 2 is read\n  mend: run it with guidellm 0.8",
        ),
        ({"metadata/version": None}, "g.json: metadata.version: is missing, and 2 is read"),
        ({"benchmarks": []}, "g.json: benchmarks: is empty\n  mend: give a file of a finished"),
        (
            {"benchmarks/1/requests/successful": []},
            "g.json: benchmarks[1].requests.successful: lists 0 of 6 requests\n  mend: run it",
        ),
        (
            {"benchmarks/0/requests/successful/2/time_to_first_token_ms": -1},
            "g.json: benchmarks[0].requests.successful[2]: time_to_first_token_ms: lies 0.001 s",
        ),
        (
            {"benchmarks/0/requests/successful/2/output_tokens": None},
            "g.json: benchmarks[0].requests.successful[2].output_tokens: is missing",
        ),
        (
            {"benchmarks/0/config/strategy/streams": None},
            "g.json: benchmarks[0].config.strategy.streams: is missing",
        ),
        (
            {"benchmarks/0": "made"},
            "g.json: benchmarks[0]: is text, not an object",
        ),
    ],
)
def test_a_report_of_guidellm_is_told_by_its_place(
    tmp_path: Path, change: dict[str, Any], told: str
) -> None:
    report = json.loads((GOLDEN / "guidellm.json").read_text())
    _change(report, change)
    assert _refusal(_file(tmp_path, "g.json", json.dumps(report))).startswith(told)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            {"ttfts": None},
            "v.json: ttfts: is missing: the file holds totals only\n"
            "  mend: run it with --save-result --save-detailed",
        ),
        ({"itls": [[]]}, f"v.json: itls: has 1 values, and ttfts has 7{AS_WRITTEN}"),
        ({"ttfts/1": -0.25}, "v.json: [1]: ttfts: lies 0.25 s before arrival: its clocks differ"),
        (
            {"start_times": None, "request_rate": 4.0},
            "v.json: start_times: is missing, so that arrivals are not known\n  mend: run it with",
        ),
        ({"start_times": None, "max_concurrency": 0}, "v.json: max_concurrency: is 0"),
        ({"errors": ["busy"] * 7}, "v.json: holds no request that succeeded (7 failed)"),
        ({"latencies/2": "long"}, "v.json: [2].latencies: is text, not a number"),
    ],
)
def test_a_result_of_vllm_bench_is_told_by_its_array(
    tmp_path: Path, change: dict[str, Any], told: str
) -> None:
    result = json.loads((GOLDEN / "vllm_bench.json").read_text())
    _change(result, change)
    assert _refusal(_file(tmp_path, "v.json", json.dumps(result))).startswith(told)


def _engine_log(folder: Path, row: dict[str, Any], meta: dict[str, Any]) -> Path:
    log = folder / "log"
    log.mkdir()
    for name in ("meta.json", "config.json"):
        _file(log, name, (GOLDEN / "engine_log" / name).read_text())
    told = json.loads((log / "meta.json").read_text())
    _change(told, meta)
    _file(log, "meta.json", json.dumps(told))
    lines = (GOLDEN / "engine_log" / "requests.jsonl").read_text().splitlines()
    record = json.loads(lines[1])
    _change(record, row)
    lines[1] = json.dumps(record)
    _file(log, "requests.jsonl", "\n".join(lines))
    return log


R = "log/requests.jsonl:2: "


@pytest.mark.parametrize(
    ("row", "meta", "told"),
    [
        (
            {"scheduled_ts": 27536.0},
            {},
            f"{R}scheduled_ts: lies 0.875 s before arrival: its clocks differ\n  mend: take all",
        ),
        ({"first_token_ts": 27536.9}, {}, f"{R}first_token_ts: lies 0.1 s before scheduled_ts"),
        ({"last_token_ts": 27537.0}, {}, f"{R}last_token_ts: lies 0.25 s before first_token_ts"),
        ({"queued_ts": None}, {}, f"{R}queued_ts: is missing\n  mend: log queued_ts, scheduled_ts"),
        (
            {"arrival_time": 1787268080.0},
            {},
            "log/requests.jsonl: queued_ts: moves 100 s against arrival_time within the file: its "
            "clocks differ\n  mend: give one log for each start of the engine",
        ),
        (
            {},
            {"num_requests": 3},
            "log/requests.jsonl: holds 6 requests, and meta.json tells of 3\n  mend: give the",
        ),
        ({}, {"schema_version": 2}, "log/meta.json: schema_version: is 2, and 1 is read"),
        (
            {},
            {"engine_kwargs/max_num_seqs": "many"},
            "log/meta.json: engine_kwargs.max_num_seqs: is text, not a number",
        ),
    ],
)
def test_an_engine_log_is_told_by_line_and_stamp(
    tmp_path: Path, row: dict[str, Any], meta: dict[str, Any], told: str
) -> None:
    assert _refusal(_engine_log(tmp_path, row, meta)).startswith(told)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (" 9.0\n", " many\n", ":3: is no sample of the Prometheus text format\n  mend: save the"),
        (" 9.0\n", " NaN\n", ": vllm:request_success: is no count\n  mend: save the /metrics"),
        ('v1"} 9.0', "v1} 9.0", ":3: has labels that are cut off\n  mend: save the page to its"),
        ('le="0.1"', 'le="low"', ": vllm:time_to_first_token_seconds: has a bucket without an"),
        (
            'le="+Inf"',
            'le="9"',
            ": vllm:time_to_first_token_seconds: has buckets that do not add up",
        ),
        (
            "vllm:",
            "sglang:",
            ": vllm:…: holds no metric of vLLM\n  mend: save the /metrics page of",
        ),
    ],
)
def test_a_metrics_page_that_is_damaged_is_told(
    tmp_path: Path, old: str, new: str, told: str
) -> None:
    text = (GOLDEN / "metrics_after.txt").read_text()
    assert old in text
    changed = text.replace(old, new) if old == "vllm:" else text.replace(old, new, 1)
    path = _file(tmp_path, "page", changed)
    with pytest.raises(InputError) as caught:
        read_loads(path)
    assert str(caught.value).startswith(f"{path}{told}")


def test_metrics_of_no_request_or_of_two_models_or_starts_are_refused(tmp_path: Path) -> None:
    after = (GOLDEN / "metrics_after.txt").read_text()
    idle = _file(
        tmp_path, "idle", "\n".join(line for line in after.split("\n") if "rea" not in line)
    )
    two = _file(tmp_path, "two", after.replace("v1", "v2", 1))
    for path, told in ((idle, "tells of no request that succeeded"), (two, "names 2 models")):
        with pytest.raises(InputError, match=told):
            read_loads(path)
    with pytest.raises(InputError, match="the engine was started anew, or the order is wrong"):
        read_scrapes(GOLDEN / "metrics_after.txt", GOLDEN / "metrics_before.txt")
    with pytest.raises(InputError, match="is a file of guidellm, not metrics of vLLM"):
        read_loads(GOLDEN / "guidellm.json")
