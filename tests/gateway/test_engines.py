"""Engines' metrics pages, as each engine writes them."""

import json

import pytest

from weighbridge.gateway.engines import is_saturated, read_engine
from weighbridge.ledger.lines import EngineLine
from weighbridge.policy.types import Saturation

VLLM = """\
# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="org/model-a"} 12.0
vllm:num_requests_running{engine="1",model_name="org/model-a"} 8.0
# HELP vllm:num_requests_waiting Number of requests waiting to be processed.
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{engine="0",model_name="org/model-a"} 3.0
vllm:num_requests_waiting{engine="1",model_name="org/model-a"} 0.0
# TYPE vllm:num_requests_waiting_by_reason gauge
vllm:num_requests_waiting_by_reason{engine="0",model_name="org/model-a",reason="capacity"} 99.0
# TYPE vllm:kv_cache_usage_perc gauge
vllm:kv_cache_usage_perc{engine="0",model_name="org/model-a"} 0.75
vllm:kv_cache_usage_perc{engine="1",model_name="org/model-a"} 0.25
# TYPE vllm:prompt_tokens_total counter
vllm:prompt_tokens_total{engine="0",model_name="org/model-a"} 1.5e+06
vllm:prompt_tokens_total{engine="1",model_name="org/model-a"} 500000.0
# TYPE vllm:prompt_tokens_created gauge
vllm:prompt_tokens_created{engine="0",model_name="org/model-a"} 1.7e+09
# TYPE vllm:generation_tokens_total counter
vllm:generation_tokens_total{engine="0",model_name="org/model-a"} 1000.0
vllm:generation_tokens_total{engine="1",model_name="org/model-a"} 24.0
# TYPE vllm:e2e_request_latency_seconds histogram
vllm:e2e_request_latency_seconds_bucket{engine="0",le="0.3",model_name="org/model-a"} 4.0
"""

VLLM_OLD = """\
vllm:num_requests_running{model_name="m"} 2.0
vllm:num_requests_waiting{model_name="m"} 0.0
vllm:gpu_cache_usage_perc{model_name="m"} 0.015625
vllm:cpu_cache_usage_perc{model_name="m"} 0.9
"""

SGLANG = """\
# HELP sglang:num_running_reqs The number of running requests
# TYPE sglang:num_running_reqs gauge
sglang:num_running_reqs{dp_rank="0",model_name="m",pp_rank="0",tp_rank="0"} 30.0
sglang:num_running_reqs{dp_rank="0",model_name="m",pp_rank="0",tp_rank="1"} 30.0
sglang:num_running_reqs{dp_rank="1",model_name="m",pp_rank="0",tp_rank="0"} 10.0
# TYPE sglang:num_queue_reqs gauge
sglang:num_queue_reqs{dp_rank="0",model_name="m",pp_rank="0",tp_rank="0"} 7.0
# TYPE sglang:token_usage gauge
sglang:token_usage{dp_rank="0",model_name="m",pp_rank="0",tp_rank="0"} 0.28
# TYPE sglang:prompt_tokens_total counter
sglang:prompt_tokens_total{model_name="m"} 8.128902e+06
# TYPE sglang:generation_tokens_total counter
sglang:generation_tokens_total{model_name="m"} 7.557572e+06
"""

LLAMACPP = """\
# HELP llamacpp:prompt_tokens_total Number of prompt tokens processed.
# TYPE llamacpp:prompt_tokens_total counter
llamacpp:prompt_tokens_total 1042
# HELP llamacpp:tokens_predicted_total Number of generation tokens processed.
# TYPE llamacpp:tokens_predicted_total counter
llamacpp:tokens_predicted_total 311
# HELP llamacpp:prompt_tokens_seconds Average prompt throughput in tokens/s.
# TYPE llamacpp:prompt_tokens_seconds gauge
llamacpp:prompt_tokens_seconds 812.5
# HELP llamacpp:requests_processing Number of requests processing.
# TYPE llamacpp:requests_processing gauge
llamacpp:requests_processing 1
# HELP llamacpp:requests_deferred Number of requests deferred.
# TYPE llamacpp:requests_deferred gauge
llamacpp:requests_deferred 4
"""


