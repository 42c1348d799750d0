"""One connection to an upstream, over a transport that only remembers."""

import pytest

from weighbridge.gateway.wire.messages import Fault
from weighbridge.gateway.wire.upstream import UpstreamAttempt, UpstreamConnection

HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"


class Pool:
    """Remembers what it is told."""

    outbox = None

    def __init__(self):
        self.told = []

    def on_opened(self):
        pass

    def on_closed(self, _):
        self.told.append("closed")

    def release(self, _):
        self.told.append("released")

    def report(self, error):
        self.told.append(type(error))


class Transport:
    """An open one."""

    def write(self, data):
        pass

    def get_write_buffer_size(self):
        return 0

    def is_closing(self):
        return False

    def abort(self):
        pass


class Events:
    """Remembers what was heard, and pipes once the head is here."""

    def __init__(self, read):
        self.heard = []
        self.passed = []
        self.read = read
        self.attempt = None

    def on_head(self, status, _):
        self.heard.append(status)
        self.attempt.pipe(self.read, self.passed.append)

    def on_body(self, data):
        self.heard.append(data)

    def on_end(self):
        self.heard.append("end")

    def on_fault(self, fault, _):
        self.heard.append(fault)


def connect(read):
    pool, events = Pool(), Events(read)
    connection = UpstreamConnection(pool)
    connection.connection_made(Transport())
    events.attempt = UpstreamAttempt(pool, b"POST / HTTP/1.1\r\n\r\n", b"", events)
    connection.send(events.attempt)
    return pool, connection, events


def upper_if_one_byte(chunk):
    return chunk.upper() if chunk[:3] == b"1\r\n" else None


def test_piped_chunks_go_past_the_events_and_others_do_not():
    pool, connection, events = connect(upper_if_one_byte)
    for packet in (
        HEAD + b"1\r\n0\r\n",
        b"1\r\na\r\n",
        b"2\r\ncc\r\n",
        b"1\r\nb\r\n",
        b"x" + END[1:],
    ):
        connection.data_received(packet)
    assert events.passed == [b"1\r\nA\r\n", b"1\r\nB\r\n"]
    assert events.heard == [200, b"0", b"cc", Fault.MALFORMED]
    assert pool.told == ["closed"]


def test_the_head_itself_and_what_comes_in_its_packet_is_not_piped():
    _, connection, events = connect(upper_if_one_byte)
    connection.data_received(HEAD + b"1\r\na\r\n")
    connection.data_received(b"1\r\nb\r\n")
    assert (events.heard, events.passed) == ([200, b"a"], [b"1\r\nB\r\n"])


def test_what_does_not_begin_as_a_chunk_is_not_piped():
    _, connection, events = connect(lambda chunk: chunk)
    for packet in (HEAD + b"5\r\nab", b"1\r\n", b"\r\n", b"1\r\nd\r\n"):
        connection.data_received(packet)
    assert events.heard == [200, b"ab", b"1\r\n"]
    assert events.passed == [b"1\r\nd\r\n"]


@pytest.mark.parametrize("leave", ["cancel", "end"])
def test_an_attempt_that_is_over_pipes_nothing_and_holds_nobody(leave):
    pool, connection, events = connect(lambda chunk: chunk)
    connection.data_received(HEAD + b"1\r\na\r\n")
    if leave == "cancel":
        events.attempt.cancel()
        assert events.heard == [200, b"a"]
    else:
        events.attempt.read = lambda _: None
        connection.data_received(END)
        assert events.heard == [200, b"a", "end"]
        assert pool.told == ["released"]
    connection.data_received(b"1\r\nb\r\n")
    assert events.passed == []
    assert (events.attempt.read, events.attempt.write, events.attempt.events) == (None,) * 3
    events.attempt.pipe(lambda chunk: chunk, events.passed.append)
    assert events.attempt.read is None


def test_a_pipe_that_fails_ends_its_attempt():
    def fail(_):
        raise ZeroDivisionError

    pool, connection, events = connect(fail)
    connection.data_received(HEAD + b"1\r\n0\r\n")
    connection.data_received(b"1\r\na\r\n")
    assert (events.heard, events.passed) == ([200, b"0", Fault.RESET], [])
    assert pool.told == [ZeroDivisionError, "closed"]
