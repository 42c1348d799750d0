"""The fleet under study: candidate model, GPU, what a replica carries, and prices."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from weighbridge.catalog.assumptions import load_assumptions
from weighbridge.catalog.facts import Catalog, Gpu, Offer, Throughput, price_band
from weighbridge.catalog.memory import KvDemand, n_gpus_to_fit
from weighbridge.catalog.rows import Precision
from weighbridge.economics.distributions import Distribution, Fixed
from weighbridge.study.beliefs import Finding, band
from weighbridge.study.capacity_model import DEFAULT_CANDIDATE, Log, Simulation, simulation
from weighbridge.study.scenario import Scenario
from weighbridge.study.scenario_serving import states_a_rate
from weighbridge.study.traffic import Traffic
from weighbridge.units import InputError

NO_LOG = Log()
TOO_FEW = (
    "how many GPUs the latency targets need: too few requests that may move were logged to "
    "simulate fleets on, and published benchmark throughput stands in; needs 30 requests or more"
)
DEFAULT_GPU = "h100-sxm"
DEFAULT_PRECISION: Precision = "fp8"
MEMORY_OVERHEAD_FRAC = 0.1  # activations, graphs and the engine itself; our judgement
MIN_KV_TOKENS = 100_000  # fewest tokens in flight that are worth a replica; our judgement
NEAREST_POINTS = 3
ONE_PRICE_LOW_RATIO, ONE_PRICE_HIGH_RATIO = 0.85, 1.15  # our judgement
GUESS_LOW_RATIO, GUESS_HIGH_RATIO = 0.5, 1.6  # band around a guessed throughput; our judgement
REST_OF_SERVER_RATIO = 1.45  # watts of the whole server per watt of GPU


@dataclass(frozen=True)
class Hardware:
    """What would serve the traffic, where its throughput came from, and what it costs."""

    candidate: str
    gpu: Gpu
    throughput_basis: str
    findings: dict[str, Finding]
    unknown_prices: dict[str, str]  # hosting -> why its price is not known
    simulation: Simulation | None = None  # None where a rate stands for it
    notes: tuple[str, ...] = ()

    @property
    def unmet(self) -> str:
        """Why no number of replicas meets the latency targets; empty where one does."""
        return self.simulation.choice.fleet.unmet if self.simulation is not None else ""


def choose_hardware(
    scenario: Scenario, catalog: Catalog, traffic: Traffic, where: str, log: Log = NO_LOG
) -> Hardware:
    """Pick candidate and deployment (the least rent, unless stated), its capacity and prices.

    A stated rate is taken as it is; otherwise fleets are simulated; where too few requests that
    may move were logged for that, published benchmark throughput stands in.
    """
    candidate = scenario.candidate or DEFAULT_CANDIDATE
    if candidate not in catalog.models:
        raise InputError(
            where, "candidate", f"{candidate!r} is not in the catalog", _choices(catalog.models)
        )
    if scenario.gpu is not None and scenario.gpu not in catalog.gpus:
        raise InputError(
            where, "gpu", f"{scenario.gpu!r} is not in the catalog", _choices(catalog.gpus)
        )
    if traffic.output_tokens_per_request == 0:
        raise InputError(
            where,
            "usage" if scenario.monthly_tokens is None else "input_share_frac",
            "has no output tokens, in which throughput is told (embeddings are not modelled)",
            "leave such traffic out of the study",
        )
    simulated: Simulation | None = None
    notes: tuple[str, ...] = ()
    if not states_a_rate(scenario) and traffic.workload.movable:
        simulated = simulation(scenario, catalog, traffic, where, log)
        notes = () if simulated is not None else (TOO_FEW,)
    if simulated is not None:
        machine = simulated.choice.fleet.machine
        gpu, found = machine.deployment.gpu, simulated.findings
        basis = f"simulated: {machine.words} ({machine.basis})"
    elif scenario.throughput is not None:
        gpu, found, basis = _stated(scenario, catalog, traffic, candidate)
    else:
        gpu, found, basis = _measured(scenario, catalog, traffic, candidate)
    prices, unknown = gpu_prices(catalog, gpu, scenario)
    return Hardware(candidate, gpu, basis, {**found, **prices}, unknown, simulated, notes)


def _choices(rows: Iterable[str]) -> str:
    names = sorted(rows)
    return f"choose one of {', '.join(names[:12])}{', …' if len(names) > 12 else ''}"


def _stated(
    scenario: Scenario, catalog: Catalog, traffic: Traffic, candidate: str
) -> tuple[Gpu, dict[str, Finding], str]:
    """The scenario's own measurement; it is believed as it is, shortfall 0."""
    t = scenario.throughput
    assert t is not None
    gpu = catalog.gpus[scenario.gpu or DEFAULT_GPU]
    ratio = traffic.input_per_output_ratio
    if t.requests_per_s is not None:
        rate = t.requests_per_s * traffic.output_tokens_per_request
    else:
        assert t.output_tokens_per_s is not None
        rate = t.output_tokens_per_s
        if t.input_tokens is not None and t.output_tokens:
            ratio = t.input_tokens / t.output_tokens
    n_gpus = t.n_gpus or float(_fit(catalog, candidate, gpu, scenario.precision))
    found = {
        "replica_output_tokens_per_s": Finding(Fixed(rate), "scenario", t.source),
        "reference_input_per_output_ratio": Finding(Fixed(ratio), "scenario", t.source),
        "throughput_shortfall_frac": Finding(
            Fixed(0.0), "scenario", t.source, "your own measurement is taken as it is"
        ),
        "n_gpus_per_replica": Finding(Fixed(n_gpus), "scenario", t.source),
    }
    return gpu, found, f"stated: {t.source}"


