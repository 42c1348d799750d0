"""What the catalog and the environment say of a policy: told by `config check`, never at load."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import TYPE_CHECKING

from weighbridge.policy.types import Policy, SecretRef, Target

if TYPE_CHECKING:
    from weighbridge.catalog.facts import Catalog
    from weighbridge.catalog.prices import PriceBook


def price_notes(policy: Policy, book: PriceBook) -> Iterator[str]:
    """Targets whose requests will be `unpriced`, as far as their models are known."""
    for target in policy.targets.values():
        if target.self_hosted is not None:
            continue
        for model in models_of(policy, target):
            why = book.explain_missing(target.provider, model)
            if why:
                yield f"targets.{target.name}: requests for {model} will be unpriced: {why}"


def models_of(policy: Policy, target: Target) -> list[str]:
    """Names under which a target's prices are looked up; empty where clients choose them."""
    fixed = target.price_model or target.model
    if fixed is not None:
        return [fixed]
    names: dict[str, None] = {}
    for rule in policy.rules:
        if target.name in {*(w.target for w in rule.targets), *rule.fallback}:
            names |= dict.fromkeys(n for n in rule.match.models if not n.endswith("*"))
    return list(names)


def gpu_notes(policy: Policy, catalog: Catalog) -> Iterator[str]:
    """GPUs that the catalog does not list, with the nearest that it does."""
    for target in policy.targets.values():
        own = target.self_hosted
        if own is None or own.gpu in catalog.gpus:
            continue
        close = get_close_matches(own.gpu, catalog.gpus, n=1, cutoff=0.4)
        mend = f"did you mean `{close[0]}`?" if close else "a study will need a row of your own"
        yield f"targets.{target.name}.self_hosted.gpu: {own.gpu!r} is not in the catalog: {mend}"


def secret_notes(policy: Policy, environ: Mapping[str, str]) -> Iterator[str]:
    """Environment variables that credentials need and that are not set where this runs."""
    for target in policy.targets.values():
        ref = target.credential.secret or SecretRef()
        if ref.env is not None and not environ.get(ref.env):
            yield f"targets.{target.name}: the variable {ref.env} is not set here"
