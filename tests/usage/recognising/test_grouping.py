"""Prompts of one template share a group, whatever is filled in; those of two do not."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.usage.recognising.made import PEOPLE, free, hashed, prompts

from weighbridge.usage.recognising.grouping import UNASSIGNED, group
from weighbridge.usage.recognising.importing import PromptHasher
from weighbridge.usage.recognising.merging import proposed_merges


def grouped(made):
    names, uses, sketches = hashed(made)
    found = group(uses, sketches)
    return [found.number(name) for name in names]


def test_templates_that_share_a_system_prompt_and_templates_with_names_are_told_apart() -> None:
    made = prompts(600)
    pairs = Counter(zip((one.label for one in made), grouped(made), strict=True))
    for label in range(5):
        (best, n), *_ = Counter(
            {g: c for (lab, g), c in pairs.items() if lab == label}
        ).most_common()
        assert best != UNASSIGNED
        assert n >= 0.95 * sum(c for (lab, _), c in pairs.items() if lab == label)
        assert n >= 0.95 * sum(c for (_, g), c in pairs.items() if g == best)


def test_a_chat_with_one_system_prompt_is_one_type() -> None:
    rng = random.Random(3)
    hasher = PromptHasher(bytes(32))
    uses, sketches = Counter(), {}
    for _ in range(1500):
        found = hasher.hash("You are a patient tutor of geography. Ask back.", free(rng))
        uses[found.template] += 1
        sketches |= {one.fingerprint: one.segments for one in found.sketches}
    result = group(uses, sketches)
    assert result.n_groups == 1
    assert {result.number(name) for name in uses} == {0}


def test_a_chat_beside_tasks_under_one_system_prompt_is_a_type_of_its_own() -> None:
    rng = random.Random(6)
    hasher = PromptHasher(bytes(32))
    names, sketches = [], {}
    for n in range(1500):
        task = "Summarise this complaint in two short sentences: " if n % 2 else ""
        found = hasher.hash("You are a helpful clerk of the town hall.", task + free(rng))
        names.append(found.template)
        sketches |= {one.fingerprint: one.segments for one in found.sketches}
    result = group(Counter(names), sketches)
    tasks = Counter(result.number(name) for name in names[1::2])
    chats = Counter(result.number(name) for name in names[::2])
    (task, n_tasks), (chat, n_chats) = tasks.most_common(1)[0], chats.most_common(1)[0]
    assert UNASSIGNED not in (task, chat)
    assert task != chat
    assert min(n_tasks, n_chats) >= 0.95 * 750


def test_free_text_without_a_system_prompt_has_no_group() -> None:
    rng = random.Random(4)
    letters = "abcdefghijklmnopqrstuvwxyz"
    texts = [" ".join("".join(rng.choices(letters, k=5)) for _ in range(9)) for _ in range(60)]
    hasher = PromptHasher(bytes(32))
    uses, sketches = {}, {}
    for text in texts:
        found = hasher.hash("", text)
        uses[found.template] = 1
        sketches |= {one.fingerprint: one.segments for one in found.sketches}
    result = group(uses, sketches)
    assert all(result.number(name) == UNASSIGNED for name in uses)


def test_a_variable_with_few_values_does_not_divide_a_template() -> None:
    rng = random.Random(5)
    hasher = PromptHasher(bytes(32))
    uses, sketches = Counter(), {}
    for _ in range(900):
        person = rng.choice(PEOPLE)
        system = f"You write letters for {person} of the city archive. Sign with the full name."
        found = hasher.hash(system, free(rng))
        uses[found.template] += 1
        sketches |= {one.fingerprint: one.segments for one in found.sketches}
    assert group(uses, sketches).n_groups == 1


@pytest.mark.parametrize("order", [1, 2])
def test_the_order_in_which_names_are_listed_changes_no_group(order: int) -> None:
    _, uses, sketches = hashed(prompts(300))
    listed = list(uses.items())
    random.Random(order).shuffle(listed)
    assert group(dict(listed), dict(reversed(sketches.items()))) == group(uses, sketches)


@settings(max_examples=25, deadline=None)
@given(
    st.dictionaries(
        st.integers(0, 30).map(lambda n: f"~{n % 7:012x}.{n % 5:06x}.{n:06x}"),
        st.integers(1, 40),
        max_size=20,
    ),
    st.lists(st.integers(0, 9), min_size=20, max_size=20),
)
def test_any_names_and_sketches_give_groups_that_hold_together(uses, seeds) -> None:
    sketches = {
        name: b"".join((seed * k + 1).to_bytes(4, "big") for k in range(seed))
        for name, seed in zip(uses, seeds, strict=False)
    }
    result = group(uses, sketches)
    numbers = {result.number(name) for name in uses}
    assert numbers <= {UNASSIGNED, *range(result.n_groups)}
    assert len(result.skeletons) == result.n_groups
    assert group(uses, sketches) == result


def test_nothing_sketched_is_nothing_grouped() -> None:
    result = group({"~000000000000.000000.000000": 5}, {})
    assert (result.n_groups, result.number("~000000000000.000000.000000")) == (0, UNASSIGNED)


def test_groups_alike_in_both_parts_are_proposed_and_those_of_one_part_are_not() -> None:
    user = 1 << 32
    system = frozenset(range(1, 9))
    one = system | {user + k for k in range(8)}
    near = system | {user + k for k in range(2, 10)}
    far = system | {user + k for k in range(50, 58)}
    assert proposed_merges([one, near, far]) == [
        (0, 1, "14 segments in common, 2 and 2 of their own")
    ]
