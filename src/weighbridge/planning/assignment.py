"""Which query types share a fleet, and which stay on the API: the split that costs least."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from weighbridge.economics.distributions import Floats
from weighbridge.economics.lines import total_usd
from weighbridge.economics.options import Case, Hosting, Option, option_lines
from weighbridge.economics.risk import Problem

MAX_ROUNDS = 4  # passes over all types; in trials the second seldom found anything


@dataclass(frozen=True, slots=True)
class Split:
    """The best subset found for one way of hosting."""

    hosting: Hosting
    moved: tuple[int, ...]
    npv_usd: float  # net present cost in the central case


@dataclass(frozen=True)
class _Search:
    """One evaluation of the central case, kept for every subset that is tried."""

    problem: Problem
    case: Case
    hosting: Hosting
    factors: Floats

    def split(self, moved: Sequence[int]) -> Split:
        """The subset with its net present cost."""
        members = tuple(sorted(moved))
        option = Option("split", self.hosting if members else "api", members)
        cost = float(total_usd(option_lines(self.case, option), self.factors))
        return Split(self.hosting, members, cost)


def _search(problem: Problem, hosting: Hosting) -> _Search:
    case = problem.case(problem.beliefs.central())
    return _Search(problem, case, hosting, problem.discount_factors)


def cost_of_split_usd(problem: Problem, hosting: Hosting, moved: Sequence[int]) -> float:
    """Net present cost of moving these query types, central case [USD]."""
    return _search(problem, hosting).split(moved).npv_usd


def best_split(
    problem: Problem,
    hosting: Hosting,
    candidates: Sequence[int],
    forced: Sequence[int] = (),
) -> Split:
    """Subset of `candidates` (and all of `forced`) that costs least on one shared fleet.

    A fleet costs in steps and its people are shared, so types cannot be weighed one by one. They
    are added in the order of API dollars saved per unit of work, every prefix of that order is
    costed in full, and single types are then taken in or out until none betters it. Exact for the
    continuous knapsack; compared with every subset in the tests.
    """
    search = _search(problem, hosting)
    work, types = _work(problem), problem.workload.types
    free = [i for i in candidates if i not in set(forced)]
    order = sorted(free, key=lambda i: -types[i].api_usd_per_month / max(work[i], 1e-12))
    prefixes = [(*forced, *order[:n]) for n in range(len(order) + 1)]
    best = min((search.split(moved) for moved in prefixes), key=lambda s: s.npv_usd)
    for _ in range(MAX_ROUNDS):
        better = _bettered(search, best, free)
        if better is best:
            break
        best = better
    return best


def _bettered(search: _Search, best: Split, free: Sequence[int]) -> Split:
    for i in free:
        other = search.split(tuple(set(best.moved) ^ {i}))
        if other.npv_usd < best.npv_usd:
            best = other
    return best


def _work(problem: Problem) -> dict[int, float]:
    """Work that each type makes in a month: replica time where fleets were simulated, else tokens.

    Only ever told as shares, so that the two units do not meet.
    """
    v, curve = problem.beliefs.central(), problem.settings.sizing.capacity
    kept = v["prefix_cache_retained_frac"]
    alone = {i: problem.workload.slice((i,)) for i in problem.workload.movable}
    if curve is not None:
        return {i: float(curve.work_s(s, kept)) for i, s in alone.items()}
    ratio = float(v["input_token_work_ratio"])
    fresh = 1 - float(kept)
    return {
        i: ratio * (s.fresh_input_tokens + s.cache_read_tokens * fresh) + s.output_tokens
        for i, s in alone.items()
    }


def work_shares_frac(problem: Problem, moved: Sequence[int]) -> dict[int, float]:
    """Each moved type's share of the fleet's work; sums to 1."""
    work = _work(problem)
    total = float(np.sum([work[i] for i in moved]))
    return {i: work[i] / total for i in moved} if total else dict.fromkeys(moved, 0.0)