def read(engine, text, model=None):
    return read_engine(engine, text, "fleet", 5, model)


def line(engine, *fields):
    names = (
        "running_requests",
        "waiting_requests",
        "kv_usage_frac",
        "prompt_tokens",
        "generated_tokens",
    )
    return EngineLine(
        target="fleet", at_us=5, engine=engine, **dict(zip(names, fields, strict=False))
    )


def test_vllm_with_two_data_parallel_engines():
    assert read("vllm", VLLM) == line("vllm", 20.0, 3.0, 0.5, 2e6, 1024.0)


def test_vllm_as_it_named_its_cache_before():
    assert read("vllm", VLLM_OLD) == line("vllm", 2.0, 0.0, 0.015625)


def test_sglang_counts_ranks_that_share_a_batch_once():
    assert read("sglang", SGLANG) == line("sglang", 40.0, 7.0, 0.28, 8_128_902.0, 7_557_572.0)


def test_llamacpp_which_says_nothing_of_its_cache():
    assert read("llamacpp", LLAMACPP) == line("llamacpp", 1.0, 4.0, None, 1042.0, 311.0)
    with_cache = LLAMACPP + "llamacpp:kv_cache_usage_ratio 0.5\n"
    assert read("llamacpp", with_cache).kv_usage_frac == 0.5


def test_llamacpp_as_one_json_string():
    assert read("llamacpp", json.dumps(LLAMACPP)) == read("llamacpp", LLAMACPP)


def test_only_the_model_asked_for_is_counted():
    both = VLLM + VLLM.replace("model-a", "model-b")
    assert read("vllm", both).running_requests == 40.0
    assert read("vllm", both, model="org/model-b") == read("vllm", VLLM)
    assert read("vllm", both, model="other") == line("vllm")


@pytest.mark.parametrize("text", ["", "<html>", '"torn', "vllm:num_requests_running", "\x00{}"])
def test_a_page_without_metrics_says_nothing(text):
    assert read("vllm", text) == line("vllm")


@pytest.mark.parametrize("number", ["NaN", "+Inf", "-Inf", "many", ""])
def test_what_is_no_number_says_nothing(number):
    assert read("vllm", f"vllm:num_requests_running {number}\n").running_requests is None


@pytest.mark.parametrize(
    "text",
    [
        "vllm:num_requests_running 3 1395066363000",
        "vllm:num_requests_running{} 3",
        'vllm:num_requests_running{model_name="a}b,c=\\"d\\"" ,} 3.0\r',
        '  vllm:num_requests_running { model_name = "m" }   3e0  ',
    ],
)
def test_odd_but_lawful_writing_is_read(text):
    assert read("vllm", text + "\n").running_requests == 3.0


def test_any_limit_reached_is_full_and_ten_percent_below_clears():
    limits = Saturation(waiting_requests=10, kv_usage_frac=0.9)
    full = False
    story = [
        ((50.0, 9.0, 0.5), False),
        ((50.0, 10.0, 0.5), True),
        ((50.0, 9.0, 0.5), True),
        ((50.0, 8.9, 0.5), False),
        ((50.0, 0.0, 0.9), True),
        ((50.0, 0.0, 0.82), True),
        ((50.0, 9.5, 0.8), True),
        ((50.0, 8.0, 0.8), False),
    ]
    for fields, expected in story:
        full = is_saturated(line("vllm", *fields), limits, full)
        assert full == expected, fields


def test_a_figure_that_is_not_given_or_not_limited_says_nothing():
    limits = Saturation(waiting_requests=1, running_requests=1, kv_usage_frac=0.1)
    assert not is_saturated(line("vllm"), limits, was_saturated=True)
    assert not is_saturated(line("vllm", 1e9, 1e9, 1.0), Saturation(ttft_s=1.0), False)
