"""One YAML file, validated whole before anything of it is used."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import msgspec

from weighbridge.gateway.admission import Budget, Limit
from weighbridge.gateway.settings import Settings
from weighbridge.gateway.settings_reading import read_settings
from weighbridge.policy.document import load_yaml
from weighbridge.policy.faults import Faults
from weighbridge.policy.reading import POLICY_KEYS, read_policy
from weighbridge.policy.types import Policy
from weighbridge.units import InputError

_P = ParamSpec("_P")
_T = TypeVar("_T")
STATES = ("auto", "memory")
REDIS_SCHEMES = ("redis", "rediss", "unix")


@dataclass(frozen=True, slots=True)
class Config:
    """A whole configuration; paths in it are relative to the file's folder."""

    path: Path
    settings: Settings
    policy: Policy
    limits: tuple[Limit, ...]
    budgets: tuple[Budget, ...]
    is_observed: bool = False  # nothing is refused for a data class that nobody knows

    def place(self, name: str) -> Path:
        """A path from the file, as written if absolute, else below the file's folder."""
        return self.path.parent / name

    @property
    def listen(self) -> tuple[str, int]:
        """Host and port for clients."""
        return host_and_port(self.settings.listen, str(self.path), "listen")

    @property
    def admin_listen(self) -> tuple[str, int]:
        """Host and port for admin and metrics."""
        return host_and_port(self.settings.admin.listen, str(self.path), "admin.listen")


def read_config(path: Path) -> Config:
    """Read and check a file; nothing is opened, started or looked up elsewhere.

    Raises
    ------
    InputError
        Naming the file, the line, the key, what is wrong and the mend; several faults together.
    """
    document, lines = load_yaml(path)
    where = str(path)
    faults = Faults(where, lines)
    own = {key: value for key, value in document.items() if key not in POLICY_KEYS}
    settings = read_settings(own, faults)
    limits = [_gathered(faults, _limit, *each, where) for each in _counted(settings.limits)]
    budgets = [_gathered(faults, _budget, *each, where) for each in _counted(settings.budgets)]
    _gathered(faults, host_and_port, settings.listen, where, "listen")
    _gathered(faults, check_admin_port, settings, where)
    _gathered(faults, check_state, settings.state, where)
    try:
        policy = read_policy(document, where, lines)
        _gathered(faults, _check_paths, settings, policy, where)
        if settings.clients == own.get("clients", settings.clients):  # else it is a fault already
            _gathered(faults, _check_credentials, settings, policy, where)
    except InputError as fault:
        faults.add_error(fault)
        faults.raise_any()
        raise
    faults.raise_any()
    return Config(
        path=path.resolve(),
        settings=settings,
        policy=policy,
        limits=tuple(each for each in limits if each is not None),
        budgets=tuple(each for each in budgets if each is not None),
    )


def _gathered(
    faults: Faults, read: Callable[_P, _T], *given: _P.args, **named: _P.kwargs
) -> _T | None:
    """What a reader answers; its fault is noted with its line, so that the next one can be told."""
    try:
        return read(*given, **named)
    except InputError as fault:
        faults.add(fault.field, fault.problem, fault.mend)
        return None


def _counted(words: Iterable[_T]) -> Iterable[tuple[_T, int]]:
    return ((each, index) for index, each in enumerate(words))


def with_addresses(config: Config, listen: str | None, admin_listen: str | None) -> Config:
    """The same with other addresses, where they are given."""
    settings = config.settings
    if listen is not None:
        host_and_port(listen, "serve", "--listen")
        settings = msgspec.structs.replace(settings, listen=listen)
    if admin_listen is not None:
        host_and_port(admin_listen, "serve", "--admin-listen")
        admin = msgspec.structs.replace(settings.admin, listen=admin_listen)
        settings = msgspec.structs.replace(settings, admin=admin)
    return replace(config, settings=settings)


