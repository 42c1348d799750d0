"""How clients may connect: limits of the wire and TLS, from the configuration."""

from __future__ import annotations

import ssl
from dataclasses import replace

from weighbridge.gateway.config import Config
from weighbridge.gateway.settings import HttpSettings
from weighbridge.gateway.wire.limits import WireLimits
from weighbridge.units import InputError

MIB, KIB = 1024 * 1024, 1024
# What is sent to the admin port is small.
ADMIN_LIMITS = replace(WireLimits(), max_body_bytes=MIB, max_connections=200)


def wire_limits(http: HttpSettings) -> WireLimits:
    """Limits on what clients send and how fast."""
    return replace(
        WireLimits(),
        max_body_bytes=http.max_body_mib * MIB,
        max_head_bytes=http.max_head_kib * KIB,
        max_headers=http.max_headers,
        max_connections=http.max_connections,
        idle_s=http.idle_s,
        head_s=http.head_s,
        body_s=http.body_s,
        write_stall_s=http.write_stall_s,
    )


def client_tls(config: Config) -> ssl.SSLContext | None:
    """TLS towards clients, where it is asked for."""
    words = config.settings.tls
    if words is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(config.place(words.cert_file), config.place(words.key_file))
    except OSError as error:
        problem, mend = f"cannot be read: {error}", "name PEM files of a certificate and its key"
        raise InputError(str(config.path), "tls", problem, mend) from None
    return context
