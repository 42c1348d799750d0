"""Calibrated on the first half of each measured run, compared with the second half of it.

Reads the folders of vLLM runs beside the checkout (`../shared/measured/vllm_runs`), or those named.
Every figure stands beside the measured one; nothing is asserted here.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

from weighbridge.capacity.calibrate import fit_first_part
from weighbridge.study.calibrate import Told, observe, prepare
from weighbridge.usage.observed import EngineSettings

BESIDE = Path(__file__).resolve().parents[2] / "shared" / "measured" / "vllm_runs"
NAMES = {"ttft": "TTFT", "tpot": "TPOT", "e2e": "end to end"}


def main() -> None:
    """Fit each folder with each seed and print a row for each metric."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="*", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    given = parser.parse_args()
    folders = given.folders or sorted(path.parent for path in BESIDE.rglob("requests.jsonl"))
    if not folders:
        print(f"no runs in {BESIDE}: name folders with requests.jsonl")
        return
    heads = ("mean measured", "simulated", "error", "p90 measured", "simulated", "error")
    print(f"| run | seed | metric | {' | '.join(heads)} |")
    print("|---|---|---|---|---|---|---|---|---|")
    for folder in folders:
        for seed in range(given.seeds):
            show(folder, seed)


def show(folder: Path, seed: int) -> None:
    """One fit, and what it took."""
    prepared = prepare(observe([folder], None, None), Told(EngineSettings()))
    began, cpu = time.perf_counter(), time.process_time()
    fit = fit_first_part(
        prepared.runs, prepared.limits, np.random.default_rng(seed), start=prepared.start
    )
    wall_s, cpu_s = time.perf_counter() - began, time.process_time() - cpu
    name = "/".join(folder.parts[-2:])
    for one in fit.errors:
        print(
            f"| {name} | {seed} | {NAMES[one.metric]} | {one.measured_mean_s:.4g} s "
            f"| {one.simulated_mean_s:.4g} s | {one.mean_error_frac:+.1%} "
            f"| {one.measured_p90_s:.4g} s | {one.simulated_p90_s:.4g} s "
            f"| {one.p90_error_frac:+.1%} |"
        )
    n_requests = sum(run.requests.n_requests for run in prepared.runs)
    print(
        f"<!-- {name}, seed {seed}: {n_requests} requests, {fit.n_evaluations} simulations, "
        f"{wall_s:.1f} s wall, {cpu_s:.1f} s CPU -->",
        flush=True,
    )


if __name__ == "__main__":
    main()
