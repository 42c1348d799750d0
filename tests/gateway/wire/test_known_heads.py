"""A head that is known from the last request says what it would say to a fresh reader."""

from hypothesis import given
from hypothesis import strategies as st

from weighbridge.gateway.wire.limits import WireLimits
from weighbridge.gateway.wire.requests import RequestReader

LINES = [
    b"Host: gateway",
    b"Content-Type: application/json",
    b"Authorization: Bearer wb-1",
    b"X-Weighbridge-Feature: a",
]
NASTY = [
    b"Content-Length: 5",
    b"content-length: 4",
    b"CONTENT-LENGTH: 4",
    b"Content-Length : 4",
    b"Content-Length: +4",
    b"Content-Length: 4, 4",
    b"Content-Length: 0x4",
    b" Content-Length: 4",
    b"X: y\n",
    b"X: y\r\n",
    b"Transfer-Encoding: chunked",
    b"transfer-encoding: identity",
    b"Expect: 100-continue",
    b"Connection: close",
    b"Connection: upgrade",
    b"Upgrade: h2c",
    b"Host: other",
    b"X-New: z",
    b"",
]
BODY = b"abcd"


def _head(first: bytes, lines: list[bytes]) -> bytes:
    return b"\r\n".join([first, *lines, b"", b""])


def _read(reader: RequestReader, data: bytes) -> list[object]:
    reader.feed(data)
    seen: list[object] = []
    while reader.ready:
        request = reader.ready.popleft()
        seen.append(
            (
                request.method,
                request.path,
                request.query,
                request.headers,
                request.body,
                request.keep_alive,
                request.http_minor,
            )
        )
    refusal = reader.refusal
    seen.append((None if refusal is None else refusal.status, reader.phase))
    return seen


def _knowing(first: bytes, lines: list[bytes]) -> RequestReader:
    """A reader that has just read a whole request with this head."""
    reader = RequestReader(WireLimits())
    reader.feed(_head(first, [*lines, b"Content-Length: 4"]) + BODY)
    assert len(reader.ready) == 1
    reader.ready.clear()
    return reader


firsts = st.sampled_from(
    [b"POST /v1/chat/completions HTTP/1.1", b"GET /v1/models HTTP/1.1", b"POST /v1/x HTTP/1.0"]
)
lengths = st.sampled_from([b"Content-Length: 4", b"content-length: 4", b"Content-Length: 2"])


@given(
    firsts,
    st.lists(st.sampled_from(NASTY), max_size=2),
    st.integers(0, 5),
    lengths,
    st.booleans(),
)
def test_what_was_known_never_changes_what_is_read(first, nasty, place, length, knows_same) -> None:
    lines = [*LINES]
    lines[place:place] = nasty
    tail = b"GET /v1/models HTTP/1.1\r\nHost: gateway\r\n\r\n"
    data = _head(first, [*lines, length]) + BODY + tail
    fresh = RequestReader(WireLimits())
    knowing = _knowing(b"POST /v1/chat/completions HTTP/1.1" if knows_same else first, LINES)
    if knowing.phase != 0:  # a head that ends the connection leaves nothing to know
        return
    assert _read(knowing, data) == _read(fresh, data)


@given(st.lists(st.integers(0, 40), min_size=1, max_size=8))
def test_repeated_heads_with_other_lengths_are_read_like_first_ones(sizes) -> None:
    knowing = RequestReader(WireLimits())
    for size in sizes:
        head = _head(b"POST /v1/chat/completions HTTP/1.1", [*LINES, b"Content-Length: %d" % size])
        data = head + b"x" * size
        assert _read(knowing, data) == _read(RequestReader(WireLimits()), data)


def test_a_repeated_head_is_known_again() -> None:
    reader = _knowing(b"POST /v1/chat/completions HTTP/1.1", LINES)
    head = _head(b"POST /v1/chat/completions HTTP/1.1", [*LINES, b"Content-Length: 2"])
    reader.feed(head + b"ab" + head + b"cd")
    first, second = reader.ready
    assert first.head is not None
    assert first.head is second.head


def test_a_known_head_with_a_body_in_pieces_is_read_to_its_end() -> None:
    reader = _knowing(b"POST /v1/chat/completions HTTP/1.1", LINES)
    head = _head(b"POST /v1/chat/completions HTTP/1.1", [*LINES, b"Content-Length: 4"])
    reader.feed(head)
    for byte in (b"a", b"b", b"c", b"d"):
        assert not reader.ready
        reader.feed(byte)
    assert [request.body for request in reader.ready] == [b"abcd"]
    assert reader.phase == 0


def test_a_known_head_may_not_promise_more_than_is_allowed() -> None:
    reader = _knowing(b"POST /v1/chat/completions HTTP/1.1", LINES)
    size = WireLimits().max_body_bytes + 1
    reader.feed(
        _head(b"POST /v1/chat/completions HTTP/1.1", [*LINES, b"Content-Length: %d" % size])
    )
    assert reader.refusal is not None
    assert reader.refusal.status == 413
