"""The stand-in as a self-hosted engine: what it says of itself at /metrics and /health."""

from __future__ import annotations

from typing import Any

import msgspec

from weighbridge.rehearsal.provider_bill import Bill
from weighbridge.rehearsal.provider_settings import Engine


class EngineSays(msgspec.Struct, forbid_unknown_fields=True):
    """Figures that were set by hand; None: the true ones."""

    running: float | None = None
    waiting: float | None = None
    kv_usage_frac: float | None = None
    healthy: bool = True


class Load(msgspec.Struct):
    """What the stand-in is busy with."""

    n_running: int = 0
    n_waiting: int = 0
    kv_tokens: int = 0


class _Names(msgspec.Struct, frozen=True):
    """What an engine calls its figures; None: it does not tell."""

    running: str
    waiting: str
    kv_usage: str | None
    prompt_tokens: str
    generated_tokens: str


NAMES: dict[Engine, _Names] = {
    "vllm": _Names(
        "vllm:num_requests_running",
        "vllm:num_requests_waiting",
        "vllm:kv_cache_usage_perc",
        "vllm:prompt_tokens_total",
        "vllm:generation_tokens_total",
    ),
    "sglang": _Names(
        "sglang:num_running_reqs",
        "sglang:num_queue_reqs",
        "sglang:token_usage",
        "sglang:prompt_tokens_total",
        "sglang:generation_tokens_total",
    ),
    "llama.cpp": _Names(
        "llamacpp:requests_processing",
        "llamacpp:requests_deferred",
        None,
        "llamacpp:prompt_tokens_total",
        "llamacpp:tokens_predicted_total",
    ),
}
LABELS: dict[Engine, str] = {
    "vllm": '{engine="0",model_name="rehearsal"}',
    "sglang": '{model_name="rehearsal"}',
    "llama.cpp": "",
}


def engine_metrics(
    engine: Engine, says: EngineSays, load: Load, kv_capacity_tokens: int, bill: Bill
) -> bytes:
    """The metrics of an engine, in Prometheus' text format."""
    names, total = NAMES[engine], bill.total
    used = min(load.kv_tokens / kv_capacity_tokens, 1.0)
    read = total["uncached_input_tokens"] + total["cache_read_tokens"] + total["cache_write_tokens"]
    figures = (
        (names.running, "gauge", _either(says.running, load.n_running)),
        (names.waiting, "gauge", _either(says.waiting, load.n_waiting)),
        (names.kv_usage, "gauge", _either(says.kv_usage_frac, used)),
        (names.prompt_tokens, "counter", read),
        (names.generated_tokens, "counter", total["output_tokens"]),
    )
    lines = []
    for name, kind, value in figures:
        if name is not None:
            lines.append(f"# HELP {name} Of a stand-in.\n# TYPE {name} {kind}")
            lines.append(f"{name}{LABELS[engine]} {float(value)}")
    return ("\n".join(lines) + "\n").encode()


def _either(said: float | None, true: float) -> float:
    return true if said is None else said


def engine_says(body: Any) -> EngineSays:
    """Figures from the body of `POST /rehearsal/engine`."""
    return msgspec.convert(body, EngineSays)