def _fit(catalog: Catalog, candidate: str, gpu: Gpu, precision: Precision | None) -> int:
    kv = KvDemand(min_kv_tokens=MIN_KV_TOKENS)
    model = catalog.models[candidate]
    return n_gpus_to_fit(model, gpu, precision or DEFAULT_PRECISION, MEMORY_OVERHEAD_FRAC, kv)


def _measured(
    scenario: Scenario, catalog: Catalog, traffic: Traffic, candidate: str
) -> tuple[Gpu, dict[str, Finding], str]:
    """Measured points nearest to the traffic's lengths, on the GPU that does the work cheapest."""
    rows = [
        r
        for r in catalog.throughput_for(candidate)
        if (scenario.gpu is None or r.gpu == scenario.gpu)
        and (scenario.precision is None or r.precision == scenario.precision)
    ]
    priced = [r for r in rows if scenario.gpu is not None or _rent(catalog, r.gpu)]
    if not priced:
        return _guessed(scenario, catalog, traffic, candidate)
    groups: dict[tuple[str, int, str], list[Throughput]] = {}
    for r in priced:
        groups.setdefault((r.gpu, r.n_gpus, r.precision), []).append(r)
    nearest = {key: _nearest(points, traffic) for key, points in groups.items()}
    key = min(
        nearest,
        key=lambda k: (_n_unpriced(catalog, k[0]), _usd_per_work(catalog, k, nearest[k])),
    )
    return _from_points(catalog, candidate, key, nearest[key])


def _n_unpriced(catalog: Catalog, gpu_id: str) -> int:
    """How many ways to get the GPU have no price: an option left out cannot win."""
    hyperscaler = catalog.offers_for(gpu_id, "on_demand", "hyperscaler")
    return int(not hyperscaler) + int(catalog.gpus[gpu_id].purchase_usd is None)


def _nearest(points: list[Throughput], traffic: Traffic) -> list[Throughput]:
    output = max(traffic.output_tokens_per_request, 1.0)
    inputs = max(output * traffic.input_per_output_ratio, 1.0)

    def distance(p: Throughput) -> float:
        return abs(math.log(p.input_tokens / inputs)) + abs(math.log(p.output_tokens / output))

    return sorted(points, key=distance)[:NEAREST_POINTS]


def _work_tokens_per_s(p: Throughput) -> float:
    return p.output_tokens_per_s * (1 + _work_ratio() * p.input_tokens / p.output_tokens)


def _usd_per_work(catalog: Catalog, key: tuple[str, int, str], points: list[Throughput]) -> float:
    rent = _rent(catalog, key[0])
    usd = rent[1] if rent else 1.0
    return key[1] * usd / median(_work_tokens_per_s(p) for p in points)


def _from_points(
    catalog: Catalog,
    candidate: str,
    key: tuple[str, int, str],
    points: list[Throughput],
) -> tuple[Gpu, dict[str, Finding], str]:
    nearest = points[0]
    reference = nearest.input_tokens / nearest.output_tokens
    mix = 1 + _work_ratio() * reference
    rates = sorted(_work_tokens_per_s(p) / mix for p in points)
    sources = "; ".join(sorted({p.source for p in points}))
    lengths = ", ".join(f"{p.input_tokens:.0f}/{p.output_tokens:.0f}" for p in points)
    gpu = catalog.gpus[key[0]]
    basis = (
        f"measured: {catalog.models[candidate].name} in {key[2]} on {key[1]} x {gpu.name}, "
        f"nearest points (input/output tokens) {lengths}"
    )
    found = {
        "replica_output_tokens_per_s": Finding(
            band(rates[0], median(rates), rates[-1]),
            "catalog",
            sources,
            f"{basis}; told at the input/output mix of the nearest of them",
        ),
        "reference_input_per_output_ratio": Finding(
            Fixed(reference), "catalog", nearest.source, "the mix of the nearest measurement"
        ),
        "n_gpus_per_replica": Finding(Fixed(float(key[1])), "catalog", sources),
    }
    return gpu, found, basis


