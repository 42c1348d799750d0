"""Transcripts of one client's connection over a transport that only remembers."""

import asyncio
from dataclasses import replace

import pytest

from weighbridge.gateway.wire.client import ClientConnection
from weighbridge.gateway.wire.limits import WireLimits
from weighbridge.gateway.wire.outbox import Outbox
from weighbridge.gateway.wire.server import Server

DATE = b"date: Thu, 01 Jan 1970 00:00:00 GMT\r\n"
GET = b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n"


class Transport(asyncio.Transport):
    """Remembers each write, and what else was asked of it."""

    def __init__(self):
        super().__init__()
        self.writes = []
        self.calls = []
        self.n_buffered = 0

    def get_extra_info(self, name, default=None):
        return ("192.0.2.7", 1) if name == "peername" else default

    def set_write_buffer_limits(self, high=None, low=None):
        pass

    def get_write_buffer_size(self):
        return self.n_buffered

    def write(self, data):
        self.writes.append(bytes(data))

    def can_write_eof(self):
        return True

    def write_eof(self):
        self.calls.append("write_eof")

    def is_closing(self):
        return "close" in self.calls or "abort" in self.calls

    def close(self):
        self.calls.append("close")

    def abort(self):
        self.calls.append("abort")

    def pause_reading(self):
        self.calls.append("pause")

    def resume_reading(self):
        self.calls.append("resume")


class Handler:
    """Keeps every responder, and answers at once where told to."""

    def __init__(self, answer=None):
        self.responders = []
        self.answer = answer
        self.heard = []

    def on_request(self, responder):
        self.responders.append(responder)
        responder.handler = self
        if self.answer is not None:
            self.answer(responder)

    def client_left(self):
        self.heard.append("left")

    def cut_off(self):
        self.heard.append("cut off")

    def client_paused(self):
        self.heard.append("paused")

    def client_resumed(self):
        self.heard.append("resumed")


class Clock:
    now_s = 100.0

    def __call__(self):
        return self.now_s


def connect(handler, limits=None, outbox=None):
    clock = Clock()
    server = Server(
        handler, limits or WireLimits(), outbox=outbox, clock=clock, wall_clock=lambda: 0.0
    )
    connection = ClientConnection(server)
    transport = Transport()
    connection.connection_made(transport)
    return server, connection, transport, clock


def later(server, clock, seconds):
    clock.now_s += seconds
    server.sweep()


def ok(responder):
    responder.respond(200, [(b"x", b"y")], b"hi")


def test_a_whole_answer_is_one_write():
    _, connection, transport, _ = connect(Handler(ok))
    connection.data_received(GET % 1)
    assert transport.writes == [
        b"HTTP/1.1 200 OK\r\nx: y\r\n" + DATE + b"content-length: 2\r\n\r\nhi"
    ]
    assert transport.calls == []


def test_head_and_first_bytes_of_a_stream_are_one_write():
    handler = Handler()
    _, connection, transport, _ = connect(handler)
    connection.data_received(GET % 1)
    responder = handler.responders[0]
    responder.start(200, [], None)
    assert transport.writes == []
    responder.write(b"abc")
    responder.write(b"")
    responder.write(b"0123456789abcdef")
    responder.end()
    assert transport.writes == [
        b"HTTP/1.1 200 OK\r\n" + DATE + b"transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n",
        b"10\r\n0123456789abcdef\r\n",
        b"0\r\n\r\n",
    ]


def test_chunks_are_taken_as_they_are_once_the_head_has_left_and_until_the_end():
    handler = Handler()
    _, connection, transport, _ = connect(handler)
    connection.data_received(GET % 1)
    responder = handler.responders[0]
    assert not responder.takes_chunks
    responder.start(200, [], None)
    assert not responder.takes_chunks
    responder.write(b"abc")
    assert responder.takes_chunks
    responder.write_chunk(b"1\r\nx\r\n")
    responder.end()
    assert not responder.takes_chunks
    responder.write_chunk(b"1\r\ny\r\n")
    assert transport.writes[1:] == [b"1\r\nx\r\n", b"0\r\n\r\n"]


