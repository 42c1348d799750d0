"""Chunked bodies of clients, read strictly: what is not to the letter is refused."""

from __future__ import annotations

import re

_SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,8})(;[\t -~\x80-\xff]*)?")
_MAX_LINE_BYTES = 4 * 1024
_MAX_EXTENSIONS_BYTES = 16 * 1024  # of one body
_MAX_TRAILER_BYTES = 16 * 1024

_SIZE, _DATA, _DATA_END, _TRAILER, _DONE = range(5)


class ChunkError(ValueError):
    """A chunked body that two readers could read differently."""


class TooMuchError(Exception):
    """The body is longer than is allowed."""


class ChunkDecoder:
    r"""Takes the bytes of one chunked body apart, however they are split.

    >>> decoder = ChunkDecoder()
    >>> decoder.feed(b"3\r\nabc\r\n0\r\n\r\nGET")
    13
    >>> decoder.is_done, bytes(decoder.body)
    (True, b'abc')
    """

    __slots__ = ("_left", "_line", "_max_bytes", "_n_extensions", "_n_trailer", "_state", "body")

    def __init__(self, max_bytes: int = 1 << 25) -> None:
        self._max_bytes = max_bytes
        self.body = bytearray()
        self._state = _SIZE
        self._left = 0
        self._line = b""
        self._n_extensions = 0
        self._n_trailer = 0

    @property
    def is_done(self) -> bool:
        """The body is whole."""
        return self._state == _DONE

    def feed(self, data: bytes) -> int:
        """Read on; returns how many of the bytes belong to this body."""
        at = 0
        while at < len(data) and self._state != _DONE:
            if self._state == _DATA:
                part = data[at : at + self._left]
                self.body += part
                self._left -= len(part)
                at += len(part)
                if self._left == 0:
                    self._state = _DATA_END
            else:
                end = data.find(b"\n", at)
                at = self._take_line(data, at, len(data) if end < 0 else end + 1)
        return at

    def _take_line(self, data: bytes, at: int, end: int) -> int:
        line = self._line + data[at:end]
        most = 2 if self._state == _DATA_END else _MAX_LINE_BYTES
        if len(line) > most:
            raise ChunkError("a line is too long")
        if line[-1:] != b"\n":
            self._line = line
            return end
        if line[-2:] != b"\r\n":
            raise ChunkError("a line ends in a bare LF")
        self._line = b""
        self._on_line(line[:-2])
        return end

    def _on_line(self, line: bytes) -> None:
        if self._state == _SIZE:
            self._on_size(line)
        elif self._state == _DATA_END:
            if line:
                raise ChunkError("a chunk is longer than it said")
            self._state = _SIZE
        elif line:
            self._n_trailer += len(line)
            if self._n_trailer > _MAX_TRAILER_BYTES:
                raise ChunkError("trailers are too long")
        else:
            self._state = _DONE

    def _on_size(self, line: bytes) -> None:
        found = _SIZE_LINE.fullmatch(line)
        if found is None:
            raise ChunkError("a chunk's size is malformed")
        self._n_extensions += len(found[2] or b"")
        if self._n_extensions > _MAX_EXTENSIONS_BYTES:
            raise ChunkError("chunk extensions are too long")
        self._left = int(found[1], 16)
        if len(self.body) + self._left > self._max_bytes:
            raise TooMuchError
        self._state = _DATA if self._left else _TRAILER
