"""Time of a full study on one thread: simulation, bands, odds, tornado, value of knowing, surface.

    python benchmarks/bench_study.py [--draws 100000] [--repeat 3]

20 query types with hourly rhythm, 5 options x 36 months, a 50 x 50 surface at 256 draws a cell;
once with 25 uncertain inputs and once with every uncertain default. Prints the best CPU seconds of
each part, their sum, the peak memory of a process of its own, and the simulation's pace beside a
plain loop that evaluates one draw after another.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from weighbridge.catalog.assumptions import Assumption, load_assumptions
from weighbridge.economics.breakeven import Axis, surface
from weighbridge.economics.distributions import Banded, Distribution, Event, Fixed
from weighbridge.economics.inputs import Beliefs, quasi_random
from weighbridge.economics.lines import cash_by_month
from weighbridge.economics.options import Option, Settings, option_lines
from weighbridge.economics.risk import (
    Draws,
    Problem,
    bands,
    cheapest_probability,
    expected_regret_usd,
    monthly_bands,
    simulate,
    tornado,
    value_of_knowing_usd,
)
from weighbridge.economics.workload import QueryType, Workload

SEED = 20261121
N_TYPES = 20
N_MONTHS = 36
SURFACE_POINTS = 50
SURFACE_DRAWS = 256
NAIVE_DRAWS = 200
UNCERTAIN = (
    "demand_multiplier_ratio",
    "demand_growth_frac_per_month",
    "within_hour_peak_ratio",
    "api_price_change_frac_per_year",
    "api_price_cut_event",
    "api_price_cut_frac",
    "traffic_halves_event",
    "traffic_triples_event",
    "replica_output_tokens_per_s",
    "input_token_work_ratio",
    "throughput_shortfall_frac",
    "tokens_per_answer_ratio",
    "headroom_frac",
    "gpu_usd_per_gpu_hour",
    "hyperscaler_usd_per_gpu_hour",
    "gpu_price_change_frac_per_year",
    "supporting_infrastructure_frac",
    "gpu_purchase_usd_per_gpu",
    "residual_value_frac",
    "fte_usd_per_year",
    "deployment_fte",
    "deployment_months",
    "upkeep_fte",
    "platform_fee_usd_per_month",
    "timeline_slip_event",
)


def belief(row: Assumption, *, certain: bool) -> Distribution:
    """The default of a row, or its median where it is held certain."""
    if row.event:
        return Fixed(float(row.probability > 0.5)) if certain else Event(row.probability)
    if certain or row.p10 == row.p90:
        return Fixed(row.p50)
    return Banded(row.p10, row.p50, row.p90, row.min, row.max)


def problem(*, every_default: bool) -> Problem:
    """Twenty query types of falling size, each with a rhythm of its own."""
    rng = np.random.default_rng(SEED)
    sizes = 1.0 / np.arange(1, N_TYPES + 1)
    types = tuple(
        QueryType(
            f"type {i}",
            1e6 * size,
            5e8 * size,
            2e8 * size,
            2e8 * size,
            6000 * size,
            rng.random(168) * size,
            rng.random(168) * size,
        )
        for i, size in enumerate(sizes)
    )
    rows = load_assumptions()
    distributions = {
        name: belief(row, certain=not (every_default or name in UNCERTAIN))
        for name, row in rows.items()
    }
    pair = ("api_price_change_frac_per_year", "gpu_price_change_frac_per_year")
    everything = tuple(range(N_TYPES))
    options = (
        Option("api", "api", ()),
        Option("managed", "managed", everything),
        Option("rented", "rented", everything),
        Option("owned", "owned", everything),
        Option("hybrid", "rented", everything[:5]),
    )
    return Problem(
        Workload(types), Beliefs(distributions, {pair: 0.5}), Settings(N_MONTHS), options
    )


def timed(parts: dict[str, float], name: str, work: Callable[[], Any]) -> Any:
    """Run one part and note its CPU seconds."""
    start = time.process_time()
    answer = work()
    parts[name] = time.process_time() - start
    return answer


def study(question: Problem, n_draws: int) -> dict[str, float]:
    """CPU seconds of each part of one whole study."""
    parts: dict[str, float] = {}
    rng = np.random.default_rng(SEED)
    draws: Draws = timed(parts, "simulation", lambda: simulate(question, n_draws, rng))
    timed(parts, "monthly bands", lambda: [monthly_bands(m) for m in draws.monthly_usd])
    timed(
        parts,
        "cumulative bands",
        lambda: [monthly_bands(np.cumsum(m, axis=0)) for m in draws.monthly_usd],
    )
    timed(parts, "total bands", lambda: [bands(row) for row in draws.npv_usd])
    timed(
        parts,
        "odds and regret",
        lambda: (cheapest_probability(draws.npv_usd), expected_regret_usd(draws.npv_usd)),
    )
    timed(parts, "value of knowing", lambda: value_of_knowing_usd(draws.u, draws.npv_usd))
    timed(parts, "tornado", lambda: [tornado(question, o) for o in question.options[1:]])
    ratios = np.geomspace(0.1, 10.0, SURFACE_POINTS)
    axes = Axis("demand_multiplier_ratio", ratios), Axis("api_price_ratio", ratios)
    timed(parts, "surface", lambda: surface(question, *axes, SURFACE_DRAWS, rng))
    return parts


def naive_s_per_draw(question: Problem) -> float:
    """CPU seconds a draw when every draw is evaluated by itself."""
    u = quasi_random(len(question.beliefs.uncertain), NAIVE_DRAWS, np.random.default_rng(SEED))
    start = time.process_time()
    for draw in range(NAIVE_DRAWS):
        case = question.case(question.beliefs.from_probabilities(u[:, draw : draw + 1]))
        for option in question.options:
            cash_by_month(option_lines(case, option), (N_MONTHS, 1))
    return (time.process_time() - start) / NAIVE_DRAWS


def measure(every_default: bool, n_draws: int, n_repeats: int) -> None:
    """Measure one set of uncertain inputs and print a table."""
    question = problem(every_default=every_default)
    runs = [study(question, n_draws) for _ in range(n_repeats)]
    best = min(runs, key=lambda parts: sum(parts.values()))
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    naive = naive_s_per_draw(question)
    print(f"\n{len(question.beliefs.uncertain)} uncertain inputs, {n_draws:,} draws")
    for name, seconds in best.items():
        print(f"  {name:<20}{seconds:8.3f} s")
    print(f"  {'total':<20}{sum(best.values()):8.3f} s CPU   (best of {n_repeats})")
    print(f"  {'peak memory':<20}{peak_mib:8.0f} MiB")
    ratio = naive * n_draws / best["simulation"]
    print(f"  draw by draw {naive * 1e3:.2f} ms each ({NAIVE_DRAWS} draws): {ratio:,.0f}x slower")


def main() -> None:
    """Measure both sets, each in a process of its own so that its peak memory is its own."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=100_000)
    parser.add_argument("--repeat", type=int, default=3)
    given = parser.parse_args()
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"  # read by the children when they import numpy
    fresh = multiprocessing.get_context("spawn")
    for every_default in (False, True):
        child = fresh.Process(target=measure, args=(every_default, given.draws, given.repeat))
        child.start()
        child.join()
        if child.exitcode:
            raise SystemExit(child.exitcode)


if __name__ == "__main__":
    main()
