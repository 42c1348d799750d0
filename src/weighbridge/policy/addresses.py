"""Addresses as a policy writes them, checked before anything connects to them."""

from __future__ import annotations

import ipaddress
from urllib.parse import SplitResult, urlsplit

from weighbridge.policy.fields import Fields

_INSIDE = (".local", ".internal", ".localhost", ".svc", ".lan", ".home.arpa")


def read_url(fields: Fields, name: str, mend: str, schemes: tuple[str, ...]) -> str | None:
    """An address with scheme and host and nothing that belongs elsewhere; no slash at its end."""
    text = fields.text(name, mend)
    if text is None:
        return None
    parts = split(text)
    if parts is None or parts.scheme not in schemes or not parts.hostname:
        schemes_told = " or ".join(f"{scheme}://" for scheme in schemes)
        fields.fault(name, f"is no address with {schemes_told} and a host", mend)
        return None
    if parts.username is not None or parts.password is not None:
        fields.fault(name, "holds a user or a password", "leave it out of the address")
        return None
    if parts.query or parts.fragment or text.endswith(("?", "#")):
        fields.fault(name, "holds a query or a fragment", "put a query under `query`")
        return None
    return text.rstrip("/")


def split(text: str) -> SplitResult | None:
    """Parts of an address; None where it is none (a space, a bad port, a bad bracket)."""
    if not text.isascii() or any(character.isspace() for character in text):
        return None
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return None
    return None if port == 0 else parts


def stays_inside(url: str) -> bool:
    """Whether an address is on this machine or in a private network, as far as its name tells.

    >>> stays_inside("http://10.1.2.3:8000/v1"), stays_inside("http://vllm:8000/v1")
    (True, True)
    >>> stays_inside("http://api.example.com/v1"), stays_inside("http://8.8.8.8/v1")
    (False, False)
    """
    host = (urlsplit(url).hostname or "").rstrip(".")
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return "." not in host or host.endswith(_INSIDE) or ".svc." in host
    return address.is_loopback or address.is_private or address.is_link_local
