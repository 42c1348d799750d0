"""Requests simulated per second: short prompts, Mooncake's trace, plain Python, a week of fleets.

    python benchmarks/bench_simulation.py [--repeat 5] [--only short,mooncake,plain,week]

Rates are requests per second of CPU time of one thread, stores laid out and results read off
included: the median of the rounds, with the slowest and the fastest, since the machine's noise is
part of the answer. Mooncake's trace is read from ../shared/traces; without it that part is left
out. The week runs 100 fleets on two threads.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from weighbridge.capacity.fleet import FleetPlan
from weighbridge.capacity.outcome import Outcome
from weighbridge.capacity.simulation import simulate
from weighbridge.capacity.step_time import EngineLimits, StepTime
from weighbridge.capacity.traffic import PrefixBlocks, Requests

SEED = 20261121
TRACE = Path(__file__).resolve().parents[2] / "shared/traces/mooncake/conversation_trace.jsonl"
WEEK_S = 7 * 86400.0
N_FLEETS = 100


def engine(speed: float = 1.0, kv_tokens: int = 400_000) -> tuple[StepTime, EngineLimits]:
    """An engine of a few GPUs: 8 ms a step, 30 microseconds a prompt token, at speed 1."""
    limits = EngineLimits(kv_tokens // 512 * 512, 256, 8192)
    decode_s = 0.008 + 2e-5 * np.arange(limits.n_max_requests + 1)
    mixed_s = 0.008 + 3e-5 * np.arange(limits.n_max_batched_tokens + 1)
    step = StepTime(decode_s / speed, mixed_s / speed, 2e-8 / speed, 1e-11, 0.0, "roofline")
    return step, limits


def short_prompts(n_requests: int, requests_per_s: float) -> Requests:
    """Prompts of 200 tokens and answers of 60 on average, Poisson arrivals."""
    rng = np.random.default_rng(SEED)
    return Requests(
        np.cumsum(rng.exponential(1.0 / requests_per_s, n_requests)),
        rng.integers(1, 400, n_requests),
        rng.integers(1, 120, n_requests),
    )


def mooncake() -> Requests:
    """Mooncake's hour of conversations, with its prefix blocks of 512 tokens."""
    rows = [json.loads(line) for line in TRACE.read_text().splitlines()]
    chains = [row["hash_ids"] for row in rows]
    return Requests(
        np.array([row["timestamp"] / 1000.0 for row in rows]),
        np.array([row["input_length"] for row in rows]),
        np.array([max(row["output_length"], 1) for row in rows]),
        prefix=PrefixBlocks(
            np.array([number for chain in chains for number in chain]),
            np.cumsum([0] + [len(chain) for chain in chains]),
            512,
        ),
    )


def a_week(n_requests: int) -> Requests:
    """Requests over seven days, most of them by day: prompts of 800 tokens, answers of 250."""
    rng = np.random.default_rng(SEED)
    at_s = np.linspace(0.0, WEEK_S, 10_081)
    rate = 1.0 - 0.8 * np.cos(2 * np.pi * at_s / 86400.0)
    share = np.concatenate(([0.0], np.cumsum(rate[1:] + rate[:-1])))
    arrival_s = np.interp(np.sort(rng.random(n_requests)), share / share[-1], at_s)
    return Requests(
        arrival_s,
        rng.geometric(1 / 800, n_requests).clip(1, 32_000),
        rng.geometric(1 / 250, n_requests).clip(1, 8_000),
    )


def rates(n_requests: int, n_rounds: int, work: Callable[[], Outcome]) -> tuple[str, Outcome]:
    """Requests per second of CPU time over some rounds, in words."""
    found = []
    for _ in range(n_rounds):
        began_s = time.process_time()
        outcome = work()
        found.append(n_requests / (time.process_time() - began_s))
    middle = statistics.median(found)
    return f"{middle:>12,.0f}/s  ({min(found):,.0f} to {max(found):,.0f})", outcome


def bench_short(n_rounds: int) -> None:
    """One replica, compiled, from a tenth of its capacity to all of it."""
    print("short prompts (mean 200 + 60 tokens), one replica, compiled, no prefix cache")
    step, limits = engine()
    for requests_per_s in (10.0, 40.0, 80.0, 110.0):
        requests = short_prompts(1_000_000, requests_per_s)
        words, outcome = rates(
            1_000_000, n_rounds, lambda requests=requests: simulate(requests, step, limits)
        )
        batch = outcome.mean_batch_requests[0]
        print(f"  {requests_per_s:5.0f} requests/s offered, batch {batch:5.1f}  {words}")


def bench_mooncake(n_rounds: int) -> None:
    """From ample memory to a cache so small that requests are preempted."""
    if not TRACE.exists():
        print("Mooncake's trace: left out, there is no ../shared/traces beside this checkout")
        return
    requests = mooncake()
    print(f"Mooncake's trace ({requests.n_requests:,} requests), compiled, prefix cache on")
    for n_replicas, speed, kv_tokens in ((8, 2.0, 1_000_000), (4, 2.0, 400_000), (2, 2.0, 140_000)):
        step, limits = engine(speed, kv_tokens)
        fleet = FleetPlan(n_replicas)
        words, outcome = rates(
            requests.n_requests,
            n_rounds,
            lambda step=step, limits=limits, fleet=fleet: simulate(requests, step, limits, fleet),
        )
        cached = outcome.cached_tokens.sum() / requests.input_tokens.sum()
        print(
            f"  {n_replicas} replicas of {kv_tokens:,} tokens: {cached:.1%} of the prompts cached, "
            f"{outcome.n_preemptions.sum():,} preemptions  {words}"
        )


def bench_plain(n_rounds: int) -> None:
    """The same kernel without numba."""
    print("short prompts, one replica, plain Python")
    step, limits = engine()
    requests = short_prompts(30_000, 40.0)
    words, _ = rates(
        requests.n_requests, n_rounds, lambda: simulate(requests, step, limits, compiled=False)
    )
    print(f"  {'40 requests/s offered':<36}{words}")


def bench_week(n_threads: int) -> None:
    """A million requests against fleets of ten speeds and ten sizes."""
    requests = a_week(1_000_000)
    plans = [(0.5 + 0.25 * k % 2.5, 1 + k // 10) for k in range(N_FLEETS)]

    def one(plan: tuple[float, int]) -> float:
        step, limits = engine(plan[0])
        outcome = simulate(requests, step, limits, FleetPlan(plan[1]))
        return float(np.nanquantile(outcome.ttft_s, 0.95))

    one(plans[0])
    began_s, cpu_s = time.perf_counter(), time.process_time()
    with ThreadPoolExecutor(n_threads) as pool:
        list(pool.map(one, plans))
    wall_s, cpu_s = time.perf_counter() - began_s, time.process_time() - cpu_s
    print(
        f"1,000,000 requests of a week x {N_FLEETS} fleets, {n_threads} threads: "
        f"{wall_s:.0f} s wall, {cpu_s:.0f} s CPU"
    )


def main() -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", default="short,mooncake,plain,week")
    arguments = parser.parse_args()
    parts = arguments.only.split(",")
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    began_s = time.process_time()
    simulate(short_prompts(10, 1.0), *engine())
    print(f"compiled, or read from the cache, in {time.process_time() - began_s:.1f} s CPU")
    if "short" in parts:
        bench_short(arguments.repeat)
    if "mooncake" in parts:
        bench_mooncake(arguments.repeat)
    if "plain" in parts:
        bench_plain(arguments.repeat)
    if "week" in parts:
        bench_week(arguments.threads)


if __name__ == "__main__":
    main()
