"""Transcripts of the response reader: bytes of an upstream in, head, body and end out."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weighbridge.gateway.wire.messages import Fault
from weighbridge.gateway.wire.responses import ResponseReader

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
WHOLE = {
    "length": (OK + b"Content-Length: 3\r\n\r\nabc", b"abc", True),
    "empty": (OK + b"Content-Length: 0\r\n\r\n", b"", True),
    "chunked": (CHUNKED + b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", b"abcde", True),
    "extension": (CHUNKED + b"3;x=y\r\nabc\r\n0\r\n\r\n", b"abc", True),
    "trailers": (CHUNKED + b"3\r\nabc\r\n0\r\nX: y\r\n\r\n", b"abc", True),
    "no content": (b"HTTP/1.1 204 No Content\r\n\r\n", b"", True),
    "not modified": (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", b"", True),
    "interim": (
        b"HTTP/1.1 100 Continue\r\n\r\n" * 3 + OK + b"Content-Length: 1\r\n\r\na",
        b"a",
        True,
    ),
    "early hints": (
        b"HTTP/1.1 103 E\r\nLink: x\r\n\r\n" + OK + b"Content-Length: 1\r\n\r\na",
        b"a",
        True,
    ),
    "no phrase": (b"HTTP/1.1 200\r\nContent-Length: 1\r\n\r\na", b"a", True),
    "close": (OK + b"Connection: close\r\nContent-Length: 1\r\n\r\na", b"a", False),
    "http 1.0": (b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\na", b"a", False),
    "bytes after it": (OK + b"Content-Length: 1\r\n\r\na" + OK, b"a", False),
    "an upgrade after it": (
        b"HTTP/1.1 204 No Content\r\n\r\n"
        b"HTTP/1.1 101 x\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        b"",
        False,
    ),
    "garbage after it": (OK + b"Content-Length: 1\r\n\r\nabc", b"a", False),
    "bytes after chunks": (CHUNKED + b"0\r\n\r\nX", b"", False),
}
BAD = {
    "garbage": b"SSH-2.0-x\r\n",
    "other version": b"HTTP/2.0 204 No Content\r\n\r\n",
    "bare LF": b"HTTP/1.1 200 OK\nContent-Length: 1\n\na",
    "two lengths": OK + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
    "length and coding": OK + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "other coding": OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "coding twice": OK + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
    "chunk size": CHUNKED + b"3\r\nabc\r\nxyz\r\n",
    "chunk end": CHUNKED + b"3\r\nabcd\r\n",
    "upgrade": b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nabc",
    "upgrade unnamed": b"HTTP/1.1 101 Switching\r\n\r\n",
    "endless interim": b"HTTP/1.1 100 Continue\r\n\r\n" * 17,
    "obs-fold": OK + b"X: a\r\n b\r\n\r\n",
    "coding in a trailer": CHUNKED + b"0\r\nTransfer-Encoding: chunked\r\n\r\n",
    "NUL": OK + b"X: a\0b\r\n\r\n",
    "space before colon": OK + b"X : a\r\n\r\n",
}


def read(data, step, is_head=False):
    """Everything there is to tell, the body joined."""
    reader = ResponseReader()
    reader.begin(is_head)
    body = b""
    for at in range(0, len(data), step):
        reader.feed(data[at : at + step])
        body += reader.data or b""
        reader.data = None
        if reader.bad:
            break
    return reader, body


@pytest.mark.parametrize("step", [1, 7, 10_000])
@pytest.mark.parametrize("name", WHOLE)
def test_whole_answers_are_read_wherever_the_packets_are_cut(name, step):
    data, expected, can_keep = WHOLE[name]
    reader, body = read(data, step)
    assert (reader.bad, reader.is_complete, body) == (None, True, expected)
    assert reader.can_keep is can_keep


@pytest.mark.parametrize("step", [1, 7, 10_000])
@pytest.mark.parametrize("name", BAD)
def test_malformed_answers_are_named_so(name, step):
    reader, _ = read(BAD[name], step)
    assert reader.bad is not None
    assert reader.bad.fault is Fault.MALFORMED
    assert not reader.is_complete


@pytest.mark.parametrize("data", [OK + b"X: " + b"a" * 300_000, OK + b"X: a\r\n" * 60_000])
def test_a_head_without_end_is_too_large(data):
    reader, _ = read(data, 16_384)
    assert reader.bad is not None
    assert reader.bad.fault is Fault.TOO_LARGE


def test_too_many_headers_are_too_large():
    reader, _ = read(OK + b"X: a\r\n" * 201 + b"\r\n", 100_000)
    assert reader.bad is not None
    assert reader.bad.fault is Fault.TOO_LARGE


def test_trailers_without_end_are_too_large():
    reader, _ = read(CHUNKED + b"0\r\n" + b"X: a\r\n" * 60_000, 16_384)
    assert reader.bad is not None
    assert reader.bad.fault is Fault.TOO_LARGE


def test_an_answer_to_head_has_no_body_whatever_its_length_says():
    reader, body = read(OK + b"Content-Length: 3\r\n\r\n", 1000, is_head=True)
    assert (reader.is_complete, body, reader.length) == (True, b"", 3)
    assert not reader.can_keep


def test_an_answer_without_length_lasts_until_the_connection_ends():
    reader, body = read(OK + b"\r\nabc", 1000)
    assert (reader.until_eof, reader.is_complete, body) == (True, False, b"abc")


def test_a_chunked_answer_that_closes_does_not_end_with_its_connection():
    reader, _ = read(
        OK + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", 99
    )
    assert not reader.until_eof


def test_fields_between_neighbours_and_the_date_stay_here():
    reader, _ = read(
        OK + b"Date: x\r\nConnection: x\r\nKeep-Alive: 5\r\nContent-Length: 0\r\nX-Id:  7 \r\n"
        b"Set-Cookie: a\r\nSet-Cookie: b\r\n\r\n",
        1000,
    )
    assert reader.headers == [(b"x-id", b"7"), (b"set-cookie", b"a"), (b"set-cookie", b"b")]
    assert reader.length == 0


def test_several_chunks_of_one_packet_are_one_piece():
    reader = ResponseReader()
    reader.feed(CHUNKED + b"3\r\nabc\r\n2\r\nde\r\n")
    assert reader.data == b"abcde"


def test_one_reader_reads_many_answers():
    reader = ResponseReader()
    for n in range(3):
        reader.begin(False)
        reader.feed(OK + b"Content-Length: 1\r\n\r\n%d" % n)
        assert (reader.is_complete, reader.can_keep, reader.data) == (True, True, b"%d" % n)


BETWEEN = {
    b"": True,
    b"3": False,
    b"3\r": False,
    b"3\r\n": False,
    b'3;x="y"\r\n': False,
    b"3\r\nab": False,
    b"2\r\n\r\n": False,
    b"3\r\nabc": False,
    b"3\r\nabc\r": False,
    b"3\r\nabc\r\n": True,
    b"3;x\r\nabc\r\n": True,
    b"3\r\nabc\r\n5": False,
    b"3\r\nabc\r\n5\r\n": False,
    b"0\r\n": False,
    b"0\r\nX: y\r\n": False,
    b"0\r\n\r\n": False,
    b"3\r\nabcd\r\n": False,
}


@pytest.mark.parametrize("more", BETWEEN)
def test_between_chunks_is_where_a_chunk_begins(more):
    reader, _ = read(CHUNKED + b"1\r\na\r\n" + more, 10_000)
    assert reader.is_between is BETWEEN[more]


@pytest.mark.parametrize("data", [data for data, _, _ in WHOLE.values()])
def test_no_chunk_begins_after_an_answer(data):
    reader, _ = read(data, 10_000)
    assert not reader.is_between
    reader.begin(False)
    assert not reader.is_between


@given(places=st.lists(st.integers(0, 60), max_size=12))
def test_chunks_may_be_taken_past_the_reader_wherever_a_packet_is_one(places):
    chunks = [b"3\r\nabc\r\n", b"4;x=y\r\n\r\n\r\n\r\n", b"2\r\nde\r\n", b"a\r\n0123456789\r\n"]
    data = b"".join(chunks) + b"0\r\nX: y\r\n\r\n"
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    reader = ResponseReader()
    reader.feed(CHUNKED)
    body = b""
    for start, end in pairwise(edges):
        packet = data[start:end]
        if reader.is_between and packet in chunks:
            body += packet.partition(b"\r\n")[2][:-2]
            continue
        reader.feed(packet)
        body += reader.data or b""
        reader.data = None
    assert (reader.bad, reader.is_complete, reader.can_keep) == (None, True, True)
    assert body == b"abc\r\n\r\nde0123456789"
