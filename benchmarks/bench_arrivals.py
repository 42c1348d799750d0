"""Drawn traffic beside measured: bursts, lengths, and what a simulated fleet makes of both.

    python benchmarks/bench_arrivals.py                       public traces in ../shared/traces
    python benchmarks/bench_arrivals.py --traces DIR --seeds 10

Three ways to draw from a profile (gaps alone, gaps under a rate that wanders, replayed runs) beside
the trace that the profile was made of, and beside its second half where the profile was made of the
first, each the mean over the seeds; then two weeks of ServeGen's
rates, the second beside weeks drawn from the first; then how fast each draws. The simulated engine
is an example in round figures, not a machine: only its differences between columns mean anything.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from weighbridge.capacity.arrivals import (
    ArrivalProfile,
    Bursts,
    Span,
    dispersion,
    profile_of,
    spread_over_ticks,
    statistics_of,
    synthesize,
    synthesize_clients,
)
from weighbridge.capacity.fleet import FleetPlan
from weighbridge.capacity.simulation import simulate
from weighbridge.capacity.step_time import EngineLimits, StepTime
from weighbridge.capacity.stretch import between
from weighbridge.capacity.traffic import Requests
from weighbridge.usage.request_traces import RateWindows, read_rate_windows, read_request_trace

BURSTS: tuple[Bursts, ...] = ("renewal", "wandering", "replayed")
TRACES = {
    "Azure conversation": "azure2023/AzureLLMInferenceTrace_conv.csv",
    "Azure code": "azure2023/AzureLLMInferenceTrace_code.csv",
    "Mooncake": "mooncake/conversation_trace.jsonl",
}
# Replicas that each trace loads without overrunning them for long.
N_REPLICAS = {"Azure conversation": 1, "Azure code": 1, "Mooncake": 3}
WEEK_S = 7 * 86_400.0
SHARE = 0.02  # of ServeGen's 196 requests a second, for memory and time

Figures = Mapping[str, float]


def engine() -> tuple[StepTime, EngineLimits]:
    """An example: 12 ms a step, 45 us a prompt token, 1.5e-8 s a token of context."""
    limits = EngineLimits(kv_tokens=640_000)
    n_decoding = np.arange(limits.n_max_requests + 1)
    n_tokens = np.arange(limits.n_max_batched_tokens + 1)
    step = StepTime(
        decode_s=0.012 + 5e-5 * n_decoding,
        mixed_s=0.012 + 4.5e-5 * n_tokens,
        kv_s_per_token=1.5e-8,
        attention_s_per_pair=1e-11,
        first_token_s=0.0,
        basis="roofline",
    )
    return step, limits


def traffic_figures(requests: Requests) -> Figures:
    """Bursts and lengths."""
    found = statistics_of(requests)
    lengths = {"p50": 1, "p90": 2, "p99": 3}
    return {
        "requests": found.n_requests,
        "cv of gaps": found.cv_ratio,
        **{f"dispersion {w:g} s": found.dispersion_ratio[w] for w in found.dispersion_ratio},
        "busiest minute / mean": found.busiest_minute_ratio,
        **{f"input {name}": found.input_tokens[at] for name, at in lengths.items()},
        **{f"output {name}": found.output_tokens[at] for name, at in lengths.items()},
        "rank correlation": found.length_correlation_ratio,
    }


def served_figures(requests: Requests, n_replicas: int) -> Figures:
    """Latencies behind the example engine."""
    outcome = simulate(requests, *engine(), FleetPlan(n_replicas))
    tpot_s = outcome.tpot_s[np.isfinite(outcome.tpot_s)]
    return {
        "requests/s": requests.n_requests / requests.duration_s,
        "busy": float(outcome.busy_s.sum() / (n_replicas * outcome.end_s)),
        **{
            f"TTFT p{q} ms": 1e3 * float(np.quantile(outcome.ttft_s, q / 100)) for q in (50, 95, 99)
        },
        **{f"TPOT p{q} ms": 1e3 * float(np.quantile(tpot_s, q / 100)) for q in (50, 95, 99)},
    }


def served_by(n_replicas: int, real: Requests) -> Callable[[Requests], Figures]:
    """Latencies at the rate of the trace: time is stretched until there are as many a second."""

    def figures(requests: Requests) -> Figures:
        rates = [one.n_requests / one.duration_s for one in (requests, real)]
        stretched = replace(requests, arrival_s=requests.arrival_s * (rates[0] / rates[1]))
        return served_figures(stretched, n_replicas)

    return figures


def show(title: str, columns: Mapping[str, Sequence[Figures]]) -> None:
    """A table of figures, mean over seeds, the standard deviation beside it where there is one."""
    print(f"\n## {title}\n\n| | " + " | ".join(columns) + " |\n|---|" + "---:|" * len(columns))
    first = next(iter(columns.values()))[0]
    for name in first:
        cells = []
        for figures in columns.values():
            values = np.array([one[name] for one in figures])
            spread = f" ± {values.std():.3g}" if len(values) > 1 else ""
            cells.append(f"{values.mean():.4g}{spread}")
        print(f"| {name} | " + " | ".join(cells) + " |")


def trace_tables(folder: Path, n_seeds: int) -> None:
    """Each trace beside what is drawn from its profile."""
    for name, path in TRACES.items():
        real = read_request_trace(folder / path).requests
        if name == "Mooncake":
            real = spread_over_ticks(real, np.random.default_rng(0))
        # Blocks are left out: only replayed runs keep them, and lengths are what is compared.
        real = Requests(real.arrival_s, real.input_tokens, real.output_tokens)
        trace_table(name, real, real, n_seeds)
        half_s = real.duration_s / 2
        halves = between(real, 0.0, half_s), between(real, half_s, real.duration_s)
        trace_table(f"{name}, second half from the first", *halves, n_seeds)


def trace_table(title: str, known: Requests, real: Requests, n_seeds: int) -> None:
    """Traffic beside what is drawn from a profile of other or the same traffic."""
    profile = profile_of(known, None)
    drawn = {b: [drawn_once(profile, real, b, seed) for seed in range(n_seeds)] for b in BURSTS}
    n_replicas = N_REPLICAS[title.split(",", maxsplit=1)[0]]
    for kind, figures in (
        ("traffic", traffic_figures),
        ("served at the measured rate", served_by(n_replicas, real)),
    ):
        columns = {"measured": [figures(real)]}
        columns |= {b: [figures(one) for one in of] for b, of in drawn.items()}
        show(f"{title}: {kind}", columns)


def drawn_once(profile: ArrivalProfile, real: Requests, bursts: Bursts, seed: int) -> Requests:
    """As long as the trace, from its profile."""
    return synthesize(profile, Span(real.duration_s), np.random.default_rng(seed), bursts=bursts)


def week_figures(second: Requests) -> Callable[[Requests], Figures]:
    """Figures of a week, and how far its hours are from those of another."""

    def hours(requests: Requests) -> np.ndarray:
        return np.histogram(requests.arrival_s, 168, (0, WEEK_S))[0]

    due = hours(second)

    def figures(requests: Requests) -> Figures:
        found = hours(requests)
        gaps_s = np.diff(requests.arrival_s)
        return {
            "requests": requests.n_requests,
            "mean error by hour": float(np.abs(found - due).mean() / due.mean()),
            "busiest hour / mean": float(found.max() / found.mean()),
            "cv of gaps": float(gaps_s.std() / gaps_s.mean()),
            **{
                f"dispersion {w:g} s": dispersion(requests.arrival_s, w, WEEK_S)
                for w in (1.0, 10.0, 60.0, 600.0, 3600.0)
            },
        }

    return figures


def week_tables(rates: RateWindows, lengths: Requests, n_seeds: int) -> None:
    """ServeGen's second week beside weeks drawn from its first."""
    weeks = [
        synthesize_clients(
            rates.between(k * WEEK_S, (k + 1) * WEEK_S).times(SHARE),
            lengths,
            np.random.default_rng(k),
        )
        for k in range(2)
    ]
    figures = week_figures(weeks[1])
    columns = {"second week": [figures(weeks[1])], "first week": [figures(weeks[0])]}
    for pattern in ("week", "day"):
        profile = profile_of(weeks[0], 0.0, pattern=pattern)
        for bursts in ("renewal", "wandering"):
            columns[f"from the first, by hour of {pattern}, {bursts}"] = [
                figures(synthesize(profile, Span(WEEK_S), np.random.default_rng(s), bursts=bursts))
                for s in range(n_seeds)
            ]
    show(f"ServeGen, {SHARE:g} of its rates", columns)
    speeds(profile_of(weeks[0], 0.0), rates, lengths)


