"""Every model, GPU and format of the catalog: below the data sheet, and ordered as it orders."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pytest

from weighbridge.capacity.deployment import Deployment
from weighbridge.capacity.efficiency import FRACTIONS, Efficiency, efficiency_of
from weighbridge.capacity.memory_fit import engine_limits
from weighbridge.capacity.roofline import decode_s, mixed_s
from weighbridge.capacity.shape import Shape, shape_of
from weighbridge.catalog.facts import load_catalog
from weighbridge.catalog.rows import Gpu
from weighbridge.catalog.serving_fit import load_serving_fit
from weighbridge.units import InputError

CATALOG = load_catalog()
FIT = load_serving_fit()
FORMATS = ("bf16", "fp8", "fp4")  # widest first
N_PROMPT_TOKENS = np.array([512.0, 2048.0, 8192.0])
N_REQUESTS = np.array([1.0, 16.0, 256.0])
# Two GPUs of one vendor differ by effects of their generation, of formats in it, and of setups that
# were measured on one of them; cards take none of these. The sheet's order holds but for them: at
# most 1.23 (an H20, whose module's effect is low, beside an L4 with a fifth less on its sheet).
GPU_EFFECTS_RATIO = 1.25


@dataclass(frozen=True)
class Speed:
    shape: Shape
    efficiency: Efficiency
    prefill_s: np.ndarray
    decode_s: np.ndarray


def speed(deployment):
    shape, efficiency = shape_of(deployment), efficiency_of(deployment, FIT)
    prefill = mixed_s(shape, efficiency, N_PROMPT_TOKENS)
    return Speed(shape, efficiency, prefill, decode_s(shape, efficiency, N_REQUESTS))


@pytest.fixture(scope="module")
def speeds():
    found = {}
    for model in CATALOG.models.values():
        for gpu in CATALOG.gpus.values():
            for precision in FORMATS:
                for n in (1, 2, 4, 8):
                    deployment = Deployment(model, gpu, n, precision)
                    try:
                        engine_limits(deployment)
                    except InputError:
                        continue
                    found[model.id, gpu.id, n, precision] = speed(deployment)
    assert len(found) > 5_000
    return found


def test_no_fraction_reaches_one(speeds):
    assert all(getattr(one.efficiency, name) < 1.0 for one in speeds.values() for name in FRACTIONS)


def test_no_prefill_beats_the_dense_rate_and_no_decode_the_bandwidth(speeds):
    for key, one in speeds.items():
        shape = one.shape
        flop = N_PROMPT_TOKENS * (shape.flop_per_token + shape.expert_flop_per_token)
        assert (one.prefill_s > flop / (shape.peak_tflops * 1e12)).all(), key
        read_s = shape.dense_read_bytes / (shape.bandwidth_gb_per_s * 1e9)
        assert one.decode_s[0] > read_s, key


def units_tflops(gpu: Gpu, precision: str) -> float | None:
    rates = (gpu.dense_bf16_tflops, gpu.dense_fp8_tflops, gpu.dense_fp4_tflops)
    return dict(zip(FORMATS, rates, strict=True))[precision]


def test_a_narrower_format_that_has_units_is_never_slower(speeds):
    n_compared = 0
    for (model, gpu, n, wide), one in speeds.items():
        for narrow in FORMATS[FORMATS.index(wide) + 1 :]:
            other = speeds.get((model, gpu, n, narrow))
            if other is None or units_tflops(CATALOG.gpu(gpu), narrow) is None:
                continue
            n_compared += 1
            assert (other.prefill_s <= one.prefill_s).all(), (model, gpu, n, wide, narrow)
            # Published 4-bit mixtures of experts keep all but the experts in 16 bits.
            if other.shape.dense_read_bytes <= one.shape.dense_read_bytes:
                assert (other.decode_s <= one.decode_s).all(), (model, gpu, n, wide, narrow)
    assert n_compared > 2_000


def is_better(one: Gpu, other: Gpu) -> bool:
    figures = ("memory_gib", "bandwidth_gb_per_s", *(f"dense_{name}_tflops" for name in FORMATS))
    pairs = [(getattr(one, name) or 0.0, getattr(other, name) or 0.0) for name in figures]
    pairs.append((one.link_gb_per_s or 64.0, other.link_gb_per_s or 64.0))
    return one.vendor == other.vendor and all(a >= b for a, b in pairs)


def test_a_gpu_that_every_figure_calls_better_is_not_slower_but_for_effects(speeds):
    gpus = CATALOG.gpus.values()
    pairs = [(a, b) for a, b in combinations(gpus, 2) if is_better(a, b)]
    pairs += [(b, a) for a, b in combinations(gpus, 2) if is_better(b, a)]
    assert len(pairs) > 30
    for better, worse in pairs:
        for (model, gpu, n, precision), one in speeds.items():
            other = speeds.get((model, better.id, n, precision))
            if gpu == worse.id and other is not None:
                where = (model, better.id, worse.id, n, precision)
                assert (other.prefill_s <= one.prefill_s * GPU_EFFECTS_RATIO).all(), where
                assert (other.decode_s <= one.decode_s * GPU_EFFECTS_RATIO).all(), where


def test_what_the_sheets_say_of_two_generations_is_about_what_is_predicted(speeds):
    """Dense rates of B200 and H100 are 2.3 times apart, of RTX 5090 and RTX 4090 1.3 times."""
    for better, worse, sheet in (("b200-sxm", "h100-sxm", 2.27), ("rtx-5090", "rtx-4090", 1.27)):
        for precision in ("bf16", "fp8"):
            one, other = (speeds["llama-3.1-8b", gpu, 1, precision] for gpu in (better, worse))
            ratio = float(other.prefill_s[-1] / one.prefill_s[-1])
            assert 0.6 * sheet < ratio < 1.3 * sheet
