"""The step time's error carried on: to the fleet that is kept, its cost, and what it reaches."""

from __future__ import annotations

from dataclasses import replace

from weighbridge.capacity.safety import Range, Safety, safety
from weighbridge.capacity.sizing import Case, Sizer, resized
from weighbridge.capacity.step_time import StepTime
from weighbridge.capacity.step_time_band import StepTimeBand
from weighbridge.study.size_result import FleetCost, KeptRange


def kept_range(case: Case, sought: Sizer, safe: Safety, cost: FleetCost) -> KeptRange:
    """The fleet that would be kept at both ends of the interval, from the same peak."""
    n = safe.n_fleet_replicas
    low = min(n, _kept_at(case, sought, case.band.low, safe.needed.n_low, n))
    high = None
    if safe.needed.n_high is not None:
        high = max(n, _kept_at(case, sought, case.band.high, safe.needed.n_high, n))
    most = None if high is None else high / n
    return KeptRange(
        kept=Range(low, n, high),
        low_usd_per_month=cost.usd_per_month * low / n,
        high_usd_per_month=None if most is None else cost.usd_per_month * most,
        low_usd_per_mtok=cost.reserved_usd_per_mtok * low / n,
        high_usd_per_mtok=None if most is None else cost.reserved_usd_per_mtok * most,
        slow_peak=resized(case, case.band.high, sought.load, 1.0).try_out(n),
    )


def _kept_at(case: Case, sought: Sizer, step_time: StepTime, n_needed: int, n_kept: int) -> int:
    if step_time is case.band.mid:
        return n_kept
    certain = replace(case, band=StepTimeBand(step_time, step_time, step_time))
    load = resized(certain, step_time, sought.load, 1.0)
    return safety(certain, load, n_needed).n_fleet_replicas