def host_and_port(text: str, where: str, field: str) -> tuple[str, int]:
    """`127.0.0.1:8080` or `[::1]:8080` as a pair."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65_535 or not host:
        raise InputError(where, field, f"is {text!r}", "give host:port, e.g. 127.0.0.1:8080")
    return host.strip("[]"), int(port)


def check_admin_port(settings: Settings, where: str) -> None:
    """Refuse an admin port without a key that others than this machine reach."""
    host, _ = host_and_port(settings.admin.listen, where, "admin.listen")
    if settings.admin.key is None and not (is_loopback(host) or host == "localhost"):
        problem = f"{host} can be reached from other machines, and there is no admin.key"
        mend = "listen on 127.0.0.1, or set admin.key to env:NAME or file:PATH"
        raise InputError(where, "admin.listen", problem, mend)


def is_loopback(host: str) -> bool:
    """Whether an address is this machine's own, by its number; names can point anywhere."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_state(words: str, where: str) -> None:
    """Refuse a place for shared counts that is unknown, or that holds a password.

    The text is in no message: it may be a secret even where it is misspelt.
    """
    kind, colon, rest = words.partition(":")
    if words in STATES or (colon and rest and kind in ("file", "env")):
        return
    if not colon or kind not in REDIS_SCHEMES:
        mend = "write auto, memory, file:PATH, env:NAME or redis://HOST:PORT/DB"
        raise InputError(where, "state", "names no place that is known", mend)
    told = rest.rpartition("@")[0]
    if ":" in told or re.search(r"[?&]password=", rest):
        mend = "write env:NAME, and put the whole address into that variable"
        raise InputError(where, "state", "holds a password", mend)


def _check_paths(settings: Settings, policy: Policy, where: str) -> None:
    for pattern, named in settings.other_paths.items():
        field = f"other_paths.{pattern}"
        if not pattern.startswith("/v1/"):
            raise InputError(where, field, "does not start with /v1/", "name a path below /v1/")
        targets = targets_named(named)
        for target in targets:
            if target not in policy.targets:
                known = ", ".join(sorted(policy.targets)) or "none"
                raise InputError(
                    where, field, f"names the unknown target {target!r}", f"one of: {known}"
                )
        if not targets or len({policy.targets[name].dialect for name in targets}) < len(targets):
            mend = "name one target, or one for each dialect"
            raise InputError(where, field, "names no target, or two of one dialect", mend)


def targets_named(named: str | tuple[str, ...]) -> tuple[str, ...]:
    """Names of targets, of which there may be one or several."""
    return (named,) if isinstance(named, str) else named


def _check_credentials(settings: Settings, policy: Policy, where: str) -> None:
    """Keys of ours are never shown to a provider."""
    if settings.clients == "passthrough":
        return
    for name, target in policy.targets.items():
        if target.credential.kind == "client":
            field = f"targets.{name}.credential.kind"
            problem = "is client, which would send the gateway's own keys to the provider"
            mend = "name a credential of the target, or write `clients: passthrough`"
            raise InputError(where, field, problem, mend)


def _limit(words: Any, index: int, where: str) -> Limit:
    amounts = (words.requests_per_minute, words.tokens_per_minute, words.concurrency)
    field = f"limits[{index}]"
    if all(amount is None for amount in amounts):
        raise InputError(
            where,
            field,
            "limits nothing",
            "give requests_per_minute, tokens_per_minute or concurrency",
        )
    if any(amount is not None and amount < 1 for amount in amounts):
        raise InputError(where, field, "allows less than one", "give a whole number from 1 on")
    return Limit(words.scope, words.name, *amounts)


def _budget(words: Any, index: int, where: str) -> Budget:
    field = f"budgets[{index}].usd"
    try:
        usd = Decimal(str(words.usd))
    except InvalidOperation:
        raise InputError(where, field, f"is {words.usd!r}", "give dollars, e.g. 250") from None
    if not usd.is_finite() or usd <= 0:
        raise InputError(where, field, f"is {words.usd}", "give dollars above 0")
    return Budget(words.scope, words.name, str(usd), words.period, words.kind)
