"""Which target a request may go to. Pure: time and chance come in as arguments.

The first rule whose conditions hold and that has a target of the request's dialect decides. The
search goes past a rule of the other dialect, since clients of both may ask for one model; it never
goes past a rule whose targets the data class forbids: that request is refused.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from hashlib import blake2b
from itertools import accumulate

from weighbridge.policy.hours import is_within
from weighbridge.policy.patterns import fits_any
from weighbridge.policy.types import (
    UNRESTRICTED,
    Dialect,
    Facts,
    Match,
    NoRoute,
    Policy,
    Route,
    Rule,
    Target,
)

N_CACHED = 4096  # of each of two generations
N_CACHED_CHARACTERS = 512  # of all names of a request together: clients choose some of them
_RANGE = 2.0**64
_MASK = 2**64 - 1

Key = tuple[str, str | None, str | None, str | None, str, str | None, bool, bool]


class Choice:
    """What one rule offers to requests of one dialect and data class."""

    __slots__ = ("_ends", "_routes", "_seeds", "_total", "no_route", "only", "rule")

    def __init__(self, rule: Rule, targets: dict[str, Target], no_route: NoRoute | None) -> None:
        """`targets` holds those of the rule that are allowed; `no_route` where there is none."""
        self.rule, self.no_route = rule, no_route
        weighted = [w for w in rule.targets if w.target in targets and w.weight > 0]
        rest = [name for name in rule.fallback if name in targets]
        firsts = [w.target for w in weighted] or rest[:1]
        self._routes = [
            Route(rule.name, tuple(targets[name] for name in dict.fromkeys([first, *rest])))
            for first in firsts
        ]
        self._seeds = [(_hash64(f"{rule.name}\0{w.target}"), w.weight) for w in weighted]
        self._ends = list(accumulate(w.weight for w in weighted))
        self._total = self._ends[-1] if self._ends else 0.0
        self.only: Route | NoRoute | None = no_route
        if no_route is None and len(self._routes) == 1:
            self.only = self._routes[0]

    def pick(self, facts: Facts, draw: float) -> Route | NoRoute:
        """One of the targets by weight, then the rule's fallback."""
        if self.only is not None:
            return self.only
        sticky = self.rule.sticky
        if sticky is not None:
            holder = facts.conversation if sticky == "conversation" else facts.user
            if holder is not None:
                return self._routes[_held(holder, self._seeds)]
        return self._routes[min(bisect_right(self._ends, draw * self._total), len(self._ends) - 1)]


def _held(holder: str, weighted: Sequence[tuple[int, float]]) -> int:
    """Weighted rendezvous hashing: a change of one weight moves only what it must.

    Each target draws an exponential time of rate `weight` from the hash; the earliest wins, which
    happens with probability weight / sum of weights (Schindelhauer and Schomaker, 2005). One strong
    hash of the holder is mixed with each target's own (the finaliser of splitmix64).
    """
    key = _hash64(holder)
    best, winner = math.inf, 0
    for index, (seed, weight) in enumerate(weighted):
        mixed = key ^ seed
        mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _MASK
        time = -math.log(((mixed ^ (mixed >> 31)) + 0.5) / _RANGE) / weight
        if time < best:
            best, winner = time, index
    return winner


def _hash64(text: str) -> int:
    raw = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(raw, "big")


