"""Virtual keys as the gateway looks them up: by digest, never by text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from hashlib import sha256
from hmac import compare_digest

from weighbridge.gateway.admission import Refusal, VirtualKey

UNKNOWN = Refusal(
    401, "key_unknown", "This gateway does not know that key. Send it as Authorization: Bearer KEY."
)
MISSING = Refusal(
    401, "key_missing", "This gateway asks for a key. Send it as Authorization: Bearer KEY."
)


class KeyRing:
    """All keys of a gateway. Immutable; a reload makes a new one."""

    __slots__ = ("_by_digest", "_by_id")

    def __init__(self, keys: Iterable[VirtualKey]) -> None:
        held = list(keys)
        self._by_digest = {key.digest: key for key in held}
        # In the grace time of a rotation an id has two keys; the newest stands last.
        self._by_id = {key.id: key for key in held}

    def __len__(self) -> int:
        """How many ids there are."""
        return len(self._by_id)

    def __iter__(self) -> Iterator[VirtualKey]:
        """Each id's newest key."""
        return iter(self._by_id.values())

    def find(self, presented: bytes) -> VirtualKey | None:
        """The key with this text, expired and revoked ones included."""
        digest = sha256(presented).digest()
        key = self._by_digest.get(digest)
        # The look-up leaks at most something of the digest, from which no text can be found.
        if key is not None and compare_digest(key.digest, digest):
            return key
        return None

    def check(self, presented: bytes | None, at: float) -> VirtualKey | Refusal:
        """The key, or why it does not open this gateway at that instant."""
        if not presented:
            return MISSING
        key = self.find(presented)
        if key is None:
            return UNKNOWN
        if key.revoked or (key.expires_at is not None and at >= key.expires_at):
            return _not_valid(key)
        return key

    def by_id(self, key_id: str) -> VirtualKey | None:
        """The key of an id, as the ledger names it."""
        return self._by_id.get(key_id)


def _not_valid(key: VirtualKey) -> Refusal:
    if key.revoked:
        return Refusal(401, "key_revoked", f"Key {key.id} was revoked. Ask for a new one.")
    return Refusal(
        401, "key_expired", f"Key {key.id} has expired, or was rotated and its old text expired."
    )


def model_refusal(key: VirtualKey, model: str) -> Refusal | None:
    """Why a key may not ask for a model, or None where it may."""
    if not key.models:
        return None
    for allowed in key.models:
        if allowed == model or (allowed[-1:] == "*" and model.startswith(allowed[:-1])):
            return None
    return Refusal(
        403,
        "model_not_allowed",
        f"Key {key.id} may not ask for model {model!r}; it may ask for: {', '.join(key.models)}.",
    )
