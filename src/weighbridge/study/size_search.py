"""The search over deployments: what cannot win is not simulated, what may is simulated whole."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TypeVar

from weighbridge.capacity.fleet import FleetPlan
from weighbridge.capacity.safety import safety
from weighbridge.capacity.served import served
from weighbridge.capacity.simulation import simulate
from weighbridge.capacity.sizing import (
    Case,
    Impossible,
    Needed,
    Sizer,
    confirmed,
    full_load_tokens_per_s,
    misfit,
    needed_replicas,
    sizer,
)
from weighbridge.study.size_costs import fleet_cost
from weighbridge.study.size_question import Progress
from weighbridge.study.size_range import kept_range
from weighbridge.study.size_result import Answer, Price, Setup

# Simulated together before what has become hopeless is dropped: a fixed number, so that the answer
# does not hang on how many threads there are.
BATCH = 8
# Left out: what costs so many times the best even if its replicas never waited.
HOPELESS_RATIO = 2.0
# Simulated whole: the best, and what comes within this of the best at the peak.
CLOSE_RATIO = 1.6
N_LEAST_WHOLE, N_MOST_WHOLE = 5, 16

_In = TypeVar("_In")
_Out = TypeVar("_Out")


@dataclass(frozen=True)
class Candidate:
    """A deployment that fits and has a price, with the case that it is simulated in."""

    setup: Setup
    case: Case
    price: Price
    rests_on: tuple[str, ...]


@dataclass(frozen=True)
class Sought:
    """A candidate as far as it was simulated."""

    candidate: Candidate
    answer: Answer
    sizer: Sizer
    needed: Needed | None = None


def searched(
    candidates: Sequence[Candidate], n_threads: int, progress: Progress
) -> tuple[Sought, ...]:
    """Simulate every candidate that may win; whole ones first, by the cost of their fleet."""
    peaks = _peaks(candidates, n_threads, progress)
    whole, rest = _worth_it(peaks)
    done = mapped(_whole, whole, n_threads, lambda share: progress("simulating weeks", share))
    return tuple(sorted((*done, *rest), key=_rank))


def _rank(found: Sought) -> tuple[int, float, str]:
    answer = found.answer
    order = ("sized", "peak", "pruned", "impossible", "misfit")
    usd = answer.cost.usd_per_hour if answer.cost else answer.peak_usd_per_hour
    usd = answer.floor_usd_per_hour if math.isnan(usd) else usd
    return order.index(answer.status), usd, answer.setup.label


def _peaks(candidates: Sequence[Candidate], n_threads: int, progress: Progress) -> list[Sought]:
    """Search the peak of each, cheapest floor first, dropping what has become hopeless."""
    begun = mapped(_begun, candidates, n_threads, lambda share: progress("estimating", share))
    begun.sort(key=_rank)
    best_usd = math.inf
    found: list[Sought] = []
    waiting = [b for b in begun if b.answer.status != "misfit"]
    for start in range(0, len(waiting), BATCH):
        batch = waiting[start : start + BATCH]
        hopeful = [b for b in batch if b.answer.floor_usd_per_hour <= HOPELESS_RATIO * best_usd]
        found += [_pruned(b, best_usd) for b in batch if b not in hopeful]
        peaks = mapped(_peak, hopeful, n_threads, lambda _: None)
        costs = [s.answer.peak_usd_per_hour for s in peaks if s.answer.status == "peak"]
        best_usd = min([best_usd, *costs])
        found += peaks
        progress("simulating peaks", min(1.0, (start + BATCH) / len(waiting)))
    return [*found, *(b for b in begun if b.answer.status == "misfit")]


def _begun(candidate: Candidate) -> Sought:
    """The closed form: a floor under the cost."""
    cut = sizer(candidate.case)
    usd = cut.fewest() * candidate.price.usd_per_gpu_hour * candidate.setup.n_gpus
    answer = Answer(
        setup=candidate.setup,
        status="pruned",
        why_not="",
        basis=candidate.case.band.mid.basis,
        rests_on=candidate.rests_on,
        kv_tokens=candidate.case.limits.kv_tokens,
        price=candidate.price,
        floor_usd_per_hour=usd,
        n_peak_replicas=None,
        peak_usd_per_hour=math.nan,
        binds=None,
        alone_s=(),
        peak=None,
        safety=None,
        week=None,
        cost=None,
    )
    wrong = misfit(candidate.case)
    if wrong is not None:
        answer = replace(answer, status="misfit", why_not="; ".join(wrong.why))
    return Sought(candidate, answer, cut)


def _pruned(begun: Sought, best_usd: float) -> Sought:
    floor = begun.answer.floor_usd_per_hour
    why = (
        f"at least ${floor:,.2f} an hour in the peak even if it never waited, "
        f"{floor / best_usd:.1f} times the best"
    )
    return replace(begun, answer=replace(begun.answer, why_not=why))


def _peak(begun: Sought) -> Sought:
    candidate = begun.candidate
    needed, cut = needed_replicas(candidate.case)
    if isinstance(needed, Impossible):
        why = "; ".join(needed.why)
        answer = replace(begun.answer, status="impossible", why_not=why, alone_s=needed.reached_s)
        return Sought(candidate, answer, cut)
    usd = needed.n_replicas * candidate.price.usd_per_gpu_hour * candidate.setup.n_gpus
    answer = replace(
        begun.answer,
        status="peak",
        n_peak_replicas=needed.n_replicas,
        peak_usd_per_hour=usd,
        binds=needed.binds,
        alone_s=needed.alone.reached_s,
        peak=needed.peak,
    )
    return Sought(candidate, answer, cut, needed)


def _worth_it(peaks: Sequence[Sought]) -> tuple[list[Sought], list[Sought]]:
    """Those to simulate whole, and the others with why they lose."""
    able = sorted((s for s in peaks if s.answer.status == "peak"), key=_rank)
    if not able:
        return [], list(peaks)
    best_usd = able[0].answer.peak_usd_per_hour
    close = [
        s
        for place, s in enumerate(able[:N_MOST_WHOLE])
        if place < N_LEAST_WHOLE or s.answer.peak_usd_per_hour <= CLOSE_RATIO * best_usd
    ]
    rest = [_loser(s, best_usd) if s in able else s for s in peaks if s not in close]
    return close, rest


def _loser(found: Sought, best_usd: float) -> Sought:
    ratio = found.answer.peak_usd_per_hour / best_usd
    why = f"{ratio:.1f} times the best in the peak"
    return replace(found, answer=replace(found.answer, why_not=why))


def _whole(found: Sought) -> Sought:
    """Confirm over the whole stretch, add headroom and spare, and price the fleet."""
    candidate, case = found.candidate, found.candidate.case
    assert found.needed is not None
    decided = confirmed(case, found.needed, found.sizer)
    safe = safety(case, decided.sought, decided.n_replicas)
    plan = FleetPlan(safe.n_fleet_replicas, case.routing)
    outcome = simulate(case.requests, case.band.mid, case.limits, plan)
    week = served(case.requests, outcome, case.slo)
    full = full_load_tokens_per_s(case)
    cost = fleet_cost(candidate.setup, candidate.price, safe.n_fleet_replicas, week, full)
    answer = replace(
        found.answer,
        status="sized",
        n_peak_replicas=decided.n_replicas,
        binds=decided.binds,
        peak=decided.sought.try_out(decided.n_replicas),
        safety=safe,
        week=week,
        cost=cost,
        spread=kept_range(case, decided.sought, safe, cost),
    )
    return replace(found, answer=answer, sizer=decided.sought)


def mapped(
    function: Callable[[_In], _Out],
    items: Sequence[_In],
    n_threads: int,
    tell: Callable[[float], None],
) -> list[_Out]:
    """Results in the order of the items; the compiled simulation lets other threads run."""
    if not items:
        return []
    done: list[_Out] = []
    with ThreadPoolExecutor(max(1, n_threads)) as pool:
        for result in pool.map(function, items):
            done.append(result)
            tell(len(done) / len(items))
    return done
