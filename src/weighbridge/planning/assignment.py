"""Which query types share a fleet, and which stay on the API: the split that costs least."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from weighbridge.economics.lines import total_usd
from weighbridge.economics.options import Hosting, Option, option_lines
from weighbridge.economics.risk import Problem


@dataclass(frozen=True, slots=True)
class Split:
    """The best subset found for one way of hosting."""

    hosting: Hosting
    moved: tuple[int, ...]
    npv_usd: float  # net present cost in the central case


def cost_of_split_usd(problem: Problem, hosting: Hosting, moved: Sequence[int]) -> float:
    """Net present cost of moving these query types, central case [USD]."""
    case = problem.case(problem.beliefs.central())
    option = Option("split", hosting if moved else "api", tuple(sorted(moved)))
    return float(total_usd(option_lines(case, option), problem.discount_factors))


def best_split(
    problem: Problem,
    hosting: Hosting,
    candidates: Sequence[int],
    forced: Sequence[int] = (),
) -> Split:
    """Subset of `candidates` (and all of `forced`) that costs least on one shared fleet.

    A fleet costs in steps and its people are shared, so types cannot be weighed one by one. They
    are added in the order of API dollars saved per unit of work, every prefix of that order is
    costed in full, and single swaps then try to better the best. Exact for the continuous
    knapsack; compared with every subset in the tests.
    """
    work = _work_ratio(problem)
    types = problem.workload.types
    free = [i for i in candidates if i not in set(forced)]
    order = sorted(free, key=lambda i: -types[i].api_usd_per_month / max(work[i], 1e-12))
    best = Split(hosting, tuple(sorted(forced)), cost_of_split_usd(problem, hosting, forced))
    for n in range(1, len(order) + 1):
        best = _cheaper(problem, best, (*forced, *order[:n]))
    return _bettered_by_swaps(problem, best, free)


def _cheaper(problem: Problem, best: Split, moved: Sequence[int]) -> Split:
    cost = cost_of_split_usd(problem, best.hosting, moved)
    return Split(best.hosting, tuple(sorted(moved)), cost) if cost < best.npv_usd else best


def _bettered_by_swaps(problem: Problem, best: Split, free: Sequence[int]) -> Split:
    for i in free:
        chosen = set(best.moved)
        best = _cheaper(problem, best, tuple(chosen ^ {i}))
    return best


def _work_ratio(problem: Problem) -> dict[int, float]:
    """Work that each type makes, in output-equivalent tokens a month."""
    v = problem.beliefs.central()
    ratio, kept = float(v["input_token_work_ratio"]), float(v["prefix_cache_retained_frac"])
    types = problem.workload.types
    return {
        i: ratio * (t.fresh_input_tokens + t.cache_read_tokens * (1 - kept)) + t.output_tokens
        for i, t in enumerate(types)
    }


def work_shares_frac(problem: Problem, moved: Sequence[int]) -> dict[int, float]:
    """Each moved type's share of the fleet's work; sums to 1."""
    work = _work_ratio(problem)
    total = float(np.sum([work[i] for i in moved]))
    return {i: work[i] / total for i in moved} if total else dict.fromkeys(moved, 0.0)
