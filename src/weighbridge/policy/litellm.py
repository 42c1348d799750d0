"""A LiteLLM proxy `config.yaml` as a configuration of ours, and what could not be carried."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from weighbridge.policy.litellm_deployments import Deployment, Notes, read_deployment
from weighbridge.policy.targets import TARGET_FIELDS
from weighbridge.policy.types import DIALECTS

_SECTIONS = ("model_list", "router_settings", "litellm_settings", "general_settings")
_CARRIED = {
    "router_settings": {
        "fallbacks", "num_retries", "timeout", "stream_timeout", "model_group_alias",
        "redis_host", "redis_port", "default_fallbacks", "redis_password", "redis_url",
        "routing_strategy",
    },
    "litellm_settings": {"fallbacks", "default_fallbacks", "request_timeout", "num_retries"},
    "general_settings": set[str](),
}  # fmt: skip
_WHY = {
    "allowed_fails": "targets that fail are left out by a breaker of our own",
    "cooldown_time": "targets that fail are left out by a breaker of our own",
    "retry_policy": "what is safe to repeat is decided by the fault, not by settings",
    "retry_after": "a provider's Retry-After is honoured",
    "context_window_fallbacks": "write a rule that matches input_tokens",
    "content_policy_fallbacks": "a refusal by the provider is an answer and is passed on",
    "drop_params": "requests go out as the client wrote them",
    "cache": "answers are not cached",
    "cache_params": "answers are not cached",
    "success_callback": "every request is a record of the ledger",
    "failure_callback": "every request is a record of the ledger",
    "callbacks": "every request is a record of the ledger",
    "master_key": "make keys with `weighbridge keys`, and name `admin: {key: env:…}`",
    "database_url": "no database is needed",
    "database_connection_pool_limit": "no database is needed",
    "store_model_in_db": "no database is needed: models stored there are not in this file",
    "alerting": "read /metrics, and budgets of kind soft",
    "max_parallel_requests": "write `caps: {concurrency: …}` on each target",
    "global_max_parallel_requests": "write `limits`",
    "max_budget": "write `budgets`",
    "budget_duration": "write `budgets`",
    "background_health_checks": "write `health` on a target",
    "include": "convert each included file too",
    "credential_list": "write `key: env:NAME` on each target",
    "environment_variables": "set them where the gateway starts",
}


def from_litellm(
    document: Mapping[str, Any], environ: Mapping[str, str] | None = None
) -> tuple[dict[str, Any], list[str]]:
    """Our document, and by dotted path what it leaves out and why.

    `environ` resolves addresses that stand in the environment; secrets stay references. Anthropic
    deployments become two targets: one of their own API, and one of Anthropic's endpoint for
    OpenAI clients, since LiteLLM translated and we do not.
    """
    notes = Notes()
    settings = {name: _mapping(document.get(name)) for name in _SECTIONS[1:]}
    timeouts = _timeouts(settings)
    raw_list = document.get("model_list")
    found = [
        read_deployment(raw, f"model_list[{i}]", environ or {}, timeouts, notes)
        for i, raw in enumerate(raw_list if isinstance(raw_list, list) else [])
    ]
    named = _named([each for each in found if each is not None], notes)
    new: dict[str, Any] = {
        "targets": {name: _in_order(each.target) for name, each in named.items()}
    }
    new |= _routes(named, settings, notes)
    new |= _retry(settings, notes) | _state(settings["router_settings"], notes)
    _not_carried(document, settings, notes)
    return new, notes.lines


def _in_order(target: dict[str, Any]) -> dict[str, Any]:
    return {name: target[name] for name in TARGET_FIELDS if name in target}


def _mapping(raw: object) -> dict[str, Any]:
    return raw if isinstance(raw, dict) else {}


def _timeouts(settings: Mapping[str, dict[str, Any]]) -> dict[str, object]:
    router, library = settings["router_settings"], settings["litellm_settings"]
    found = {
        "timeout": router.get("timeout", library.get("request_timeout")),
        "stream_timeout": router.get("stream_timeout"),
    }
    return {name: value for name, value in found.items() if value is not None}


def _named(found: list[Deployment], notes: Notes) -> dict[str, Deployment]:
    """Deployments by a name of their own; those of Anthropic's API once more for OpenAI clients."""
    named: dict[str, Deployment] = {}
    n_in_group = {each.group: sum(other.group == each.group for other in found) for each in found}
    for each in found:
        base = each.wanted_name[:80]
        base = base if n_in_group[each.group] == 1 else f"{base}-{each.prefix}"
        named[_free(base, named)] = each
        if each.dialect == "anthropic":
            target = {k: v for k, v in each.target.items() if k != "dialect"}
            twin = Deployment(each.group, base, target, each.prefix, each.weights, each.order)
            name = _free(f"{base}-openai", named)
            named[name] = twin
            why = "serves OpenAI clients by Anthropic's compatible endpoint, without prompt caching"
            notes.add(f"targets.{name}", f"{why}; use /v1/messages where you can")
            if "caps" in target:
                notes.add(f"targets.{name}.caps", f"are those of {base} once more: divide them")
    return named


