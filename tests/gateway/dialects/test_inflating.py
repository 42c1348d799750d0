"""Compressed answers, read in passing."""

import gzip
import zlib

import pytest

from weighbridge.gateway.dialects.inflating import MAX_AT_ONCE_BYTES, Inflater, inflater_of

TEXT = b'{"usage":{"prompt_tokens":1}}' * 500


def raw_deflate(data: bytes) -> bytes:
    machine = zlib.compressobj(wbits=-15)
    return machine.compress(data) + machine.flush()


@pytest.mark.parametrize("pack", [gzip.compress, zlib.compress, raw_deflate])
@pytest.mark.parametrize("size", [7, 100, 10_000])
def test_what_was_compressed_is_read(pack: object, size: int) -> None:
    packed = pack(TEXT)  # type: ignore[operator]
    inflater = Inflater()
    pieces = [inflater.feed(packed[at : at + size]) for at in range(0, len(packed), size)]
    assert b"".join(pieces) == TEXT
    assert not inflater.is_broken


def test_a_bomb_stops_at_its_bound() -> None:
    inflater = Inflater(max_bytes=1000)
    assert inflater.feed(gzip.compress(bytes(10_000_000))) == bytes(1000)
    assert inflater.is_broken
    assert inflater.feed(b"more") == b""


def test_noise_is_silence() -> None:
    inflater = Inflater()
    assert inflater.feed(b"\x07\x07 not compressed") == b""
    assert inflater.is_broken


@pytest.mark.parametrize(
    ("encoding", "is_read"),
    [(b"gzip", True), (b"GZIP ", True), (b"deflate", True), (b"br", False), (None, False)],
)
def test_encodings_that_are_read(encoding: bytes | None, is_read: bool) -> None:
    assert (inflater_of(encoding) is not None) is is_read


def test_a_packet_that_swells_beyond_all_text_is_read_no_further() -> None:
    inflater = Inflater()
    assert len(inflater.feed(gzip.compress(bytes(2 * MAX_AT_ONCE_BYTES)))) == MAX_AT_ONCE_BYTES
    assert inflater.is_broken
    assert inflater.feed(b"more") == b""
