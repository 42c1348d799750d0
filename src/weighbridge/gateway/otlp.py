"""Spans of finished requests, sent to an OTLP collector. Imported only where it is asked for.

Whether a request is traced is drawn before any span is made; spans are sent in batches by the SDK's
own thread.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_ON

if TYPE_CHECKING:
    from weighbridge.ledger.lines import RequestLine
    from weighbridge.policy.types import Target

OPERATIONS = {
    "chat": "chat",
    "messages": "chat",
    "responses": "chat",
    "completions": "text_completion",
    "embeddings": "embeddings",
}
PORTS = {"http": 80, "https": 443}
STOP_MS = 5000


class OtlpTracer:
    """Sends spans to a collector."""

    def __init__(self, endpoint: str, sample_frac: float, random: Callable[[], float]) -> None:
        self._sample_frac = sample_frac
        self._random = random
        self._addresses: dict[str, tuple[str, int]] = {}
        exporter = OTLPSpanExporter(endpoint=endpoint)
        resource = Resource.create({"service.name": "weighbridge"})
        self._provider = TracerProvider(
            sampler=ALWAYS_ON, resource=resource, shutdown_on_exit=False
        )
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("weighbridge.gateway")
        self._kind = trace.SpanKind.CLIENT
        self._error = trace.Status(trace.StatusCode.ERROR)

    def follow(self, targets: Mapping[str, Target]) -> None:
        """Targets of a new setup, for `server.address`."""
        for name, target in targets.items():
            parts = urlsplit(target.url)
            self._addresses[name] = (
                parts.hostname or "",
                parts.port or PORTS.get(parts.scheme, 0),
            )

    def record(self, line: RequestLine) -> None:
        """Send a span for a finished request, if chance has it."""
        if self._random() >= self._sample_frac:
            return
        began_ns = line.started_at_us * 1000
        operation = OPERATIONS.get(line.endpoint or "", line.endpoint or "request")
        name = f"{operation} {line.model_requested}" if line.model_requested else operation
        span = self._tracer.start_span(
            name, kind=self._kind, start_time=began_ns, attributes=self._attributes(line, operation)
        )
        for attempt in line.attempt_log:
            told: dict[str, Any] = {
                "weighbridge.target": attempt.target,
                "weighbridge.latency_s": attempt.latency_s,
            }
            if attempt.http_status:
                told["http.response.status_code"] = attempt.http_status
            if attempt.error_type is not None:
                told["error.type"] = attempt.error_type
            span.add_event("attempt", told, began_ns + int(attempt.after_s * 1e9))
        if line.error_type is not None:
            span.set_status(self._error)
        span.end(began_ns + int((line.latency_s or 0.0) * 1e9))

    def stop(self) -> None:
        """Send what waits; a collector that does not answer is left."""
        self._provider.force_flush(STOP_MS)
        self._provider.shutdown()

    def _attributes(self, line: RequestLine, operation: str) -> dict[str, Any]:
        address, port = self._addresses.get(line.target or "", (None, None))
        told = {
            "gen_ai.operation.name": operation,
            "gen_ai.provider.name": line.provider,
            "gen_ai.request.model": line.model_requested,
            "gen_ai.response.model": line.model,
            "gen_ai.usage.input_tokens": line.uncached_input_tokens
            + line.cache_read_tokens
            + line.cache_write_tokens,
            "gen_ai.usage.output_tokens": line.output_tokens,
            "gen_ai.usage.cache_read.input_tokens": line.cache_read_tokens or None,
            "gen_ai.usage.cache_creation.input_tokens": line.cache_write_tokens or None,
            "server.address": address,
            "server.port": port or None,
            "http.response.status_code": line.http_status or None,
            "error.type": line.error_type,
            "weighbridge.request_id": line.request_id,
            "weighbridge.status": line.status,
            "weighbridge.target": line.target,
            "weighbridge.rule": line.rule,
            "weighbridge.tenant": line.tenant,
            "weighbridge.feature": line.feature,
            "weighbridge.template": line.template,
            "weighbridge.attempts": line.attempts,
            "weighbridge.queue_s": line.queue_s or None,
            "weighbridge.ttft_s": line.ttft_s,
        }
        return {name: value for name, value in told.items() if value is not None}