@pytest.mark.parametrize("length", [1000, None])
def test_chunks_are_not_for_answers_that_are_not_chunked(length):
    handler = Handler()
    _, connection, _, _ = connect(handler)
    connection.data_received(GET % 1 if length else b"GET / HTTP/1.0\r\n\r\n")
    responder = handler.responders[0]
    responder.start(200, [], length)
    responder.write(b"abc")
    assert not responder.takes_chunks


def test_a_chunk_overtakes_nothing_that_waits_for_the_end_of_the_turn():
    handler, turn = Handler(), []
    server, connection, transport, _ = connect(handler, outbox=Outbox(turn.append, print))
    connection.data_received(GET % 1)
    responder = handler.responders[0]
    responder.start(200, [], None)
    responder.write(b"abc")
    responder.write_chunk(b"1\r\nx\r\n")
    assert transport.writes == []
    turn.pop()()
    assert [data[-6:] for data in transport.writes] == [b"\nabc\r\n", b"1\r\nx\r\n"]
    responder.write_chunk(b"1\r\ny\r\n")
    assert (transport.writes[2:], turn) == ([b"1\r\ny\r\n"], [])
    server.outbox.wake()
    responder.write_chunk(b"1\r\nz\r\n")
    assert transport.writes[3:] == []
    turn.pop()()
    assert transport.writes[3:] == [b"1\r\nz\r\n"]


def test_a_flushed_head_leaves_before_the_body():
    handler = Handler()
    _, connection, transport, _ = connect(handler)
    connection.data_received(GET % 1)
    handler.responders[0].start(200, [], 3)
    handler.responders[0].flush()
    handler.responders[0].flush()
    assert transport.writes == [b"HTTP/1.1 200 OK\r\n" + DATE + b"content-length: 3\r\n\r\n"]


def test_calls_after_the_end_do_nothing_to_the_next_answer():
    handler = Handler()
    _, connection, transport, _ = connect(handler)
    connection.data_received(GET % 1 + GET % 2)
    first = handler.responders[0]
    first.respond(200, [], b"one")
    assert len(handler.responders) == 2
    for call in (
        lambda: first.respond(200, [], b"late"),
        lambda: first.start(200, [], None),
        lambda: first.write(b"late"),
        first.flush,
        first.end,
        first.abort,
    ):
        call()
    assert len(transport.writes) == 1
    assert transport.calls == []
    assert not first.is_congested


def test_pipelined_requests_are_answered_in_order_and_one_at_a_time():
    handler = Handler()
    _, connection, transport, _ = connect(handler)
    connection.data_received(GET % 1 + GET % 2 + GET % 3)
    for n in range(3):
        assert len(handler.responders) == n + 1
        assert handler.responders[n].request.path == b"/%d" % (n + 1)
        handler.responders[n].respond(200, [], b"%d" % (n + 1))
    assert [write[-1:] for write in transport.writes] == [b"1", b"2", b"3"]


def test_a_thousand_pipelined_requests_need_no_deep_stack():
    handler = Handler(ok)
    _, connection, transport, _ = connect(handler)
    connection.data_received(GET % 1 * 5000)
    assert len(transport.writes) == 5000


@pytest.mark.parametrize("limit", [{"max_pipelined": 2}, {"max_behind_bytes": 60}])
def test_reading_stops_when_too_much_waits_behind_an_answer(limit):
    handler = Handler()
    _, connection, transport, _ = connect(handler, replace(WireLimits(), **limit))
    connection.data_received(GET % 1)
    for n in range(3):
        connection.data_received(GET % n)
    assert transport.calls == ["pause"]
    for n in range(4):
        handler.responders[n].respond(200, [], b"")
    assert transport.calls == ["pause", "resume"]


