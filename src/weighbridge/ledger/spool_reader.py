"""Reads a spool back: torn, half and empty lines are skipped and counted, requests told by id."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from weighbridge.ledger.lines import Line, OpenLine, RequestLine
from weighbridge.ledger.spool_files import (
    CLOSED,
    OPEN,
    SegmentLine,
    live_writers,
    segments,
    writer_of,
)

_decode = msgspec.json.Decoder(Line | SegmentLine).decode
_START = b'{"kind":"'  # how every line begins; inside a text the quotes would be escaped


@dataclass(slots=True)
class SegmentLines:
    """What one segment holds, and how many stretches of it could not be read."""

    path: Path
    writer: str
    lines: list[Line] = field(default_factory=list)
    n_skipped: int = 0


@dataclass(slots=True)
class Requests:
    """Requests by id: those that finished, and those of which only the beginning is known."""

    finished: dict[str, RequestLine] = field(default_factory=dict)
    started: dict[str, OpenLine] = field(default_factory=dict)
    n_repeated: int = 0  # lines of a request that finished, beyond one each

    def add(self, line: Line) -> None:
        """Take in one line; the last of a finished request counts."""
        if isinstance(line, RequestLine):
            self.n_repeated += line.request_id in self.finished
            self.finished[line.request_id] = line
        elif isinstance(line, OpenLine):
            self.started.setdefault(line.request_id, line)

    @property
    def unfinished(self) -> list[OpenLine]:
        """Requests of which no end was recorded."""
        return [line for key, line in self.started.items() if key not in self.finished]


def finished(lines: Iterable[Line]) -> Requests:
    """Requests by id, in the order in which they were first told of."""
    requests = Requests()
    for line in lines:
        requests.add(line)
    return requests


GATEWAY_DIED = "gateway_died"  # the error type of a request whose end nobody wrote

CostOfInput = Callable[[OpenLine], int | None]  # 10^-12 USD, None where no price is known


def _no_cost(_line: OpenLine) -> int | None:
    return None


def interrupted(line: OpenLine, cost_pico_usd: CostOfInput = _no_cost) -> RequestLine:
    """The record of a request whose gateway died under it: the provider bills what it did.

    Its input is the estimate made at admission, its output is not known and stands as 0; both are
    marked as estimated, and so is a cost, which covers the input alone.
    """
    estimated = ("uncached_input_tokens", "output_tokens")
    state, cost = line.price_state, None
    if state == "priced":
        cost = line.input_cost_pico_usd
        if cost is None:
            cost = cost_pico_usd(line)
        state = "unpriced" if cost is None else "priced"
    return RequestLine(
        request_id=line.request_id,
        started_at_us=line.started_at_us,
        status="interrupted",
        price_state=state,
        error_type=GATEWAY_DIED,
        tenant=line.tenant,
        feature=line.feature,
        template=line.template,
        provider=line.provider,
        model_requested=line.model_requested,
        model=line.model,
        target=line.target,
        service_tier=line.service_tier,
        data_class=line.data_class,
        key_id=line.key_id,
        rule=line.rule,
        policy_version=line.policy_version,
        endpoint=line.endpoint,
        streamed=line.streamed,
        attempts=line.attempts,
        uncached_input_tokens=line.input_tokens_estimate,
        list_cost_pico_usd=cost,
        estimated=estimated if cost is None else (*estimated, "list_cost_usd"),
    )


def read_segment(path: Path, from_byte: int = 0, until_byte: int | None = None) -> SegmentLines:
    """Every line of a segment that can be read; what a crash tore is skipped and counted."""
    found = SegmentLines(path, writer_of(path))
    with path.open("rb") as file:
        file.seek(from_byte)
        at_byte = from_byte
        for raw in file:
            if until_byte is not None and at_byte >= until_byte:
                break
            at_byte += len(raw)
            text = raw.strip(b"\0 \r\n")  # a power cut may leave a run of zeros
            n_around_bytes = len(raw) - len(text) - raw.endswith(b"\n")
            line, is_torn = _line_of(text) if text else (None, False)
            found.n_skipped += is_torn or n_around_bytes > 0
            if line is not None:
                found.lines.append(line)
    return found


def _line_of(text: bytes) -> tuple[Line | None, bool]:
    """The line, and whether something beside it could not be read."""
    try:
        line = _decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError):
        start = text.rfind(_START)  # a torn line without its end, and a whole one after it
        return (_line_of(text[start:])[0], True) if start > 0 else (None, True)
    return (None if isinstance(line, SegmentLine) else line), False


class SpoolReader:
    """Reads the segments of a spool, those that are being written included.

    >>> SpoolReader(Path("nowhere")).finished()
    []
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.n_skipped = 0

    def segments(self, *, closed_only: bool = False) -> list[Path]:
        """Segments in the order in which they were begun."""
        found = segments(self.folder, CLOSED)
        if not closed_only:
            found += segments(self.folder, OPEN)
        return sorted(found, key=lambda path: path.stem)

    def read(self) -> Iterator[SegmentLines]:
        """Segment by segment; one that is closed or removed meanwhile is found or left out."""
        self.n_skipped = 0
        for path in self.segments():
            try:
                found = read_segment(path)
            except FileNotFoundError:
                try:
                    found = read_segment(path.with_suffix(CLOSED))
                except FileNotFoundError:
                    continue
            self.n_skipped += found.n_skipped
            yield found

    def lines(self) -> Iterator[Line]:
        """Every line of the spool."""
        for segment in self.read():
            yield from segment.lines

    def finished(self) -> list[RequestLine]:
        """One line a request: the finished ones, and those that died with their gateway."""
        alive = live_writers(self.folder)
        requests, may_finish = Requests(), set[str]()
        for segment in self.read():
            for line in segment.lines:
                requests.add(line)
                if isinstance(line, OpenLine) and segment.writer in alive:
                    may_finish.add(line.request_id)
        died = [line for line in requests.unfinished if line.request_id not in may_finish]
        return [*requests.finished.values(), *(interrupted(line) for line in died)]
