"""What a configuration names outside its own file, looked at as `serve` would at its start."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from weighbridge.catalog.prices import compile_prices
from weighbridge.gateway.config import Config
from weighbridge.gateway.key_store import KeyStore
from weighbridge.gateway.listening import client_tls
from weighbridge.gateway.secrets import read_secret, ref_of
from weighbridge.policy.faults import Faults
from weighbridge.units import InputError


def check_outside(config: Config, environ: Mapping[str, str]) -> None:
    """Look at the keys, secrets, prices and certificates that are named; nothing is written.

    Variables that targets name are left to notes: they may be set only where the gateway will run.

    Raises
    ------
    InputError
        For all that would keep the gateway from starting.
    """
    faults = Faults(str(config.path))
    for look in _looks(config, environ):
        try:
            look()
        except InputError as fault:
            faults.add_error(fault)
    faults.raise_any()


def _looks(config: Config, environ: Mapping[str, str]) -> Iterator[Callable[[], object]]:
    settings, where = config.settings, str(config.path)

    def secret(words: str, field: str) -> Callable[[], object]:
        return lambda: read_secret(ref_of(words, where, field), environ, where, field)

    if settings.clients == "keys":
        yield KeyStore(config.place(settings.keys)).load
    if settings.admin.key is not None:
        yield secret(settings.admin.key, "admin.key")
    if settings.state.startswith("env:"):
        yield secret(settings.state, "state")
    if settings.prices is not None:
        prices = config.place(settings.prices)
        yield lambda: compile_prices(prices)
    yield lambda: client_tls(config)
    for target in config.policy.targets.values():
        ref = target.credential.secret
        if ref is not None and ref.env is None:
            yield secret(f"file:{ref.file}", f"targets.{target.name}.credential")