def test_a_refusal_waits_for_the_answers_before_it():
    handler = Handler()
    _, connection, transport, _ = connect(handler)
    connection.data_received(GET % 1 + b"nonsense\r\n\r\n")
    assert transport.writes == []
    handler.responders[0].start(200, [], 2)
    handler.responders[0].write(b"ok")
    handler.responders[0].end()
    assert b"connection: close" in transport.writes[0]
    assert transport.calls == ["close"]


def test_a_refusal_that_comes_while_an_answer_runs_is_given_after_it():
    handler = Handler()
    _, connection, transport, _ = connect(handler)
    connection.data_received(GET % 1)
    handler.responders[0].start(200, [], 2)
    handler.responders[0].write(b"ok")
    connection.data_received(b"nonsense\r\n\r\n")
    handler.responders[0].end()
    assert transport.writes[1].startswith(b"HTTP/1.1 400 ")
    assert transport.calls == ["write_eof"]


def test_a_refused_request_is_told_why_and_the_rest_is_not_read():
    handler = Handler(ok)
    server, connection, transport, clock = connect(handler)
    connection.data_received(b"GET / HTTP/1.1\r\n\r\n")
    assert transport.writes == [
        b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\ncontent-length: 16\r\n"
        b"connection: close\r\n" + DATE + b"\r\nHost is missing\n"
    ]
    connection.data_received(GET % 1)
    assert handler.responders == []
    assert transport.calls == ["write_eof"]
    assert server.n_refused_by_status == {400: 1}
    later(server, clock, 3)
    assert transport.calls == ["write_eof", "abort"]


def test_expect_is_answered_before_the_body():
    handler = Handler(ok)
    _, connection, transport, _ = connect(handler)
    connection.data_received(
        b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"
    )
    assert transport.writes == [b"HTTP/1.1 100 Continue\r\n\r\n"]
    connection.data_received(b"h")
    connection.data_received(b"i")
    assert len(transport.writes) == 2
    assert handler.responders[0].request.body == b"hi"


def test_expect_of_a_pipelined_request_is_answered_after_the_answer_before_it():
    handler = Handler()
    _, connection, transport, _ = connect(handler)
    connection.data_received(GET % 1)
    connection.data_received(
        b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"
    )
    assert transport.writes == []
    handler.responders[0].respond(200, [], b"one")
    assert transport.writes[1:] == [b"HTTP/1.1 100 Continue\r\n\r\n"]


