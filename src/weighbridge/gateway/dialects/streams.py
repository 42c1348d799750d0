"""Reads a stream of server-sent events in passing: what it used, whether it began and ended.

Most events of a stream differ in one text alone. Once an event has been decoded, the bytes before
and after its text are remembered; a packet with the same bytes around a text without a quote is
one more delta of that kind and is not decoded. Everything else is.

An event ends at an empty line. Only where something is to be hidden from the client is the piece of
an event held back until its end has come: a client cannot use it earlier anyway. Comments and empty
lines between events pass at once.
"""

from __future__ import annotations

import re
from dataclasses import replace
from functools import lru_cache

import msgspec

from weighbridge.gateway.dialects.ask import Endpoint, TokenUsage
from weighbridge.gateway.dialects.chunks import BYTES_PER_TOKEN, Chunk, reading_of
from weighbridge.gateway.dialects.tails import read_tail, without_usage

MAX_EVENT_BYTES = 1 << 20
TAIL_BYTES = 1 << 16
MAX_SHAPES = 16  # an upstream whose events never look alike is not asked for ever
SEVERAL_TOKENS_BYTES = 12  # text per delta, on average, from which deltas hold several tokens

_EVENT_END = re.compile(rb"\n\r?\n")
_BETWEEN = re.compile(rb"(?::[^\n]*\n|\r?\n)+")
_FIELD = re.compile(rb"^data:[ ]?(.*?)\r?$", re.MULTILINE)
_NOISE_MARK = b'"obfuscation":"'
_USAGE_MARK = b',"usage":{'
_NULL_USAGE = b',"usage":null'
_SPACED_NULL_USAGE = re.compile(rb',\s*"usage"\s*:\s*null(?=\s*[,}])|"usage"\s*:\s*null\s*,\s*')
_TEXT_KEYS = ("content", "text", "reasoning_content", "thinking")
_TEXT_MARKS = tuple(f'"{key}":{space}"'.encode() for space in ("", " ") for key in _TEXT_KEYS)
_BETWEEN_BYTES = b":\r\n"
_COLON = ord(":")
_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


@lru_cache(maxsize=2048)
def _size_line(n_bytes: int) -> bytes:
    """First line of a packet of so many bytes that is one chunk; where none can be, an odd byte."""
    for n_digits in range(1, 9):
        line = b"%x\r\n" % max(0, n_bytes - n_digits - 4)
        if len(line) == n_digits + 2:
            return line
    return b"-"


