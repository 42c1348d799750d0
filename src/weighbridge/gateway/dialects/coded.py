"""Streams that an upstream compressed although it was asked not to."""

from __future__ import annotations

from dataclasses import replace

from weighbridge.gateway.dialects.ask import Endpoint, TokenUsage
from weighbridge.gateway.dialects.inflating import inflater_of
from weighbridge.gateway.dialects.streams import StreamReader

# Envelopes of deltas pack well: what is left of each is little more than its text.
CODED_BYTES_PER_TOKEN = 8


class CodedReader(StreamReader):
    """Reads an inflated copy; the client gets every byte as it came.

    To the relay its endpoint is `other`: when a packed token comes is not to be waited for, and
    no words of ours can be put behind packed ones.
    """

    __slots__ = ("_inflater", "_inner", "_n_bytes")

    def __init__(self, endpoint: Endpoint, coding: bytes | None) -> None:
        super().__init__("other")
        self._inner = StreamReader(endpoint)
        self._inflater = inflater_of(coding)
        self._n_bytes = 0

    @property
    def usage(self) -> TokenUsage | None:
        """Tokens as the upstream reported them last, where that can be read."""
        return self._inner.usage

    def feed(self, data: bytes) -> bytes:
        """Read a copy; the client gets the same bytes."""
        self._n_bytes += len(data)
        if self._inflater is not None:
            plain = self._inflater.feed(data)
            if plain:
                self._inner.feed(plain)
                self._tell()
        return data

    def read_chunk(self, data: bytes) -> bytes | None:  # noqa: ARG002
        """No chunk passes unread."""
        return None

    def close(self) -> bytes:
        """The stream has ended; nothing was held back."""
        self._inner.close()
        self._tell()
        return b""

    def usage_or_estimate(self, input_tokens_estimate: int) -> TokenUsage:
        """The upstream's counts or an estimate, from sizes where nothing could be read."""
        told = self._inner.usage_or_estimate(input_tokens_estimate)
        is_read = self._inflater is not None and not self._inflater.is_broken
        if is_read or self._inner.endpoint == "other" or self._inner.usage is not None:
            return told
        n_tokens = -(-self._n_bytes // CODED_BYTES_PER_TOKEN)
        return replace(told, output_tokens=max(told.output_tokens, n_tokens))

    def _tell(self) -> None:
        inner = self._inner
        self.first_token_seen = inner.first_token_seen
        self.finished = inner.finished
        self.is_complete = inner.is_complete
        self.n_deltas = inner.n_deltas
        self.n_text_bytes = inner.n_text_bytes
        self.error = inner.error
        self.model = inner.model
        self.response_id = inner.response_id
