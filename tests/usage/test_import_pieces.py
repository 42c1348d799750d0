"""A stretch read in small pieces gives the very values that reading it line by line gives."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from weighbridge.units import InputError
from weighbridge.usage import batches
from weighbridge.usage.batches import LinesTask, RowDecoder
from weighbridge.usage.convert import plain
from weighbridge.usage.sources.source import take

TAKES = (
    take("request_id", "id"),
    take("tenant", "meta.team", "team", "meta.more.team"),
    take("input_tokens", "meta.more.tokens", "tokens"),
    take("latency_s", "s"),
)

ROWS: tuple[dict[str, Any], ...] = (
    {"id": "a", "team": "t", "tokens": 3, "s": 1},
    {"id": 7, "meta": {"team": "", "more": {"team": "deep"}}, "tokens": "4", "s": 1.5},
    {"id": 7.0, "meta": None, "tokens": 5.0, "s": None},
    {"id": True, "meta": {"team": ["odd"]}, "tokens": 2**70, "s": "2"},
    {"id": None, "meta": '{"team": "as text", "more": {"tokens": 9}}', "s": 3},
    {"id": "über", "meta": {"more": {"tokens": 0, "team": ""}}, "tokens": 6},
    {},
)


def _task(data: bytes) -> LinesTask:
    return LinesTask(1, data.count(b"\n") + (not data.endswith(b"\n")), data)


def _lines(rows: tuple[dict[str, Any], ...], ensure_ascii: bool = False) -> bytes:
    return "\n".join(json.dumps(row, ensure_ascii=ensure_ascii) for row in rows).encode()


def _values(batch: batches.Batch) -> dict[Any, list[tuple[str, Any]]]:
    return {
        paths: [(type(value).__name__, value) for value in plain(column)]
        for paths, column in batch.columns.items()
    }


@pytest.mark.parametrize("piece_bytes", [1, 60, 1 << 20])
@pytest.mark.parametrize("rows", [ROWS, ROWS[:1] * 3, ROWS[::-1], ROWS[-1:] * 2 + ROWS[:1]])
def test_values_and_their_types_survive_the_pieces(
    monkeypatch: pytest.MonkeyPatch, rows: tuple[dict[str, Any], ...], piece_bytes: int
) -> None:
    monkeypatch.setattr(batches, "PIECE_BYTES", piece_bytes)
    decoder, task = RowDecoder(TAKES), _task(_lines(rows))
    by_line = task.batch_by_line(decoder)
    with monkeypatch.context() as patch:
        patch.delattr(LinesTask, "batch_by_line")  # so that it cannot fall back to it
        by_piece = task.batch(decoder, "log")
    assert _values(by_piece) == _values(by_line)


@pytest.mark.parametrize("piece_bytes", [1, 10, 1 << 20])
def test_pieces_are_whole_lines_of_the_stretch(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, piece_bytes: int
) -> None:
    monkeypatch.setattr(batches, "PIECE_BYTES", piece_bytes)
    data = _lines(ROWS)
    file = tmp_path / "log.jsonl"
    file.write_bytes(b"{}\n" + data + b"\n{}")
    pieces = list(LinesTask(2, len(ROWS), None, file, 3, len(data)).pieces())
    assert b"".join(pieces) == data
    assert all(piece.endswith(b"\n") for piece in pieces[:-1])


def test_a_lone_surrogate_is_left_to_the_column_that_holds_it() -> None:
    rows = ({"id": "a"}, {"id": "\ud800"})
    decoder, task = RowDecoder(TAKES), _task(_lines(rows, ensure_ascii=True))
    assert _values(task.batch(decoder, "log")) == _values(task.batch_by_line(decoder))


def test_bytes_that_are_not_utf8_are_found_in_a_later_piece(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(batches, "PIECE_BYTES", 10)
    data = b'{"id": "a"}\n{"id": "b"}\n{"x": "\xff"}\n'
    with pytest.raises(InputError, match="log:3"):
        _task(data).batch(RowDecoder(TAKES), "log")