class Matcher:
    """A policy made ready to route. Give `at` in the facts where `needs_at` says so."""

    __slots__ = (
        "_choices",
        "_older",
        "_seen",
        "has_restricted",
        "needs_at",
        "needs_input_tokens",
        "policy",
    )

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.has_restricted = has_restricted(policy)
        self.needs_at = any(rule.match.windows for rule in policy.rules)
        self.needs_input_tokens = any(_asks_tokens(rule.match) for rule in policy.rules)
        self._choices: dict[tuple[int, Dialect, str | None], Choice | None] = {}
        self._seen: dict[Key, Choice | tuple[Choice, ...]] = {}
        self._older: dict[Key, Choice | tuple[Choice, ...]] = {}

    def route(self, facts: Facts, draw: float) -> Route | NoRoute:
        """The targets to try in order, or why there is none; `draw` is uniform in [0, 1)."""
        key = (
            facts.dialect,
            facts.tenant,
            facts.feature,
            facts.template,
            facts.model,
            facts.data_class,
            facts.has_tools,
            facts.has_json_schema,
        )
        found = self._seen.get(key)
        if found is None:
            found = self._recall(key, facts)
        if found.__class__ is Choice:
            only = found.only
            return only if only is not None else found.pick(facts, draw)
        for choice in found:  # type: ignore[union-attr]  # a tuple: said above, faster than isinstance
            if holds_now(choice.rule.match, facts):
                return choice.pick(facts, draw)
        raise AssertionError("the last choice of a tuple asks for nothing")

    def choice(self, index: int, dialect: Dialect, data_class: str | None) -> Choice | None:
        """What the rule at `index` offers; None where none of its targets speaks the dialect."""
        key = (index, dialect, data_class)
        if key not in self._choices:
            self._choices[key] = self._make_choice(*key)
        return self._choices[key]

    def refusal(self, facts: Facts) -> NoRoute | None:
        """Why the data class alone forbids the request."""
        return class_refusal(facts.data_class, self.policy)

    def no_match(self, facts: Facts, *, saw_other_dialect: bool) -> NoRoute:
        """That no rule decided, in words for the client."""
        if saw_other_dialect:
            message = f"no target for model {_named(facts.model)} speaks the {facts.dialect} API"
            return NoRoute("dialect", message)
        return NoRoute("no_rule", f"no rule of the policy serves model {_named(facts.model)}")

    def _recall(self, key: Key, facts: Facts) -> Choice | tuple[Choice, ...]:
        found = self._older.get(key)
        if found is None:
            found = self._search(facts)
            if sum(len(part) for part in key if isinstance(part, str)) > N_CACHED_CHARACTERS:
                return found
        if len(self._seen) >= N_CACHED:
            self._older, self._seen = self._seen, {}
        self._seen[key] = found
        return found

    def _search(self, facts: Facts) -> Choice | tuple[Choice, ...]:
        """Every rule that may decide, up to the first that asks for no tokens and no time."""
        refused = self.refusal(facts)
        if refused is not None:
            return _dead_end(refused)
        found: list[Choice] = []
        saw_other_dialect = False
        for index, rule in enumerate(self.policy.rules):
            if not fits(rule.match, facts):
                continue
            choice = self.choice(index, facts.dialect, facts.data_class)
            if choice is None:
                saw_other_dialect = True
                continue
            found.append(choice)
            if not is_conditional(rule.match):
                return found[0] if len(found) == 1 else tuple(found)
        end = _dead_end(self.no_match(facts, saw_other_dialect=saw_other_dialect))
        return (*found, end) if found else end

    def _make_choice(self, index: int, dialect: Dialect, data_class: str | None) -> Choice | None:
        rule, policy = self.policy.rules[index], self.policy
        names = dict.fromkeys([*(w.target for w in rule.targets), *rule.fallback])
        speaking = {n: policy.targets[n] for n in names if policy.targets[n].dialect == dialect}
        if not speaking:
            return None
        allowed = {n: t for n, t in speaking.items() if may_reach(data_class, n, policy)}
        # A weight of 0 gives a target nothing, unless the rule falls back to it.
        weighted = {w.target for w in rule.targets if w.weight > 0}
        if allowed.keys() & (weighted | {*rule.fallback}):
            return Choice(rule, allowed, None)
        reason = f"no target of the rule that decides may receive data class {data_class!r}"
        if allowed == speaking:
            return Choice(rule, allowed, NoRoute("no_rule", "the rule's targets have no weight"))
        return Choice(rule, allowed, NoRoute("data_class", reason))


def _dead_end(no_route: NoRoute) -> Choice:
    return Choice(Rule("", ()), {}, no_route)