def test_head_is_answered_without_a_body():
    _, connection, transport, _ = connect(Handler(ok))
    connection.data_received(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert transport.writes[0].endswith(b"content-length: 2\r\n\r\n")

    def stream(responder):
        responder.start(200, [], None)
        responder.write(b"abc")
        responder.end()

    connection.server.handler.answer = stream
    connection.data_received(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert transport.writes[1].endswith(b"transfer-encoding: chunked\r\n\r\n")


@pytest.mark.parametrize("status", [204, 304])
def test_statuses_without_a_body_have_neither_length_nor_bytes(status):
    def stream(responder):
        responder.start(status, [], None)
        responder.end()

    for answer in (lambda r: r.respond(status, [], b"x"), stream):
        _, connection, transport, _ = connect(Handler(answer))
        connection.data_received(GET % 1)
        assert transport.writes[0].endswith(DATE + b"\r\n")
        assert transport.calls == []


def test_http_1_0_gets_no_chunks_and_is_closed():
    def stream(responder):
        responder.start(200, [], None)
        responder.write(b"abc")
        responder.end()

    _, connection, transport, _ = connect(Handler(stream))
    connection.data_received(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    assert transport.writes == [b"HTTP/1.1 200 OK\r\n" + DATE + b"connection: close\r\n\r\nabc"]
    assert transport.calls == ["close"]


def test_http_1_0_is_kept_where_it_asks_and_the_length_is_known():
    _, connection, transport, _ = connect(Handler(ok))
    connection.data_received(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    assert b"connection: keep-alive\r\n" in transport.writes[0]
    assert transport.calls == []


def test_an_error_replaces_a_head_that_has_not_left_yet():
    handler = Handler()
    _, connection, transport, _ = connect(handler)
    connection.data_received(GET % 1)
    handler.responders[0].start(200, [], None)
    handler.responders[0].respond(502, [], b"gone")
    assert len(transport.writes) == 1
    assert transport.writes[0].startswith(b"HTTP/1.1 502 ")
    assert transport.calls == []


@pytest.mark.parametrize("again", ["respond", "start"])
def test_a_second_head_is_never_sent(again):
    handler = Handler()
    _, connection, transport, _ = connect(handler)
    connection.data_received(GET % 1)
    responder = handler.responders[0]
    responder.start(200, [], None)
    responder.write(b"a")
    if again == "respond":
        responder.respond(502, [], b"gone")
    else:
        responder.start(200, [], None)
    assert len(transport.writes) == 1
    assert transport.calls == ["abort"]


def test_an_answer_shorter_than_its_promise_is_cut():
    handler = Handler()
    _, connection, transport, _ = connect(handler)
    connection.data_received(GET % 1)
    handler.responders[0].start(200, [], 5)
    handler.responders[0].write(b"abc")
    handler.responders[0].end()
    assert transport.calls == ["abort"]


def test_an_answer_longer_than_its_promise_is_cut_before_it_desyncs():
    handler = Handler()
    _, connection, transport, _ = connect(handler)
    connection.data_received(GET % 1)
    handler.responders[0].start(200, [], 2)
    handler.responders[0].write(b"abc")
    assert transport.writes == []
    assert transport.calls == ["abort"]


@pytest.mark.parametrize("value", [b"a\r\nevil: 1", b"a\nb", b"a\rb", b"a\0b"])
def test_a_header_that_would_split_the_answer_becomes_a_500(value):
    _, connection, transport, _ = connect(Handler(lambda r: r.respond(200, [(b"x", value)], b"")))
    connection.data_received(GET % 1)
    assert len(transport.writes) == 1
    assert transport.writes[0].startswith(b"HTTP/1.1 500 ")
    assert b"evil" not in transport.writes[0]


def test_a_handler_that_fails_is_answered_for():
    def fail(responder):
        raise RuntimeError("no")

    _, connection, transport, _ = connect(Handler(fail))
    connection.data_received(GET % 1)
    assert transport.writes[0].startswith(b"HTTP/1.1 500 ")
    assert transport.calls == ["close"]


def test_a_handler_that_fails_within_an_answer_has_it_cut():
    def fail(responder):
        responder.start(200, [], None)
        responder.write(b"a")
        raise RuntimeError("no")

    _, connection, transport, _ = connect(Handler(fail))
    connection.data_received(GET % 1)
    assert transport.calls == ["abort"]


@pytest.mark.parametrize("how", ["eof", "lost"])
def test_the_pipeline_hears_once_and_at_once_of_a_client_that_leaves(how):
    handler = Handler()
    _, connection, transport, _ = connect(handler)
    connection.data_received(GET % 1 + GET % 2)
    handler.responders[0].start(200, [], None)
    if how == "eof":
        assert not connection.eof_received()
    connection.connection_lost(None)
    assert handler.heard == ["left"]
    handler.responders[0].write(b"late")
    handler.responders[0].end()
    assert transport.writes == []
    assert len(handler.responders) == 1
    assert connection.server.n_connections == 0


def test_a_slow_reader_is_told_of_and_the_next_request_waits_for_it():
    handler = Handler()
    _, connection, _, _ = connect(handler)
    connection.data_received(GET % 1 + GET % 2)
    connection.pause_writing()
    assert handler.responders[0].is_congested
    connection.resume_writing()
    connection.pause_writing()
    assert handler.heard == ["paused", "resumed", "paused"]
    handler.responders[0].respond(200, [], b"")
    assert len(handler.responders) == 1
    connection.resume_writing()
    assert len(handler.responders) == 2


def test_a_slow_reader_that_pipelines_is_read_again_once_it_has_caught_up():
    handler = Handler()
    _, connection, transport, _ = connect(handler, WireLimits(max_pipelined=2))
    connection.data_received(GET % 1)
    connection.data_received(GET % 2 + GET % 3 + GET % 4)
    assert transport.calls == ["pause"]
    handler.answer = ok
    connection.pause_writing()
    ok(handler.responders[0])
    assert len(handler.responders) == 1
    connection.resume_writing()
    assert len(handler.responders) == 4
    assert transport.calls == ["pause", "resume"]


# Limits of time; the clock is ours.


def test_an_idle_connection_is_closed_without_a_word():
    server, connection, transport, clock = connect(Handler(ok))
    connection.data_received(GET % 1)
    later(server, clock, 74)
    assert transport.calls == []
    later(server, clock, 2)
    assert transport.calls == ["close"]
    assert len(transport.writes) == 1


def test_a_head_that_dribbles_is_cut_however_busy_it_looks():
    server, connection, transport, clock = connect(Handler(ok))
    for byte in GET % 1:
        connection.data_received(bytes([byte]))
        if transport.calls:
            break
        later(server, clock, 1)
    assert transport.writes[0].startswith(b"HTTP/1.1 408 ")
    assert transport.calls[0] == "write_eof"


def test_a_body_that_dribbles_is_cut():
    server, connection, transport, clock = connect(Handler(ok))
    connection.data_received(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n")
    for _ in range(70):
        connection.data_received(b"a")
        later(server, clock, 1)
    assert transport.writes[0].startswith(b"HTTP/1.1 408 ")


def test_a_long_body_that_keeps_coming_is_granted_its_time():
    server, connection, transport, clock = connect(Handler(ok))
    connection.data_received(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 20000000\r\n\r\n")
    for _ in range(200):
        connection.data_received(b"a" * 100_000)
        later(server, clock, 1)
    assert transport.writes[0].startswith(b"HTTP/1.1 200 ")


def test_no_limit_of_reading_runs_while_an_answer_is_open():
    server, connection, transport, clock = connect(Handler())
    connection.data_received(GET % 1 + b"GET /2")
    later(server, clock, 3600)
    assert transport.calls == []


def test_a_reader_that_takes_nothing_is_cut_and_a_slow_one_is_not():
    handler = Handler()
    server, connection, transport, clock = connect(handler)
    connection.data_received(GET % 1)
    transport.n_buffered = 1_000_000
    connection.pause_writing()
    for _ in range(10):
        later(server, clock, 50)
        transport.n_buffered -= 20_000
        later(server, clock, 0)
    assert transport.calls == []
    later(server, clock, 61)
    assert transport.calls == ["abort"]


def test_a_closing_connection_whose_last_bytes_are_not_taken_is_cut():
    server, connection, transport, clock = connect(Handler(ok))
    transport.n_buffered = 500
    connection.data_received(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    assert transport.calls == ["close"]
    later(server, clock, 61)
    assert transport.calls == ["close", "abort"]


def test_more_clients_than_allowed_are_turned_away():
    server, _, _, _ = connect(Handler(ok), replace(WireLimits(), max_connections=1))
    transport = Transport()
    second = ClientConnection(server)
    second.connection_made(transport)
    assert transport.calls == ["abort"]
    second.connection_lost(None)
    assert server.n_connections == 1


def test_draining_closes_idle_clients_and_lets_answers_end():
    handler = Handler()
    server, busy, transport, _ = connect(handler)
    idle = ClientConnection(server)
    idle_transport = Transport()
    idle.connection_made(idle_transport)
    busy.data_received(GET % 1)
    server.is_draining = True
    for connection in (busy, idle):
        connection.drain()
    assert idle_transport.calls == ["close"]
    assert transport.calls == []
    handler.responders[0].respond(200, [], b"bye")
    assert b"connection: close" in transport.writes[0]
    assert transport.calls == ["close"]
