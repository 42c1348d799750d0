"""The default work of an input token is fitted to the catalog's own measurements."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest

from weighbridge.catalog.assumptions import load_assumptions
from weighbridge.catalog.facts import load_catalog

EVEN, PROMPT_HEAVY = (1000, 1000), (2048, 128)


def test_default_band_is_the_spread_over_pairs_of_measurements() -> None:
    rates: dict[tuple[str, str, int, str], dict[tuple[int, int], float]] = defaultdict(dict)
    for row in load_catalog().throughput:
        if row.engine == "tensorrt-llm":
            key = (row.model, row.gpu, row.n_gpus, row.precision)
            rates[key][row.input_tokens, row.output_tokens] = row.output_tokens_per_s
    ratios = []
    for found in rates.values():
        if EVEN in found and PROMPT_HEAVY in found:
            even, heavy = found[EVEN], found[PROMPT_HEAVY]
            # even * (1 + w * 1) = heavy * (1 + w * 16): both are the replica's whole capacity
            ratios.append((even - heavy) / (2048 / 128 * heavy - even))
    row = load_assumptions()["input_token_work_ratio"]
    stated = [row.p10, row.p50, row.p90]
    assert len(ratios) == 18
    assert np.percentile(ratios, [10, 50, 90]).tolist() == pytest.approx(stated, abs=0.01)
