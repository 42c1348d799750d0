"""What is worked out for the best answers only: frontier, multiples, other ways to run them."""

from __future__ import annotations

from dataclasses import dataclass, replace

from weighbridge.capacity.elastic import (
    Elastic,
    clock_step_s,
    overflowing,
    reactive,
    scheduled,
)
from weighbridge.capacity.estimate import repeated_tokens
from weighbridge.capacity.frontier import FrontierPoint, frontier
from weighbridge.capacity.interruptions import (
    NOT_MODELLED,
    Spot,
    SpotRange,
    SpotTerms,
    spot_range,
)
from weighbridge.capacity.served import load_by_step
from weighbridge.capacity.sizing import Case
from weighbridge.capacity.table import CapacityTable
from weighbridge.capacity.table_building import capacity_table
from weighbridge.capacity.traffic import Requests
from weighbridge.catalog.assumptions import load_assumptions
from weighbridge.catalog.facts import Catalog
from weighbridge.study.size_costs import plan_costs
from weighbridge.study.size_result import Answer, ApiAlone, Detail, ElasticCost, Setup
from weighbridge.study.size_search import Sought
from weighbridge.units import HOURS_PER_MONTH, SECONDS_PER_HOUR, TOKENS_PER_MTOK

MULTIPLES = (0.5, 1.0, 2.0, 5.0)


@dataclass(frozen=True, slots=True)
class ApiPrice:
    """What an API asks for the tokens that overflow."""

    model: str
    input_usd_per_mtok: float
    cache_read_usd_per_mtok: float
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
    taken, rough = None, None
    if is_best:
        both = _spot_range(found, catalog, terms)
        taken, rough = both.central, both.rough
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
        spot_note=_spot_note(case, taken, rough) if taken and rough else "",
        api=_api_alone(found, terms.api) if is_best and terms.api is not None else None,
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
    cached_frac = cached_input_frac(case.requests) or 0.0
    costs = [_cost(item, answer, terms, cached_frac) for item in following]
    if terms.api is not None:
        over = [
            _cost(item, answer, terms, cached_frac)
            for item in overflowing(case, n_fleet, n_needed, answer.peak)
        ]
        able = [item for item in over if item.slo_met]
        costs += [min(able, key=lambda item: item.usd_per_month)] if able else []
    return tuple(costs)


def cached_input_frac(requests: Requests) -> float | None:
    """Share of prompt tokens that a cache without end would hold; None where nothing tells."""
    if requests.prefix is None:
        return None
    return float(repeated_tokens(requests).sum() / requests.input_tokens.sum())


def _api_usd(api: ApiPrice, n_input: int, n_output: int, cached_frac: float) -> float:
    cached = n_input * cached_frac
    fresh_usd = (n_input - cached) * api.input_usd_per_mtok
    usd = fresh_usd + cached * api.cache_read_usd_per_mtok + n_output * api.output_usd_per_mtok
    return usd / TOKENS_PER_MTOK


def _api_alone(found: Sought, api: ApiPrice) -> ApiAlone:
    answer, requests = found.answer, found.candidate.case.requests
    assert answer.cost is not None
    assert answer.week is not None
    n_input, n_output = int(requests.input_tokens.sum()), int(requests.output_tokens.sum())
    cached_frac = cached_input_frac(requests)
    stretch_usd = _api_usd(api, n_input, n_output, cached_frac or 0.0)
    # The same month as the fleet's: its stretch lasts to the last answer.
    usd = stretch_usd / (answer.week.duration_s / SECONDS_PER_HOUR) * HOURS_PER_MONTH
    return ApiAlone(
        model=api.model,
        usd_per_month=usd,
        saving_usd_per_month=answer.cost.usd_per_month - usd,
        usd_per_mtok=stretch_usd / (n_input + n_output) * TOKENS_PER_MTOK,
        cached_input_frac=cached_frac,
        note=_cached_note(cached_frac),
    )


def _cached_note(cached_frac: float | None) -> str:
    if cached_frac is None:
        return "prefixes are not known: no prompt token at the price of cached ones"
    return f"{cached_frac:.0%} of prompt tokens, seen before, at the price of cached ones"


def _cost(item: Elastic, answer: Answer, terms: Terms, cached_frac: float) -> ElasticCost:
    assert answer.cost is not None
    fleet_usd = answer.cost.usd_per_month * item.mean_replicas_ratio
    api_usd = 0.0
    if terms.api is not None and item.overflow_frac > 0:
        # Which prompts overflow is not told: they are taken to repeat as much as all do.
        stretch_usd = _api_usd(
            terms.api, item.overflow_input_tokens, item.overflow_output_tokens, cached_frac
        )
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


def _n_per_machine_replicas(catalog: Catalog, setup: Setup) -> int:
    """Replicas that share the largest machine that is offered on spot."""
    offered = [offer.n_gpus // setup.n_gpus for offer in catalog.offers_for(setup.gpu, "spot")]
    return max([1, *offered])


def _spot_range(found: Sought, catalog: Catalog, terms: Terms) -> SpotRange:
    """Spot at the rate told or assumed, and at the assumption's P90 where that is rougher."""
    answer, case = found.answer, found.candidate.case
    assert answer.safety is not None
    each = _n_per_machine_replicas(catalog, answer.setup)
    central = replace(terms.spot, n_per_machine_replicas=each)
    p90 = load_assumptions()["spot_interruptions_per_replica_month"].p90
    most = max(p90, central.interruptions_per_month_ratio)
    rough = replace(central, interruptions_per_month_ratio=most)
    n_fleet = answer.safety.n_fleet_replicas
    return spot_range(case, found.sizer, n_fleet, (central, rough), terms.seed)


def _spot_note(case: Case, taken: Spot, rough: Spot) -> str:
    each = taken.terms.n_per_machine_replicas
    notes = [f"{each} replicas share a machine and are lost together."] if each > 1 else []
    if not taken.is_repaired:
        notes.append("Even those do not repair it.")
    if not taken.n_interruptions:
        hours = case.requests.duration_s / SECONDS_PER_HOUR
        notes.append(
            f"No interruption fell into these {hours:.3g} hours: what they cost is read off the "
            "replicas that are down at once."
        )
    if rough.terms != taken.terms:
        more = f"{rough.n_extra_replicas} more replicas"
        repair = f"{more} repair it" if rough.is_repaired else f"not even {more} repair it"
        rate = rough.terms.interruptions_per_month_ratio
        notes.append(
            f"At {rate:g} interruptions a month (P90 of what is assumed) {rough.n_interruptions} "
            f"fall into the stretch, {rough.n_down_replicas} are down at once, and {repair}."
        )
    return " ".join([*notes, NOT_MODELLED])