def _free(name: str, taken: Mapping[str, object]) -> str:
    n_tries, free = 1, name
    while free in taken:
        n_tries += 1
        free = f"{name}-{n_tries}"
    return free


def _routes(
    named: Mapping[str, Deployment], settings: Mapping[str, dict[str, Any]], notes: Notes
) -> dict[str, Any]:
    aliases = _aliases(settings["router_settings"], {d.group for d in named.values()}, notes)
    fallbacks = _fallbacks(settings, {d.group for d in named.values()}, notes)
    models: dict[str, Any] = {}
    rules: list[dict[str, Any]] = []
    for group in dict.fromkeys(each.group for each in named.values()):
        names = [group, *(alias for alias, to in aliases.items() if to == group)]
        for dialect in DIALECTS:
            own = _of(named, group, dialect)
            if not own:
                continue
            others = [n for to in fallbacks.get(group, ()) for n in _of(named, to, dialect)]
            route = _route(own, others)
            if dialect == "openai":
                models |= dict.fromkeys(names, route if len(route) > 1 else route["targets"])
            else:
                name = f"{group} ({dialect})"
                rules.append({"name": name, "match": {"model": names}, **route})
                left = [to for to in fallbacks.get(group, ()) if not _of(named, to, dialect)]
                if left:
                    why = "of LiteLLM's fallbacks and default_fallbacks: no Anthropic API there"
                    notes.add(f"rules.{name}.fallback", f"leaves out {', '.join(left)} {why}")
    return ({"rules": rules} if rules else {}) | {"models": models}


def _of(named: Mapping[str, Deployment], group: str, dialect: str) -> dict[str, Deployment]:
    return {n: d for n, d in named.items() if d.group == group and d.dialect == dialect}


def _route(own: dict[str, Deployment], others: list[str]) -> dict[str, Any]:
    """Targets of the lowest order by weight; the rest of the group, then other groups, after."""
    by_order: dict[float, list[str]] = {}
    for name, each in own.items():
        order = float("inf") if each.order is None else each.order
        by_order.setdefault(order, []).append(name)
    orders = sorted(by_order)
    first = by_order[orders[0]]
    kind = next((k for k in ("weight", "rpm", "tpm") if k in own[first[0]].weights), None)
    weights = [max(own[name].weights.get(kind or "", 0.0), 0.0) for name in first]
    even = len(set(weights)) == 1
    targets: list[Any] = [
        name if even else {"target": name, "weight": weight}
        for name, weight in zip(first, weights, strict=True)
    ]
    rest = [name for order in orders[1:] for name in by_order[order]]
    fallback = list(dict.fromkeys([*(first if len(first) > 1 else ()), *rest, *others]))
    fallback = fallback if first != fallback[:1] else fallback[1:]
    return {"targets": targets[0] if targets == first[:1] else targets} | (
        {"fallback": fallback} if fallback else {}
    )


