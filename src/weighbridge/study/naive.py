"""The pricing-page comparison beside the full one, line by line."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from weighbridge.economics.fleet import Fleet
from weighbridge.economics.inputs import Inputs
from weighbridge.economics.lines import CATEGORIES, Line
from weighbridge.economics.options import Case, Option
from weighbridge.study.result import NaiveComparison, NaiveStep

NAIVE_UTILIZATION_FRAC = 0.75
"""The 70-80 % that teams assume; source: Azumo, on the true cost of self-hosting LLMs."""


def by_category_usd(lines: Sequence[Line], horizon_months: int) -> dict[str, float]:
    """Mean USD a month over the horizon by category that costs anything, central case."""
    sums: dict[str, float] = {}
    for line in lines:
        usd = float(np.broadcast_to(line.cash_usd(), (horizon_months,)).sum()) / horizon_months
        sums[line.category] = sums.get(line.category, 0.0) + usd
    return {c: sums[c] for c in CATEGORIES if sums.get(c)}


def naive_gpu_usd(inputs: Inputs, fleet: Fleet) -> float:
    """Mean load at 75 % of benchmark throughput, in parts of a GPU [USD/month].

    Over the same growth of traffic as the full cost: growth is no hidden cost.
    """
    mix = 1 + inputs["input_token_work_ratio"] * inputs["reference_input_per_output_ratio"]
    capacity = inputs["replica_output_tokens_per_s"] * mix * NAIVE_UTILIZATION_FRAC
    replicas = fleet.work_tokens_per_s / capacity * fleet.paths.demand.mean()
    hours = inputs.fixed("hours_per_month")
    return float(replicas * inputs["n_gpus_per_replica"] * inputs["gpu_usd_per_gpu_hour"] * hours)


def compare(
    case: Case, option: Option, option_lines: Sequence[Line], api_lines: Sequence[Line]
) -> NaiveComparison:
    """What the simple arithmetic says and what it leaves out, mean USD a month."""
    horizon = case.settings.horizon_months
    full = by_category_usd(option_lines, horizon)
    staying = [i for i in range(len(case.workload.types)) if i not in set(option.moved)]
    v = case.inputs
    price = 1 - float(v["api_discount_frac"])
    tokens = float(case.paths.demand.mean()) * price  # today's contract price, growing traffic
    naive = {
        "gpus": naive_gpu_usd(case.inputs, case.fleet(option.moved)) if option.moved else 0.0,
        "tokens": case.workload.slice(staying).api_usd_per_month * tokens,
    }
    labels = [c for c in CATEGORIES if c in full or naive.get(c)]
    steps = tuple(NaiveStep(c, naive.get(c, 0.0), full.get(c, 0.0)) for c in labels)
    return NaiveComparison(
        option_id=option.id,
        naive_api_usd_per_month=case.workload.whole.api_usd_per_month * tokens,
        naive_option_usd_per_month=sum(naive.values()),
        full_api_usd_per_month=sum(by_category_usd(api_lines, horizon).values()),
        full_option_usd_per_month=sum(full.values()),
        steps=steps,
    )
