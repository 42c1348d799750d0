"""The stand-in's own paths, `/rehearsal/…`: its bill, what it saw, faults and figures by order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import msgspec

from weighbridge.rehearsal.provider_engine import EngineSays, engine_says
from weighbridge.rehearsal.provider_settings import Fault
from weighbridge.rehearsal.provider_wire import Connection, Received

JSON = ("content-type", "application/json")


class Administered(Protocol):
    """What can be read and set from outside."""

    says: EngineSays

    def bill(self) -> dict[str, Any]: ...
    def stats(self) -> dict[str, Any]: ...
    def faults(self) -> list[dict[str, Any]]: ...
    def add_fault(self, fault: Fault) -> None: ...
    def clear_faults(self) -> None: ...
    def reset(self) -> None: ...


def administer(provider: Administered, connection: Connection, received: Received) -> None:
    """Answer a request to one of the stand-in's own paths."""
    found = _PATHS.get((received.method, received.path))
    if found is None:
        connection.whole(404, [JSON], b"{}")
        return
    try:
        told = found(provider, received.body)
    except (msgspec.MsgspecError, ValueError) as bad:
        text = msgspec.json.encode({"error": {"message": str(bad)}})
        connection.whole(400, [JSON], text)
        return
    connection.whole(200, [JSON], msgspec.json.encode(told))


def _order_faults(provider: Administered, body: bytes) -> Any:
    told = msgspec.json.decode(body)
    rules = msgspec.convert(told if isinstance(told, list) else [told], list[Fault])
    for rule in reversed(rules):
        provider.add_fault(rule)
    return provider.faults()


def _clear_faults(provider: Administered, body: bytes) -> Any:  # noqa: ARG001  # one signature
    provider.clear_faults()
    return []


def _set_engine(provider: Administered, body: bytes) -> Any:
    provider.says = engine_says(msgspec.json.decode(body))
    return provider.says


def _reset(provider: Administered, body: bytes) -> Any:  # noqa: ARG001  # one signature
    provider.reset()
    return {"reset": True}


_PATHS: dict[tuple[str, str], Callable[[Administered, bytes], Any]] = {
    ("GET", "/rehearsal/bill"): lambda provider, _: provider.bill(),
    ("GET", "/rehearsal/stats"): lambda provider, _: provider.stats(),
    ("GET", "/rehearsal/faults"): lambda provider, _: provider.faults(),
    ("POST", "/rehearsal/faults"): _order_faults,
    ("DELETE", "/rehearsal/faults"): _clear_faults,
    ("POST", "/rehearsal/engine"): _set_engine,
    ("POST", "/rehearsal/reset"): _reset,
}
