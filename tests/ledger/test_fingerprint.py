from __future__ import annotations

import stat
import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weighbridge.ledger.fingerprint import Fingerprinter, load_or_make_key, masked_words
from weighbridge.units import InputError

KNOWN = Fingerprinter(bytes(range(32)))
TEMPLATE = (
    "You are a careful assistant of the billing team.\n"
    "Today is {day}. The customer wrote from {mail} about order {order}; see {url} .\n"
    'They said: "{said}". Their reference is {ref}.\n'
    "Answer in at most three sentences, and never promise a refund above {limit} USD."
)

days = st.dates().map(lambda on: on.strftime("%A, %d %B %Y")) | st.datetimes().map(str)
filled = st.fixed_dictionaries(
    {
        "day": days,
        "mail": st.from_regex(r"[a-z]{1,8}\.[a-z]{1,8}@[a-z]{1,8}\.com", fullmatch=True),
        "order": st.integers(0, 10**12).map(str)
        | st.from_regex(r"[A-Z]{2}-\d{1,6}", fullmatch=True),
        "url": st.from_regex(r"https://[a-z]{1,9}\.example/[a-z0-9/?=]{0,30}", fullmatch=True),
        "said": st.text(st.characters(exclude_characters='"\n', codec="utf-8"), max_size=80).filter(
            lambda text: not set(text) & set("`{}<>“”«»[]%~\\") and len(text.splitlines()) < 2
        ),
        "ref": st.uuids().map(str) | st.binary(min_size=24, max_size=60).map(bytes.hex),
        "limit": st.floats(0, 1e6).map(lambda limit: f"{limit:,.2f}"),
    }
)


@given(filled, filled)
def test_one_template_filled_in_differently_is_one_template(
    first: dict[str, str], second: dict[str, str]
) -> None:
    one = KNOWN.template(TEMPLATE.format(**first), "")
    assert one == KNOWN.template(TEMPLATE.format(**second), "anything")


@given(
    st.lists(st.sampled_from(["Answer", "politely", "in", "French", "the", "user"]), min_size=1),
    st.lists(st.sampled_from(["Answer", "politely", "in", "German", "the", "user"]), min_size=1),
)
def test_templates_in_other_words_are_other_templates(first: list[str], second: list[str]) -> None:
    same = KNOWN.template(" ".join(first), "") == KNOWN.template("\n".join(second), "")
    assert same == (first == second)


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("Order 17, 18 and 19.", "Order 0 and 0"),
        ("IDs: 1, 2, 3", "IDs: 0"),
        ("at 12:30 on 2026-11-01", "at 0 on 0"),
        ("on Monday, 3 Nov 2026", "on 0"),
        ("We may march on", "We may march on"),
        ("key 0f8fad5b-d9cb-469f-a165-70867728950e", "key 0"),
        ("hash deadbeefcafe or facade", "hash 0 or facade"),
        ("token QWxhZGRpbjpvcGVuIHNlc2FtZQQWxhZGRpbjp", "token 0"),
        ("visit https://a.example/b?c=d or www.a.example", "visit 0 or 0"),
        ("read /srv/alice/notes and/or write", "read 0 and/or write"),
        ("mail bob@a.example now", "mail 0 now"),
        ('say "hello there" twice', "say 0 twice"),
        ("say “hello” or «salut» or `x`", "say 0 or 0 or 0"),
        ("Dear {name}, {{slot}} ${var} %(old)s [[wiki]]", "Dear 0 , 0"),
        ("Fix this:\n```python\nprint('secret')\n```\nthanks", "Fix this: 0 thanks"),
        ("<context>\nall of it\n</context> Answer.", "<context> 0 Answer."),
        ("call user_name, don't stop - ever", "call user_name, don't stop - ever"),
        ("  folded \n\t space ", "folded space"),
        ("お客様の質問に丁寧に答えてください。必ず日本語で短く正確に", None),
        ("注文123-45番を調べてください", "注文0番を調べてください"),
    ],
)
def test_what_varies_is_masked(text: str, masked: str | None) -> None:
    assert " ".join(masked_words(text)) == (text if masked is None else masked)


