"""Every kind of file that is known by its content: logs, bills, and what is neither."""

from __future__ import annotations

from dataclasses import dataclass

from weighbridge.usage.sources import SOURCES
from weighbridge.usage.sources.anthropic_costs import ANTHROPIC_COSTS
from weighbridge.usage.sources.bill import FOCUS, PLAIN, Bill
from weighbridge.usage.sources.openai_costs import OPENAI_COSTS
from weighbridge.usage.sources.source import Format, Signature

BILLS: tuple[Bill, ...] = (OPENAI_COSTS, ANTHROPIC_COSTS, FOCUS, PLAIN)


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of file: what it is known by, and the command that reads it."""

    name: str
    title: str
    formats: tuple[Format, ...]
    signature: Signature
    command: str
    may_be_under: str = ""  # a key of a wrapping document, which such a file may have or not


# Read elsewhere, or not at all: named so that nobody maps their columns as if they were a log.
OTHERS = (
    Kind(
        "langfuse-traces",
        "traces of Langfuse, which hold no requests: export its observations",
        ("json", "csv"),
        Signature(
            ("id", "timestamp", "name", "userId", "sessionId", "tags"),
            telling=("release", "bookmarked", "traceId"),
            others=(("id", "timestamp", "name", "user_id", "session_id", "tags"),),
        ),
        "",
        "data",
    ),
    Kind(
        "servegen",
        "rates of clients, in ServeGen's columns",
        ("csv",),
        Signature(("client", "window_start_s", "rate_rps", "cv", "pattern")),
        "weighbridge import servegen FILE --lengths-from TRACE --into usage",
    ),
    Kind(
        "gateway-spool",
        "a segment of the gateway's spool",
        ("json",),
        Signature(("kind", "request_id", "started_at_us", "price_state")),
        "weighbridge compact --help",
    ),
)


def _log_kinds() -> tuple[Kind, ...]:
    return tuple(
        Kind(
            source.name,
            source.title,
            source.formats,
            source.signature,
            " ".join(["weighbridge import", source.name, "FILE", *source.options, "--into usage"]),
            source.envelope.rows if source.envelope and not source.envelope.inner else "",
        )
        for source in SOURCES.values()
        if source.signature is not None
    )


def _bill_kinds() -> tuple[Kind, ...]:
    command = "weighbridge reconcile --bill FILE --usage usage"
    return tuple(
        Kind(bill.name, bill.title, bill.formats, bill.signature, command) for bill in BILLS
    )


KINDS: tuple[Kind, ...] = (*_log_kinds(), *_bill_kinds(), *OTHERS)
