"""Groups keep their ids from run to run; what a person wrote of them holds, or says why not."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from weighbridge.units import InputError
from weighbridge.usage.recognising.edits import read_edits
from weighbridge.usage.recognising.naming import TypeNames, names_of, type_names
from weighbridge.usage.recognising.versions import (
    RecognisedGroup,
    RecognisedTypes,
    next_version,
    read_types,
    write_types,
)

A, B, C = "~aaaaaaaaaaaa", "~bbbbbbbbbbbb", "~cccccccccccc"
NAMES = Counter({f"{s}.000000.{n:06x}": 2 for s in (A, B, C) for n in range(10)})


def version(
    before: RecognisedTypes | None, found: dict[str, int], key: str = "k"
) -> RecognisedTypes:
    return next_version(before, found, dict.fromkeys(found.values(), key), NAMES)[0]


def ids(types: RecognisedTypes) -> dict[str, str]:
    return types.of_prefix


def test_the_same_groups_in_another_order_change_nothing() -> None:
    first = version(None, {A: 0, B: 1})
    again = version(first, {B: 0, A: 1})
    assert ids(again) == ids(first)
    assert (first.version, again.version) == (1, 1)


def test_a_new_group_is_another_version_and_the_others_keep_their_ids() -> None:
    first = version(None, {A: 0, B: 1})
    second = version(first, {C: 0, A: 1, B: 2})
    assert second.version == 2
    assert {p: ids(second)[p] for p in (A, B)} == ids(first)
    assert [one.since_version for one in sorted(second.groups, key=lambda g: g.prefixes)] == [
        1,
        1,
        2,
    ]


def test_a_group_that_divides_leaves_its_id_to_the_larger_part() -> None:
    first = version(None, {A: 0})
    second = version(first, {A: 0, f"{A}.000000.000001": 1})
    assert ids(second)[A] == ids(first)[A] != ids(second)[f"{A}.000000.000001"]


def test_an_id_that_is_gone_is_never_given_to_another_group() -> None:
    first = version(None, {A: 0, B: 1})
    second = version(first, {A: 0})
    assert second.retired == (ids(first)[B],)
    third = version(second, {A: 0, B: 1})
    assert ids(third)[B] not in second.retired


def test_versions_are_read_back_and_damage_is_told(tmp_path: Path) -> None:
    made = version(None, {A: 0, B: 1})
    assert read_types(tmp_path) is None
    write_types(tmp_path, made)
    assert read_types(tmp_path) == made
    (tmp_path / "query-types.json").write_text('{"version": ')
    with pytest.raises(InputError, match="cannot be read"):
        read_types(tmp_path)


TYPES = RecognisedTypes(
    version=3,
    groups=(
        RecognisedGroup("type-a", "k1", 1, (A,)),
        RecognisedGroup("type-b", "k1", 1, (f"{B}.000000",)),
        RecognisedGroup("type-c", "k1", 2, (C,)),
        RecognisedGroup("type-n", "k2", 3, ("~dddddddddddd",)),
    ),
    retired=("type-gone",),
)


def named(tmp_path: Path, text: str) -> TypeNames:
    file = tmp_path / "query-types.yaml"
    file.write_text(text)
    return names_of(TYPES, read_edits(file, TYPES))


def test_names_merges_and_splits_hold(tmp_path: Path) -> None:
    names = named(
        tmp_path,
        "names: {type-a: invoices}\n"
        "merge: {triage: [type-b, type-c]}\n"
        f'split: {{type-a: {{refunds: ["{A}.0000ff"]}}}}\n',
    )
    assert names.of(f"{A}.000000.000001") == "invoices"
    assert names.of(f"{A}.0000ff.000001") == "refunds"
    assert names.of(f"{B}.000000.000001") == names.of(C) == "triage"
    assert names.of(f"{B}.000001.000001") is None  # belongs nowhere


def test_a_split_takes_along_what_its_group_holds_below_and_nothing_of_others(
    tmp_path: Path,
) -> None:
    types = RecognisedTypes(
        1,
        (
            RecognisedGroup("type-a", "k", 1, (A, f"{A}.000001.000007")),
            RecognisedGroup("type-b", "k", 1, (f"{A}.000001.000009",)),
        ),
    )
    file = tmp_path / "q.yaml"
    file.write_text(f'split: {{type-a: {{other: ["{A}.000001"]}}}}')
    names = names_of(types, read_edits(file, types))
    assert names.of(f"{A}.000001.000007") == names.of(f"{A}.000001.000001") == "other"
    assert names.of(f"{A}.000001.000009") == "type-b"
    assert names.of(f"{A}.000002.000001") == "type-a"


def test_a_client_name_stays_whatever_was_recognised(tmp_path: Path) -> None:
    names = named(tmp_path, "names: {type-a: invoices}")
    assert names.of("support/answer") == "support/answer"
    assert names.of(None) is None


def test_before_anything_is_recognised_a_name_stands_for_its_fingerprint() -> None:
    assert TypeNames().of(f"{A}.000000.000001") == A
    assert TypeNames().of(A) == A


def test_groups_of_two_keys_are_one_type_by_their_name_alone(tmp_path: Path) -> None:
    names = named(tmp_path, "names: {type-a: invoices, type-n: invoices}")
    assert names.of(A) == names.of("~dddddddddddd") == "invoices"


def test_an_entry_about_a_group_that_is_gone_is_noted_and_does_nothing(tmp_path: Path) -> None:
    file = tmp_path / "query-types.yaml"
    file.write_text("names: {type-gone: old, type-a: new}")
    edits = read_edits(file, TYPES)
    assert dict(edits.names) == {"type-a": "new"}
    assert edits.notes == ("names: type-gone: this group is gone; the entry does nothing now",)


FAULTS = {
    "names: {type-x: a}": "names: type-x: there is no group type-x",
    "names: {type-a: same, type-b: same}": "names: type-b: bears the name 'same'",
    "names: {type-a: ''}": "names: type-a: '' is no name",
    "names: {type-a: ~odd}": "names: type-a: '~odd' is no name",
    "names: {type-a: a}\nmerge: {m: [type-a, type-b]}": "merge: m: type-a is already in",
    "merge: {m: [type-a, type-b], n: [type-b, type-c]}": "merge: n: type-b is already in",
    "merge: {m: [type-a]}": "merge: m: lists no two groups",
    "split: {type-a: {x: ['not one']}}": "split: type-a: x: 'not one' is no beginning",
    f"split: {{type-a: {{x: ['{C}']}}}}": "split: type-a: x: no prompt of this group",
    f"split: {{type-a: {{x: ['{A}'], y: ['{A}']}}}}": "split: type-a: y: ~aaaaaaaaaaaa is split",
    "split: {type-a: }": "split: type-a: names no parts",
    f"merge: {{m: [type-a, type-b]}}\nsplit: {{type-a: {{x: ['{A}']}}}}": "type-a: is also in",
    "rename: {type-a: b}": "rename: is not known here",
    "names: [type-a]": "names: is no mapping",
    "names: {type-a: a, type-a: b}": "is not valid YAML: 'type-a' is written twice",
    "- type-a": "is no mapping",
}


@pytest.mark.parametrize("text", FAULTS)
def test_contradictions_name_the_entry_and_its_mend(tmp_path: Path, text: str) -> None:
    with pytest.raises(InputError) as raised:
        named(tmp_path, text)
    told = str(raised.value)
    assert "query-types.yaml" in told
    assert FAULTS[text] in told
    assert "mend: " in told


def test_a_folder_without_groups_has_no_query_types_of_its_own(tmp_path: Path) -> None:
    assert type_names(tmp_path) == TypeNames()
