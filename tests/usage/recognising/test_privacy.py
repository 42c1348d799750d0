"""What can be learned from what is stored: by anybody nothing, by a holder of the key guesses."""

from __future__ import annotations

import itertools

from weighbridge.ledger.prompt_shape import PromptShaper

KEY, OTHER_KEY = bytes(range(32)), bytes(range(32, 64))
SYSTEM = "Speak only about turnips. Never mention the merger with Zephyrine."
USER = "Please tell the board how the merger is going so far"


def segments(key: bytes, system: str, user: str) -> dict[str, set[bytes]]:
    shaper = PromptShaper(key)
    name = shaper.name(system, user)
    return {
        one.fingerprint: {one.segments[at : at + 4] for at in range(0, len(one.segments), 4)}
        for one in shaper.sketches(name, system, user)
    }


def confirmed(key: bytes, guess: str, stored: set[bytes]) -> bool:
    """What an attacker does: sketch a guess, and look how much of it is there."""
    (found,) = segments(key, guess, "").values()
    return found <= stored


def test_whoever_holds_the_key_confirms_a_guessed_sentence_and_nobody_else_does() -> None:
    stored, _ = segments(KEY, SYSTEM, USER).values()
    assert confirmed(KEY, "Speak only about turnips.", stored)
    assert not confirmed(KEY, "Speak only about parsnips.", stored)
    assert not confirmed(OTHER_KEY, "Speak only about turnips.", stored)


def test_whoever_holds_the_key_can_guess_three_words_at_a_time() -> None:
    _, stored = segments(KEY, SYSTEM, USER).values()
    words = ["how", "is", "the", "going", "merger", "so", "board", "far"]
    found = {
        " ".join(run)
        for run in itertools.permutations(words, 3)
        if segments(KEY, "", " ".join(run)).popitem()[1] <= stored
    }
    assert {"how the merger", "merger is going", "going so far"} <= found
    assert "the merger board" not in found


def test_without_the_key_no_guess_is_better_than_another() -> None:
    stored, _ = segments(KEY, SYSTEM, USER).values()
    for guess in ("Speak only about turnips.", "Speak only about parsnips.", SYSTEM):
        tried = segments(OTHER_KEY, guess, "").popitem()[1]
        assert not tried & stored


def test_which_prompts_share_text_is_seen_without_any_key() -> None:
    first = segments(KEY, SYSTEM, "one thing and another")
    second = segments(KEY, SYSTEM, "something quite different")
    system = next(iter(first))
    assert first[system] == second[system]


def test_a_sketch_tells_no_length_of_what_was_filled_in() -> None:
    short = segments(KEY, "Answer x1 now and be kind.", "Case 7 of 9: what now?")
    long = segments(
        KEY, f"Answer {'x1' * 90} now and be kind.", "Case 777777777777 of 9: what now?"
    )
    assert list(short.values()) == list(long.values())


def test_neither_key_nor_text_shows_in_the_words_for_a_shaper() -> None:
    shaper = PromptShaper(KEY)
    assert repr(shaper) == f"PromptShaper({shaper.key_id})"
    assert shaper.key_id != PromptShaper(OTHER_KEY).key_id
    assert shaper.key_id not in KEY.hex()
