"""Sizing a week of a million requests over a hundred deployments: with pruning, and without.

    python benchmarks/bench_sizing.py [--requests 1000000] [--threads 2] [--no-whole]

The week has a rhythm of days, bursts of minutes and lengths like those of chats (1,150 tokens in
and 210 out on average). First the search as `weighbridge size` makes it; then every deployment
simulated over the whole week at the size that it needs, with nothing left out. Wall time and CPU
time of all threads, compilation apart.
"""

from __future__ import annotations

import argparse
import os
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np

from weighbridge.capacity.fleet import FleetPlan
from weighbridge.capacity.served import served
from weighbridge.capacity.simulation import simulate
from weighbridge.capacity.sizing import Needed, needed_replicas
from weighbridge.capacity.slo import parse_slo
from weighbridge.capacity.stretch import picked
from weighbridge.capacity.traffic import Requests
from weighbridge.catalog.facts import load_catalog
from weighbridge.catalog.serving_fit import load_serving_fit
from weighbridge.study.size_candidates import World, candidates
from weighbridge.study.size_question import SizeQuestion, TrafficQuestion, silent
from weighbridge.study.size_search import Candidate, searched

SEED = 20261121
WEEK_S = 7 * 86400.0
SLO = "ttft_p95=1s,tpot_p95=60ms,e2e_p95=30s"
MODEL = "llama-3.1-8b"
N_DEPLOYMENTS = 100

_T = TypeVar("_T")


def week(n_requests: int) -> Requests:
    """Days three times as busy as nights, minutes that vary by half, long-tailed lengths."""
    rng = np.random.default_rng(SEED)
    minutes = np.arange(WEEK_S / 60)
    day = 1 + 0.5 * np.sin(2 * np.pi * (minutes / 1440 - 0.3))
    rate = day * rng.gamma(4.0, 0.25, len(minutes))
    minute = np.sort(rng.choice(len(minutes), n_requests, p=rate / rate.sum()))
    return Requests(
        np.sort(60.0 * (minute + rng.random(n_requests))),
        np.clip(rng.lognormal(6.6, 0.95, n_requests), 1, 12_000).astype(np.int64),
        np.clip(rng.lognormal(4.9, 0.95, n_requests), 1, 1500).astype(np.int64),
    )


def timed(name: str, work: Callable[[], _T]) -> _T:
    """Run, and print wall and CPU time."""
    wall, cpu = time.perf_counter(), time.process_time()
    found = work()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(f"{name}: {wall:.1f} s wall, {cpu:.1f} s CPU")
    return found


def whole(candidate: Candidate) -> tuple[int, int]:
    """Replicas that the peak needs, and the requests of the week simulated on them."""
    needed, _ = needed_replicas(candidate.case)
    if not isinstance(needed, Needed):
        return 0, 0
    case = candidate.case
    outcome = simulate(case.requests, case.band.mid, case.limits, FleetPlan(needed.n_replicas))
    return needed.n_replicas, served(case.requests, outcome, case.slo).n_requests


def main() -> None:
    """Print what each part took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=1_000_000)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--no-whole", action="store_true", help="leave the second part out")
    given = parser.parse_args()
    requests = week(given.requests)
    world = World(load_catalog(), load_serving_fit())
    question = SizeQuestion(MODEL, parse_slo(SLO), TrafficQuestion())
    tried, out = candidates(question, world, requests)
    tried = tried[:N_DEPLOYMENTS]
    print(
        f"{requests.n_requests:,} requests, {requests.input_tokens.mean():,.0f} tokens in and "
        f"{requests.output_tokens.mean():,.0f} out; {len(tried)} deployments of {MODEL} "
        f"({len(out)} do not fit or have no price); {given.threads} threads; load "
        f"{os.getloadavg()[0]:.1f}"
    )
    few = picked(requests, np.arange(2000))
    warm, _ = candidates(SizeQuestion(MODEL, parse_slo(SLO), TrafficQuestion()), world, few)
    searched(warm[:2], 1, silent)
    found = timed("search with pruning", lambda: searched(tried, given.threads, silent))
    print("  ", dict(Counter(s.answer.status for s in found)), found[0].answer.setup.label)
    if given.no_whole:
        return
    with ThreadPoolExecutor(given.threads) as pool:
        weeks = timed("every deployment, whole week", lambda: list(pool.map(whole, tried)))
    n_weeks = sum(n > 0 for n, _ in weeks)
    print(f"   {n_weeks} weeks, {sum(n for _, n in weeks):,} requests")


if __name__ == "__main__":
    main()
