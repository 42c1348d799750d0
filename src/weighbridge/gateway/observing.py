"""Observe-only: the same configuration, with nothing refused, moved or repeated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from weighbridge.gateway.config import Config
from weighbridge.gateway.settings import RetryWords, Settings
from weighbridge.policy.reading import read_policy
from weighbridge.policy.types import DIALECTS, UNRESTRICTED, Match, Policy, ProviderCaps, Rule
from weighbridge.units import InputError


def observed(config: Config) -> Config:
    """One target per model, no limits, no budgets, one attempt: requests are only metered.

    Rules keep the models that they name and their first target; data classes restrict nothing,
    since nothing is sent anywhere but where its model always went.
    """
    policy = config.policy
    rules: dict[tuple[str, ...], Rule] = {}
    for rule in policy.rules:
        dialect = policy.targets[rule.targets[0].target].dialect
        match = Match(models=rule.match.models)
        key = (dialect, *rule.match.models)
        rules.setdefault(key, Rule(rule.name, rule.targets[:1], match))
    targets = {
        name: replace(target, caps=ProviderCaps()) for name, target in policy.targets.items()
    }
    settings = msgspec.structs.replace(
        config.settings, limits=(), budgets=(), retry=RetryWords(max_attempts=1)
    )
    in_order = sorted(rules.values(), key=lambda rule: not rule.match.models)
    classes: dict[str, tuple[str, ...]] = dict.fromkeys(policy.data_classes, UNRESTRICTED)
    plain = Policy(f"{policy.version}-observe", targets, tuple(in_order), classes)
    return replace(config, settings=settings, policy=plain, limits=(), budgets=(), is_observed=True)


def observing_config(upstreams: Sequence[tuple[str, str | None]], folder: Path) -> Config:
    """A configuration made from addresses alone: clients keep showing their providers' own keys.

    Each upstream is a URL up to its version part and its dialect, where that is known. One whose
    dialect is not known, as a proxy may be, is asked in whichever dialects no other one speaks.
    """
    spoken = [dialect or _dialect_of(_host_of(url)) for url, dialect in upstreams]
    document: dict[str, Any] = {"targets": {}, "rules": []}
    for dialect in DIALECTS:
        urls = [url for (url, _), one in zip(upstreams, spoken, strict=True) if one == dialect]
        urls = urls or [url for (url, _), one in zip(upstreams, spoken, strict=True) if not one]
        if len(urls) > 1:
            problem = f"{urls[1]} is the second one that speaks {dialect}"
            raise InputError("serve", "--upstream", problem, "write a CONFIG to tell them apart")
        for url in urls:
            _add(document, url, dialect)
    asked = {target["url"] for target in document["targets"].values()}
    for url, _ in upstreams:
        if url not in asked:
            problem = f"{url} is left without a dialect: the other ones speak all there are"
            raise InputError("serve", "--upstream", problem, "write a CONFIG to tell them apart")
    settings = Settings(clients="passthrough", other_paths={"/v1/*": tuple(document["targets"])})
    policy = read_policy(document, "serve --upstream")
    return Config((folder / "none.yaml").resolve(), settings, policy, (), ())


def _add(document: dict[str, Any], url: str, dialect: str) -> None:
    host = _host_of(url)
    name = host.replace(".", "-")
    if name in document["targets"]:  # one host may speak both, at two ports or at one
        name = f"{name}-{dialect}"
    document["targets"][name] = {
        "url": url,
        "dialect": dialect,
        "provider": _provider_of(host),
        "credential": {"kind": "client"},
    }
    document["rules"].append({"name": f"all-{dialect}", "targets": [name]})


def _host_of(url: str) -> str:
    host = urlsplit(url).hostname
    if host is None:
        close = get_close_matches(url, DIALECTS, n=1)
        mend = f"did you mean `{close[0]}`?" if close else "e.g. openai, or http://host:8000/v1"
        raise InputError("serve", "--upstream", f"{url!r} is no URL", mend)
    return host


def _dialect_of(host: str) -> str | None:
    """What a provider's own host speaks; proxies and engines may speak both."""
    labels = host.split(".")
    return next((dialect for dialect in DIALECTS if dialect in labels[1:]), None)


def _provider_of(host: str) -> str | None:
    for provider in ("openai", "anthropic", "groq", "mistral", "deepseek", "openrouter"):
        if provider in host:
            return provider
    return None
