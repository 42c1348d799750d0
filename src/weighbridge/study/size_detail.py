"""What is worked out for the best answers only: frontier, multiples, other ways to run them."""

from __future__ import annotations

from dataclasses import dataclass

from weighbridge.capacity.elastic import (
    Elastic,
    clock_step_s,
    overflowing,
    reactive,
    scheduled,
)
from weighbridge.capacity.frontier import FrontierPoint, frontier
from weighbridge.capacity.interruptions import Spot, SpotTerms, spot
from weighbridge.capacity.served import load_by_step
from weighbridge.capacity.sizing import Case
from weighbridge.capacity.table import CapacityTable
from weighbridge.capacity.table_building import capacity_table
from weighbridge.catalog.facts import Catalog
from weighbridge.study.size_costs import plan_costs
from weighbridge.study.size_result import Answer, Detail, ElasticCost
from weighbridge.study.size_search import Sought
from weighbridge.units import HOURS_PER_MONTH, SECONDS_PER_HOUR, TOKENS_PER_MTOK

MULTIPLES = (0.5, 1.0, 2.0, 5.0)


@dataclass(frozen=True, slots=True)
class ApiPrice:
    """What an API asks for the tokens that overflow."""

    model: str
    input_usd_per_mtok: float
    output_usd_per_mtok: float


@dataclass(frozen=True, slots=True)
class Terms:
    """What the details need beside the traffic."""

    start_up_s: float
    spot: SpotTerms
    api: ApiPrice | None
    seed: int


def detail_of(found: Sought, catalog: Catalog, terms: Terms, is_best: bool) -> Detail:
    """Everything about one answer; other ways to run it, which take whole weeks, of the best."""
    answer, case = found.answer, found.candidate.case
    assert answer.safety is not None
    assert answer.cost is not None
    assert answer.week is not None
    n_needed, n_fleet = answer.safety.needed.n_mid, answer.safety.n_fleet_replicas
    points = frontier(case, found.sizer, n_needed)
    table = capacity_table(case, answer.setup.n_gpus, MULTIPLES, found.candidate.rests_on)
    taken = spot(case, found.sizer, n_fleet, terms.spot, terms.seed) if is_best else None
    step_s = clock_step_s(case.requests.duration_s)
    full = answer.cost.full_load_tokens_per_s
    return Detail(
        setup=answer.setup,
        frontier=points,
        frontier_usd_per_mtok=tuple(_point_usd_per_mtok(point, answer) for point in points),
        table=table,
        table_usd_per_month=_table_usd(table, answer),
        step_s=step_s,
        busy_by_step_frac=load_by_step(case.requests, n_fleet, full, step_s),
        elastic=_elastic(found, terms) if is_best else (),
        plans=plan_costs(catalog, answer.setup, n_fleet, answer.week, taken),
        spot=taken,
        spot_note=_spot_note(case, taken) if taken is not None else "",
    )


def _point_usd_per_mtok(point: FrontierPoint, answer: Answer) -> float:
    assert answer.price is not None
    usd_per_s = answer.price.usd_per_gpu_hour * answer.setup.n_gpus / SECONDS_PER_HOUR
    return usd_per_s / max(point.tokens_per_s, 1e-9) * TOKENS_PER_MTOK


def _table_usd(table: CapacityTable, answer: Answer) -> tuple[tuple[float, float, float], ...]:
    assert answer.price is not None
    usd = answer.price.usd_per_gpu_hour * answer.setup.n_gpus * HOURS_PER_MONTH
    counts = zip(table.n_replicas_low, table.n_replicas_mid, table.n_replicas_high, strict=True)
    return tuple(
        (float(low) * usd, float(mid) * usd, float(high) * usd) for low, mid, high in counts
    )


def _elastic(found: Sought, terms: Terms) -> tuple[ElasticCost, ...]:
    answer, case = found.answer, found.candidate.case
    assert answer.safety is not None
    assert answer.peak is not None
    n_needed, n_fleet = answer.safety.needed.n_mid, answer.safety.n_fleet_replicas
    following = [
        scheduled(case, n_fleet, n_needed, terms.start_up_s),
        reactive(case, n_fleet, n_needed, answer.peak, terms.start_up_s),
    ]
    costs = [_cost(item, answer, terms) for item in following]
    if terms.api is not None:
        over = [
            _cost(item, answer, terms) for item in overflowing(case, n_fleet, n_needed, answer.peak)
        ]
        able = [item for item in over if item.slo_met]
        costs += [min(able, key=lambda item: item.usd_per_month)] if able else []
    return tuple(costs)


def _cost(item: Elastic, answer: Answer, terms: Terms) -> ElasticCost:
    assert answer.cost is not None
    fleet_usd = answer.cost.usd_per_month * item.mean_replicas_ratio
    api_usd = 0.0
    if terms.api is not None and item.overflow_frac > 0:
        stretch_usd = (
            item.overflow_input_tokens * terms.api.input_usd_per_mtok
            + item.overflow_output_tokens * terms.api.output_usd_per_mtok
        ) / TOKENS_PER_MTOK
        hours = item.week.duration_s / SECONDS_PER_HOUR
        api_usd = stretch_usd / hours * HOURS_PER_MONTH
    usd = fleet_usd + api_usd
    return ElasticCost(
        elastic=item,
        usd_per_month=usd,
        saving_usd_per_month=answer.cost.usd_per_month - usd,
        slo_met=item.slo_met,
        api_usd_per_month=api_usd,
        api_model=terms.api.model if terms.api is not None else "",
    )


def _spot_note(case: Case, taken: Spot) -> str:
    if taken.n_interruptions:
        return ""
    hours = case.requests.duration_s / SECONDS_PER_HOUR
    return (
        f"No interruption fell into these {hours:.3g} hours: what they cost is read off the "
        "replicas that are down at once."
    )
