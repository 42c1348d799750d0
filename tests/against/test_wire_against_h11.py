"""The request reader against h11: what we accept, h11 reads alike; what h11 refuses, we refuse."""

from pathlib import Path

import h11
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from weighbridge.gateway.wire.heads import HOP_BY_HOP
from weighbridge.gateway.wire.limits import WireLimits
from weighbridge.gateway.wire.requests import RequestReader

CORPUS = yaml.safe_load(
    (Path(__file__).parents[1] / "gateway/wire/request_corpus.yaml").read_text("utf-8")
)
DROPPED = HOP_BY_HOP | {b"host", b"expect"}


def ours(data):
    """Whole requests that we read."""
    reader = RequestReader(WireLimits())
    reader.feed(data)
    return [
        (r.method, r.path + (b"?" + r.query if r.query else b""), r.headers, r.body)
        for r in reader.ready
    ]


def theirs(data):
    """Whole requests that h11 reads; without an upgrade, for we never switch."""
    requests = []
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
    connection.receive_data(data)
    head, body = None, b""
    while True:
        try:
            event = connection.next_event()
        except h11.RemoteProtocolError:
            return requests
        if isinstance(event, h11.Request):
            head, body = event, b""
        elif isinstance(event, h11.Data):
            body += bytes(event.data)
        elif isinstance(event, h11.EndOfMessage):
            fields = [(n, v) for n, v in head.headers if n not in DROPPED]
            requests.append((head.method, head.target, fields, body))
            rest = connection.trailing_data[0]
            must_close = connection.their_state is h11.MUST_CLOSE
            if must_close or not rest:
                return requests
            connection = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
            connection.receive_data(rest)
        else:
            return requests


def agree(data):
    mine = ours(data)
    seen = theirs(data)
    for index, (method, target, fields, body) in enumerate(mine):
        assert index < len(seen), (data, "h11 refuses what we accept")
        other = seen[index]
        named = {
            token.strip().lower()
            for name, value in h11_connection(data)
            for token in value.split(b",")
            if name
        }
        assert (method, body) == (other[0], other[3]), data
        assert other[1] == target or other[1].lower().startswith(b"http"), data
        assert fields == [f for f in other[2] if f[0] not in named], data


def h11_connection(data):
    """Values of Connection fields, wherever they stand in the bytes."""
    for line in data.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"connection":
            yield name, value


@pytest.mark.parametrize("entry", CORPUS, ids=lambda entry: entry["name"])
def test_corpus_is_read_as_h11_reads_it(entry):
    agree(entry["bytes"].encode("latin-1"))


TOKENS = [
    b"GET", b"POST", b" ", b"  ", b"/", b"/a?b", b"HTTP/1.1", b"HTTP/1.0", b"\r\n", b"\n", b"\r",
    b"Host: a", b"Host:", b"Content-Length: 3", b"Content-Length: 0", b"Content-Length:",
    b"Transfer-Encoding: chunked", b"Connection: close", b"Connection: keep-alive",
    b"Expect: 100-continue", b"X: y", b"X:", b":", b"\t", b"abc", b"3\r\nabc\r\n", b"0\r\n\r\n",
    b"0\r\n", b"3;x=y", b"\r\n\r\n", b"\x00", b"\x0b", b"\x7f", b"\xff", b"Upgrade: h2c",
]  # fmt: skip
HEADS = st.sampled_from(
    [
        b"GET / HTTP/1.1\r\nHost: a\r\n",
        b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n",
        b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n",
        b"",
    ]
)


@settings(max_examples=400, deadline=None)
@given(HEADS, st.lists(st.sampled_from(TOKENS), max_size=14))
def test_words_in_any_order_are_read_as_h11_reads_them(head, words):
    agree(head + b"".join(words))


@settings(max_examples=400, deadline=None)
@given(
    st.sampled_from(CORPUS),
    st.lists(st.tuples(st.integers(0, 200), st.sampled_from(TOKENS), st.booleans()), max_size=3),
)
def test_corpus_with_words_put_in_is_read_as_h11_reads_it(entry, edits):
    data = entry["bytes"].encode("latin-1")
    for place, word, over in edits:
        at = place % (len(data) + 1)
        data = data[:at] + word + data[at + (len(word) if over else 0) :]
    agree(data)


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from([b"GET", b"POST", b"DELETE"]),
    st.from_regex(rb"\A/[!\"$->@-~]{0,20}\Z"),
    st.lists(
        st.tuples(
            st.from_regex(rb"\A[xX]-[A-Za-z0-9!#$%&'*+.^_`|~-]{1,10}\Z"),
            st.from_regex(rb"\A([!-~\x80-\xff]([ \t!-~\x80-\xff]{0,20}[!-~\x80-\xff])?)?\Z"),
        ),
        max_size=6,
    ),
    st.binary(max_size=50),
)
def test_lawful_requests_are_all_accepted(method, path, fields, body):
    lines = [b"%b %b HTTP/1.1" % (method, path), b"Host: a", b"Content-Length: %d" % len(body)]
    lines += [name + b": " + value for name, value in fields]
    data = b"\r\n".join(lines) + b"\r\n\r\n" + body
    expected = [(method, path, [(n.lower(), v) for n, v in fields], body)]
    assert ours(data) == theirs(data) == expected
