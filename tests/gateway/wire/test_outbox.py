"""Bytes that wait for the end of a turn: in order, after what must come first, never lost."""

from weighbridge.gateway.wire.outbox import Outbox


class Loop:
    def __init__(self) -> None:
        self.due = []

    def call_soon(self, then) -> None:
        self.due.append(then)

    def turn(self) -> None:
        due, self.due = self.due, []
        for then in due:
            then()


def outbox_of(loop: Loop, faults: list) -> Outbox:
    return Outbox(loop.call_soon, faults.append)


def test_writes_leave_in_order_at_the_end_of_the_turn_and_once() -> None:
    loop, out = Loop(), []
    outbox = outbox_of(loop, [])
    first, second = outbox.writer(out.append), outbox.writer(out.append)
    first(b"a")
    second(b"b")
    first(b"c")
    assert out == []
    assert len(loop.due) == 1
    loop.turn()
    assert out == [b"a", b"b", b"c"]
    loop.turn()
    assert out == [b"a", b"b", b"c"]


def test_what_must_come_first_comes_first_also_when_nothing_is_written() -> None:
    loop, out = Loop(), []
    outbox = outbox_of(loop, [])
    outbox.before = lambda: out.append(b"record")
    outbox.writer(out.append)(b"answer")
    loop.turn()
    outbox.wake()
    loop.turn()
    assert out == [b"record", b"answer", b"record"]


def test_what_is_written_before_comes_along() -> None:
    loop, out = Loop(), []
    outbox = outbox_of(loop, [])
    write = outbox.writer(out.append)
    outbox.before = lambda: write(b"answer")
    outbox.wake()
    loop.turn()
    assert out == [b"answer"]


def test_one_broken_transport_does_not_silence_the_others() -> None:
    def broken(_data: bytes) -> None:
        raise OSError("gone")

    loop, out, faults = Loop(), [], []
    outbox = outbox_of(loop, faults)
    outbox.writer(broken)(b"x")
    outbox.writer(out.append)(b"y")
    loop.turn()
    assert out == [b"y"]
    assert len(faults) == 1


def test_a_flush_before_closing_leaves_nothing_for_the_turn() -> None:
    loop, out = Loop(), []
    outbox = outbox_of(loop, [])
    outbox.writer(out.append)(b"last")
    outbox.flush()
    assert out == [b"last"]
    loop.turn()
    assert out == [b"last"]
