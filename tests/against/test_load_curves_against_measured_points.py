"""Latency over concurrency against published sweeps, each concurrency left out once."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from weighbridge.capacity.calibrate import load_curves
from weighbridge.usage.bench.points import read_serving_points
from weighbridge.usage.observed import ServingPoint

# Issue 4: with four or more concurrencies of one's own length mix.
MEDIAN_BAR_FRAC, P90_BAR_FRAC = 0.04, 0.10
LEAST_CONCURRENCIES = 5  # so that four are left
# Measured over a window of token positions of a running batch: no closed loop in steady state.
NO_CLOSED_LOOP = "token_position_decode"


def sweeps(path: Path) -> list[list[ServingPoint]]:
    """Points of one campaign, system and mix that differ in concurrency alone."""
    found = defaultdict(list)
    for one in read_serving_points(path):
        if one.disaggregated or NO_CLOSED_LOOP in one.source or not one.n_concurrent:
            continue
        campaign = re.sub(r"_c\d+(?=_|$)", "", re.sub(r"(_cfg)?_?\d+$", "", one.source))
        system = (one.model, one.gpu, one.n_gpus, one.n_tensor_parallel, one.expert_parallel)
        mix = (one.precision, one.engine, one.input_tokens, one.output_tokens)
        found[campaign, system, mix].append(one)
    return [
        sorted(group, key=lambda one: one.n_concurrent or 0.0)
        for group in found.values()
        if len(group) == len({one.n_concurrent for one in group}) >= LEAST_CONCURRENCIES
    ]


def misses(group: list[ServingPoint], metric: str) -> list[float]:
    """|predicted / measured - 1| of each concurrency between others, predicted from the others."""
    found = []
    for i in range(1, len(group) - 1):
        others = group[:i] + group[i + 1 :]
        measured_s = group[i].ttft_s if metric == "ttft" else group[i].tpot_s
        n_told = sum((one.ttft_s if metric == "ttft" else one.tpot_s) is not None for one in others)
        if measured_s is None or n_told < LEAST_CONCURRENCIES - 1:
            continue
        (curve,) = (one for one in load_curves(others) if one.metric == metric)
        mid, _ = curve.at(group[i].n_concurrent or 0.0)
        found.append(abs(mid.mid / measured_s - 1.0))
    return found


def test_time_per_token_at_a_left_out_concurrency_is_met(checkout: Path) -> None:
    path = checkout.parent / "shared" / "measured" / "measured_points.csv"
    if not path.is_file():
        pytest.skip("no ../shared/measured beside this checkout")
    groups = sweeps(path)
    assert len(groups) > 200
    found = np.array([miss for group in groups for miss in misses(group, "tpot")])
    assert len(found) > 800
    assert np.median(found) <= MEDIAN_BAR_FRAC
    assert np.quantile(found, 0.9) <= P90_BAR_FRAC