def _guessed(
    scenario: Scenario, catalog: Catalog, traffic: Traffic, candidate: str
) -> tuple[Gpu, dict[str, Finding], str]:
    """No measurement: the model nearest in size on that GPU, scaled by active parameters."""
    gpu = catalog.gpus[scenario.gpu or DEFAULT_GPU]
    model = catalog.models[candidate]
    n_gpus = float(_fit(catalog, candidate, gpu, scenario.precision))
    source = "weights and KV cache of the candidate against the GPU's memory"
    found = {
        "n_gpus_per_replica": Finding(Fixed(n_gpus), "catalog", source),
        "reference_input_per_output_ratio": Finding(
            Fixed(traffic.input_per_output_ratio), "catalog", source, "the traffic's own mix"
        ),
    }
    rows = [r for r in catalog.throughput if r.gpu == gpu.id]
    if not rows:
        return gpu, found, f"guessed: nothing is measured on {gpu.name}; the default band"

    def distance(row: Throughput) -> float:
        other = catalog.models[row.model]
        active = math.log(other.active_parameters_billions / model.active_parameters_billions)
        total = math.log(other.parameters_billions / model.parameters_billions)
        return abs(active) + abs(total)

    like = min(rows, key=distance)
    points = _nearest([r for r in rows if r.model == like.model], traffic)
    other = catalog.models[like.model]
    scale = other.active_parameters_billions / model.active_parameters_billions
    mix = 1 + _work_ratio() * traffic.input_per_output_ratio
    per_gpu = median(_work_tokens_per_s(p) / p.n_gpus for p in points)
    rate = per_gpu * n_gpus * scale / mix
    basis = (
        f"guessed: {model.name} is not measured; {other.name} on {gpu.name}, scaled by active "
        "parameters"
    )
    found["replica_output_tokens_per_s"] = Finding(
        band(rate * GUESS_LOW_RATIO, rate, rate * GUESS_HIGH_RATIO),
        "catalog",
        "; ".join(sorted({p.source for p in points})),
        f"{basis}; the band is ours",
    )
    return gpu, found, basis


def _work_ratio() -> float:
    return load_assumptions()["input_token_work_ratio"].p50


def _rent(catalog: Catalog, gpu_id: str) -> tuple[float, float, float] | None:
    for kind in ("specialist", "hyperscaler"):
        offers = catalog.offers_for(gpu_id, "on_demand", kind)
        if offers:
            return price_band(offers)
    return None


def _named(offers: Sequence[Offer]) -> str:
    return "; ".join(
        sorted({f"{o.provider} {o.usd_per_gpu_hour:g} ({o.checked_on})" for o in offers})
    )


def _price_belief(offers: Sequence[Offer]) -> Distribution:
    """Lowest, median and highest offer; around a single price our own band."""
    low, middle, high = price_band(offers)
    if low == high:
        low, high = ONE_PRICE_LOW_RATIO * middle, ONE_PRICE_HIGH_RATIO * middle
    return band(low, middle, high)


def gpu_prices(
    catalog: Catalog, gpu: Gpu, scenario: Scenario
) -> tuple[dict[str, Finding], dict[str, str]]:
    """Rent, hyperscaler price, purchase price and power of the GPU; what is not known is said."""
    found: dict[str, Finding] = {}
    unknown: dict[str, str] = {}
    stated = set(scenario.assumptions)
    specialists = catalog.offers_for(gpu.id, "on_demand", "specialist")
    hyperscalers = catalog.offers_for(gpu.id, "on_demand", "hyperscaler")
    renting = specialists or hyperscalers
    if renting:
        found["gpu_usd_per_gpu_hour"] = Finding(
            _price_belief(specialists or hyperscalers),
            "catalog",
            _named(specialists or hyperscalers),
        )
    elif "gpu_usd_per_gpu_hour" not in stated:
        unknown["rented"] = _ask("rental price", gpu, "gpu_usd_per_gpu_hour")
    if hyperscalers:
        found["hyperscaler_usd_per_gpu_hour"] = Finding(
            _price_belief(hyperscalers), "catalog", _named(hyperscalers)
        )
    elif "hyperscaler_usd_per_gpu_hour" not in stated:
        unknown["managed"] = _ask("hyperscaler price", gpu, "hyperscaler_usd_per_gpu_hour")
    if gpu.purchase_usd is not None:
        usd = gpu.purchase_usd
        found["gpu_purchase_usd_per_gpu"] = Finding(
            band(0.85 * usd, usd, 1.25 * usd), "catalog", gpu.source, "the band is ours"
        )
    elif "gpu_purchase_usd_per_gpu" not in stated:
        unknown["owned"] = _ask("purchase price", gpu, "gpu_purchase_usd_per_gpu")
    kilowatts = gpu.tdp_w * REST_OF_SERVER_RATIO / 1000
    found["gpu_power_kw"] = Finding(
        band(0.9 * kilowatts, kilowatts, 1.15 * kilowatts),
        "catalog",
        gpu.source,
        f"TDP {gpu.tdp_w:g} W and {REST_OF_SERVER_RATIO - 1:.0%} for the rest of the server",
    )
    return found, unknown


def _ask(what: str, gpu: Gpu, assumption: str) -> str:
    return f"no {what} of {gpu.name} is in the catalog: state assumptions.{assumption}"
