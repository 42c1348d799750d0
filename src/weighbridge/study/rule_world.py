"""The world that a rule of thumb speaks of: its stated inputs as a problem for the engine.

In the bare world nothing costs anything unless the rule says so, so that a published figure can be
held against its own inputs alone. In the full world everything that the rule leaves out is the
central case of a study, posed by the same code as `weighbridge decide`.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from weighbridge.catalog.assumptions import load_assumptions
from weighbridge.catalog.facts import load_catalog, price_band
from weighbridge.catalog.prices import compile_prices
from weighbridge.economics.distributions import Fixed
from weighbridge.economics.fleet import Sizing
from weighbridge.economics.inputs import Beliefs
from weighbridge.economics.labour import UpkeepBasis
from weighbridge.economics.options import Option, Settings
from weighbridge.economics.risk import Problem
from weighbridge.economics.workload import QueryType, Workload
from weighbridge.study.entries import read_belief
from weighbridge.study.pose import Facts, pose
from weighbridge.study.scenario import Blend, Scenario, Throughput, check_scenario
from weighbridge.units import (
    DAYS_PER_MONTH,
    HOURS_PER_DAY,
    MONTHS_PER_YEAR,
    SECONDS_PER_HOUR,
    TOKENS_PER_MTOK,
    WEEKS_PER_MONTH,
    InputError,
)

World = Literal["bare", "full"]

WORLD_INPUTS: Mapping[str, str] = {
    # What a rule may state beside the assumptions of the model: name and how it is told.
    "tokens_per_month": "tokens a month",
    "tokens_per_day": "tokens a day",
    "requests_per_month": "requests a month",
    "requests_per_day": "requests a day",
    "requests_per_s": "requests a second on average",
    "input_tokens": "input tokens of one request",
    "output_tokens": "output tokens of one request",
    "input_share_frac": "share of input among the tokens",
    "input_usd_per_mtok": "API price of input, USD per million tokens",
    "output_usd_per_mtok": "API price of output, USD per million tokens",
    "usd_per_mtok": "API price of all tokens, USD per million",
    "model": "model at its list price in the catalog",
    "api_usd_per_month": "API bill, USD a month",
    "replica_requests_per_s": "requests a second that one replica can serve",
    "replica_requests_per_day": "requests a day that one replica serves",
    "replica_tokens_per_month": "tokens a month that one replica serves",
    "replica_usd_per_month": "cost of one replica, USD a month",
    "managed_replica_usd_per_month": "price of one replica at a cloud, USD a month",
    "staff_usd_per_month": "people who run it, USD a month",
    "gpu": "GPU at the on-demand prices of specialists in the catalog",
    "utilization_frac": "utilisation, taken as given",
    "moved_share_frac": "share of the traffic that moves",
    "moved_requests_per_day": "requests a day that move",
    "horizon_months": "months compared",
    "deployment_weeks": "length of the deployment, weeks",
    "go_live_weeks": "weeks from delivery to go-live",
    "candidate": "model of which the weights are stored",
    "kv_tokens": "tokens in flight that the KV cache must hold",
    "whole_replicas": "1 where replicas are bought whole, 0 where in parts",
}
WORDS = frozenset({"model", "gpu", "candidate"})
VOLUMES = frozenset(
    {
        "tokens_per_month",
        "tokens_per_day",
        "requests_per_month",
        "requests_per_day",
        "requests_per_s",
    }
)
RATES = frozenset(
    {
        "replica_requests_per_s",
        "replica_requests_per_day",
        "replica_tokens_per_month",
        "replica_output_tokens_per_s",
    }
)
EXCLUSIVE: Sequence[tuple[str, ...]] = (
    tuple(sorted(VOLUMES)),
    tuple(sorted(RATES)),
    ("usd_per_mtok", "input_usd_per_mtok", "model", "api_usd_per_month"),
    ("replica_usd_per_month", "gpu_usd_per_gpu_hour"),
    ("managed_replica_usd_per_month", "hyperscaler_usd_per_gpu_hour"),
    ("staff_usd_per_month", "upkeep_fte"),
    ("staff_usd_per_month", "fte_usd_per_year"),
    ("deployment_weeks", "deployment_months"),
    ("go_live_weeks", "go_live_frac"),
    ("maintenance_hours_per_month", "upkeep_fte"),
    ("moved_share_frac", "moved_requests_per_day"),
)
NEEDS: Mapping[str, frozenset[str]] = {
    "go_live_weeks": frozenset({"deployment_weeks", "deployment_months"}),
    "moved_requests_per_day": VOLUMES,
    "output_tokens": frozenset({"input_tokens"}),
    "input_tokens": frozenset({"output_tokens"}),
    "input_usd_per_mtok": frozenset({"output_usd_per_mtok"}),
    "output_usd_per_mtok": frozenset({"input_usd_per_mtok"}),
}
BARE_ONLY = frozenset(
    {
        "api_usd_per_month",
        "replica_usd_per_month",
        "managed_replica_usd_per_month",
        "staff_usd_per_month",
        "maintenance_hours_per_month",
        "utilization_frac",
        "moved_share_frac",
        "moved_requests_per_day",
        "candidate",
        "kv_tokens",
    }
)
NEUTRAL: Mapping[str, float] = {
    # In the bare world every ratio is 1 and all else 0, but for these.
    "hours_per_month": 730.0,
    "operating_hours_per_day": 24.0,
    "n_gpus_per_replica": 1.0,
    "reserved_term_months": 12.0,
    "depreciation_years": 4.0,
    "input_token_work_ratio": 0.0,
    "replica_output_tokens_per_s": 1e18,  # a fleet without a stated rate is one, whatever comes
}
FULL_INPUT_SHARE_FRAC = 0.75
MOVED = (0,)

Scalars = Mapping[str, float | str]


def check_inputs(values: Mapping[str, Any], world: World, field: str, where: str) -> None:
    """Names that the engine knows, numbers inside their meaning, and no two that say the same."""
    lost = sorted(BARE_ONLY & set(values)) if world == "full" else []
    if lost:
        mend = "state what a scenario can: assumptions, traffic, a price, a rate of one replica"
        raise InputError(where, f"{field}.{lost[0]}", "means nothing in the full world", mend)
    for name, raw in values.items():
        for value in raw if isinstance(raw, tuple) else (raw,):
            _check_value(name, value, f"{field}.{name}", where)
        if (
            isinstance(raw, tuple)
            and name not in WORDS
            and not (len(raw) == 2 and raw[0] <= raw[1])
        ):
            raise InputError(where, f"{field}.{name}", f"is {raw}", "give [low, high]")
    for group in EXCLUSIVE:
        given = [name for name in group if name in values]
        if len(given) > 1:
            problem = f"is given beside {given[1]}, and each makes the other"
            raise InputError(where, f"{field}.{given[0]}", problem, "keep one of them")
    for name, needed in NEEDS.items():
        if name in values and not needed & set(values):
            mend = f"state {' or '.join(sorted(needed))} as well"
            raise InputError(where, f"{field}.{name}", "is given alone", mend)


def _check_value(name: str, value: Any, field: str, where: str) -> None:
    if name in WORDS:
        if not isinstance(value, str):
            raise InputError(where, field, f"is {value!r}", "give a name of the catalog")
        return
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InputError(where, field, f"is {value!r}", "give a number or [low, high]")
    if name not in WORLD_INPUTS:
        read_belief(name, value, f"{where}, {field}")
    elif not 0 <= value < float("inf"):
        raise InputError(where, field, f"is {value}", "give 0 or more")


def described(name: str) -> str:
    """What an input is, and in which unit."""
    if name in WORLD_INPUTS:
        return WORLD_INPUTS[name]
    row = load_assumptions()[name]
    label = row.label if row.label[:2].isupper() else row.label[:1].lower() + row.label[1:]
    return f"{label}, {row.unit.partition(',')[0]}"


def facts_of(as_of: dt.date) -> Facts:
    """Packaged catalog and prices on a day."""
    return Facts(load_catalog(), compile_prices(), as_of)


def rent_band_usd_per_gpu_hour(facts: Facts, gpu: str) -> tuple[float, float]:
    """Lowest and highest on-demand offer of a specialist for one GPU [USD per GPU and hour]."""
    low, _, high = price_band(facts.catalog.offers_for(gpu, "on_demand", "specialist"))
    return low, high


def problem_of(values: Scalars, world: World, facts: Facts) -> Problem:
    """The problem that a rule's inputs pose, every option over the same traffic."""
    return _full(values, facts) if world == "full" else _bare(values, facts)


