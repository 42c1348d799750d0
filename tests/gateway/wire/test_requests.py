"""Transcripts of the request reader: bytes in, requests or a refusal out."""

from itertools import pairwise
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from weighbridge.gateway.wire.limits import WireLimits
from weighbridge.gateway.wire.requests import BODY, HEAD, RequestReader

CORPUS = yaml.safe_load(Path(__file__).with_name("request_corpus.yaml").read_text("utf-8"))
LIMITS = WireLimits(max_body_bytes=1000, max_head_bytes=400, max_target_bytes=100, max_headers=8)


def outcome(data: bytes, cuts: list[int] | None = None, limits: WireLimits = LIMITS) -> object:
    """Everything one can tell of what was read, with the packets cut at the given places."""
    reader = RequestReader(limits)
    edges = [0, *sorted({cut for cut in cuts or () if 0 < cut < len(data)}), len(data)]
    for start, end in pairwise(edges):
        reader.feed(data[start:end])
    requests = [
        (r.method, r.path, r.query, r.headers, r.body, r.keep_alive, r.http_minor)
        for r in reader.ready
    ]
    refusal = None if reader.refusal is None else reader.refusal.status
    return requests, refusal, reader.phase in (HEAD, BODY)


def summary(data: bytes, limits: WireLimits = LIMITS) -> str:
    requests, refusal, is_open = outcome(data, None, limits)
    words = [f"ok {len(requests)}"] if requests else []
    words += [str(refusal)] if refusal else ["open"] if is_open else []
    return " then ".join(words)


@pytest.mark.parametrize("entry", CORPUS, ids=lambda entry: entry["name"])
def test_each_request_of_the_corpus_is_read_or_refused_as_written(entry):
    data = entry["bytes"].encode("latin-1")
    assert summary(data) == str(entry["expected"])
    assert outcome(data, list(range(len(data)))) == outcome(data)


@given(st.sampled_from(CORPUS), st.lists(st.integers(1, 300), max_size=6))
def test_the_places_where_packets_are_cut_change_nothing(entry, cuts):
    data = entry["bytes"].encode("latin-1")
    assert outcome(data, cuts) == outcome(data)


def test_fields_between_neighbours_are_not_handed_on():
    (request,), _, _ = outcome(
        b"POST /v1/x?a=b&c HTTP/1.1\r\nHost: h\r\nX-One:  1 \r\nConnection: keep-alive, X-Two\r\n"
        b"X-Two: 2\r\nTE: trailers\r\nKeep-Alive: 5\r\nProxy-Authorization: x\r\n"
        b"Content-Length: 2\r\n\r\nhi"
    )
    assert request == (b"POST", b"/v1/x", b"a=b&c", [(b"x-one", b"1")], b"hi", True, 1)


def test_absolute_form_becomes_the_origin_form():
    (request,), _, _ = outcome(b"GET http://a?x=1 HTTP/1.1\r\nHost: a\r\n\r\n")
    assert request[1:3] == (b"/", b"x=1")


@pytest.mark.parametrize(
    ("version", "connection", "keep_alive"),
    [
        (b"1.1", b"", True),
        (b"1.1", b"Connection: close\r\n", False),
        (b"1.1", b"Connection: Keep-Alive, Close\r\n", False),
        (b"1.0", b"", False),
        (b"1.0", b"Connection: keep-alive\r\n", True),
    ],
)
def test_a_connection_is_kept_as_its_version_and_its_words_say(version, connection, keep_alive):
    (request,), _, _ = outcome(b"GET / HTTP/%b\r\nHost: a\r\n%b\r\n" % (version, connection))
    assert request[5] is keep_alive


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"GET /" + b"a" * 200 + b" HTTP/1.1\r\nHost: a\r\n\r\n", "414"),
        (b"GET /" + b"a" * 200, "414"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 400 + b"\r\n\r\n", "431"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 400, "431"),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: 1\r\n" * 9 + b"\r\n", "431"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1001\r\n\r\n", "413"),
        (
            b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"1f4\r\n" + b"a" * 500 + b"\r\n1f5\r\n",
            "413",
        ),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n", "open"),
    ],
)
def test_what_is_too_large_is_refused_wherever_the_packets_are_cut(data, expected):
    assert summary(data) == expected
    assert outcome(data, list(range(len(data)))) == outcome(data)


def test_chunk_extensions_and_trailers_are_bounded():
    head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert summary(head + b"1;" + b"a" * 5000 + b"\r\n", WireLimits()) == "400"
    assert summary(head + (b"1;" + b"a" * 4000 + b"\r\nx\r\n") * 5, WireLimits()) == "400"
    assert summary(head + b"0\r\n" + (b"x: " + b"a" * 3000 + b"\r\n") * 6, WireLimits()) == "400"


def test_a_body_in_a_thousand_small_packets_is_whole():
    head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n"
    body = bytes(i % 251 for i in range(1000))
    (request,), _, _ = outcome(head + body, list(range(len(head) + 1000)))
    assert request[4] == body


def test_a_client_that_waits_for_100_is_told_only_while_its_body_is_due():
    reader = RequestReader(LIMITS)
    reader.feed(b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\nContent-Length: 2\r\n\r\n")
    assert reader.wants_continue
    reader.feed(b"hi")
    assert not reader.wants_continue
    assert reader.ready[0].headers == []


def test_an_expectation_of_http_1_0_is_not_answered():
    reader = RequestReader(LIMITS)
    reader.feed(b"POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
    assert not reader.wants_continue
