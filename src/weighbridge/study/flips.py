"""Break-evens in the units that people pay in, and what would flip the answer, in sentences."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from weighbridge.economics.breakeven import (
    Crossing,
    along_ratio,
    along_ratio_on_average,
    along_utilization,
)
from weighbridge.economics.inputs import quasi_random
from weighbridge.economics.options import Option
from weighbridge.economics.risk import Problem
from weighbridge.study.result import BreakEven, Payback
from weighbridge.units import TOKENS_PER_MTOK

FLIP_DRAWS = 512
FLIP_SEED = 0  # flips are told to two digits: the same few draws for every study will do


def blended_usd_per_mtok(problem: Problem) -> float:
    """What the whole traffic costs per million tokens today, discounts taken off [USD]."""
    whole, v = problem.workload.whole, problem.beliefs.central()
    batch = 1 - float(v["batch_eligible_frac"] * v["batch_discount_frac"])
    paid = whole.api_usd_per_month * (1 - float(v["api_discount_frac"])) * batch
    return paid / whole.total_tokens * TOKENS_PER_MTOK


def break_evens(problem: Problem, option: Option, payback: Payback | None) -> list[BreakEven]:
    """Volume, utilisation, API price, GPU price and month at which the option equals the API."""
    tokens = problem.workload.whole.total_tokens
    found = [
        _ratio(problem, option, "volume", tokens, "tokens per month", "demand_multiplier_ratio"),
        _ratio(
            problem,
            option,
            "api_price",
            blended_usd_per_mtok(problem),
            "USD per million tokens",
            "api_price_ratio",
        ),
    ]
    if option.hosting != "committed":
        found.insert(1, _utilization(problem, option))
    gpu = _GPU_INPUT.get(option.hosting)
    if gpu is not None:
        today = float(problem.beliefs.central()[gpu])
        unit = "USD per GPU" if option.hosting == "owned" else "USD per GPU-hour"
        found.append(_ratio(problem, option, "gpu_price", today, unit, gpu))
    month = payback.plain_month if payback else None
    note = "" if month is not None else (payback.why_none if payback else "")
    found.append(BreakEven(option.id, "month", month, "month of the horizon", None, note))
    return found


_GPU_INPUT = {
    "rented": "gpu_usd_per_gpu_hour",
    "managed": "hyperscaler_usd_per_gpu_hour",
    "owned": "gpu_purchase_usd_per_gpu",
}


def _ratio(
    problem: Problem, option: Option, quantity: str, today: float, unit: str, *names: str
) -> BreakEven:
    crossing = along_ratio(problem, option, *names)
    first = crossing.first
    return BreakEven(
        option_id=option.id,
        quantity=quantity,  # type: ignore[arg-type]  # one of the literals at each call
        value=None if first is None else _nearest(crossing, 1.0) * today,
        unit=unit,
        today=today,
        note=_note(crossing, lambda r: f"{r * today:,.4g} {unit}"),
    )


def _utilization(problem: Problem, option: Option) -> BreakEven:
    crossing = along_utilization(problem, option)
    return BreakEven(
        option_id=option.id,
        quantity="utilization",
        value=crossing.first,
        unit="fraction of the serving replicas' capacity",
        today=None,
        note=_note(crossing, lambda u: f"{u:.0%}"),
    )


def _nearest(crossing: Crossing, target: float) -> float:
    return min(crossing.values, key=lambda r: max(r / target, target / r))


def _note(crossing: Crossing, show: Callable[[float], str]) -> str:
    if not crossing.values:
        side = "cheaper" if crossing.cheaper_at_start else "dearer"
        return f"none: {side} than the API over the whole range searched"
    if len(crossing.values) == 1:
        return "cheaper below it" if crossing.cheaper_at_start else "cheaper above it"
    shown = ", ".join(show(r) for r in crossing.values[:4])
    return f"crosses {len(crossing.values)} times, as whole replicas are added: {shown}"


def flip_sentences(problem: Problem, option: Option) -> tuple[str, ...]:
    """What change of one quantity alone would flip the mean comparison with the API, nearest first.

    The break-evens above are of the central case; a verdict rests on the mean over draws, and so
    does what flips it.
    """
    rng = np.random.default_rng(FLIP_SEED)
    u = problem.beliefs.correlated(quasi_random(len(problem.beliefs.uncertain), FLIP_DRAWS, rng))
    words = {
        "demand_multiplier_ratio": "traffic",
        "api_price_ratio": "the API's price",
        _GPU_INPUT.get(option.hosting, ""): "the GPU's price",
    }
    rows = []
    for quantity, word in words.items():
        crossing = along_ratio_on_average(problem, option, quantity, u) if quantity else None
        if crossing is not None and crossing.values:
            ratio = _nearest(crossing, 1.0)
            verb = "rises" if ratio > 1 else "falls"
            text = f"{word} {verb} to {ratio:.2g} times today's"
            rows.append((max(ratio, 1 / ratio), text))
    return tuple(text for _, text in sorted(rows))
