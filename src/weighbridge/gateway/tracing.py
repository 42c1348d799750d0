"""Optional OTLP traces: one span a request, in OpenTelemetry's GenAI names."""

from __future__ import annotations

from typing import Protocol

from weighbridge.ledger.lines import RequestLine


class Tracer(Protocol):
    """What the meter hands finished requests to."""

    def record(self, line: RequestLine) -> None:
        """A request is over."""
