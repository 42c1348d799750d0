"""vLLM's metrics: distributions and totals of a stretch of load, from one scrape or two.

Names, as documented at docs.vllm.ai, "Production Metrics" (each with the prefix `vllm:`):

- `time_to_first_token_seconds`, `e2e_request_latency_seconds`: from the arrival at the front end.
- `request_queue_time_seconds`: waiting before the first scheduling.
- `request_time_per_output_token_seconds`: one mean per request; `inter_token_latency_seconds` (on
  versions before 0.11 `time_per_output_token_seconds`): one value per token.
- `request_prompt_tokens`, `request_generation_tokens`: lengths of finished requests.
- `request_success_total` by `finished_reason`: `abort` and `error` count as failed.
- `num_preemptions_total`, `prefix_cache_hits_total` over `prefix_cache_queries_total` [tokens].
- `cache_config_info`: block size, blocks and prefix caching, as labels.

A scrape holds everything since the engine started; `read_scrapes` takes the difference of two.
aiperf's `server_metrics_export.json` (schema 1.x) holds such differences, with means over time.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from weighbridge.units import InputError
from weighbridge.usage.bench.fields import Fields
from weighbridge.usage.bench.metrics_text import (
    MAX_COUNT,
    Buckets,
    Scrape,
    parse_aiperf,
    parse_text,
)
from weighbridge.usage.bench.opening import as_json, as_text, read_bytes
from weighbridge.usage.observed import EngineSettings, ObservedHistogram, ObservedLoad

AIPERF_SCHEMA_MAJOR = "1"
_HISTOGRAMS = {
    "ttft_s": ("time_to_first_token_seconds",),
    "tpot_s": ("request_time_per_output_token_seconds",),
    "itl_s": ("inter_token_latency_seconds", "time_per_output_token_seconds"),
    "e2e_s": ("e2e_request_latency_seconds",),
    "queue_s": ("request_queue_time_seconds",),
    "input_tokens": ("request_prompt_tokens",),
    "output_tokens": ("request_generation_tokens",),
}
_FAILED = ("abort", "error")
_MEND = "save the /metrics page of a vLLM server after it served requests"


def read_scrape(path: Path) -> Scrape:
    """Samples of a saved /metrics page or of aiperf's export of server metrics."""
    raw = read_bytes(path)
    if raw.lstrip().startswith(b"{"):
        export = Fields(str(path), as_json(path, raw))
        check_schema(export)
        scrape = parse_aiperf(export)
    else:
        scrape = parse_text(path, as_text(path, raw))
    if not any(name.startswith("vllm:") for name in (*scrape.values, *scrape.histograms)):
        raise InputError(str(path), "vllm:…", "holds no metric of vLLM", _MEND)
    return scrape


def check_schema(export: Fields) -> None:
    """Raise where a JSON export of aiperf is of a schema that is not known here."""
    version = export.text("schema_version") or ""
    if version.partition(".")[0] != AIPERF_SCHEMA_MAJOR:
        raise export.fault(
            "schema_version",
            f"is {version[:20] or 'missing'}, and {AIPERF_SCHEMA_MAJOR}.x is read",
            "run the benchmark with aiperf 0.13",
        )


def read_load(path: Path) -> ObservedLoad:
    """The load that one file tells of: since the start, or of aiperf's run."""
    return _load(str(path), read_scrape(path))


def read_scrapes(before: Path, after: Path, duration_s: float | None = None) -> ObservedLoad:
    """The load between two saved /metrics pages of one server."""
    first, last = read_scrape(before), read_scrape(after)
    for name, buckets in last.histograms.items():
        earlier = first.histograms.get(name, Buckets())
        last.histograms[name] = _less(str(after), name, buckets, earlier)
    for name in ("request_success", "num_preemptions", "prefix_cache_hits", "prefix_cache_queries"):
        _subtract(last, first, f"vllm:{name}")
    last.duration_s = duration_s
    return _load(f"{before} to {after}", last)


def _less(where: str, name: str, buckets: Buckets, earlier: Buckets) -> Buckets:
    if earlier.below and earlier.below.keys() != buckets.below.keys():
        raise InputError(where, name, "has other buckets than before", "scrape one engine twice")
    if buckets.count < earlier.count:
        raise _restarted(where, name)
    below = {edge: n - earlier.below.get(edge, 0.0) for edge, n in buckets.below.items()}
    return Buckets(buckets.total - earlier.total, buckets.count - earlier.count, below)


def _subtract(last: Scrape, first: Scrape, name: str) -> None:
    before = {tuple(sorted(labels.items())): value for labels, value in first.values.get(name, ())}
    changed = []
    for labels, value in last.values.get(name, ()):
        change = value - before.get(tuple(sorted(labels.items())), 0.0)
        if change < 0:
            raise _restarted(last.where, name)
        changed.append((labels, change))
    last.values[name] = changed