def number(values: Scalars, name: str, default: float) -> float:
    """One input as a number, or what stands for it where the rule is silent."""
    return float(values.get(name, default))


def blended_usd_per_mtok(values: Scalars, facts: Facts) -> float:
    """API price of the mix of input and output that the rule states [USD per million tokens]."""
    if "usd_per_mtok" in values:
        return number(values, "usd_per_mtok", 0.0)
    share = _input_share(values)
    paid_in, paid_out = (
        number(values, name, 0.0) for name in ("input_usd_per_mtok", "output_usd_per_mtok")
    )
    if "model" in values:
        rates = facts.book.rates_usd_per_mtok(None, str(values["model"]), facts.as_of)
        if rates is None:
            why = facts.book.explain_missing(None, str(values["model"]))
            raise InputError("rule", "model", f"{values['model']}: {why}", "name another model")
        paid_in, paid_out = rates.input_usd_per_mtok, rates.output_usd_per_mtok
    return share * paid_in + (1 - share) * paid_out


def _input_share(values: Scalars) -> float:
    read, written = (number(values, name, 0.0) for name in ("input_tokens", "output_tokens"))
    if read + written > 0:
        return read / (read + written)
    return number(values, "input_share_frac", FULL_INPUT_SHARE_FRAC)


def _volumes(values: Scalars) -> tuple[float, float]:
    """Requests and tokens a month; a request of unstated length has one output token."""
    size = number(values, "input_tokens", 0.0) + number(values, "output_tokens", 0.0)
    seconds = number(values, "hours_per_month", NEUTRAL["hours_per_month"]) * SECONDS_PER_HOUR
    requests = number(values, "requests_per_s", 0.0) * seconds
    requests = number(values, "requests_per_day", requests / DAYS_PER_MONTH) * DAYS_PER_MONTH
    requests = number(values, "requests_per_month", requests)
    tokens = number(values, "tokens_per_day", 0.0) * DAYS_PER_MONTH
    tokens = number(values, "tokens_per_month", tokens)
    size = size or 1 / (1 - _input_share(values))  # one output token, however much is read
    return (requests or tokens / size), (tokens or requests * size)


