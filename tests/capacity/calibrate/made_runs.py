"""Runs of a made endpoint, simulated, for tests of calibration."""

from __future__ import annotations

import numpy as np

from weighbridge.capacity.calibrate.parameters import StepParameters, step_time_of
from weighbridge.capacity.observed import EngineSettings, ObservedRun
from weighbridge.capacity.simulation import simulate
from weighbridge.capacity.step_time import EngineLimits
from weighbridge.capacity.traffic import Requests

LIMITS = EngineLimits(
    kv_tokens=200_000, n_max_requests=64, n_max_batched_tokens=2048, async_scheduling=True
)
TRUTH = StepParameters(
    decode_base_s=0.012,
    decode_s_per_request=1e-4,
    saturating_s=1e-5,
    saturating_requests=8.0,
    kv_s_per_token=1e-7,
    mixed_extra_s=0.004,
    mixed_s_per_token=4e-5,
    attention_s_per_pair=2e-10,
    first_token_s=0.003,
)


def made_run(
    n: int = 160, rate_per_s: float = 6.0, noise: float = 0.01, seed: int = 0, **given: object
) -> ObservedRun:
    """What the made endpoint gives, with some noise on every time."""
    rng = np.random.default_rng(seed)
    requests = Requests(
        np.cumsum(rng.exponential(1 / rate_per_s, n)),
        rng.integers(30, 3000, n),
        rng.integers(2, 200, n),
    )
    outcome = simulate(requests, step_time_of(TRUTH, LIMITS), LIMITS, compiled=False)
    after_s = (outcome.e2e_s - outcome.ttft_s) * np.exp(noise * rng.standard_normal(n))
    ttft_s = outcome.ttft_s * np.exp(noise * rng.standard_normal(n))
    nowhere = np.full(n, np.nan)
    settings = EngineSettings(model="made-up", gpu="made-up-gpu", engine="vllm 0.19.0")
    told: dict[str, object] = {
        "name": "made",
        "requests": requests,
        "ttft_s": ttft_s,
        "e2e_s": ttft_s + after_s,
        "queue_s": nowhere,
        "n_concurrent": None,
        "n_failed": 0,
        "settings": settings,
    }
    return ObservedRun(**{**told, **given})  # type: ignore[arg-type]
