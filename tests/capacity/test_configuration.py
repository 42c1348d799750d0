"""Which deployment a published row is of, and why some are of none."""

from __future__ import annotations

from dataclasses import replace

import pytest

from weighbridge.capacity.configuration import configured, distinct
from weighbridge.capacity.observed import ServingPoint
from weighbridge.catalog.facts import load_catalog

CATALOG = load_catalog()
SILICON = "systems/silicon_sample.csv#2026_deepseek_r1_b200_sxm_sglang_fp8_agg_1024x1024_c8"
ROW = ServingPoint(
    source=f"{SILICON}_tp8_ep1_4",
    model="deepseek-ai/DeepSeek-R1",
    gpu="b200_sxm",
    n_gpus=8,
    n_tensor_parallel=8,
    expert_parallel=None,
    precision="fp8",
    engine="sglang 0.5.9",
    input_tokens=1024.0,
    output_tokens=1024.0,
    n_concurrent=8.0,
    ttft_s=0.2,
    tpot_s=0.01,
    output_tokens_per_s=None,
    disaggregated=False,
)


def parallelism(**changes):
    found = configured(replace(ROW, **changes), CATALOG)
    assert not isinstance(found, str)
    to = found.deployment
    return to.n_tensor_parallel, to.n_data_parallel, to.expert_parallel


def test_names_become_rows_and_the_group_is_canonical():
    found = configured(ROW, CATALOG)
    assert not isinstance(found, str)
    assert found.group == "deepseek-r1 on b200-sxm"
    assert found.deployment.engine == "sglang"
    assert not found.is_static_batch


def test_ids_tell_parallelism_where_columns_hold_a_product():
    assert parallelism() == (8, 1, False)
    assert parallelism(source=f"{SILICON}_tp8_ep8_4", n_gpus=64, n_tensor_parallel=64) == (
        8,
        1,
        True,
    )
    assert parallelism(source=f"{SILICON}_tp8_ep8_4", n_gpus=64, n_tensor_parallel=1) == (
        1,
        8,
        True,
    )
    assert parallelism(source=f"{SILICON}_cfg615", n_gpus=16, n_tensor_parallel=16) == (4, 1, True)
    assert parallelism(source=f"{SILICON}_cfg690", n_gpus=4, n_tensor_parallel=2) == (2, 1, True)
    assert parallelism(source="own", n_gpus=16, n_tensor_parallel=16) == (16, 1, False)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"disaggregated": True}, "separate machines"),
        ({"n_gpus": None}, "no number of GPUs"),
        ({"output_tokens": None}, "no prompt or answer length"),
        ({"n_concurrent": None}, "no concurrency"),
        ({"ttft_s": None, "tpot_s": None}, "no latency"),
        ({"gpu": "unknown 8-GPU node"}, "gpu is not known"),
        ({"source": f"{SILICON}_tp8_epnone_4"}, "is not told"),
        ({"n_concurrent": 4096.0, "tpot_s": 0.001}, "faster than the GPUs can"),
    ],
)
def test_a_row_without_what_is_needed_says_why(changes, reason):
    found = configured(replace(ROW, **changes), CATALOG)
    assert isinstance(found, str)
    assert reason in found


def test_repeats_under_another_id_count_once():
    again = replace(ROW, source=f"{SILICON}_tp8_0_ep1_0_99")
    other = replace(ROW, tpot_s=0.011)
    found = [configured(row, CATALOG) for row in (ROW, again, other)]
    assert len(distinct(one for one in found if not isinstance(one, str))) == 2


def test_the_cache_is_in_8_bits_where_engine_or_checkpoint_make_it_so():
    def cache(**changes):
        found = configured(replace(ROW, **changes), CATALOG)
        assert not isinstance(found, str)
        return found.deployment.kv_precision

    assert cache(engine="vllm 0.19.0") == "bf16"
    assert cache(engine="vllm 0.19.0", precision="fp4") == "fp8"
    assert cache(engine="trtllm 1.2.0") == "fp8"
    assert cache(precision="bf16", gpu="b300_sxm") == "bf16"
