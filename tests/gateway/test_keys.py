from __future__ import annotations

from hashlib import sha256

import pytest

from weighbridge.gateway.admission import Refusal, VirtualKey
from weighbridge.gateway.keys import KeyRing, model_refusal

TEXT = b"wb-one-secret"


def key(text: bytes = TEXT, **terms: object) -> VirtualKey:
    return VirtualKey("one", sha256(text).digest(), "acme", **terms)  # type: ignore[arg-type]


def test_a_key_is_found_by_its_text_and_by_no_other() -> None:
    ring = KeyRing([key()])
    assert ring.find(TEXT) == key()
    for other in (b"", TEXT[:-1], TEXT + b"x", TEXT.upper(), sha256(TEXT).digest()):
        assert ring.find(other) is None


@pytest.mark.parametrize(
    ("terms", "presented", "code"),
    [
        ({}, None, "key_missing"),
        ({}, b"", "key_missing"),
        ({}, b"wb-one-other", "key_unknown"),
        ({"revoked": True}, TEXT, "key_revoked"),
        ({"expires_at": 100.0}, TEXT, "key_expired"),
        ({"expires_at": 100.0, "revoked": True}, TEXT, "key_revoked"),
    ],
)
def test_a_key_that_does_not_open_says_why(
    terms: dict[str, object], presented: bytes | None, code: str
) -> None:
    answer = KeyRing([key(**terms)]).check(presented, at=100.0)
    assert isinstance(answer, Refusal)
    assert (answer.status, answer.code) == (401, code)
    assert "secret" not in answer.message


def test_a_key_opens_until_the_instant_of_its_expiry() -> None:
    ring = KeyRing([key(expires_at=100.0)])
    assert isinstance(ring.check(TEXT, at=99.999), VirtualKey)


def test_an_id_in_its_grace_time_is_the_newest_key() -> None:
    ring = KeyRing([key(b"old", expires_at=5.0), key(b"new")])
    assert len(ring) == 1
    assert ring.by_id("one") == key(b"new")
    assert ring.check(b"old", at=4.0) == key(b"old", expires_at=5.0)


@pytest.mark.parametrize(
    ("models", "model", "may"),
    [
        ((), "anything", True),
        (("gpt-4o",), "gpt-4o", True),
        (("gpt-4o",), "gpt-4o-mini", False),
        (("gpt-*", "o1"), "gpt-4o-mini", True),
        (("gpt-*", "o1"), "claude", False),
        (("*",), "claude", True),
    ],
)
def test_a_key_asks_only_for_its_models(models: tuple[str, ...], model: str, may: bool) -> None:
    refusal = model_refusal(key(models=models), model)
    assert (refusal is None) == may
    if refusal is not None:
        assert (refusal.status, refusal.code) == (403, "model_not_allowed")
        assert model in refusal.message