def _restarted(where: str, name: str) -> InputError:
    return InputError(
        where,
        name,
        "is lower than in the first scrape: the engine was started anew, or the order is wrong",
        "give first the earlier scrape, then the later, of one start",
    )


def _load(name: str, scrape: Scrape) -> ObservedLoad:
    models = {labels["model_name"] for labels in _all_labels(scrape) if "model_name" in labels}
    if len(models) > 1:
        raise InputError(
            scrape.where,
            "model_name",
            f"names {len(models)} models",
            "scrape a server of one model",
        )
    n_ended = scrape.sum_of("request_success") or 0.0
    n_failed = sum(
        scrape.sum_of("request_success", finished_reason=reason) or 0.0 for reason in _FAILED
    )
    if n_ended - n_failed < 1:
        raise InputError(
            scrape.where, "vllm:request_success", "tells of no request that succeeded", _MEND
        )
    histograms = {key: _histogram(scrape, names) for key, names in _HISTOGRAMS.items()}
    preemptions = scrape.sum_of("num_preemptions")
    return ObservedLoad(
        name=name,
        n_succeeded=int(n_ended - n_failed),
        n_failed=int(n_failed),
        n_preemptions=None if preemptions is None else int(preemptions),
        duration_s=scrape.duration_s,
        mean_running_requests=_mean(scrape, "num_requests_running"),
        mean_waiting_requests=_mean(scrape, "num_requests_waiting"),
        mean_kv_frac=_mean_kv(scrape),
        prefix_hit_frac=_hits(scrape),
        **histograms,
        settings=_settings(scrape),
    )


def _all_labels(scrape: Scrape) -> list[dict[str, str]]:
    return [labels for series in scrape.values.values() for labels, _ in series]


def _mean(scrape: Scrape, name: str) -> float | None:
    """Over all ranks; a single page tells of one instant, which is no mean."""
    return scrape.sum_of(name) if scrape.is_averaged else None


def _mean_kv(scrape: Scrape) -> float | None:
    n_ranks = len(list(scrape.labels_of("kv_cache_usage_perc")))
    total = _mean(scrape, "kv_cache_usage_perc")
    return None if total is None else total / n_ranks


def _hits(scrape: Scrape) -> float | None:
    hits, queries = scrape.sum_of("prefix_cache_hits"), scrape.sum_of("prefix_cache_queries")
    return hits / queries if hits is not None and queries else None


def _histogram(scrape: Scrape, names: tuple[str, ...]) -> ObservedHistogram | None:
    found = [buckets for name in names if (buckets := scrape.buckets_of(name)) is not None]
    if not found or found[0].count < 1:
        return None
    buckets = found[0]
    edges = sorted(buckets.below)
    counts = np.array([buckets.below[edge] for edge in edges], np.float64)
    is_sound = len(edges) > 0 and (counts < MAX_COUNT).all() and 0 <= buckets.total < np.inf
    if not is_sound or (np.diff(counts, prepend=0.0) < 0).any() or counts[-1] != buckets.count:
        raise InputError(
            scrape.where,
            f"vllm:{names[0]}",
            "has buckets that do not add up to its count",
            "save the page whole",
        )
    return ObservedHistogram(
        n_values=int(buckets.count),
        mean=buckets.total / buckets.count,
        upper_bounds=np.array(edges, np.float64),
        n_cumulative=counts.astype(np.int64),
    )


def engine_settings(path: Path) -> EngineSettings:
    """What a scrape tells of the engine; nothing where it is of another engine than vLLM."""
    export = Fields(str(path), as_json(path, read_bytes(path)))
    check_schema(export)
    return _settings(parse_aiperf(export))


def _settings(scrape: Scrape) -> EngineSettings:
    if not scrape.values:
        return EngineSettings()
    configs = list(scrape.labels_of("cache_config_info"))
    config = configs[0] if configs else {}
    block, blocks = _whole(config.get("block_size")), _whole(config.get("num_gpu_blocks"))
    tokens = _whole(config.get("kv_cache_size_tokens"))
    if tokens is None and block is not None and blocks is not None:
        tokens = block * blocks
    caching = config.get("enable_prefix_caching")
    models = [labels["model_name"] for labels in _all_labels(scrape) if "model_name" in labels]
    return EngineSettings(
        model=models[0] if models else None,
        engine="vllm",
        n_data_parallel=len(configs) or None,
        n_block_tokens=block,
        kv_tokens=tokens,
        prefix_caching=None if caching is None else caching == "True",
    )


def _whole(text: str | None) -> int | None:
    return int(text) if text is not None and text.isascii() and text.isdigit() else None
