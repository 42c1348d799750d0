"""What one client may send, and how slowly."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WireLimits:
    """Bounds of the server side; the defaults are safe in front of the open internet."""

    max_body_bytes: int = 32 * 1024 * 1024
    max_head_bytes: int = 64 * 1024
    max_target_bytes: int = 16 * 1024
    max_headers: int = 100
    max_pipelined: int = 16  # whole requests that wait behind the one being answered
    max_behind_bytes: int = 256 * 1024  # and their bytes; beyond either, reading stops
    max_connections: int = 20_000
    idle_s: float = 75.0  # between two requests, or before the first
    head_s: float = 10.0  # from a head's first byte to its last
    body_s: float = 60.0  # for a body, on top of what `min_body_bytes_per_s` grants
    min_body_bytes_per_s: int = 64 * 1024
    write_stall_s: float = 60.0  # a client that takes less than `stall_bytes` in this time is cut
    stall_bytes: int = 16 * 1024
    linger_s: float = 2.0  # how long a refused client may go on sending before it is cut
    write_high_bytes: int = 64 * 1024
    write_low_bytes: int = 16 * 1024
