"""Observe-only: the same configuration, with nothing refused, moved or repeated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from weighbridge.gateway.config import Config
from weighbridge.gateway.settings import RetryWords, Settings
from weighbridge.policy.reading import read_policy
from weighbridge.policy.types import Match, Policy, ProviderCaps, Rule
from weighbridge.units import InputError


def observed(config: Config) -> Config:
    """One target per model, no limits, no budgets, one attempt: requests are only metered.

    Rules keep the models that they name and their first target; data classes do not apply, since
    nothing is sent anywhere but where its model always went.
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
    plain = Policy(f"{policy.version}-observe", targets, tuple(in_order), {})
    return replace(config, settings=settings, policy=plain, limits=(), budgets=())


def observing_config(upstreams: Sequence[tuple[str, str | None]], folder: Path) -> Config:
    """A configuration made from addresses alone: clients keep showing their providers' own keys.

    Each upstream is a URL up to its version part and its dialect, where that is known.
    """
    document: dict[str, Any] = {"targets": {}, "rules": []}
    for url, dialect in upstreams:
        host = urlsplit(url).hostname
        if host is None:
            raise InputError(
                "serve", "--upstream", f"{url!r} is no URL", "e.g. http://host:8000/v1"
            )
        spoken = dialect or ("anthropic" if "anthropic" in host else "openai")
        if any(
            document["targets"][rule["targets"][0]]["dialect"] == spoken
            for rule in document["rules"]
        ):
            problem = f"{url} is the second one that speaks {spoken}"
            raise InputError("serve", "--upstream", problem, "write a CONFIG to tell them apart")
        name = host.replace(".", "-")
        if name in document["targets"]:  # one host may speak both, at two ports or at one
            name = f"{name}-{spoken}"
        document["targets"][name] = {
            "url": url,
            "dialect": spoken,
            "provider": _provider_of(host),
            "credential": {"kind": "client"},
        }
        document["rules"].append({"name": f"all-{spoken}", "targets": [name]})
    settings = Settings(clients="passthrough", other_paths={"/v1/*": tuple(document["targets"])})
    policy = read_policy(document, "serve --upstream")
    return Config((folder / "none.yaml").resolve(), settings, policy, (), ())


def _provider_of(host: str) -> str | None:
    for provider in ("openai", "anthropic", "groq", "mistral", "deepseek", "openrouter"):
        if provider in host:
            return provider
    return None
