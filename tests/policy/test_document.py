"""YAML as a person means it: no surprising types, no endless files."""

from __future__ import annotations

from pathlib import Path

import pytest

from weighbridge.policy.document import MAX_DOCUMENT_BYTES, load_yaml, parse_yaml
from weighbridge.units import InputError


def test_only_plain_types_come_out() -> None:
    document, _ = parse_yaml(
        "a: 18:00\nb: on\nc: 010\nd: 2026-11-21\ne: true\nf: 1e3\ng: 1_000\nh: ~\ni: 0x1f\nj: .5\n"
        "k: 1.5.2\nl: \n",
        "x",
    )
    assert document == {
        "a": "18:00",
        "b": "on",
        "c": "010",
        "d": "2026-11-21",
        "e": True,
        "f": 1000.0,
        "g": 1000,
        "h": None,
        "i": "0x1f",
        "j": 0.5,
        "k": "1.5.2",
        "l": None,
    }


def test_keys_are_text_whatever_they_look_like() -> None:
    assert parse_yaml("1: a\ntrue: b\n1.5: c\n", "x")[0] == {"1": "a", "true": "b", "1.5": "c"}


def test_lines_are_known_by_path() -> None:
    _, lines = parse_yaml("a:\n  b:\n    - c: 1\n    - d:\n        e: 2\n", "x")
    assert {path: lines[path] for path in ("a", "a.b", "a.b[0].c", "a.b[1].d.e")} == {
        "a": 1,
        "a.b": 2,
        "a.b[0].c": 3,
        "a.b[1].d.e": 5,
    }


def test_empty_file_is_an_empty_mapping() -> None:
    assert parse_yaml("# nothing\n", "x") == ({}, {})


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"a: \xff", "is not UTF-8"),
        (b"#" * (MAX_DOCUMENT_BYTES + 1), "bytes"),
        (b"a: \x00", "is not YAML"),
        (b"a: 1\n---\nb: 2\n", "is not YAML"),
        (b"[" * 2000, "nests deeper"),
        (b"[" * 500_000 + b"]" * 500_000, "nests deeper"),
        (b"a: " + b"{a: " * 500_000, "nests deeper"),
        (b"a: !!int x", "is not YAML"),
    ],
)
def test_a_file_that_cannot_be_used_is_told(tmp_path: Path, data: bytes, problem: str) -> None:
    path = tmp_path / "gateway.yaml"
    path.write_bytes(data)
    with pytest.raises(InputError, match=problem):
        load_yaml(path)


def test_missing_file_and_directory_are_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        load_yaml(tmp_path / "none.yaml")
    with pytest.raises(InputError, match="is a directory"):
        load_yaml(tmp_path)


def test_byte_order_mark_is_no_part_of_the_first_key(tmp_path: Path) -> None:
    path = tmp_path / "gateway.yaml"
    path.write_bytes(b"\xef\xbb\xbftargets: {}\n")
    assert load_yaml(path)[0] == {"targets": {}}
