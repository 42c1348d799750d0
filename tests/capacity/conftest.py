"""A simple engine and made-up traffic that tests of sizing share."""

import numpy as np
import pytest

from weighbridge.capacity.prediction import Interval
from weighbridge.capacity.sizing import Case
from weighbridge.capacity.slo import parse_slo
from weighbridge.capacity.step_time import EngineLimits, StepTime
from weighbridge.capacity.step_time_band import band
from weighbridge.capacity.traffic import Requests


def make_engine(slower=1.0):
    """Steps of a 70B model on two GPUs, roughly: 12 ms to read weights, 60 us a prompt token."""
    batch, tokens = np.arange(129.0), np.arange(2049.0)
    return StepTime(
        decode_s=slower * (0.012 + 2e-5 * batch),
        mixed_s=slower * (0.013 + 6e-5 * tokens),
        kv_s_per_token=slower * 5e-8,
        attention_s_per_pair=slower * 2e-10,
        first_token_s=0.01,
        basis="roofline",
    )


def make_limits(**changed):
    given = {"kv_tokens": 160_000, "n_max_requests": 128, "n_max_batched_tokens": 2048}
    return EngineLimits(**{**given, **changed})


def make_requests(n=1500, rate_requests_per_s=8.0, seed=0):
    rng = np.random.default_rng(seed)
    return Requests(
        arrival_s=np.cumsum(rng.exponential(1 / rate_requests_per_s, n)),
        input_tokens=rng.integers(100, 2000, n),
        output_tokens=rng.integers(1, 200, n),
    )


def make_case(requests=None, slo="ttft_p95=1s,tpot_p95=50ms", certain=True, **changed):
    step = make_engine()
    wide = Interval(0.7, 1.0, 1.4)
    return Case(
        requests=make_requests() if requests is None else requests,
        band=band(step) if certain else band(step, wide, wide),
        limits=make_limits(),
        slo=parse_slo(slo),
        **changed,
    )


@pytest.fixture(scope="session")
def made():
    """Makers of engines, limits, requests and cases."""

    class Made:
        engine = staticmethod(make_engine)
        limits = staticmethod(make_limits)
        requests = staticmethod(make_requests)
        case = staticmethod(make_case)

    return Made
