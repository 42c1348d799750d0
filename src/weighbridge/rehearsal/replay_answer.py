"""What an answer says that a replay wants to know: its first token, its usage, how it ended."""

from __future__ import annotations

from typing import Any

import msgspec

ENDS = (b"[DONE]", b'"message_stop"', b'"response.completed"', b'"response.incomplete"')


class Outcome(msgspec.Struct, kw_only=True):
    """One request as it went; times in seconds since the replay began."""

    number: int
    scheduled_s: float
    sent_s: float | None = None  # None: never sent
    ttft_s: float | None = None
    latency_s: float | None = None
    status: int = 0  # 0: no answer
    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_tokens: int | None = None
    error: str | None = None
    request_id: str | None = None
    model: str | None = None
    feature: str | None = None
    template: str | None = None
    streamed: bool = False


class StreamReading:
    """Reads events as they come; decodes only until the first token, and where usage stands."""

    __slots__ = ("_rest", "has_ended", "has_token", "told_error", "usage")

    def __init__(self) -> None:
        self._rest = b""
        self.has_token = False
        self.has_ended = False
        self.told_error = False
        self.usage: dict[str, Any] = {}

    def feed(self, data: bytes) -> None:
        """The next bytes of the body."""
        lines = (self._rest + data).split(b"\n")
        self._rest = lines.pop()
        for line in lines:
            if line.startswith(b"data:"):
                self._event(line[5:].strip())

    def _event(self, data: bytes) -> None:
        if any(end in data for end in ENDS):
            self.has_ended = True
        if not self.has_token or b'"usage"' in data or b'"error"' in data:
            self._decoded(data)

    def _decoded(self, data: bytes) -> None:
        try:
            event = msgspec.json.decode(data)
        except msgspec.DecodeError:
            return  # [DONE], or a broken event: the end of the stream will tell
        if not isinstance(event, dict):
            return
        self.told_error |= bool(event.get("error")) or event.get("type") == "error"
        self.has_token = self.has_token or _has_token(event)
        for holder in (event, event.get("message"), event.get("response")):
            if isinstance(holder, dict) and isinstance(holder.get("usage"), dict):
                self.usage.update(holder["usage"])


def _has_token(event: dict[str, Any]) -> bool:
    """Whether an event carries a token: a role alone, or an empty text, does not."""
    delta = event.get("delta")
    if isinstance(delta, str):
        return bool(delta)
    if isinstance(delta, dict):
        return any(delta.get(name) for name in ("text", "partial_json", "thinking"))
    for choice in event.get("choices") or ():
        said = choice.get("delta") or {}
        if choice.get("text") or any(said.get(name) for name in _SAID):
            return True
    return False


_SAID = ("content", "tool_calls", "reasoning_content", "reasoning", "refusal")


def counts(usage: dict[str, Any]) -> tuple[int | None, int | None, int | None]:
    """Input, output and cached tokens, in either dialect; input holds cached ones."""
    given = usage.get("prompt_tokens", usage.get("input_tokens"))
    made = usage.get("completion_tokens", usage.get("output_tokens"))
    details = usage.get("prompt_tokens_details") or usage.get("input_tokens_details") or {}
    cached = details.get("cached_tokens", usage.get("cache_read_input_tokens"))
    if given is not None and "cache_read_input_tokens" in usage:
        given += usage["cache_read_input_tokens"] + usage.get("cache_creation_input_tokens", 0)
    return given, made, cached