def _aliases(router: Mapping[str, Any], groups: set[str], notes: Notes) -> dict[str, str]:
    found: dict[str, str] = {}
    for alias, to in _mapping(router.get("model_group_alias")).items():
        group = to.get("model") if isinstance(to, dict) else to
        path = f"router_settings.model_group_alias.{alias}"
        if group not in groups or str(alias) in groups or "*" in str(alias)[:-1]:
            notes.add(path, "names no group that was carried, or is itself the name of one")
        else:
            found[str(alias)] = str(group)
    return found


def _fallbacks(
    settings: Mapping[str, dict[str, Any]], groups: set[str], notes: Notes
) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    general: list[str] = []
    for section in ("router_settings", "litellm_settings"):
        for path, group, to in _fallback_entries(section, settings[section]):
            carried = [name for name in to if name in groups]
            for name in set(to) - set(carried):
                notes.add(path, f"{name} is no group that was carried")
            if group == "*":
                general += carried
            elif group in groups:
                found.setdefault(group, carried)
            else:
                notes.add(path, f"{group} is no group that was carried")
    for group in groups:
        others = found.setdefault(group, [name for name in general if name != group])
        if not others:
            del found[group]
    return found


def _fallback_entries(
    section: str, settings: Mapping[str, Any]
) -> Iterator[tuple[str, str, list[str]]]:
    listed = settings.get("fallbacks")
    for index, entry in enumerate(listed if isinstance(listed, list) else []):
        for group, to in _mapping(entry).items():
            names = to if isinstance(to, list) else [to]
            yield f"{section}.fallbacks[{index}].{group}", str(group), [str(n) for n in names]
    general = settings.get("default_fallbacks")
    if isinstance(general, list):
        yield f"{section}.default_fallbacks", "*", [str(name) for name in general]


def _retry(settings: Mapping[str, dict[str, Any]], notes: Notes) -> dict[str, Any]:
    router, library = settings["router_settings"], settings["litellm_settings"]
    section = "router_settings" if "num_retries" in router else "litellm_settings"
    n_retries = router.get("num_retries", library.get("num_retries"))
    if n_retries is None:
        return {}
    if isinstance(n_retries, bool) or not isinstance(n_retries, int) or not 0 <= n_retries <= 100:
        notes.add(f"{section}.num_retries", "is no whole number from 0 to 100")
        return {}
    why = "retry.max_attempts counts fallbacks too, so it is one more than LiteLLM's attempts"
    notes.add(f"{section}.num_retries", why)
    return {"retry": {"max_attempts": n_retries + 2}}


def _state(router: Mapping[str, Any], notes: Notes) -> dict[str, Any]:
    host, port = router.get("redis_host"), router.get("redis_port", 6379)
    if router.get("redis_url") or router.get("redis_password"):
        name = "redis_url" if router.get("redis_url") else "redis_password"
        notes.add(f"router_settings.{name}", "may hold a secret: write `state: redis://…` yourself")
        return {}
    known = isinstance(host, str) and host and not host.startswith("os.environ/")
    if known and str(port).isdecimal():
        return {"state": f"redis://{host}:{port}"}
    if host is not None:
        notes.add("router_settings.redis_host", "write `state: redis://host:port` yourself")
    return {}


def _not_carried(
    document: Mapping[str, Any], settings: Mapping[str, dict[str, Any]], notes: Notes
) -> None:
    strategy = settings["router_settings"].get("routing_strategy", "simple-shuffle")
    if strategy != "simple-shuffle":
        why = "targets share by weight, and leave out those that fail or are full"
        notes.add("router_settings.routing_strategy", why)
    for section, values in settings.items():
        for name in values:
            if name not in _CARRIED[section]:
                notes.add(f"{section}.{name}", _WHY.get(name, "has no counterpart"))
    for name in document:
        if name not in _SECTIONS:
            notes.add(str(name), _WHY.get(str(name), "has no counterpart"))