def _workload(values: Scalars, facts: Facts) -> Workload:
    """Traffic that moves first, then the rest where a rule splits it."""
    requests, tokens = _volumes(values)
    usd = blended_usd_per_mtok(values, facts) * tokens / TOKENS_PER_MTOK
    usd = number(values, "api_usd_per_month", usd)
    read = tokens * _input_share(values)
    moved = number(values, "moved_share_frac", 1.0)
    if "moved_requests_per_day" in values:
        moved = float(values["moved_requests_per_day"]) * DAYS_PER_MONTH / requests
    shares = {"traffic": moved, "rest": 1 - moved} if moved < 1 else {"traffic": 1.0}
    types = tuple(
        QueryType(label, requests * s, read * s, 0.0, (tokens - read) * s, usd * s)
        for label, s in shares.items()
    )
    return Workload(types)


def _stated(values: Scalars) -> dict[str, float]:
    """Assumptions of the model that the rule states, in the model's own units."""
    rows = load_assumptions()
    stated = {name: float(values[name]) for name in values if name in rows}
    if "deployment_weeks" in values:
        stated["deployment_months"] = float(values["deployment_weeks"]) / WEEKS_PER_MONTH
    if "go_live_weeks" in values:
        live = float(values["go_live_weeks"]) / WEEKS_PER_MONTH
        stated["go_live_frac"] = live / stated["deployment_months"]
    if "staff_usd_per_month" in values:
        stated["fte_usd_per_year"] = float(values["staff_usd_per_month"]) * MONTHS_PER_YEAR
        stated["upkeep_fte"] = 1.0
    return stated | _rate(values)


