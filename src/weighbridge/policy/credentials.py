"""How a target's credential is written: by reference only, never the secret itself."""

from __future__ import annotations

import re
from typing import cast

from weighbridge.policy.fields import Fields
from weighbridge.policy.types import Credential, CredentialKind, Dialect, SecretRef

KINDS: tuple[CredentialKind, ...] = ("bearer", "anthropic", "azure", "client", "none")
_KEY_MEND = "write `env:NAME` (an environment variable) or `file:PATH`"
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def read_credential(target: Fields, dialect: Dialect, provider: str | None) -> Credential:
    """From `credential: {kind, env|file}` or the short `key: env:NAME`."""
    if target.has("key", "credential"):
        if target.has("key") and target.has("credential"):
            target.fault("key", "and credential are both given", "keep one of the two")
        elif target.has("key"):
            return Credential(_usual_kind(dialect, provider), _short_form(target, "key"))
        else:
            return _long_form(target, dialect, provider)
    return Credential()


def _usual_kind(dialect: Dialect, provider: str | None) -> CredentialKind:
    if dialect == "anthropic":
        return "anthropic"
    return "azure" if (provider or "").lower().startswith("azure") else "bearer"


def _short_form(fields: Fields, name: str) -> SecretRef | None:
    # A value that is no reference may be the secret itself: it is never quoted.
    text = fields.raw(name)
    kind, colon, rest = text.partition(":") if isinstance(text, str) else ("", "", "")
    if not colon or kind not in {"env", "file"} or not rest.strip():
        fields.fault(name, "is no reference to a secret (a secret never stands here)", _KEY_MEND)
        return None
    return _env(fields, name, rest) if kind == "env" else _file(fields, name, rest)


def _long_form(target: Fields, dialect: Dialect, provider: str | None) -> Credential:
    hints = dict.fromkeys(("key", "token", "value", "secret", "api_key"), "write `env: NAME`")
    fields = target.inner("credential", ("kind", "env", "file"), hints)
    kind = cast("CredentialKind | None", fields.choice("kind", KINDS)) or _usual_kind(
        dialect, provider
    )
    env, file = fields.raw("env"), fields.raw("file")
    if kind in {"client", "none"}:
        if env is not None or file is not None:
            fields.fault(
                "kind", f"is {kind}, which sends no secret of ours", "leave out env and file"
            )
        return Credential(kind)
    if (env is None) == (file is None):
        fields.fault(
            "env", "and file: one of the two is needed", "write `env: NAME` or `file: PATH`"
        )
        return Credential(kind)
    ref = _env(fields, "env", env) if file is None else _file(fields, "file", file)
    return Credential(kind, ref)


def _env(fields: Fields, name: str, value: object) -> SecretRef | None:
    if isinstance(value, str) and _ENV_NAME.fullmatch(value.strip()):
        return SecretRef(env=value.strip())
    problem = "is no name of an environment variable (a secret never stands here)"
    fields.fault(name, problem, "name a variable in letters, digits and _, as in OPENAI_API_KEY")
    return None


def _file(fields: Fields, name: str, value: object) -> SecretRef | None:
    if isinstance(value, str) and value.strip() and value.isprintable():
        return SecretRef(file=value.strip())
    fields.fault(name, "is no path", "name the file that holds the secret")
    return None