def speeds(profile: ArrivalProfile, rates: RateWindows, lengths: Requests) -> None:
    """CPU time of each way to draw."""
    print("\n## Speed\n\n| drawn | requests | CPU s | requests/s |\n|---|---:|---:|---:|")
    ways: dict[str, Callable[[], Requests]] = {
        b: lambda b=b: synthesize(profile, Span(WEEK_S), np.random.default_rng(0), bursts=b)
        for b in BURSTS
    }
    day = rates.between(0, 86_400.0).times(10 * SHARE)
    ways["clients"] = lambda: synthesize_clients(day, lengths, np.random.default_rng(0))
    for name, draw in ways.items():
        start = time.process_time()
        n_requests = draw().n_requests
        took_s = time.process_time() - start
        print(f"| {name} | {n_requests:,} | {took_s:.2f} | {n_requests / took_s:,.0f} |")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    beside = Path(__file__).resolve().parents[2] / "shared" / "traces"
    parser.add_argument("--traces", type=Path, default=beside)
    parser.add_argument("--seeds", type=int, default=20)
    asked = parser.parse_args()
    if not asked.traces.is_dir():
        print(f"no traces in {asked.traces}: name their folder with --traces")
        return
    trace_tables(asked.traces, asked.seeds)
    rates = read_rate_windows(asked.traces / "servegen" / "m_large_rates.csv.gz")
    lengths = read_request_trace(asked.traces / TRACES["Azure conversation"]).requests
    week_tables(rates, lengths, min(asked.seeds, 5))


if __name__ == "__main__":
    main()