def _rate(values: Scalars) -> dict[str, float]:
    """What one replica serves, in the output tokens a second that the engine counts in."""
    of_request = number(values, "output_tokens", 1.0)
    hours = number(values, "hours_per_month", NEUTRAL["hours_per_month"])
    scales = {
        "replica_requests_per_s": of_request,
        "replica_requests_per_day": of_request / (HOURS_PER_DAY * SECONDS_PER_HOUR),
        "replica_tokens_per_month": (1 - _input_share(values)) / (hours * SECONDS_PER_HOUR),
    }
    rates = [float(values[name]) * scale for name, scale in scales.items() if name in values]
    return {"replica_output_tokens_per_s": rates[0]} if rates else {}


def _bare(values: Scalars, facts: Facts) -> Problem:
    """Only what the rule states costs anything, or takes any time."""
    found = {name: 1.0 if name.endswith("_ratio") else 0.0 for name in load_assumptions()}
    found["n_min_replicas"] = 0.0 if RATES & set(values) else 1.0
    found |= {**NEUTRAL, **_stated(values)}
    hours = found["hours_per_month"] * found["n_gpus_per_replica"]
    if "replica_usd_per_month" in values:
        found["gpu_usd_per_gpu_hour"] = float(values["replica_usd_per_month"]) / hours
    if "managed_replica_usd_per_month" in values:
        cloud = float(values["managed_replica_usd_per_month"]) / hours
        found["hyperscaler_usd_per_gpu_hour"] = cloud
    beliefs = Beliefs({name: Fixed(value) for name, value in found.items()})
    busy = number(values, "utilization_frac", 0.0) or None
    sizing = Sizing(number(values, "whole_replicas", 0.0) == 1.0, busy)
    basis: UpkeepBasis = "hours" if "maintenance_hours_per_month" in values else "fte"
    settings = Settings(round(number(values, "horizon_months", 1.0)), sizing, basis)
    return Problem(_workload(values, facts), beliefs, settings, _options())


def _full(values: Scalars, facts: Facts) -> Problem:
    """Everything else as in the central case of a study of that scenario."""
    share = _input_share(values)
    _, tokens = _volumes(values)
    price = blended_usd_per_mtok(values, facts)
    stated = _stated(values)
    rate = stated.pop("replica_output_tokens_per_s", 0.0)
    n_gpus = stated.pop("n_gpus_per_replica", 1.0)
    scenario = Scenario(
        monthly_tokens=tokens,
        input_share_frac=share,
        price=Blend(input_usd_per_mtok=price, output_usd_per_mtok=price, source="the rule"),
        gpu=str(values.get("gpu", "h100-sxm")),
        throughput=Throughput(
            output_tokens_per_s=rate,
            input_tokens=share * 1000,  # only their mix is read
            output_tokens=(1 - share) * 1000,
            n_gpus=n_gpus,
        ),
        options=("api", "managed", "rented", "owned"),
        horizon_months=round(number(values, "horizon_months", 36.0)),
        whole_replicas=number(values, "whole_replicas", 1.0) == 1.0,
        assumptions=stated,
    )
    check_scenario(scenario, "rule")
    return pose(scenario, None, facts, "rule").problem


def _options() -> tuple[Option, ...]:
    return (
        Option("api", "api", ()),
        Option("managed", "managed", MOVED),
        Option("rented", "rented", MOVED),
        Option("owned", "owned", MOVED),
    )
