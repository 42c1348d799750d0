"""Virtual keys over the admin API: list, create, rotate, revoke."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any

import msgspec

from weighbridge.gateway.key_store import (
    KeyStore,
    KeyTerms,
    StoredKey,
    UnknownKeyError,
    parse_budget,
)
from weighbridge.gateway.wire.messages import Headers
from weighbridge.policy.faults import nearest
from weighbridge.units import InputError

if TYPE_CHECKING:
    from weighbridge.gateway.worker import Worker

JSON: Headers = [(b"content-type", b"application/json")]
_PATH = re.compile(rb"/keys(?:/([^/]{1,80})/(rotate|revoke))?")


class NewKey(msgspec.Struct, forbid_unknown_fields=True):
    """What a request to create a key says."""

    tenant: str
    id: str | None = None
    models: tuple[str, ...] = ()
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    concurrency: int | None = None
    budgets: tuple[str, ...] = ()  # "50/month", "2/day:soft"
    expires_at: float | None = None
    tags: tuple[str, ...] = ()
    data_class: str | None = None
    priority: int = 0


class Rotation(msgspec.Struct, forbid_unknown_fields=True):
    """What a request to rotate a key says."""

    grace_s: float = 86_400.0  # as `weighbridge keys rotate` has it


class KeyAdmin:
    """Changes go to the key file, from which this and every other worker reads them anew."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    @property
    def _store(self) -> KeyStore:
        config = self._worker.config
        return KeyStore(config.place(config.settings.keys))

    def rows(self) -> list[dict[str, Any]]:
        """All keys, without anything of their texts; raises where the file cannot be read."""
        return [_row(key) for key in self._store.list()]

    def act(self, path: bytes, body: bytes) -> tuple[int, Headers, bytes]:
        """Create, rotate or revoke; the text of a key is in the answer, this once."""
        match = _PATH.fullmatch(path)
        if match is None:
            return _told(404, {"error": "POST /keys, /keys/ID/rotate or /keys/ID/revoke"})
        try:
            answer = self._done(match, body or b"{}")
        except UnknownKeyError:
            return _told(404, {"error": f"no key {match.group(1).decode('ascii', 'replace')}"})
        except (InputError, msgspec.MsgspecError, UnicodeDecodeError) as error:
            asked = NewKey if match.group(1) is None else Rotation
            return _told(422, {"error": _in_request(error, asked)})
        except OSError as error:
            return _told(500, {"error": f"the key file cannot be written: {error.strerror}"})
        problem = self._worker.reloader.reload()
        if problem is not None:  # the change is on disk; what is in use is older
            answer["not_in_use_yet"] = problem
        return _told(200, answer)

    def _done(self, match: re.Match[bytes], body: bytes) -> dict[str, Any]:
        store, now = self._store, time.time()
        if match.group(1) is None:
            asked = msgspec.json.decode(body, type=NewKey)
            key, text = store.create(_terms(asked), now, asked.id)
            return {**_row(key), "key": text}
        key_id = match.group(1).decode("ascii", "replace")
        if match.group(2) == b"revoke":
            return _row(store.revoke(key_id))
        key, text = store.rotate(key_id, msgspec.json.decode(body, type=Rotation).grace_s, now)
        return {**_row(key), "key": text}


def _terms(asked: NewKey) -> KeyTerms:
    return KeyTerms(
        tenant=asked.tenant,
        models=asked.models,
        requests_per_minute=asked.requests_per_minute,
        tokens_per_minute=asked.tokens_per_minute,
        concurrency=asked.concurrency,
        budgets=tuple(
            parse_budget(text, "POST /keys", f"budgets[{index}]")
            for index, text in enumerate(asked.budgets)
        ),
        expires_at=asked.expires_at,
        tags=asked.tags,
        data_class=asked.data_class,
        priority=asked.priority,
    )


def _in_request(error: Exception, asked: type[msgspec.Struct]) -> str:
    """A fault by its JSON field; where the file of the keys lies is not for callers."""
    if isinstance(error, msgspec.ValidationError):
        return _named(str(error), asked)
    if not isinstance(error, InputError):
        return f"the body is no JSON: {error}"
    if not error.field:
        return f"the key file: {error.problem}"
    return f"{error.field.rpartition('.')[2]}: {error.problem}; {error.mend}"


def _named(message: str, asked: type[msgspec.Struct]) -> str:
    """What msgspec found wrong, with the field in front and the nearest name to an unknown one."""
    problem, _, place = message.partition(" - at `$")
    field = place.rstrip("`").lstrip(".")
    unknown = re.search(r"unknown field `(.+)`", problem)
    if unknown is not None:
        mend = nearest(unknown.group(1), [one.name for one in msgspec.structs.fields(asked)])
        return f"{unknown.group(1)}: is not a field; {mend}"
    missing = re.search(r"required field `(.+)`", problem)
    if missing is not None:
        return f"{missing.group(1)}: is missing"
    return f"{field or 'the body'}: {problem[0].lower()}{problem[1:]}"


def _row(key: StoredKey) -> dict[str, Any]:
    terms: dict[str, Any] = msgspec.to_builtins(key.terms)
    return {"id": key.id, **terms, "created_at": key.created_at, "revoked": key.revoked}


def _told(status: int, answer: dict[str, Any]) -> tuple[int, Headers, bytes]:
    return status, JSON, msgspec.json.encode(answer)
