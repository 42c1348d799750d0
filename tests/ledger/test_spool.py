from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weighbridge.ledger.lines import AttemptLine, EngineLine, FleetLine, Line, OpenLine, RequestLine
from weighbridge.ledger.spool import SpoolReader, SpoolWriter, encode_line
from weighbridge.ledger.spool_files import (
    close_abandoned,
    forget_dead,
    is_alive,
    live_writers,
    writer_of,
)
from weighbridge.ledger.spool_reader import finished, interrupted, read_segment

AT_US = 1_795_000_000_000_000


class Clock:
    def __init__(self) -> None:
        self.at_s = 1000.0

    def __call__(self) -> float:
        return self.at_s


def request(name: str, **more: object) -> RequestLine:
    told = {"status": "ok", "price_state": "priced", **more}
    return RequestLine(request_id=name, started_at_us=AT_US, **told)  # type: ignore[arg-type]


def ids(folder: Path) -> list[str]:
    return sorted(line.request_id for line in SpoolReader(folder).finished())


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def writer(tmp_path: Path, clock: Clock) -> Iterator[SpoolWriter]:
    one = SpoolWriter(tmp_path / "spool", worker="0", max_segment_age_s=300, clock=clock)
    yield one
    one.close()


def write(writer: SpoolWriter, *names: str) -> None:
    for name in names:
        assert writer.append(encode_line(request(name)))


texts = st.text(max_size=12)
some = st.one_of(st.none(), texts)
lines = st.one_of(
    st.builds(
        RequestLine,
        request_id=texts,
        started_at_us=st.integers(0, 2**60),
        status=st.sampled_from(["ok", "error", "interrupted"]),
        price_state=st.just("priced"),
        tenant=some,
        streamed=st.booleans(),
        latency_s=st.one_of(st.none(), st.floats(0, 1e6)),
        attempt_log=st.lists(
            st.builds(AttemptLine, target=texts, after_s=st.just(0.5), latency_s=st.just(1.0)),
            max_size=2,
        ).map(tuple),
        estimated=st.lists(texts, max_size=2).map(tuple),
    ),
    st.builds(OpenLine, request_id=texts, started_at_us=st.integers(0, 2**60), template=some),
)


@settings(max_examples=100)
@given(st.lists(lines, max_size=8), st.data())
def test_every_line_comes_back_and_a_torn_tail_costs_only_itself(
    tmp_path_factory: pytest.TempPathFactory, told: list[Line], data: st.DataObject
) -> None:
    whole = [encode_line(line) for line in told]
    text = b"".join(whole)
    cut = data.draw(st.integers(0, len(text)))
    path = tmp_path_factory.mktemp("s") / "20261101T000000Z-w-1-aa-000001.jsonl"
    path.write_bytes(text[:cut])
    ends = [sum(map(len, whole[: n + 1])) for n in range(len(whole))]
    n_whole = sum(end - 1 <= cut for end in ends)  # only its newline may be missing
    found = read_segment(path)
    assert found.lines == told[:n_whole]
    assert found.n_skipped == (cut not in {0, *ends, *(end - 1 for end in ends)})


def test_lines_are_read_while_the_segment_is_open(writer: SpoolWriter) -> None:
    write(writer, "a", "b")
    assert ids(writer.folder) == ["a", "b"]
    assert SpoolReader(writer.folder).segments(closed_only=True) == []


def test_closing_publishes_the_segment_and_leaves_no_lock_behind(writer: SpoolWriter) -> None:
    write(writer, "a")
    assert writer.close()
    (segment,) = writer.folder.iterdir()
    assert segment.suffix == ".jsonl"
    assert writer_of(segment) == writer.writer
    assert not writer.append(b"{}\n")
    assert (writer.unrecorded, writer.failing) == (1, "the spool is closed")


def test_many_lines_go_in_one_write(writer: SpoolWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    plain = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: (calls.append(fd), plain(fd, data))[1])
    assert writer.append_many([encode_line(request(name)) for name in "abc"])
    assert writer.append_many([])
    assert len(calls) == 1
    assert ids(writer.folder) == ["a", "b", "c"]


def test_old_segment_is_published_by_the_sync_after_its_rotation(
    writer: SpoolWriter, clock: Clock
) -> None:
    write(writer, "a")
    assert not writer.rotate_if_due(clock.at_s + 299)
    assert writer.rotate_if_due(clock.at_s + 300)
    assert SpoolReader(writer.folder).segments(closed_only=True) == []  # not on the disk yet
    write(writer, "b")
    assert writer.sync()
    assert len(SpoolReader(writer.folder).segments(closed_only=True)) == 1
    assert ids(writer.folder) == ["a", "b"]


def test_idle_segment_is_not_rotated(writer: SpoolWriter, clock: Clock) -> None:
    assert not writer.rotate_if_due(clock.at_s + 10_000)


def test_large_segment_is_rotated(tmp_path: Path, clock: Clock) -> None:
    writer = SpoolWriter(tmp_path, worker="0", max_segment_bytes=500, clock=clock)
    write(writer, "a")
    assert not writer.rotate_if_due()
    write(writer, *"bcdefgh")
    assert writer.rotate_if_due()
    writer.close()
    assert ids(tmp_path) == list("abcdefgh")


def test_clock_stepped_back_loses_no_segment(tmp_path: Path, clock: Clock) -> None:
    wall = Clock()
    writer = SpoolWriter(tmp_path, worker="0", max_segment_bytes=1, clock=clock, wall_clock=wall)
    for name, at_s in (("a", 2e9), ("b", 1e9), ("c", 1e9)):
        wall.at_s = at_s
        write(writer, name)
        assert writer.rotate_if_due()
    writer.close()
    assert ids(tmp_path) == ["a", "b", "c"]


