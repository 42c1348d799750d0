"""What one configuration comes to at run time; a reload makes a new one, whole or not at all.

Requests in flight keep the setup that they started with. Targets that a reload does not change keep
their connections, health and gate.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

import msgspec

from weighbridge.catalog.price_tables import ModelPrices, service_tier_of
from weighbridge.gateway.admission import Admission, Claim, Refusal, VirtualKey
from weighbridge.gateway.admission.rules import ANY, names_of
from weighbridge.gateway.breaker import TargetHealth
from weighbridge.gateway.calls import CallContext, RetrySettings
from weighbridge.gateway.config import Config, targets_named
from weighbridge.gateway.dialects.endpoints import stateful_id_in
from weighbridge.gateway.homes import StateHomes
from weighbridge.gateway.keys import KeyRing, model_refusal
from weighbridge.gateway.live import Live, most_output_tokens
from weighbridge.gateway.retry_budget import RetryBudget
from weighbridge.gateway.secrets import read_secret
from weighbridge.ledger.exact import Pricer
from weighbridge.ledger.prompt_shape import PromptShaper
from weighbridge.policy.matching import Matcher, may_reach
from weighbridge.policy.patterns import fits_any
from weighbridge.policy.types import Dialect, Match, NoRoute, Policy, Route, Rule, Target

if TYPE_CHECKING:
    from weighbridge.gateway.dialects.ask import Ask
    from weighbridge.gateway.exchange import Exchange
    from weighbridge.gateway.wire.messages import Upstream

STATUS_OF_NO_ROUTE = {"no_rule": 404, "dialect": 400}
FORBIDDEN = 403
STANDARD_ALONE = (None,)
SAFE_METHODS = (b"GET", b"HEAD")


@dataclass(slots=True)
class Setup:
    """Everything that the pipeline reads of a configuration."""

    config: Config
    policy: Policy
    matcher: Matcher
    keys: KeyRing
    live: dict[str, Live]
    call_context: CallContext
    pricer: Pricer
    homes: StateHomes
    admission: Admission | None
    fingerprinter: PromptShaper | None
    is_open: bool  # clients show no key of ours: their own passes through
    refuses_unrecorded: bool
    has_windows: bool
    reads_body_names: bool  # feature, template, user and conversation may stand in the body
    has_budgets: bool
    n_default_output_tokens: int

    def instant(self, at: float) -> dt.datetime | None:
        """The instant for rules that look at the time; None where none does."""
        return dt.datetime.fromtimestamp(at, dt.UTC) if self.has_windows else None

    def name_of_stranger(self, presented: bytes | None) -> str:
        """A tenant's name for a client that shows its provider's key: a digest, not the key."""
        return "no-key" if presented is None else "key-" + sha256(presented).hexdigest()[:8]

    def status_of(self, no_route: NoRoute) -> int:
        """HTTP status of a request that has nowhere to go."""
        return STATUS_OF_NO_ROUTE.get(no_route.reason, FORBIDDEN)

    def is_repeatable(self, x: Exchange) -> bool:
        """Whether asking twice does nothing twice besides costing twice."""
        if x.ask is not None:
            return not x.ask.acts_once
        return x.request.method in SAFE_METHODS

    def most(self, ask: Ask, route: Route, at: float) -> tuple[int, int]:
        """The most a request can take: tokens, and 10^-12 USD at the dearest of its targets."""
        if ask.endpoint == "count_tokens":
            return 0, 0
        most_output = most_output_tokens(ask, self.n_default_output_tokens)
        n_input = ask.input_tokens_estimate
        pico_usd = 0
        if self.has_budgets:
            at_us = int(at * 1e6)
            for target in route.targets:
                prices = self.prices_of(target, ask.model)
                if prices is None:
                    continue
                for tier in tiers_of(target, ask):
                    most = self.pricer.most_pico_usd(prices, at_us, n_input, most_output, tier)
                    pico_usd = max(pico_usd, most or 0)
        return n_input + most_output, pico_usd

    def has_hard_budget(self, claim: Claim) -> bool:
        """Whether money that a claim spends may run out."""
        own = () if claim.key is None else claim.key.budgets
        names = names_of(claim)
        return any(
            budget.kind == "hard" and (budget.name == ANY or (budget.scope, budget.name) in names)
            for budget in (*own, *self.config.budgets)
        )

    def prices_of(self, target: Target, model: str) -> ModelPrices | None:
        """Prices of a hosted target; None where it is self-hosted or has no price."""
        if target.self_hosted is not None:
            return None
        return self.pricer.lookup(target.provider, target.price_model or target.model or model)

    def input_cost_pico_usd(self, target_name: str, ask: Ask | None, at_us: int) -> int | None:
        """What the estimated input of a request costs at a target [10^-12 USD]."""
        live = self.live.get(target_name)
        if ask is None or live is None:
            return None
        prices = self.prices_of(live.target, ask.model)
        if prices is None:
            return None
        n_tokens, tier = ask.input_tokens_estimate, tiers_of(live.target, ask)[-1]
        return self.pricer.cost_pico_usd(prices, at_us, n_tokens, 0, 0, 0, tier)

    def route_other(self, x: Exchange) -> Refusal | None:
        """Route a path that names no model: stored responses, and what the operator allows."""
        path = x.request.path.decode("ascii", "replace")
        target = self._target_of(path, x)
        if target is None:
            return Refusal(404, "unknown_path", f"This gateway does not pass {path} through.")
        if not may_reach(x.data_class, target.name, self.policy):
            return Refusal(FORBIDDEN, "data_class", "The key's data class may not go there.")
        x.route = Route("other_paths", (target,))
        return None

    def home_for(self, x: Exchange, stateful_id: str, route: Route) -> Target | Refusal:
        """The target that holds the state; where nobody remembers, the first one and its words."""
        home = self.homes.home_of(stateful_id)
        if home is None:
            return route.targets[0]
        if not home.belongs_to(x.tenant):
            return Refusal(404, "state_not_found", f"{stateful_id!r} is not known here.")
        target = self.policy.targets.get(home.target)
        if target is None or target.dialect != x.dialect:
            return route.targets[0]
        if not may_reach(x.data_class, target.name, self.policy):
            message = "The request's data class may not go where its earlier turns are stored."
            return Refusal(FORBIDDEN, "data_class", message)
        if not (
            target in route.targets or self.config.is_observed or self._may_continue(x, target.name)
        ):
            message = "The key may not ask for the model where its earlier turns are stored."
            return Refusal(FORBIDDEN, "model_not_allowed", message)
        return target

    def _may_continue(self, x: Exchange, target: str) -> bool:
        """Whether any model that the client may name leads to a target, now or at other hours."""
        key, facts = x.key, x.facts
        assert facts is not None
        names = {name for rule in self.policy.rules for name in rule.match.models}
        if key is None or not key.models:
            names.add("")  # of no rule but those for all models
        else:
            names = {*key.models, *(name for name in names if _allows(key, name))}
        return any(self._may_lead(x, model, target) for model in {facts.model, *names})

    def _may_lead(self, x: Exchange, model: str, target: str) -> bool:
        """Whether a rule that this model may come to has a target; features and sizes may vary."""
        for rule in self.policy.rules:
            match = rule.match
            if match.models and not fits_any(match.models, model):
                continue
            if match.tenants and not fits_any(match.tenants, x.tenant):
                continue
            if not self._speaks(rule, x.dialect):
                continue
            if target in rule.fallback or any(one.target == target for one in rule.targets):
                return True
            if match == Match(tenants=match.tenants, models=match.models):
                return False  # what stands below it is never asked for this model
        return False

    def _target_of(self, path: str, x: Exchange) -> Target | None:
        stateful_id = stateful_id_in(x.request.path)
        if stateful_id is not None:
            home = self.homes.home_of(stateful_id)
            if home is not None and not home.belongs_to(x.tenant):
                return None
            if home is not None and home.target in self.policy.targets:
                return self.policy.targets[home.target]
        for pattern, names in self.config.settings.other_paths.items():
            if path == pattern or (pattern.endswith("*") and path.startswith(pattern[:-1])):
                return self._speaking(x.dialect, targets_named(names))
        return None

    def _speaking(self, dialect: Dialect, names: tuple[str, ...]) -> Target | None:
        """The target of a path, by dialect: no client's key is shown to another one's provider.

        Who speaks Anthropic's dialect says so; others may ask for a path of either with our key.
        """
        named = [self.policy.targets[name] for name in names]
        for target in named:
            if target.dialect == dialect:
                return target
        if dialect == "openai" and named[0].credential.kind != "client":
            return named[0]
        return None

    def passes_models(self, x: Exchange) -> bool:
        """Route a question for models to the provider whose key the client shows, if any."""
        if not self.is_open:
            return False
        target = self._target_of(x.request.path.decode("ascii", "replace"), x)
        if target is None:
            shown = (t for t in self.policy.targets.values() if t.credential.kind == "client")
            target = next((one for one in shown if one.dialect == x.dialect), None)
        if target is None or not may_reach(x.data_class, target.name, self.policy):
            return False
        x.route = Route("models", (target,))
        return True

    def models(self, x: Exchange) -> bytes | None:
        """The models that a client may name, or the one its path names; None where it may not.

        A list has the names that the file spells out; a path may name what a pattern serves too.
        """
        names = [name for name in self._model_names(x) if x.key is None or _allows(x.key, name)]
        wanted = x.request.path[len(b"/v1/models/") :].decode("ascii", "replace")
        if wanted:
            may = x.key is None or _allows(x.key, wanted)
            if wanted in names or (may and self._serves(wanted, x.dialect)):
                return msgspec.json.encode(_model(wanted, x.dialect))
            return None
        rows = [_model(name, x.dialect) for name in names]
        if x.dialect == "anthropic":
            ends = {
                "first_id": names[0] if names else None,
                "last_id": names[-1] if names else None,
            }
            return msgspec.json.encode({"data": rows, "has_more": False, **ends})
        return msgspec.json.encode({"object": "list", "data": rows})

    def _model_names(self, x: Exchange) -> list[str]:
        rules = [rule for rule in self.policy.rules if self._speaks(rule, x.dialect)]
        names = {name: None for rule in rules for name in rule.match.models if name[-1:] != "*"}
        for name in () if x.key is None else x.key.models:
            if name[-1:] != "*" and self._serves(name, x.dialect):
                names[name] = None
        return list(names)

    def _speaks(self, rule: Rule, dialect: Dialect) -> bool:
        return any(self.policy.targets[one.target].dialect == dialect for one in rule.targets)

    def _serves(self, model: str, dialect: Dialect) -> bool:
        """Whether a rule for models, or for all there is, serves this one."""
        return any(
            fits_any(rule.match.models, model)
            for rule in self.policy.rules
            if self._speaks(rule, dialect) and (rule.match.models or rule.match == Match())
        )


def _model(name: str, dialect: str) -> dict[str, object]:
    if dialect == "anthropic":
        created_at = "1970-01-01T00:00:00Z"
        return {"type": "model", "id": name, "display_name": name, "created_at": created_at}
    return {"id": name, "object": "model", "created": 0, "owned_by": "weighbridge"}


def tiers_of(target: Target, ask: Ask) -> tuple[str | None, ...]:
    """Service tiers that a request may be billed in: the standard one, and last what was asked."""
    if target.service_tier is None and ask.service_tier is None:
        return STANDARD_ALONE
    # By our own names of them: what a client writes is held in no cache.
    asked = service_tier_of(target.service_tier or ask.service_tier)
    return (None, service_tier_of(ask.service_tier), asked)


def _allows(key: VirtualKey, name: str) -> bool:
    return model_refusal(key, name) is None


@dataclass(frozen=True, slots=True)
class Parts:
    """What a setup is made from besides its configuration; kept over reloads."""

    environ: Mapping[str, str]
    random: Callable[[], float]
    pool_for: Callable[[Target], Upstream]
    pricer: Pricer
    homes: StateHomes
    fingerprinter: PromptShaper | None


def set_up(config: Config, keys: KeyRing, admission: Admission | None, parts: Parts,
           before: Setup | None = None) -> Setup:  # fmt: skip
    """Make a setup; nothing of `before` is changed.

    Raises
    ------
    InputError
        A secret that is referred to is missing.
    """
    settings, policy = config.settings, config.policy
    secrets = {
        target.name: _secret(target, parts.environ, str(config.path))
        for target in policy.targets.values()
    }
    live = {
        target.name: _live(target, secrets[target.name], config, parts, before)
        for target in policy.targets.values()
    }
    words = settings.retry
    context = CallContext(
        {name: one.health for name, one in live.items()},
        _retry_budget(words.budget_frac, before),
        parts.random,
        RetrySettings(
            n_attempts=words.max_attempts,
            base_s=words.base_s,
            cap_s=words.cap_s,
            max_retry_after_s=words.max_retry_after_s,
            total_s=words.total_s,
        ),
    )
    return Setup(
        config=config,
        policy=policy,
        matcher=Matcher(policy),
        keys=keys,
        live=live,
        call_context=context,
        pricer=parts.pricer,
        homes=parts.homes,
        admission=admission,
        fingerprinter=parts.fingerprinter if settings.identify.fingerprint else None,
        is_open=settings.clients == "passthrough",
        refuses_unrecorded=settings.spool.on_failure == "refuse",
        reads_body_names=settings.identify.body_metadata,
        has_windows=any(rule.match.windows for rule in policy.rules),
        has_budgets=bool(config.budgets) or any(key.budgets for key in keys),
        n_default_output_tokens=settings.reserve_output_tokens,
    )


def _retry_budget(share_frac: float, before: Setup | None) -> RetryBudget:
    """What was saved up and spent counts on, unless the share itself is another one."""
    kept = None if before is None else before.config.settings.retry.budget_frac
    if before is not None and kept == share_frac:
        return before.call_context.budget
    return RetryBudget(share_frac)


def _secret(target: Target, environ: Mapping[str, str], where: str) -> str | None:
    ref = target.credential.secret
    if ref is None:
        return None
    return read_secret(ref, environ, where, f"targets.{target.name}.credential")


def _live(
    target: Target, secret: str | None, config: Config, parts: Parts, before: Setup | None
) -> Live:
    kept = before.live.get(target.name) if before is not None else None
    n_tokens = config.settings.reserve_output_tokens
    if kept is not None and kept.target == target:
        fresh = Live(target, kept.pool, kept.health, secret, n_tokens)
        fresh.gate, fresh.gate_timer = kept.gate, kept.gate_timer
        return fresh
    saturation = target.self_hosted.saturation if target.self_hosted else None
    health = TargetHealth(parts.random, saturation=saturation)
    return Live(target, parts.pool_for(target), health, secret, n_tokens)
