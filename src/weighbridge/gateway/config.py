"""One YAML file, validated whole before anything of it is used."""

from __future__ import annotations

import difflib
import ipaddress
import re
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import msgspec

from weighbridge.gateway.admission import Budget, Limit
from weighbridge.gateway.settings import Settings
from weighbridge.policy.document import load_yaml
from weighbridge.policy.reading import read_policy
from weighbridge.policy.types import Policy
from weighbridge.units import InputError

POLICY_KEYS = ("targets", "models", "rules", "data_classes")
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
        Naming the file, the key, what is wrong and the mend.
    """
    document, lines = load_yaml(path)
    where = str(path)
    own = {key: value for key, value in document.items() if key not in POLICY_KEYS}
    settings = _settings(own, where)
    policy = read_policy(document, where, lines)
    for field, text in (("listen", settings.listen), ("admin.listen", settings.admin.listen)):
        host_and_port(text, where, field)
    check_admin_port(settings, where)
    check_state(settings.state, where)
    _check_paths(settings, policy, where)
    _check_credentials(settings, policy, where)
    return Config(
        path=path.resolve(),
        settings=settings,
        policy=policy,
        limits=tuple(_limit(words, index, where) for index, words in enumerate(settings.limits)),
        budgets=tuple(_budget(words, index, where) for index, words in enumerate(settings.budgets)),
    )


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


def _settings(document: dict[str, Any], where: str) -> Settings:
    try:
        return msgspec.convert(document, Settings)
    except msgspec.ValidationError as error:
        raise _told(str(error), where) from None


def _told(message: str, where: str) -> InputError:
    """A message of msgspec as one of ours: "… - at `$.spool.path`" names the field."""
    problem, _, place = message.partition(" - at `$")
    field = place.rstrip("`").lstrip(".").replace("[...]", "")
    unknown = re.search(r"unknown field `(.+)`", problem)
    if unknown is None:
        return InputError(where, field, problem[0].lower() + problem[1:], "see configuration.md")
    name = unknown.group(1)
    known = [*_known_names(field), *(() if field else POLICY_KEYS)]
    near = difflib.get_close_matches(name, known, n=1)
    mend = f"did you mean {near[0]}?" if near else f"known here: {', '.join(sorted(known))}"
    full = f"{field}.{name}" if field else name
    return InputError(where, full, "is not a key that is known", mend)


def _known_names(field: str) -> tuple[str, ...]:
    kind: Any = Settings
    for part in re.sub(r"\[\d*\]", "", field).split("."):
        if not part:
            continue
        annotation = next((f.type for f in msgspec.structs.fields(kind) if f.name == part), None)
        kind = _struct_in(annotation)
        if kind is None:
            return ()
    return tuple(f.name for f in msgspec.structs.fields(kind))


def _struct_in(annotation: Any) -> Any:
    if isinstance(annotation, type) and issubclass(annotation, msgspec.Struct):
        return annotation
    inner = [_struct_in(part) for part in getattr(annotation, "__args__", ())]
    return next((kind for kind in inner if kind is not None), None)


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