def test_worker_names_that_are_no_file_names_are_made_such(tmp_path: Path) -> None:
    writer = SpoolWriter(tmp_path, worker="../pod-7 / x", max_segment_age_s=1)
    write(writer, "a")
    writer.close()
    (segment,) = tmp_path.iterdir()
    assert writer_of(segment) == writer.writer
    assert writer.writer.startswith("_pod_7_x-")


def test_live_writer_is_told_from_a_dead_one(writer: SpoolWriter) -> None:
    assert live_writers(writer.folder) == {writer.writer}
    assert close_abandoned(writer.folder) == ()
    forget_dead(writer.folder)
    assert is_alive(writer.folder, writer.writer)
    writer.close()
    assert not is_alive(writer.folder, writer.writer)


def test_next_start_closes_what_a_dead_process_left_open(tmp_path: Path) -> None:
    left = tmp_path / "20261101T000000.000000Z-0-1-dead-000001.open"
    left.write_bytes(encode_line(request("a")) + b'{"kind":"request","request_i')
    (tmp_path / "0-1-dead.writer").touch()
    writer = SpoolWriter(tmp_path, worker="0")
    assert SpoolReader(tmp_path).segments(closed_only=True) == [left.with_suffix(".jsonl")]
    assert ids(tmp_path) == ["a"]
    left.with_suffix(".jsonl").unlink()
    forget_dead(tmp_path)
    assert {path.suffix for path in tmp_path.iterdir()} == {".open", ".writer"}
    writer.close()


def test_request_without_an_end_is_interrupted_only_once_its_writer_is_gone(
    writer: SpoolWriter,
) -> None:
    begun = OpenLine(
        request_id="a", started_at_us=AT_US, input_tokens_estimate=90, price_state="self_hosted"
    )
    writer.append(encode_line(begun))
    assert ids(writer.folder) == []
    writer.close()
    (line,) = SpoolReader(writer.folder).finished()
    assert (line.status, line.price_state) == ("interrupted", "self_hosted")
    assert (line.uncached_input_tokens, line.output_tokens) == (90, 0)
    assert line.estimated == ("uncached_input_tokens", "output_tokens")
    assert line.list_cost_pico_usd is None


def test_interrupted_request_costs_what_its_input_is_estimated_at() -> None:
    begun = OpenLine(request_id="a", started_at_us=AT_US, price_state="priced")
    assert interrupted(begun, lambda _: None).price_state == "unpriced"
    line = interrupted(begun, lambda _: 7)
    assert (line.price_state, line.list_cost_pico_usd) == ("priced", 7)
    assert "list_cost_usd" in line.estimated
    told = OpenLine(
        request_id="a", started_at_us=AT_US, price_state="priced", input_cost_pico_usd=5
    )
    assert interrupted(told, lambda _: 7).list_cost_pico_usd == 5


def test_last_line_of_a_request_counts_and_repeats_are_counted() -> None:
    begun = OpenLine(request_id="a", started_at_us=AT_US)
    told = finished([begun, request("a", status="error"), request("a"), request("b")])
    assert told.finished == {"a": request("a"), "b": request("b")}
    assert (told.n_repeated, told.unfinished) == (1, [])


@pytest.mark.parametrize(
    ("middle", "n_skipped"),
    [
        (b"\0" * 4096 + b"\n", 1),  # zeros that a power cut left
        (b"\0" * 100, 1),  # and glued to the next line
        (b'{"kind":"request","request_id":"x","sta', 1),  # half a line, glued to the next
        (b'{"kind":"unheard-of"}\n', 1),
        (b"\xff\xfe\n", 1),
        (b"[1,2]\n\n", 1),
        (b'{"kind":"request","request_id":"x"}\n', 1),  # fields missing
    ],
)
def test_what_cannot_be_read_is_skipped_and_counted(
    tmp_path: Path, middle: bytes, n_skipped: int
) -> None:
    path = tmp_path / "20261101T000000Z-w-1-aa-000001.jsonl"
    path.write_bytes(encode_line(request("a")) + middle + encode_line(request("b")))
    reader = SpoolReader(tmp_path)
    assert [line.request_id for line in reader.finished()] == ["a", "b"]
    assert reader.n_skipped == n_skipped


def test_line_that_quotes_another_line_stays_one_line(tmp_path: Path) -> None:
    sly = request("a", tenant=encode_line(request("b")).decode())
    path = tmp_path / "20261101T000000Z-w-1-aa-000001.jsonl"
    path.write_bytes(encode_line(sly)[:-30])
    assert read_segment(path).lines == []
    path.write_bytes(encode_line(sly))
    assert read_segment(path).lines == [sly]


def test_text_that_is_no_text_is_written_with_question_marks(writer: SpoolWriter) -> None:
    attempt = AttemptLine(target="a\ud800", after_s=0.0, latency_s=0.0)
    odd = request("a", tenant="t\ud800", estimated=("b",), attempt_log=(attempt,))
    assert writer.append(encode_line(odd))
    (line,) = SpoolReader(writer.folder).finished()
    assert (line.tenant, line.attempt_log[0].target, line.estimated) == ("t?", "a?", ("b",))


def test_other_kinds_of_lines_come_back(writer: SpoolWriter) -> None:
    told: list[Line] = [
        FleetLine(
            target="own",
            gpu="H100",
            n_gpus=2,
            usd_per_gpu_hour="2.49",
            started_at_us=AT_US,
            ended_at_us=AT_US + 60_000_000,
            source="config",
        ),
        EngineLine(target="own", at_us=AT_US, engine="vllm", running_requests=0.0),
    ]
    assert writer.append_many([encode_line(line) for line in told])
    assert list(SpoolReader(writer.folder).lines()) == told
