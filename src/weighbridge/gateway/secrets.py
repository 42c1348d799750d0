"""Secrets by reference: read when a configuration takes effect, kept out of logs and answers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from weighbridge.policy.types import SecretRef
from weighbridge.units import InputError


def read_secret(ref: SecretRef, environ: Mapping[str, str], where: str, field: str) -> str:
    """The text that a reference points to, without surrounding white space.

    Raises
    ------
    InputError
        Where it is missing, empty, or could not stand in a header.
    """
    if ref.env is not None:
        text = environ.get(ref.env, "")
        source, mend = f"environment variable {ref.env}", f"set {ref.env} before starting"
    else:
        source, mend = f"file {ref.file}", "make the file readable, with the secret as its text"
        try:
            text = Path(ref.file or "").read_text(encoding="utf-8")
        except OSError as error:
            raise InputError(where, field, f"{source}: {error.strerror}", mend) from None
    text = text.strip()
    if not text:
        raise InputError(where, field, f"{source} is not set or empty", mend)
    if not text.isascii() or not text.isprintable():
        raise InputError(where, field, f"{source} holds bytes that no header may carry", mend)
    return text


def ref_of(text: str, where: str, field: str) -> SecretRef:
    """`env:NAME` or `file:PATH`; a secret itself is refused."""
    kind, colon, name = text.partition(":")
    if colon and name and kind == "env":
        return SecretRef(env=name)
    if colon and name and kind == "file":
        return SecretRef(file=name)
    raise InputError(
        where, field, "is no reference to a secret", "write env:NAME or file:PATH, never the secret"
    )
