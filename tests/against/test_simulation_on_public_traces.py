"""Whole public traces: fast-forward against stepping, the plain kernel against the compiled one."""

from __future__ import annotations

import csv
import json
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from weighbridge.capacity.fleet import FleetPlan
from weighbridge.capacity.outcome import Outcome
from weighbridge.capacity.simulation import simulate
from weighbridge.capacity.simulation.compiled import numba_is_here
from weighbridge.capacity.step_time import EngineLimits, StepTime
from weighbridge.capacity.traffic import PrefixBlocks, Requests

needs_numba = pytest.mark.skipif(not numba_is_here(), reason="numba is not installed")
LATENCIES = ("queue_s", "ttft_s", "tpot_s", "e2e_s")
COUNTS = ("replica", "n_preemptions", "cached_tokens", "n_iterations", "decoded_tokens")


def mooncake(traces: Path) -> Requests:
    lines = (traces / "mooncake" / "conversation_trace.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
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


def azure(traces: Path) -> Requests:
    path = traces / "azure2023" / "AzureLLMInferenceTrace_code.csv"
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    at = [datetime.fromisoformat(row["TIMESTAMP"][:26]) for row in rows]
    return Requests(
        np.array([(instant - at[0]).total_seconds() for instant in at]),
        np.array([int(row["ContextTokens"]) for row in rows]),
        np.array([int(row["GeneratedTokens"]) for row in rows]),
    )


def engine(kv_tokens: int, **limits: bool) -> tuple[StepTime, EngineLimits]:
    """Steps as an engine of a few GPUs has them."""
    decode_s = 0.004 + 1.3e-5 * np.arange(257)
    mixed_s = 0.004 + 1.1e-5 * np.arange(8193)
    step = StepTime(decode_s, mixed_s, 1.7e-8, 1.3e-11, 0.0, "roofline")
    return step, EngineLimits(kv_tokens, **limits)


def agree(fast: Outcome, slow: Outcome) -> None:
    for name in LATENCIES:
        np.testing.assert_allclose(getattr(fast, name), getattr(slow, name), rtol=0, atol=1e-9)
    for name in COUNTS:
        np.testing.assert_array_equal(getattr(fast, name), getattr(slow, name))


@needs_numba
@pytest.mark.parametrize("ahead", [False, True])
def test_mooncake_under_pressure_is_the_same_in_steps(shared_traces: Path, ahead: bool) -> None:
    requests = mooncake(shared_traces)
    step, limits = engine(512 * 260, async_scheduling=ahead, whole_prompt_must_fit=False)
    fast, slow = (
        simulate(requests, step, limits, FleetPlan(2), fast_forward=fast_forward)
        for fast_forward in (True, False)
    )
    agree(fast, slow)
    assert fast.n_preemptions.sum() > 100
    assert fast.cached_tokens.sum() > 1e6


@needs_numba
def test_azures_code_completions_are_the_same_in_steps(shared_traces: Path) -> None:
    requests = azure(shared_traces)
    step, limits = engine(16 * 20_000)
    fast, slow = (
        simulate(requests, step, limits, fast_forward=fast_forward)
        for fast_forward in (True, False)
    )
    agree(fast, slow)


@needs_numba
def test_azures_code_completions_are_the_same_in_plain_python(shared_traces: Path) -> None:
    requests = azure(shared_traces)
    step, limits = engine(16 * 2_000)
    compiled, plain = (simulate(requests, step, limits, compiled=way) for way in (True, False))
    for name in (*LATENCIES, *COUNTS, "mean_kv_frac", "busy_s"):
        np.testing.assert_array_equal(getattr(compiled, name), getattr(plain, name))


@needs_numba
def test_more_cache_finds_more_of_mooncakes_prompts(shared_traces: Path) -> None:
    """All that can be found is what an earlier prompt, in an endless cache, began with."""
    requests = mooncake(shared_traces)
    found = []
    for n_blocks in (400, 4_000, 200_000):
        step, limits = engine(512 * n_blocks)
        found.append(int(simulate(requests, step, limits).cached_tokens.sum()))
    assert found == sorted(found)
    assert requests.prefix is not None
    seen: set[int] = set()
    endless = 0
    for k in range(requests.n_requests):
        first, last = requests.prefix.offsets[k : k + 2]
        ids = requests.prefix.block_ids[first:last].tolist()
        known = 0
        while known < len(ids) and ids[known] in seen:
            known += 1
        endless += min(known * 512, (int(requests.input_tokens[k]) - 1) // 16 * 16)
        seen.update(ids[: int(requests.input_tokens[k]) // 512])
    assert found[-1] <= endless
    assert found[-1] == pytest.approx(endless, rel=0.01)