class StreamReader:
    """One answer's stream. `feed` what comes; what it returns is for the client."""

    __slots__ = (
        "_closing",
        "_cut",
        "_has_usage",
        "_hide",
        "_hide_each",
        "_is_oversize",
        "_is_partial",
        "_last",
        "_latest",
        "_middle",
        "_n_held",
        "_n_middle",
        "_n_prefix",
        "_n_shapes",
        "_parts",
        "_prefix",
        "_read",
        "_start",
        "_tail",
        "_usage",
        "endpoint",
        "error",
        "finished",
        "first_token_seen",
        "is_complete",
        "model",
        "n_deltas",
        "n_text_bytes",
        "response_id",
    )  # fmt: skip

    def __init__(
        self, endpoint: Endpoint, *, hide_usage: bool = False, hide_each: bool = False
    ) -> None:
        """`hide_usage`: we asked for include_usage, the client did not. `hide_each`: we asked for
        vLLM's continuous_usage_stats too, so that usage beside content is ours as well.
        """
        self.endpoint = endpoint
        self.first_token_seen = False
        self.finished = False
        self.is_complete = False  # finished, or every sign but the last event has come
        self.n_deltas = 0
        self.n_text_bytes = 0
        self.error: str | None = None
        self.model: str | None = None
        self.response_id: str | None = None
        self._read = reading_of(endpoint)
        self._hide = hide_usage and endpoint in {"chat", "completions"}
        self._hide_each = self._hide and hide_each
        self._parts: list[bytes] = []
        self._n_held = 0
        self._is_oversize = False
        self._tail = b""
        self._is_partial = False  # usage is of one choice of several
        self._usage: TokenUsage | None = None
        self._start: TokenUsage | None = None  # Anthropic's counts of the input
        self._prefix = b""  # of an event like those before: up to its text,
        self._middle = b""  # from there on, or to the padding,
        self._last = b""  # after what varies again: padding, or the counts of `usage`
        self._has_usage = False
        self._latest = b""  # the last event like that, whose usage is read when asked for
        self._cut = b""  # the middle as the client gets it
        self._closing = b""  # the middle and the end of its chunk, where nothing else varies
        self._n_prefix = 0
        self._n_middle = 0
        self._n_shapes = 0

    @property
    def usage(self) -> TokenUsage | None:
        """Tokens as the upstream reported them last; None where it has not yet."""
        if self._latest:
            chunk = self._decode(self._latest)
            self._latest = b""
            if chunk is not None and chunk.usage is not None:
                self._take_usage(chunk.usage, chunk.is_partial_usage)
        return self._usage

    def feed(self, data: bytes) -> bytes:
        """Read what came; return what the client gets: the same object where nothing is hidden."""
        if self._prefix and not self._parts:
            shown = self._one_more(data)
            if shown is not None:
                return shown
        return self._feed_on(data)

    def read_chunk(self, data: bytes) -> bytes | None:
        """The chunk for the client, where `data` is one whole chunk with simply one more delta."""
        if not self._prefix or self._parts:
            return None
        closing = self._closing
        size = len(data)
        line = _size_line(size)
        start = len(line)
        if not data.startswith(line) and not data.startswith(line.upper()):
            return None
        if not closing:
            return self._read_varying(data, start)
        if not data.startswith(self._prefix, start) or not data.endswith(closing):
            return None
        start += self._n_prefix
        end = size - len(closing)
        if data.find(b'"', start) != end or end <= start or data.find(b"\n", start, end) >= 0:
            return None
        self.n_deltas += 1
        self.n_text_bytes += end - start
        return data

    def _read_varying(self, chunk: bytes, start: int) -> bytes | None:
        """The same where something else varies too, or is hidden from the client."""
        shown = self._one_more(chunk[start:-2]) if chunk[-2:] == b"\r\n" else None
        return None if shown is None else b"%x\r\n%b\r\n" % (len(shown), shown)

    def _one_more(self, data: bytes) -> bytes | None:
        """What the client gets of `data`, where it is one event like one decoded before."""
        start = self._n_prefix
        if not data.startswith(self._prefix):
            return None
        end = data.find(b'"', start)
        after = end + self._n_middle
        if end <= start or not data.startswith(self._middle, end):
            return None
        if data.find(b"\n", start, end) >= 0:
            return None
        shown_after = data[after:]
        if shown_after:
            if not self._is_varying(data, after):
                return None
            if self._has_usage:
                self._latest = data
                shown_after = self._last[1:]
        self.n_deltas += 1
        self.n_text_bytes += end - start
        return data if self._cut is self._middle else data[:end] + self._cut + shown_after

    def _is_varying(self, data: bytes, start: int) -> bool:
        """Whether from `start` come only padding or counts, and then the event's usual end."""
        end = len(data) - len(self._last)
        return (
            len(self._last) > 0
            and data.find(self._last[:1], start) == end
            and data.endswith(self._last)
            and data.find(b"\n", start, end) < 0
            and not (self._has_usage and data.find(b"{", start, end) >= 0)
        )

    def close(self) -> bytes:
        """The stream has ended, well or not: what was held back and is for the client."""
        held = b"".join(self._parts)
        self._parts = []
        self._n_held = 0
        if self._is_oversize:
            self._is_oversize = False
            self._take_oversize(self._tail)
            return b""
        shown = self._event(held) if held else b""
        return shown if self._hide else b""

    def usage_or_estimate(self, input_tokens_estimate: int) -> TokenUsage:
        """The upstream's counts, else an estimate that says which counts it is of.

        A delta is one token, as engines send them; where deltas hold more text than a token does,
        four bytes are one. Anthropic's count of the input stays exact in a stream that was torn.
        """
        known = self.usage
        if known is not None and not self._is_partial:
            return known
        known = known or self._start
        n_tokens = self._output_tokens_estimate()
        if known is None:
            return TokenUsage(
                uncached_input_tokens=input_tokens_estimate,
                output_tokens=n_tokens,
                model=self.model,
                response_id=self.response_id,
                estimated=("uncached_input_tokens", "output_tokens"),
            )
        return replace(
            known,
            output_tokens=max(known.output_tokens, n_tokens),
            estimated=tuple(dict.fromkeys((*known.estimated, "output_tokens"))),
        )

    def _output_tokens_estimate(self) -> int:
        if self.n_text_bytes >= SEVERAL_TOKENS_BYTES * self.n_deltas:
            return -(-self.n_text_bytes // BYTES_PER_TOKEN)
        return self.n_deltas

    def _feed_on(self, data: bytes) -> bytes:
        """Any packet that is not simply one more delta."""
        if self._is_oversize:
            return self._feed_oversize(data)
        buffer = data
        if self._parts:
            self._parts.append(data)
            self._n_held += len(data)
            if b"\n" not in data and self._n_held <= MAX_EVENT_BYTES:
                return b"" if self._hide else data
            buffer = b"".join(self._parts)
            self._parts = []
        shown, at = self._events(buffer)
        rest = buffer[at:]
        self._n_held = len(rest)
        if self._n_held > MAX_EVENT_BYTES:
            self._is_oversize = True
            self._prefix = b""  # within the event nothing is to be taken for another one
            self._tail = rest[-TAIL_BYTES:]
            shown.append(rest)
        elif rest:
            self._parts.append(rest)
        if not self._hide:
            return data
        return shown[0] if len(shown) == 1 else b"".join(shown)

    def _events(self, buffer: bytes) -> tuple[list[bytes], int]:
        """Read every whole event; what the client gets of them, and where the rest begins."""
        shown: list[bytes] = []
        at = 0
        size = len(buffer)
        has_cr = b"\r" in buffer
        while at < size:
            if buffer[at] in _BETWEEN_BYTES:
                between = _BETWEEN.match(buffer, at)
                if between is not None:
                    shown.append(between.group())
                    at = between.end()
                    continue
                if buffer[at] == _COLON or at + 1 == size:
                    break
            if has_cr:
                found = _EVENT_END.search(buffer, at)
                end = found.end() if found else -1
            else:
                end = buffer.find(b"\n\n", at) + 2
            if end < 2:
                break
            event = buffer if end - at == size else buffer[at:end]
            alike = self._one_more(event) if self._prefix else None
            shown.append(self._event(event) if alike is None else alike)
            at = end
        return shown, at

    def _feed_oversize(self, data: bytes) -> bytes:
        """Within an event too large to hold: let it pass, and keep its end to look for usage."""
        n_glue = min(2, len(self._tail))
        found = _EVENT_END.search(self._tail[-n_glue:] + data)
        if found is None:
            self._tail = (self._tail + data)[-TAIL_BYTES:]
            return data
        cut = found.end() - n_glue
        self._is_oversize = False
        self._take_oversize((self._tail + data[:cut])[-TAIL_BYTES:])
        rest = data[cut:]
        return data[:cut] + self._feed_on(rest) if rest else data

    def _take_oversize(self, tail: bytes) -> None:
        self._tail = b""
        self._take(read_tail(self.endpoint, tail))

    def _event(self, event: bytes) -> bytes:
        """Read one event; what the client gets of it."""
        if len(event) > MAX_EVENT_BYTES:
            self._take(read_tail(self.endpoint, event[-TAIL_BYTES:]))
            return event
        chunk = self._decode(event)
        if chunk is None:
            return event
        self._take(chunk)
        shown = self._hidden(event, chunk) if self._hide else event
        if chunk.n_text_bytes and self._n_shapes < MAX_SHAPES and not chunk.is_partial_usage:
            self._learn(event, shown, chunk.n_text_bytes, chunk.usage is not None)
        return shown

    def _decode(self, event: bytes) -> Chunk | None:
        """What the event says; None where it has no data or none that can be understood."""
        if event.startswith(b"data: "):
            payload = event[6:]
        else:
            start = 0 if event.startswith(b"data:") else event.find(b"\ndata:") + 1
            if not start and not event.startswith(b"data:"):
                return None
            payload = event[start + 5 :].lstrip()
        try:
            return self._read(payload)
        except _UNREADABLE:
            lines = _FIELD.findall(event)
        try:
            return self._read(b"\n".join(lines))
        except _UNREADABLE:
            return None

    def _take(self, chunk: Chunk) -> None:
        """Add what an event says to what is known of the answer."""
        if chunk.n_text_bytes:
            self.first_token_seen = True
            self.n_deltas += 1
            self.n_text_bytes += chunk.n_text_bytes
        if chunk.model:
            self.model = chunk.model
        if chunk.response_id:
            self.response_id = chunk.response_id
        if chunk.error is not None:
            self.error = chunk.error
        if chunk.is_last:
            self.finished = self.is_complete = True
        elif chunk.is_stopped:
            self.is_complete = True
        if chunk.usage is not None:
            self._take_usage(chunk.usage, chunk.is_partial_usage)

    def _take_usage(self, usage: TokenUsage, is_partial: bool) -> None:
        self._latest = b""
        if self.endpoint != "messages":
            self._usage = usage
            self._is_partial = is_partial
            usage.model = usage.model or self.model
            usage.response_id = usage.response_id or self.response_id
        elif is_partial:
            self._start = usage
        else:
            self._usage = _merged(self._start, usage) if self._start is not None else usage

    def _hidden(self, event: bytes, chunk: Chunk) -> bytes:
        """The event without usage that the client did not ask for."""
        if chunk.is_usage_only:
            return b""
        if chunk.has_null_usage:
            at = event.rfind(_NULL_USAGE)
            if at >= 0:
                return event[:at] + event[at + len(_NULL_USAGE) :]
            return _SPACED_NULL_USAGE.sub(b"", event, count=1)
        if self._hide_each and chunk.usage is not None:
            return without_usage(event)
        return event

    def _learn(self, event: bytes, shown: bytes, n_text_bytes: int, has_usage: bool) -> None:
        """Remember the bytes around the event's one text, and around padding or counts."""
        self._n_shapes += 1
        for mark in _TEXT_MARKS:
            start = event.find(mark) + len(mark)
            end = start + n_text_bytes
            if start >= len(mark) and event.find(b'"', start) == end:
                break
        else:
            return
        mark, stop = (_USAGE_MARK, b"}") if has_usage else (_NOISE_MARK, b'"')
        varying = event.rfind(mark, end) + len(mark)
        if varying < len(mark):
            middle, last, shown_after = event[end:], b"", b""
        else:
            middle, last = event[end:varying], event[event.find(stop, varying) :]
            shown_after = last[1:] if has_usage else event[varying:]
        cut = middle
        if shown is not event:
            cut = shown[end : len(shown) - len(shown_after)]
            if shown != event[:end] + cut + shown_after:
                return
        self._prefix = event[:start]
        self._middle = middle
        self._cut = cut
        self._last = last
        self._has_usage = has_usage
        self._n_prefix = start
        self._n_middle = len(middle)
        self._closing = middle + b"\r\n" if cut is middle and not last else b""


def _merged(start: TokenUsage, latest: TokenUsage) -> TokenUsage:
    """Anthropic's counts: all cumulative, the later ones not always complete."""
    return TokenUsage(
        max(start.uncached_input_tokens, latest.uncached_input_tokens),
        max(start.cache_read_tokens, latest.cache_read_tokens),
        max(start.cache_write_tokens, latest.cache_write_tokens),
        max(start.output_tokens, latest.output_tokens),
        max(start.reasoning_tokens, latest.reasoning_tokens),
        start.model,
        latest.service_tier or start.service_tier,
        start.response_id,
        tuple(dict.fromkeys(start.estimated + latest.estimated)),
        contradiction=start.contradiction or latest.contradiction,
    )
