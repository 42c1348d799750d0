"""`vllm bench serve --save-result --save-detailed`: arrays with one value per request.

Fields, as written by vLLM's module `vllm.benchmarks.serve` (docs.vllm.ai, "Benchmark CLI"):

- `start_times` [s of the client's steady clock]: when the request was sent, after any wait for
  `--max-concurrency`: the arrival. Older versions lack it; a closed loop is then rebuilt, since
  there a request is sent when another ends.
- `ttfts` [s]: from sending to the first chunk; `latencies` [s]: to the last; in older versions
  first token plus all `itls`.
- `queue_times` is the client's own wait for `--max-concurrency`, not the server's queue: unread.
- `input_lens`: the client's count of the prompt, without chat template on older versions;
  `output_lens`: as the server reported, otherwise counted from the text.
- `errors`: not empty where the request failed.

With `--append-result` a file holds one result after the other: one run each.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from pathlib import Path

from weighbridge.usage.bench.building import Names, RunBuilder, Served
from weighbridge.usage.bench.fields import Fields
from weighbridge.usage.bench.json_lines import json_lines
from weighbridge.usage.bench.opening import as_json, read_bytes
from weighbridge.usage.observed import EngineSettings, ObservedRun

NAMES = Names(ttft="ttfts", e2e="latencies", input_tokens="input_lens", output_tokens="output_lens")
_NEEDED = ("ttfts", "input_lens", "output_lens", "errors")
_PER_REQUEST = (*_NEEDED, "itls", "latencies", "start_times")
_DETAILED = "run it with --save-result --save-detailed"


def read_vllm_bench(path: Path) -> tuple[ObservedRun, ...]:
    """The run of a result file, or the runs of one that was appended to."""
    raw = read_bytes(path)
    lines = [line for line in raw.split(b"\n") if line.strip()]
    if len(lines) > 1 and all(line.lstrip().startswith(b"{") for line in lines):
        results = list(json_lines(path))
        return tuple(_run(f"{path}#{i}", result) for i, result in enumerate(results))
    return (_run(str(path), Fields(str(path), as_json(path, raw))),)


def _run(name: str, result: Fields) -> ObservedRun:
    n = _check_lengths(result)
    builder = RunBuilder(NAMES)
    rows = [_Row(result, i) for i in range(n)]
    done = [row for row in rows if not row.failed]
    builder.n_failed = n - len(done)
    n_concurrent = result.count("max_concurrency") if _unpaced(result) else None
    starts_s = _starts(result, done, n_concurrent)
    for row, start_s in zip(done, starts_s, strict=True):
        builder.add(
            row.where,
            Served(
                arrival_s=start_s,
                ttft_s=row.ttft_s,
                e2e_s=row.e2e_s,
                input_tokens=row.input_tokens,
                output_tokens=row.output_tokens,
            ),
        )
    return builder.finish(
        name, result.where, n_concurrent, EngineSettings(model=result.text("model_id"))
    )


def _unpaced(result: Fields) -> bool:
    """Whether requests were sent as fast as the cap let them, so that the loop was closed."""
    rate = result.at("request_rate")
    return rate is None or rate in ("inf", "Infinity") or rate == float("inf")


def _check_lengths(result: Fields) -> int:
    if result.at("ttfts") is None:
        raise result.fault("ttfts", "is missing: the file holds totals only", _DETAILED)
    for name in _NEEDED:
        result.items(name)
    n = len(result.items("ttfts"))
    for name in _PER_REQUEST:
        if result.at(name) is not None and len(result.items(name)) != n:
            raise result.fault(
                name,
                f"has {len(result.items(name))} values, and ttfts has {n}",
                "give the file as the tool wrote it",
            )
    return n


class _Row:
    """One request: value i of every array."""

    def __init__(self, result: Fields, i: int) -> None:
        values = {
            name: result.items(name)[i] for name in _PER_REQUEST if result.at(name) is not None
        }
        self._fields = Fields(result.where, values, f"[{i}]")
        self.where = f"{result.where}: [{i}]"
        self.failed = bool(self._fields.text("errors"))
        if self.failed:
            return
        ttft_s = self._fields.needed_number("ttfts")
        latency_s = self._fields.number("latencies")
        self.ttft_s = ttft_s
        self.e2e_s = ttft_s + self._decode_s() if latency_s is None else latency_s
        self.input_tokens = self._fields.needed_count("input_lens")
        self.output_tokens = self._fields.needed_count("output_lens")

    def _decode_s(self) -> float:
        gaps = {str(j): gap for j, gap in enumerate(self._fields.items("itls"))}
        fields = Fields(self.where, gaps, "itls")
        return sum(fields.needed_number(name) for name in gaps)

    @property
    def start_s(self) -> float:
        """When it was sent."""
        return self._fields.needed_number("start_times")


def _starts(result: Fields, rows: list[_Row], n_concurrent: int | None) -> list[float]:
    if result.at("start_times") is not None:
        return [row.start_s for row in rows]
    if n_concurrent is None:
        raise result.fault(
            "start_times",
            "is missing, so that arrivals are not known",
            "run it with a vLLM from after January 2026, or with --max-concurrency and no rate",
        )
    if n_concurrent < 1:
        raise result.fault("max_concurrency", "is 0", "give the file as the tool wrote it")
    return rebuilt_starts([row.e2e_s for row in rows], n_concurrent)


def rebuilt_starts(e2e_s: list[float], n_concurrent: int) -> list[float]:
    """When each request of a closed loop was sent: at once, or when another one ended."""
    ends: list[float] = []
    starts: list[float] = []
    for duration_s in e2e_s:
        start_s = heapq.heappop(ends) if len(ends) == n_concurrent else 0.0
        starts.append(start_s)
        heapq.heappush(ends, start_s + duration_s)
    return starts


def is_vllm_bench(result: Mapping[str, object]) -> bool:
    """Whether an object is a result of `vllm bench serve`, detailed or not."""
    return "request_throughput" in result and "total_token_throughput" in result
