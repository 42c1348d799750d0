"""What a fleet costs: by the hour, per million tokens, and by the way its GPUs are got."""

from __future__ import annotations

from math import ceil

from weighbridge.capacity.interruptions import Spot
from weighbridge.capacity.served import Served
from weighbridge.catalog.assumptions import load_assumptions
from weighbridge.catalog.facts import Catalog, price_band
from weighbridge.catalog.rows import Gpu, Offer, Plan
from weighbridge.study.hardware import REST_OF_SERVER_RATIO
from weighbridge.study.size_result import FleetCost, PlanCost, Price, Setup
from weighbridge.units import (
    HOURS_PER_MONTH,
    MONTHS_PER_YEAR,
    SECONDS_PER_HOUR,
    TOKENS_PER_MTOK,
)

N_OFFERS = 2  # cheapest of each plan that are listed
RESALE_AGE_MONTHS = 36.0  # age at which the assumption of the resale value is stated


def price_of(catalog: Catalog, gpu: str, stated_usd: float | None) -> Price | None:
    """On-demand price of one GPU and hour: specialists' median, else hyperscalers'."""
    if stated_usd is not None:
        return Price(stated_usd, stated_usd, stated_usd, "stated on the command line")
    for kind in ("specialist", "hyperscaler"):
        offers = catalog.offers_for(gpu, "on_demand", kind)
        if offers:
            low, mid, high = price_band(offers)
            names = ", ".join(dict.fromkeys(offer.provider for offer in offers))
            return Price(mid, low, high, f"median of {len(offers)} {kind} offers ({names})")
    return None


def fleet_cost(
    setup: Setup, price: Price, n_fleet: int, week: Served, full_load_tokens_per_s: float
) -> FleetCost:
    """The fleet's hours over its tokens, and beside it what a page of prices would show."""
    usd_per_replica_hour = price.usd_per_gpu_hour * setup.n_gpus
    usd_per_hour = n_fleet * usd_per_replica_hour
    # Work that no replica did faster when busy is not counted as faster when full.
    full = max(full_load_tokens_per_s, week.tokens / max(week.busy_s, 1e-9))
    hours = week.duration_s / SECONDS_PER_HOUR
    usd = usd_per_hour * hours
    return FleetCost(
        usd_per_hour=usd_per_hour,
        usd_per_month=usd_per_hour * HOURS_PER_MONTH,
        reserved_usd_per_mtok=usd / week.tokens * TOKENS_PER_MTOK,
        reserved_usd_per_output_mtok=usd / week.output_tokens * TOKENS_PER_MTOK,
        full_load_usd_per_mtok=usd_per_replica_hour / (full * SECONDS_PER_HOUR) * TOKENS_PER_MTOK,
        full_load_tokens_per_s=full,
        tokens_of_full_load_frac=week.tokens / (full * n_fleet * week.duration_s),
    )


def plan_costs(
    catalog: Catalog, setup: Setup, n_fleet: int, week: Served, spot: Spot | None
) -> tuple[PlanCost, ...]:
    """Renting on demand and reserved, spot with what repairs it, and buying; cheapest first."""
    mtok_per_month = _mtok_per_month(week)
    found = [
        _rented(offer, setup, n_fleet, mtok_per_month)
        for plan in ("on_demand", "reserved")
        for offer in _cheapest(catalog, setup.gpu, plan)
    ]
    if spot is not None:
        found += [
            _on_spot(offer, setup, n_fleet, mtok_per_month, spot)
            for offer in _cheapest(catalog, setup.gpu, "spot")
        ]
    owned = _owned(catalog.gpu(setup.gpu), setup, n_fleet, mtok_per_month)
    if owned is not None:
        found.append(owned)
    return tuple(sorted(found, key=lambda plan: plan.usd_per_month))


def _mtok_per_month(week: Served) -> float:
    hours = week.duration_s / SECONDS_PER_HOUR
    return week.tokens / TOKENS_PER_MTOK / hours * HOURS_PER_MONTH


def _cheapest(catalog: Catalog, gpu: str, plan: Plan) -> list[Offer]:
    """The cheapest offers, one of each provider; spot that is not below demand is no saving."""
    offers: dict[str, Offer] = {}
    for offer in catalog.offers_for(gpu, plan):
        offers.setdefault(offer.provider, offer)
    return list(offers.values())[:N_OFFERS]


