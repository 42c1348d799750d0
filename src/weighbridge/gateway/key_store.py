"""The file that keeps virtual keys: digests and terms, never a key's text."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
import shlex
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from hashlib import sha256
from pathlib import Path
from typing import Literal

import msgspec

from weighbridge.gateway.admission import Budget, Limit, VirtualKey
from weighbridge.gateway.keys import KeyRing
from weighbridge.units import InputError

FORMAT = 1
_ID = re.compile(r"[a-z0-9_]{1,40}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_BUDGET_MEND = (
    "write dollars, a slash and day or month, e.g. 50/month; end in :soft to only be told"
)


class KeyBudget(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a key may spend in a UTC day or month."""

    usd: str
    period: Literal["day", "month"]
    kind: Literal["soft", "hard"] = "hard"


class OldDigest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A text that was rotated away and still opens until then."""

    digest: str
    until_at: float


class KeyTerms(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Whose a key is and what it allows."""

    tenant: str
    models: tuple[str, ...] = ()
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    concurrency: int | None = None
    budgets: tuple[KeyBudget, ...] = ()
    expires_at: float | None = None  # seconds since 1970-01-01T00:00Z
    tags: tuple[str, ...] = ()
    data_class: str | None = None
    priority: int = 0


class StoredKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One key of the file."""

    id: str
    digest: str  # SHA-256 of the key's text, hexadecimal
    terms: KeyTerms
    created_at: float
    revoked: bool = False
    old_digests: tuple[OldDigest, ...] = ()


class _File(msgspec.Struct, forbid_unknown_fields=True):
    format: int
    revision: int  # grows with every write
    keys: list[StoredKey] = []


class UnknownKeyError(InputError):
    """No key of the file has that id."""


def parse_budget(text: str, where: str = "--budget", field: str = "") -> KeyBudget:
    """Read `50/month` or `2.50/day:soft`; `where` and `field` name its place in errors.

    >>> parse_budget("2.50/day:soft")
    KeyBudget(usd='2.50', period='day', kind='soft')
    """
    amount, _, rest = text.partition("/")
    period, _, kind = rest.partition(":")
    if period not in {"day", "month"} or kind not in {"", "soft", "hard"}:
        raise InputError(where, field, f"{text!r} cannot be read", _BUDGET_MEND)
    budget = msgspec.convert(
        {"usd": amount.strip(), "period": period, "kind": kind or "hard"}, KeyBudget
    )
    _check_amount(where, field, budget.usd)
    return budget


class KeyStore:
    """Virtual keys in one JSON file: written whole and atomically, one writer at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def create(
        self, terms: KeyTerms, at: float, key_id: str | None = None
    ) -> tuple[StoredKey, str]:
        """A new key and its text, which is kept nowhere: show it once."""
        if terms.expires_at is not None and not terms.expires_at > at:
            mend = "give a later instant, or leave it out for a key that does not expire"
            raise self._fault("expires_at", "has passed already: the key would never open", mend)
        with self._writing() as held:
            name = key_id or _fresh_id({key.id for key in held.keys})
            if not _ID.fullmatch(name):
                raise self._fault(
                    "id", f"{name!r} is no id", "use a to z, 0 to 9 and _, at most 40"
                )
            if any(key.id == name for key in held.keys):
                raise self._fault("id", f"{name!r} exists", "choose another id, or rotate that key")
            text, digest = _fresh_text(name)
            key = StoredKey(name, digest, terms, at)
            _check_key(str(self.path), f"new key {name}", key)
            held.keys.append(key)
        return key, text

    def rotate(self, key_id: str, grace_s: float, at: float) -> tuple[StoredKey, str]:
        """A new text for a key; the one in use opens for `grace_s` more seconds."""
        if grace_s < 0:
            raise self._fault("grace_s", f"is {grace_s:g}", "give 0 or more seconds")
        with self._writing() as held:
            place = self._place(held, key_id)
            key = held.keys[place]
            if key.revoked:
                raise self._fault(key_id, "is revoked", "create a new key")
            text, digest = _fresh_text(key_id)
            old = tuple(one for one in key.old_digests if one.until_at > at)
            old += (OldDigest(key.digest, at + grace_s),)
            held.keys[place] = msgspec.structs.replace(key, digest=digest, old_digests=old)
            key = held.keys[place]
        return key, text

    def revoke(self, key_id: str) -> StoredKey:
        """Shut a key and its rotated texts for good; its line stays, so that reports name it."""
        with self._writing() as held:
            place = self._place(held, key_id)
            held.keys[place] = msgspec.structs.replace(held.keys[place], revoked=True)
            return held.keys[place]

    def list(self) -> tuple[StoredKey, ...]:
        """All keys in the order of their making."""
        return tuple(self._read().keys)

    def load(self) -> KeyRing:
        """The keys as the gateway looks them up."""
        return KeyRing(one for key in self._read().keys for one in _virtual_keys(key))

    def _read(self, missing_is_empty: bool = False) -> _File:
        try:
            raw = self.path.read_bytes()
        except FileNotFoundError:
            if missing_is_empty:
                return _File(FORMAT, 0)
            mend = f"run: weighbridge keys create {shlex.quote(str(self.path))} --tenant NAME"
            raise self._fault("", "there is no such file", mend) from None
        except OSError as error:
            raise self._fault("", f"cannot be read: {error.strerror}", "mend that") from error
        try:
            held = msgspec.json.decode(raw, type=_File)
        except msgspec.ValidationError as error:
            problem, _, field = str(error).partition(" - at `$")
            mend = "restore the file from a copy, or mend that field"
            raise self._fault(field.strip("`.") or "top level", problem, mend) from None
        except msgspec.DecodeError as error:
            raise self._fault("", f"is no JSON: {error}", "restore it from a copy") from None
        self._check(held)
        return held

    def _check(self, held: _File) -> None:
        if held.format != FORMAT:
            mend = "use the version of weighbridge that wrote it"
            raise self._fault("format", f"is {held.format}; this version reads {FORMAT}", mend)
        seen: set[str] = set()
        for place, key in enumerate(held.keys):
            field = f"keys[{place}]"
            _check_key(str(self.path), field, key)
            for name in (key.id, key.digest, *(old.digest for old in key.old_digests)):
                if name in seen:
                    raise self._fault(field, f"id or digest {name} stands twice", "remove one")
                seen.add(name)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[_File]:
        """Read, let the caller change, write; the lock is a file beside, since this is replaced."""
        try:
            lock = os.open(f"{self.path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            problem = f"cannot be written: {error.strerror}"
            raise self._fault("", problem, "choose a folder that you may write to") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            held = self._read(missing_is_empty=True)
            yield held
            held.revision += 1
            self._write(held)
        finally:
            os.close(lock)

    def _write(self, held: _File) -> None:
        text = msgspec.json.format(msgspec.json.encode(held), indent=2) + b"\n"
        part = Path(f"{self.path}.part")
        file = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            os.fchmod(file, 0o600)
            with open(file, "wb", closefd=False) as out:  # a descriptor, no path
                out.write(text)
            os.fsync(file)
        finally:
            os.close(file)
        part.replace(self.path)
        folder = os.open(self.path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _place(self, held: _File, key_id: str) -> int:
        for place, key in enumerate(held.keys):
            if key.id == key_id:
                return place
        mend = f"see: weighbridge keys list {shlex.quote(str(self.path))}"
        raise UnknownKeyError(str(self.path), "", f"holds no key {key_id!r}", mend)

    def _fault(self, field: str, problem: str, mend: str) -> InputError:
        return InputError(str(self.path), field, problem, mend)


def _virtual_keys(key: StoredKey) -> Iterator[VirtualKey]:
    """The texts that open as this key, the one in use last; all share limits and budgets."""
    terms = key.terms
    rates = (terms.requests_per_minute, terms.tokens_per_minute, terms.concurrency)
    limits = (Limit("key", key.id, *rates),) if any(rate is not None for rate in rates) else ()
    budgets = tuple(Budget("key", key.id, one.usd, one.period, one.kind) for one in terms.budgets)
    ends = terms.expires_at
    olds = [
        (old.digest, old.until_at if ends is None else min(ends, old.until_at))
        for old in key.old_digests
    ]
    for digest, expires_at in (*olds, (key.digest, ends)):
        yield VirtualKey(
            id=key.id,
            digest=bytes.fromhex(digest),
            tenant=terms.tenant,
            models=terms.models,
            data_class=terms.data_class,
            expires_at=expires_at,
            revoked=key.revoked,
            tags=terms.tags,
            limits=limits,
            budgets=budgets,
            priority=terms.priority,
        )


def _fresh_text(key_id: str) -> tuple[str, str]:
    text = f"wb-{key_id}-{secrets.token_urlsafe(32)}"
    return text, sha256(text.encode()).hexdigest()


def _fresh_id(taken: set[str]) -> str:
    while (name := secrets.token_hex(4)) in taken:
        pass
    return name


def _check_key(where: str, field: str, key: StoredKey) -> None:
    if not _ID.fullmatch(key.id):
        problem = f"{key.id!r} is no id"
        raise InputError(where, f"{field}.id", problem, "use a to z, 0 to 9 and _, at most 40")
    for digest in (key.digest, *(old.digest for old in key.old_digests)):
        if not _DIGEST.fullmatch(digest):
            mend = "give the SHA-256 of the key's text: 64 digits 0 to 9, a to f"
            raise InputError(where, f"{field}.digest", "is no digest", mend)
    terms = key.terms
    if not terms.tenant:
        raise InputError(where, f"{field}.tenant", "is empty", "name whose key this is")
    if "" in terms.models:
        raise InputError(where, f"{field}.models", "holds an empty name", "name a model, or *")
    for name in ("requests_per_minute", "tokens_per_minute", "concurrency"):
        value = getattr(terms, name)
        if value is not None and value < 1:
            mend = "give 1 or more, or leave it out for no limit"
            raise InputError(where, f"{field}.{name}", f"is {value}", mend)
    for budget in terms.budgets:
        _check_amount(where, f"{field}.budgets", budget.usd)


def _check_amount(where: str, field: str, usd: str) -> None:
    try:
        amount = Decimal(usd)
    except InvalidOperation:
        raise InputError(where, field, f"{usd!r} is no amount", _BUDGET_MEND) from None
    if not amount.is_finite() or amount < 0:
        raise InputError(where, field, f"{usd!r} is no amount of dollars", _BUDGET_MEND)