def has_restricted(policy: Policy) -> bool:
    """Whether any data class is kept from some target."""
    return any(allowed != UNRESTRICTED for allowed in policy.data_classes.values())


def may_reach(data_class: str | None, target: str, policy: Policy) -> bool:
    """Whether a data class is allowed at a target; no class only where none is restricted."""
    if data_class is None:
        return not has_restricted(policy)
    allowed = policy.data_classes.get(data_class, ())
    return allowed == UNRESTRICTED or target in allowed


def class_refusal(data_class: str | None, policy: Policy) -> NoRoute | None:
    """Why a request of this data class goes nowhere, whatever the rules say."""
    if data_class is None:
        if not has_restricted(policy):
            return None
        return NoRoute(
            "data_class_missing", "the request has no data class, and the policy restricts some"
        )
    if data_class in policy.data_classes:
        return None
    message = f"data class {_named(data_class)} is not one that the policy knows"
    return NoRoute("data_class_unknown", message)


def tighten(
    key_class: str | None, header_class: str | None, policy: Policy
) -> str | NoRoute | None:
    """The data class that counts: the key's, or a header's that allows no more than the key's.

    A key without a class stands for what such a request may reach: nothing where any class is
    restricted, else everything.
    """
    if header_class is None or header_class == key_class:
        return class_refusal(key_class, policy) or key_class
    refused = class_refusal(key_class, policy) or class_refusal(header_class, policy)
    if refused is not None:
        return refused
    if _allows_no_more(header_class, key_class, policy):
        return header_class
    message = f"data class {_named(header_class)} allows more than the key's class"
    return NoRoute("data_class", f"{message}: a header may only tighten it")


def _allows_no_more(tight: str, loose: str | None, policy: Policy) -> bool:
    if loose is None or policy.data_classes[loose] == UNRESTRICTED:
        return True
    allowed = policy.data_classes[tight]
    reach = policy.targets if allowed == UNRESTRICTED else allowed
    return set(policy.data_classes[loose]).issuperset(reach)


def fits(match: Match, facts: Facts) -> bool:
    """Whether the conditions hold that depend on names and flags alone."""
    # Most conditions are left out: asking first whether there is one halves a search.
    return (
        (not match.models or fits_any(match.models, facts.model))
        and (not match.tenants or fits_any(match.tenants, facts.tenant))
        and (not match.features or fits_any(match.features, facts.feature))
        and (not match.templates or fits_any(match.templates, facts.template))
        and (not match.data_classes or fits_any(match.data_classes, facts.data_class))
        and (match.tools is None or match.tools == facts.has_tools)
        and (match.json_schema is None or match.json_schema == facts.has_json_schema)
    )


def is_conditional(match: Match) -> bool:
    """Whether it asks for tokens or for a time, which differ between requests of the same names."""
    return bool(match.windows) or _asks_tokens(match)


def _asks_tokens(match: Match) -> bool:
    return match.min_input_tokens is not None or match.max_input_tokens is not None


def holds_now(match: Match, facts: Facts) -> bool:
    """Whether the conditions on tokens and time hold."""
    return fits_tokens(match, facts) and fits_time(match, facts)


def fits_tokens(match: Match, facts: Facts) -> bool:
    """Whether the estimate of the prompt lies in the range; both ends count."""
    low, high = match.min_input_tokens, match.max_input_tokens
    tokens = facts.input_tokens
    return (low is None or tokens >= low) and (high is None or tokens <= high)


def fits_time(match: Match, facts: Facts) -> bool:
    """Whether the instant falls into a window, where there are any."""
    if not match.windows:
        return True
    if facts.at is None:
        raise ValueError("a rule has hours: facts need `at` (see Matcher.needs_at)")
    return any(is_within(window, facts.at) for window in match.windows)


def _named(text: str) -> str:
    """A client's own word, short enough to send back."""
    return repr(text if len(text) <= 80 else text[:80] + "…")