def test_without_a_system_prompt_the_beginning_of_the_message_tells() -> None:
    one = KNOWN.template("", "Translate into French: the cat sat")
    assert one == KNOWN.template(" \n", "Translate into French: dogs bark\nloudly")
    assert one == KNOWN.template("", "\nTranslate into French\n\n<text>other</text>")
    assert one != KNOWN.template("", "Translate into German: the cat sat")
    assert one != KNOWN.template("Translate into French", "")
    long = " ".join(string.ascii_lowercase)
    assert KNOWN.template("", long) == KNOWN.template("", long + " and more")


def test_no_text_has_no_fingerprint() -> None:
    assert KNOWN.template("", "") == KNOWN.template(" ", "\n") == ""


def test_fingerprints_of_two_installations_cannot_be_compared() -> None:
    other = Fingerprinter(bytes(32))
    assert KNOWN.template("Be brief.", "") != other.template("Be brief.", "")
    assert not set(KNOWN.segments("Be brief.")) & set(other.segments("Be brief."))


def test_fingerprint_is_a_mark_and_twelve_hex_digits() -> None:
    found = KNOWN.template("Be brief.", "")
    assert found[0] == "~"
    assert len(found) == 13
    assert int(found[1:], 16) >= 0


def test_memory_is_bounded_and_holds_no_text() -> None:
    known = Fingerprinter(bytes(32), most_remembered=10)
    names = {known.template(f"Be {word} brief.", "") for word in string.ascii_letters}
    assert len(names) == len(string.ascii_letters)
    assert len(known._seen) == 10
    assert all(len(key) == 16 and len(name) == 13 for key, name in known._seen.items())
    assert "10 remembered" in repr(known)


def test_prompt_used_again_stays_remembered() -> None:
    known = Fingerprinter(bytes(32), most_remembered=2)
    for text in ("a", "b", "a", "c"):
        known.template(text, "")
    assert list(known._seen.values()) == [known.template("a", ""), known.template("c", "")][::1]


def test_segments_differ_only_where_the_texts_do() -> None:
    first = KNOWN.segments("You help Alice. Be brief.\nToday is 3 May 2026.")
    second = KNOWN.segments("You help Bob. Be brief.\nToday is 4 June 2026.")
    assert len(first) == 3
    assert [a == b for a, b in zip(first, second, strict=True)] == [False, True, True]
    assert KNOWN.segments("17. 18.\n\n") == ()
    assert len(KNOWN.segments("word. " * 500)) == 64


@pytest.mark.parametrize(
    "text",
    ["\ud800 alone", "a\0b", "“" * 5000, '"' * 5000, "{" * 5000, "<text>" * 900, "```", "\n"],
)
def test_odd_texts_are_named_too(text: str) -> None:
    assert KNOWN.template(text, text) in {KNOWN.template(text, text)}
    assert isinstance(KNOWN.segments(text), tuple)


def test_key_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "state" / "fingerprint.key"
    key = load_or_make_key(path)
    assert len(key) == 32
    assert load_or_make_key(path) == key
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(path.parent.iterdir()) == [path]


def test_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "key"
    load_or_make_key(path)
    path.chmod(0o644)
    with pytest.raises(InputError) as told:
        load_or_make_key(path)
    assert str(told.value) == (
        f"{path}: may be read or written by others (mode 0644)\n  mend: chmod 600 {path}"
    )


def test_file_that_is_no_key_is_refused_without_showing_it(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_bytes(b"hunter2")
    path.chmod(0o600)
    with pytest.raises(InputError, match="is no fingerprint key") as told:
        load_or_make_key(path)
    assert "hunter2" not in str(told.value)
    with pytest.raises(InputError, match="has 7 bytes"):
        Fingerprinter(b"hunter2")


def test_key_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be"):
        load_or_make_key(tmp_path / "file" / "key")
