"""Names of prompts, and how few of them are sketched."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weighbridge.ledger.fingerprint import Fingerprinter
from weighbridge.ledger.prompt_shape import (
    HEAD_CHARS,
    NAME_CHARS,
    SYSTEM_CHARS,
    PromptShaper,
    SketchBudget,
)

KEY = bytes(range(32))
SHAPER = PromptShaper(KEY)


@given(st.text(max_size=300), st.text(max_size=300))
def test_any_prompt_has_a_name_of_hashes_that_begins_with_its_fingerprint(
    system: str, user: str
) -> None:
    name = SHAPER.name(system, user)
    assert re.fullmatch(r"(~[0-9a-f]{12}(\.[0-9a-f]{6}\.[0-9a-f]{6})?)?", name)
    assert len(name) in (0, SYSTEM_CHARS, NAME_CHARS)
    assert name[:SYSTEM_CHARS] == Fingerprinter(KEY).template(system, user)
    for sketch in SHAPER.sketches(name, system, user):
        assert sketch.fingerprint in (name, name[:SYSTEM_CHARS])
        assert len(sketch.segments) % 4 == 0


@pytest.mark.parametrize(
    ("first", "second", "same_head", "same_tail"),
    [
        ("Translate: one thing", "Translate: quite another", True, False),
        ("one thing\nNow translate it.", "quite another\nNow translate it.", False, True),
        ("Order 17 is late: why?", "Order 4711 is late: why?", True, True),
        ('{"task": "sum", "a": "x y"}', '{"task": "sum", "a": "p q r"}', True, False),
        ('{"task": "sum", "a": "x"}', '{"job": "sum", "b": "x"}', False, False),
    ],
)
def test_names_share_the_part_that_prompts_share(
    first: str, second: str, same_head: bool, same_tail: bool
) -> None:
    one, two = SHAPER.name("Be brief.", first), SHAPER.name("Be brief.", second)
    assert one[:SYSTEM_CHARS] == two[:SYSTEM_CHARS]
    assert (one[:HEAD_CHARS] == two[:HEAD_CHARS]) == same_head
    assert (one[HEAD_CHARS:] == two[HEAD_CHARS:]) == same_tail


def name(system: int, head: int, tail: int) -> str:
    return f"~{system:012x}.{head:06x}.{tail:06x}"


def test_a_name_is_sketched_once_and_its_system_prompt_with_the_first_of_them() -> None:
    budget = SketchBudget()
    assert budget.takes(name(1, 1, 1), 0.0)
    assert budget.takes_system(name(1, 1, 1))
    assert not budget.takes(name(1, 1, 1), 0.0)
    assert budget.takes(name(1, 2, 1), 0.0)
    assert not budget.takes_system(name(1, 2, 1))


def test_free_text_under_one_beginning_is_sketched_a_few_times_only() -> None:
    budget = SketchBudget()
    assert sum(budget.takes(name(1, 1, n), 0.0) for n in range(500)) == budget.MOST_HEADS
    taken = sum(budget.takes(name(1, n, n), 0.0) for n in range(2, 5000))
    assert taken == budget.MOST_SYSTEMS - budget.MOST_HEADS
    assert budget.takes(name(2, 1, 1), 0.0)


def test_a_flood_of_new_prompts_is_sketched_at_the_rate_that_was_set() -> None:
    budget = SketchBudget(most=100.0, per_s=2.0)
    assert sum(budget.takes(name(n, 1, 1), 1.0) for n in range(1000)) == 100
    assert sum(budget.takes(name(n, 1, 1), 11.0) for n in range(1000, 2000)) == 20


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SketchBudget, "MOST_SEEN", 10)
    budget = SketchBudget()
    taken = [budget.takes(name(n, n, n), 0.0) for n in range(50)]
    assert all(taken)
    assert budget.takes(name(0, 0, 0), 0.0)  # forgotten, and sketched anew
    assert not budget.takes(name(49, 49, 49), 0.0)


def test_scripts_without_spaces_are_told_by_their_characters() -> None:
    shaper = PromptShaper(KEY)
    texts = ["次の文章を三行で要約してください。犬", "次の文章を三行で要約してください。猫と鳥"]
    found = []
    for text in texts:
        (sketch,) = shaper.sketches(shaper.name("", text), "", text)
        found.append({sketch.segments[at : at + 4] for at in range(0, len(sketch.segments), 4)})
    assert len(found[0] & found[1]) >= 13
