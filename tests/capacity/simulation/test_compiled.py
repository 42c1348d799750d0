"""The compiled kernel: imported late, translated whole, and fed from threads."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from weighbridge.capacity.fleet import FleetPlan
from weighbridge.capacity.simulation import compiled, simulate
from weighbridge.capacity.step_time import EngineLimits, StepTime
from weighbridge.capacity.traffic import Requests


def test_importing_the_simulation_imports_no_numba() -> None:
    program = "import sys, weighbridge.capacity.simulation; assert 'numba' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_every_function_of_the_kernel_has_a_name_of_its_own() -> None:
    names = [
        name
        for module in compiled.MODULES
        for name, value in vars(module).items()
        if getattr(value, "__module__", None) == module.__name__
    ]
    assert len(names) == len(set(names)) > 30


@pytest.mark.skipif(not compiled.numba_is_here(), reason="numba is not installed")
def test_fleets_simulated_at_once_in_threads_are_the_same_as_one_by_one() -> None:
    rng = np.random.default_rng(1)
    requests = Requests(
        np.cumsum(rng.exponential(0.02, 3000)), rng.integers(1, 90, 3000), rng.integers(1, 30, 3000)
    )
    limits = EngineLimits(kv_tokens=1600, n_max_requests=8, n_max_batched_tokens=100)
    step = StepTime(np.full(9, 0.01), np.full(101, 0.02), 1e-6, 0.0, 0.0, "roofline")
    fleets = [FleetPlan(n) for n in (1, 2, 3, 4)]
    alone = [simulate(requests, step, limits, fleet).e2e_s for fleet in fleets]
    with ThreadPoolExecutor(2) as pool:
        at_once = pool.map(lambda fleet: simulate(requests, step, limits, fleet).e2e_s, fleets)
        for one, other in zip(alone, at_once, strict=True):
            np.testing.assert_array_equal(one, other)
