"""What self-hosted engines say of themselves in their Prometheus metrics."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator

from weighbridge.gateway.breaker import CLEAR_FRAC
from weighbridge.ledger.lines import EngineLine
from weighbridge.policy.types import Engine, Saturation

# Where a field goes by several names, an engine uses one of them, by its version.
_NAMES: dict[Engine, dict[str, tuple[str, ...]]] = {
    "vllm": {
        "running_requests": ("vllm:num_requests_running",),
        "waiting_requests": ("vllm:num_requests_waiting",),
        "kv_usage_frac": ("vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc"),
        "prompt_tokens": ("vllm:prompt_tokens_total", "vllm:prompt_tokens"),
        "generated_tokens": ("vllm:generation_tokens_total", "vllm:generation_tokens"),
    },
    "sglang": {
        "running_requests": ("sglang:num_running_reqs",),
        "waiting_requests": ("sglang:num_queue_reqs",),
        "kv_usage_frac": ("sglang:token_usage",),
        "prompt_tokens": ("sglang:prompt_tokens_total",),
        "generated_tokens": ("sglang:generation_tokens_total",),
    },
    "llamacpp": {
        "running_requests": ("llamacpp:requests_processing",),
        "waiting_requests": ("llamacpp:requests_deferred",),
        "kv_usage_frac": ("llamacpp:kv_cache_usage_ratio",),
        "prompt_tokens": ("llamacpp:prompt_tokens_total",),
        "generated_tokens": ("llamacpp:tokens_predicted_total",),
    },
}

_SAMPLE = re.compile(
    r"(?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*)\s*"
    r"(?:\{(?P<labels>(?:[^\"}]|\"(?:[^\"\\]|\\.)*\")*)\})?\s*"
    r"(?P<number>\S+)(?:\s+-?\d+)?"
)
_LABEL = re.compile(r"([a-zA-Z_][a-zA-Z0-9_]*)\s*=\s*\"((?:[^\"\\]|\\.)*)\"")
# Ranks that share one batch each report all of it; ranks of data parallelism (`dp_rank`, vLLM's
# `engine`) hold batches of their own.
_SHARING_RANKS = ("tp_rank", "pp_rank", "moe_ep_rank")


def read_engine(
    engine: Engine, text: str, target: str, at_us: int, model: str | None = None
) -> EngineLine:
    """An engine's metrics as a line of the spool; what it does not say, or as no number, is None.

    Requests and tokens are summed over data-parallel ranks, the share of the KV cache is their
    mean. With `model`, samples that name another model are left out.
    """
    names = _NAMES[engine]
    wanted = {name for aliases in names.values() for name in aliases}
    found: dict[str, list[float]] = {}
    for name, labels, number in _samples(text, wanted):
        if model is None or labels.get("model_name", model) == model:
            found.setdefault(name, []).append(number)
    fields: dict[str, float] = {}
    for field, aliases in names.items():
        numbers = next((found[name] for name in aliases if name in found), None)
        if numbers is not None:
            total = math.fsum(numbers)
            fields[field] = total / len(numbers) if field == "kv_usage_frac" else total
    return EngineLine(target=target, at_us=at_us, engine=engine, **fields)


def is_saturated(sample: EngineLine, saturation: Saturation, was_saturated: bool) -> bool:
    """Whether any limit is reached; once full, all must be 10 % below their limits to clear.

    A figure that the engine does not give says nothing.
    """
    part_frac = CLEAR_FRAC if was_saturated else 1.0
    limits = (
        (sample.waiting_requests, saturation.waiting_requests),
        (sample.running_requests, saturation.running_requests),
        (sample.kv_usage_frac, saturation.kv_usage_frac),
    )
    return any(
        number is not None and limit is not None and number >= part_frac * limit
        for number, limit in limits
    )


def _samples(text: str, wanted: set[str]) -> Iterator[tuple[str, dict[str, str], float]]:
    for raw in _unquoted(text).splitlines():
        line = raw.strip()
        # Pages have a thousand lines of histograms: most are to cost next to nothing.
        if line.split("{", 1)[0].split(" ", 1)[0] not in wanted:
            continue
        sample = _SAMPLE.fullmatch(line)
        if sample is None:
            continue
        labels = dict(_LABEL.findall(sample["labels"] or ""))
        number = _number(sample["number"])
        if number is not None and all(labels.get(rank, "0") == "0" for rank in _SHARING_RANKS):
            yield sample["name"], labels, number


def _unquoted(text: str) -> str:
    """Some releases of llama.cpp's server send the whole page as one JSON string."""
    if text.startswith('"'):
        try:
            page = json.loads(text)
        except ValueError:
            return text
        return str(page)
    return text


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
