"""The stand-in as a self-hosted engine: what it says of itself at /metrics and /health."""

from __future__ import annotations

from typing import Any

import msgspec

from weighbridge.rehearsal.provider_bill import Bill


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


def vllm_metrics(says: EngineSays, load: Load, kv_capacity_tokens: int, bill: Bill) -> bytes:
    """The metrics of a vLLM engine, in Prometheus' text format."""
    used = load.kv_tokens / kv_capacity_tokens
    gauges = {
        "num_requests_running": _either(says.running, load.n_running),
        "num_requests_waiting": _either(says.waiting, load.n_waiting),
        "kv_cache_usage_perc": _either(says.kv_usage_frac, min(used, 1.0)),
    }
    total = bill.total
    read = total["uncached_input_tokens"] + total["cache_read_tokens"] + total["cache_write_tokens"]
    counters = {
        "prompt_tokens_total": read,
        "generation_tokens_total": total["output_tokens"],
        "request_success_total": total["n_requests"],
    }
    lines = []
    for kind, figures in (("gauge", gauges), ("counter", counters)):
        for name, value in figures.items():
            lines.append(f"# HELP vllm:{name} Of a stand-in.\n# TYPE vllm:{name} {kind}")
            lines.append(f'vllm:{name}{{engine="0",model_name="rehearsal"}} {float(value)}')
    return ("\n".join(lines) + "\n").encode()


def _either(said: float | None, true: float) -> float:
    return true if said is None else said


def engine_says(body: Any) -> EngineSays:
    """Figures from the body of `POST /rehearsal/engine`."""
    return msgspec.convert(body, EngineSays)