def _whole_machines(n_gpus_of_machine: int, setup: Setup, n_replicas: int) -> int:
    """GPUs that are paid for where machines come whole and no replica spans two of them."""
    per_machine = n_gpus_of_machine // setup.n_gpus
    if per_machine >= 1:
        return ceil(n_replicas / per_machine) * n_gpus_of_machine
    return n_replicas * ceil(setup.n_gpus / n_gpus_of_machine) * n_gpus_of_machine


def _rented(offer: Offer, setup: Setup, n_replicas: int, mtok_per_month: float) -> PlanCost:
    n_gpus = _whole_machines(offer.n_gpus, setup, n_replicas)
    usd = n_gpus * offer.usd_per_gpu_hour * HOURS_PER_MONTH
    spare = n_gpus - n_replicas * setup.n_gpus
    notes = [f"in machines of {offer.n_gpus}: {spare} GPUs idle"] if spare else []
    if offer.commitment_months:
        notes.append(f"owed for {offer.commitment_months} months")
    if offer.n_gpus < setup.n_gpus:
        notes.append("sold by the GPU: ask for them linked in one machine")
    return PlanCost(
        plan=offer.plan.replace("_", " "),
        provider=offer.provider,
        usd_per_gpu_hour=offer.usd_per_gpu_hour,
        n_gpus=n_gpus,
        n_replicas=n_replicas,
        usd_per_month=usd,
        usd_per_mtok=usd / mtok_per_month,
        note="; ".join(notes),
    )


def _on_spot(
    offer: Offer, setup: Setup, n_fleet: int, mtok_per_month: float, spot: Spot
) -> PlanCost:
    plan = _rented(offer, setup, n_fleet + spot.n_extra_replicas, mtok_per_month)
    extra = f"{spot.n_extra_replicas} replicas more repair interruptions"
    note = "; ".join(part for part in (extra, plan.note) if part)
    return PlanCost(
        plan.plan,
        plan.provider,
        plan.usd_per_gpu_hour,
        plan.n_gpus,
        plan.n_replicas,
        plan.usd_per_month,
        plan.usd_per_mtok,
        note,
    )


def owned_usd_per_gpu_month(gpu: Gpu) -> float | None:
    """A bought GPU with its server: worth lost, upkeep, power, cooling and colocation a month."""
    if gpu.purchase_usd is None:
        return None
    a = {name: row.p50 for name, row in load_assumptions().items() if row.p50 is not None}
    months = a["depreciation_years"] * MONTHS_PER_YEAR
    price_usd = gpu.purchase_usd + a["server_usd_per_gpu"]
    left_frac = a["residual_value_frac"] ** (months / RESALE_AGE_MONTHS)
    worth = price_usd * (1 - left_frac) / months
    upkeep = price_usd * a["hardware_maintenance_frac_per_year"] / MONTHS_PER_YEAR
    kw = gpu.tdp_w * REST_OF_SERVER_RATIO / 1000 * a["pue_ratio"]
    power = kw * HOURS_PER_MONTH * a["electricity_usd_per_kwh"]
    return float(worth + upkeep + power + kw * a["hosting_usd_per_kw_month"])


def _owned(gpu: Gpu, setup: Setup, n_replicas: int, mtok_per_month: float) -> PlanCost | None:
    usd_per_gpu = owned_usd_per_gpu_month(gpu)
    if usd_per_gpu is None:
        return None
    # Linked GPUs are sold with what links them: the domain is the least that can be bought.
    n_machine = gpu.n_gpus_per_domain or 1
    n_gpus = _whole_machines(n_machine, setup, n_replicas)
    idle = n_gpus - n_replicas * setup.n_gpus
    notes = [f"in machines of {n_machine}: {idle} GPUs idle"] if idle else []
    years = load_assumptions()["depreciation_years"].p50
    return PlanCost(
        plan="owned",
        provider="bought",
        usd_per_gpu_hour=usd_per_gpu / HOURS_PER_MONTH,
        n_gpus=n_gpus,
        n_replicas=n_replicas,
        usd_per_month=n_gpus * usd_per_gpu,
        usd_per_mtok=n_gpus * usd_per_gpu / mtok_per_month,
        note="; ".join(
            [*notes, f"written off over {years:g} years, with power and colocation, without people"]
        ),
    )
