"""What the stand-in billed, request by request: the truth that metering is held against."""

from __future__ import annotations

from collections import deque
from typing import Any

import msgspec

from weighbridge.rehearsal.provider_settings import Model, pico_usd_per_token


class BillLine(msgspec.Struct, kw_only=True):
    """One attempt as it was billed; token buckets are disjoint, reasoning lies inside output."""

    id: str  # of the answer, as its body gives it
    request_id: str  # as the answer's header gives it
    client_request_id: str | None  # the `x-request-id` that came with the request
    model: str
    endpoint: str
    http_status: int = 0  # 0: nothing was answered
    streamed: bool = False
    complete: bool = False
    cancelled: bool = False  # the client left before the end
    fault: str | None = None
    uncached_input_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    cost_pico_usd: int = 0


SUMMED = (
    "uncached_input_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "output_tokens",
    "reasoning_tokens",
    "cost_pico_usd",
)


class Bill:
    """Lines of late, and totals of all time, whole and by model."""

    def __init__(self, n_lines_kept: int) -> None:
        self.lines: deque[BillLine] = deque(maxlen=n_lines_kept)
        self.total = _nothing()
        self.by_model: dict[str, dict[str, int]] = {}

    def add(self, line: BillLine, model: Model) -> None:
        """Price a line and count it."""
        fresh, read, write, output = pico_usd_per_token(model)
        line.cost_pico_usd = (
            line.uncached_input_tokens * fresh
            + line.cache_read_tokens * read
            + line.cache_write_tokens * write
            + line.output_tokens * output
        )
        self.lines.append(line)
        by_model = self.by_model.setdefault(line.model, _nothing())
        for sums in (self.total, by_model):
            sums["n_requests"] += 1
            for name in SUMMED:
                sums[name] += getattr(line, name)

    def as_dict(self) -> dict[str, Any]:
        """The bill as `GET /rehearsal/bill` shows it."""
        return {
            "total": dict(self.total),
            "by_model": {name: dict(sums) for name, sums in self.by_model.items()},
            "n_lines_dropped": self.total["n_requests"] - len(self.lines),
            "lines": [msgspec.structs.asdict(line) for line in self.lines],
        }


def _nothing() -> dict[str, int]:
    return dict.fromkeys(("n_requests", *SUMMED), 0)
