"""Optional OTLP traces: one span a request, in OpenTelemetry's GenAI names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

from weighbridge.gateway.settings import OtlpSettings
from weighbridge.units import InputError

if TYPE_CHECKING:
    from weighbridge.ledger.lines import RequestLine
    from weighbridge.policy.types import Target


class Tracer(Protocol):
    """What the meter hands finished requests to."""

    def record(self, line: RequestLine) -> None:
        """A request is over."""

    def follow(self, targets: Mapping[str, Target]) -> None:
        """Targets of a new setup."""

    def stop(self) -> None:
        """Send what waits."""


def build_tracer(settings: OtlpSettings, where: str, random: Callable[[], float]) -> Tracer:
    """The tracer that a configuration asks for; its libraries are an extra."""
    _check(settings, where)
    try:
        from weighbridge.gateway.otlp import OtlpTracer  # noqa: PLC0415  # only where it is asked for
    except ImportError as error:
        problem = f"needs a library that is not installed ({error.name})"
        mend = "run: pip install 'weighbridge[otlp]'"
        raise InputError(where, "otlp", problem, mend) from None
    return OtlpTracer(_traces_url(settings.endpoint), settings.sample_frac, random)


def _check(settings: OtlpSettings, where: str) -> None:
    parts = urlsplit(settings.endpoint)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        problem = f"is {settings.endpoint!r}"
        raise InputError(where, "otlp.endpoint", problem, "give a URL, e.g. http://127.0.0.1:4318")
    if not 0.0 <= settings.sample_frac <= 1.0:
        problem = f"is {settings.sample_frac:g}"
        raise InputError(where, "otlp.sample_frac", problem, "give a share from 0 to 1")


def _traces_url(endpoint: str) -> str:
    return endpoint if urlsplit(endpoint).path.strip("/") else endpoint.rstrip("/") + "/v1/traces"
