"""A readable copy of an answer that the upstream compressed although it was asked not to."""

from __future__ import annotations

import zlib

_GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS
_RAW = -zlib.MAX_WBITS
MAX_INFLATED_BYTES = 64 << 20
MAX_AT_ONCE_BYTES = 8 << 20  # of one packet: no stream of text packs so well


class Inflater:
    """Inflates what passes, for metering only; past its bound, or on bad data, it stays silent."""

    __slots__ = ("_left", "_machine", "_n_fed", "is_broken")

    def __init__(self, max_bytes: int = MAX_INFLATED_BYTES) -> None:
        self._machine = zlib.decompressobj(_GZIP_OR_ZLIB)
        self._left = max_bytes
        self._n_fed = 0
        self.is_broken = False

    def feed(self, data: bytes) -> bytes:
        """The bytes that `data` adds; nothing where they cannot be told."""
        if self.is_broken or self._machine.eof or not data:
            return b""
        try:
            plain = self._inflate(data)
        except zlib.error:
            self.is_broken = True
            return b""
        self._n_fed += len(data)
        self._left -= len(plain)
        if self._left <= 0 or self._machine.unconsumed_tail:
            self.is_broken = True
        return plain

    def _inflate(self, data: bytes) -> bytes:
        try:
            return self._machine.decompress(data, min(self._left, MAX_AT_ONCE_BYTES))
        except zlib.error:
            if self._n_fed:
                raise
            self._machine = zlib.decompressobj(_RAW)  # what some servers call deflate
            return self._machine.decompress(data, min(self._left, MAX_AT_ONCE_BYTES))


def inflater_of(content_encoding: bytes | None) -> Inflater | None:
    """One for gzip and deflate; None for what is plain, or compressed in a way we cannot read."""
    if content_encoding is None:
        return None
    return Inflater() if content_encoding.strip().lower() in _READABLE else None


_READABLE = frozenset((b"gzip", b"x-gzip", b"deflate"))
