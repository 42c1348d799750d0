"""What `size` refuses or says aloud: options a profile rules out, what no engine starts."""

import dataclasses
import math

import numpy as np
import pytest
from tests.study.test_size import calibrated, question, write_profile, write_trace

from weighbridge.capacity.calibrate.endpoint_profile import Covered
from weighbridge.capacity.calibrate.held_out import MetricError
from weighbridge.capacity.deployment import Deployment
from weighbridge.capacity.served import Served
from weighbridge.capacity.traffic import PrefixBlocks, Requests
from weighbridge.catalog.facts import load_catalog
from weighbridge.study.size import size
from weighbridge.study.size_candidates import deployments
from weighbridge.study.size_costs import owned_usd_per_gpu_month, plan_costs
from weighbridge.study.size_detail import cached_input_frac
from weighbridge.study.size_formats import KV_FORMATS, doubts, why_impossible
from weighbridge.study.size_measured import (
    beyond_load,
    endpoint_speed,
    outside,
    read_endpoint,
    under_load,
)
from weighbridge.study.size_question import checked
from weighbridge.study.size_result import Setup
from weighbridge.units import InputError


@pytest.fixture(scope="module")
def catalog():
    return load_catalog()


@pytest.fixture(scope="module")
def trace(tmp_path_factory):
    return write_trace(tmp_path_factory.mktemp("trace") / "trace.csv")


def profile_of(path, catalog, **covered):
    ranges = Covered((40.0, 1500.0), (1.0, 200.0), (1.0, 60.0), (0.5, 4.0))
    write_profile(path, covered=dataclasses.replace(ranges, **covered))
    return read_endpoint(path, checked(calibrated(path, path), catalog), catalog)


def prompts(*lengths, n_output=100):
    n = len(lengths)
    return Requests(np.arange(n) * 1.0, np.array(lengths), np.full(n, n_output))


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"precisions": ("fp4",)}, "--precision: fp4: cannot be chosen"),
        ({"kv_precision": "fp8"}, "--kv-precision: fp8: cannot be chosen"),
        ({"engines": ("sglang",)}, "--engine: sglang: contradicts the profile, which is of vllm"),
        ({"gpus": ("h100-sxm",)}, "is l40s, and h100-sxm is asked for"),
        ({"n_tensor_parallel": (2, 4)}, "--tensor-parallel: 2, 4: is several"),
    ],
)
def test_an_option_that_a_profile_rules_out_is_refused_by_name(
    trace, tmp_path, changed, words
) -> None:
    with pytest.raises(InputError, match="mend: ") as caught:
        size(calibrated(trace, write_profile(tmp_path / "p.json"), **changed))
    assert words in str(caught.value)


def test_a_table_of_measurements_beside_a_profile_is_refused(trace, tmp_path) -> None:
    asked = calibrated(trace, write_profile(tmp_path / "p.json"), measured=trace)
    with pytest.raises(InputError, match=r"--measured: .* corrects a roofline"):
        size(asked)


def test_an_answer_of_a_profile_names_only_what_was_measured_or_told(trace, tmp_path) -> None:
    path = write_profile(tmp_path / "p.json")
    study = size(calibrated(trace, path, engines=("vllm",), n_tensor_parallel=(1,)))
    assert study.sized[0].setup.label == "1x l40s as measured vllm"
    assert study.assumptions["kv"] == "cache as measured"


def test_work_outside_the_measured_lengths_widens_by_its_share(catalog, tmp_path) -> None:
    endpoint = profile_of(tmp_path / "p.json", catalog, input_tokens=(100.0, 1000.0))

    def widths(requests):
        speed = endpoint_speed(endpoint, requests, "p")
        return speed.band.high.decode_s[1] / speed.band.mid.decode_s[1], speed.rests_on

    inside, told = widths(prompts(*[500] * 10))
    assert not any("wider" in line for line in told)
    # The mean of 10 and 990 lies inside, and so does that of one long and many short ones.
    some, told = widths(prompts(*[500] * 9, 4000))
    assert any("have inputs that lie outside the measured 100 to 1,000" in line for line in told)
    every, _ = widths(prompts(500, *[4000] * 9))
    assert inside < some < every
    # Two doublings for all of the work and none for none of it.
    assert outside(endpoint.profile, prompts(*[4000] * 5)).n_doublings == pytest.approx(2.0)


def served_peak(n_replicas, requests_per_s, e2e_s) -> Served:
    values = dict.fromkeys((field.name for field in dataclasses.fields(Served)), 0.0)
    values |= {"n_replicas": n_replicas, "mean_requests_per_s": requests_per_s}
    return Served(**{**values, "latency_s": {"e2e": {"mean": e2e_s}}})


def test_a_peak_beyond_the_measured_load_widens_and_says_so(catalog, tmp_path) -> None:
    endpoint = profile_of(tmp_path / "p.json", catalog)
    within, beyond = served_peak(2, 4.0, 10.0), served_peak(2, 6.0, 80.0)
    assert beyond_load(endpoint.profile, within).n_doublings == 0.0
    assert beyond_load(endpoint.profile, beyond).n_doublings == pytest.approx(2.0)
    requests = prompts(*[500] * 10)
    plain = endpoint_speed(endpoint, requests, "p")
    wide = under_load(endpoint, requests, plain, beyond)
    assert under_load(endpoint, requests, plain, within) is plain
    ratio = [math.log(s.band.high.decode_s[1] / s.band.mid.decode_s[1]) for s in (plain, wide)]
    assert ratio[1] == pytest.approx(3 * ratio[0])
    assert any("240 requests in flight, and 60 at most" in line for line in wide.rests_on)


def test_traffic_faster_than_any_run_warns_in_the_answer(trace, tmp_path) -> None:
    covered = Covered((40.0, 1500.0), (1.0, 200.0), (1.0, 2.0), (0.1, 0.2))
    study = size(calibrated(trace, write_profile(tmp_path / "p.json", covered=covered)))
    assert any(line.startswith("wider: in the peak") for line in study.warnings)


def test_the_interval_goes_on_to_what_is_kept_and_paid(trace) -> None:
    best = size(question(trace, n_spare_replicas=0, headroom_frac=0.0)).sized[0]
    spread, cost = best.spread, best.cost
    assert spread.kept.n_mid == best.safety.n_fleet_replicas
    assert spread.kept.n_low <= spread.kept.n_mid
    assert spread.low_usd_per_mtok <= cost.reserved_usd_per_mtok
    # Nothing spare and no growth: what is kept at an end is what is needed there.
    assert spread.kept.n_high == best.safety.needed.n_high
    if spread.kept.n_high is not None:
        ratio = spread.kept.n_high / spread.kept.n_mid
        assert spread.high_usd_per_month == pytest.approx(ratio * cost.usd_per_month)
        assert spread.high_usd_per_mtok == pytest.approx(ratio * cost.reserved_usd_per_mtok)


def test_too_few_kept_for_the_slow_end_is_warned_of_with_what_it_reaches(trace, tmp_path) -> None:
    errors = tuple(
        MetricError("run", metric, 100, 1.0, 1.0, 1.0, 1.0, 0.6, 1.9)
        for metric in ("ttft", "tpot", "e2e")
    )
    path = write_profile(tmp_path / "p.json", slower=2.0, held_out=errors)
    asked = calibrated(trace, path, n_spare_replicas=0, headroom_frac=0.0)
    study = size(asked)
    best = study.sized[0]
    high = best.safety.needed.n_high
    assert high is None or high > best.safety.n_fleet_replicas
    assert not best.spread.slow_peak.slo_met
    told = [line for line in study.warnings if "are kept: the SLO breaks there" in line]
    assert len(told) == 1
    assert "tpot_p95" in told[0]


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"model": "qwen3-14b", "n_tensor_parallel": 16}, "cannot split the 40 attention heads"),
        ({"n_tensor_parallel": 16}, "16 GPUs span servers of 8"),
        ({"kv_precision": "int4"}, "vllm keeps no cache in int4: use --kv-precision bf16 or fp8"),
        ({"gpu": "a100-80gb-sxm", "kv_precision": "fp8"}, "has no fp8 units for a cache in fp8"),
        ({"gpu": "t4"}, "T4 16 GB has no BF16: ask for --precision fp16"),
        ({"gpu": "mi300x", "engine": "tensorrt-llm"}, "NVIDIA's GPUs only"),
    ],
)
def test_what_no_engine_would_start_is_told_and_not_sized(catalog, changed, words) -> None:
    given = {"model": "llama-3.1-8b", "gpu": "h100-sxm", "n_tensor_parallel": 1, **changed}
    given |= {"model": catalog.model(given["model"]), "gpu": catalog.gpu(given["gpu"])}
    assert words in why_impossible(Deployment(precision="bf16", **given), is_chosen_format=False)


def test_what_engines_do_start_is_let_through(catalog) -> None:
    model = catalog.model("llama-3.1-8b")
    for engine in KV_FORMATS:
        plain = Deployment(model, catalog.gpu("h100-sxm"), 8, "bf16", engine=engine)
        assert why_impossible(plain, is_chosen_format=False) == ""
    rack = Deployment(model, catalog.gpu("gb200"), 16, "bf16")
    assert why_impossible(rack, is_chosen_format=False) == "", "72 GPUs are one domain of links"
    t4 = Deployment(model, catalog.gpu("t4"), 1, "bf16")
    assert why_impossible(t4, is_chosen_format=True) == ""
    assert "taken in FP16" in doubts(t4)[0]
    unpacked = Deployment(model, catalog.gpu("a100-80gb-sxm"), 1, "fp8")
    assert "no fp8 units" in doubts(unpacked)[0]
    mixture = catalog.model("qwen3-30b-a3b")
    spread = Deployment(mixture, catalog.gpu("h100-sxm"), 8, "fp8", expert_parallel=True)
    assert "no difference" in doubts(spread)[0]
    pairs = Deployment(model, catalog.gpu("h100-nvl"), 4, "bf16")
    assert "span 2 groups of 2" in doubts(pairs)[0]


def test_experts_are_tried_split_spread_and_beside_ranks(catalog, trace) -> None:
    asked = question(trace, gpus=("h100-sxm",), n_tensor_parallel=(), precisions=("fp8",))
    asked = checked(dataclasses.replace(asked, model="qwen3-30b-a3b"), catalog)
    tried = {
        (d.n_tensor_parallel, d.n_data_parallel, d.expert_parallel)
        for d in deployments(asked, catalog, catalog.model(asked.model))
    }
    assert {(8, 1, False), (8, 1, True), (1, 8, True)} <= tried
    assert (2, 1, True) not in tried
    dense = deployments(
        question(trace, n_tensor_parallel=()), catalog, catalog.model("llama-3.1-8b")
    )
    assert not any(d.expert_parallel for d in dense)
    named = deployments(
        dataclasses.replace(asked, n_tensor_parallel=(8,)), catalog, catalog.model(asked.model)
    )
    assert {d.n_data_parallel for d in named} == {1}, "a split that is named is kept"


def test_a_spread_mixture_is_sized_under_a_name_of_its_own(trace) -> None:
    study = size(
        question(
            trace,
            model="qwen3-30b-a3b",
            gpus=("h100-sxm",),
            n_tensor_parallel=(4,),
            precisions=("fp8",),
        )
    )
    labels = {a.setup.label for a in study.answers}
    assert labels == {"4x h100-sxm TP4 fp8 vllm", "4x h100-sxm TP4 EP fp8 vllm"}
    assert study.sized


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -1.0])
@pytest.mark.parametrize(
    ("name", "option"),
    [
        ("start_up_s", "--start-up-s"),
        ("spot_interruptions_per_month", "--spot-interruptions"),
        ("spot_restart_s", "--spot-restart-s"),
        ("usd_per_gpu_hour", "--usd-per-gpu-hour"),
        ("headroom_frac", "--headroom"),
    ],
)
def test_a_number_out_of_range_names_its_option(trace, catalog, name, option, value) -> None:
    with pytest.raises(InputError, match=f"^{option}: is ") as caught:
        checked(question(trace, **{name: value}), catalog)
    assert "mend: give" in str(caught.value)


def test_bought_gpus_come_in_whole_machines_like_rented_ones(catalog) -> None:
    setup = Setup("h100-sxm", "H100", 1, 1, 1, "fp8", "bf16", "vllm")
    values = dict.fromkeys((field.name for field in dataclasses.fields(Served)), 1.0)
    week = Served(**{**values, "duration_s": 3600.0})
    owned = next(p for p in plan_costs(catalog, setup, 3, week, None) if p.plan == "owned")
    assert owned.n_gpus == 8
    assert owned.usd_per_month == pytest.approx(
        8 * owned_usd_per_gpu_month(catalog.gpu("h100-sxm"))
    )
    assert "in machines of 8: 5 GPUs idle" in owned.note


def test_prompts_seen_before_are_told_apart_only_where_prefixes_are(catalog) -> None:
    assert cached_input_frac(prompts(100, 100)) is None
    blocks = PrefixBlocks(np.array([1, 2, 1, 2]), np.array([0, 2, 4]), 16)
    known = dataclasses.replace(prompts(32, 32), prefix=blocks)
    assert cached_input_frac(known) == pytest.approx(31 / 64)


def test_everything_to_the_api_stands_beside_the_overflow(trace, catalog) -> None:
    study = size(question(trace, api_model="openai/gpt-4o-mini", n_details=1))
    api = study.details[0].api
    t = study.traffic
    per_request = t.mean_input_tokens * 0.15 + t.mean_output_tokens * 0.60
    hours = study.sized[0].week.duration_s / 3600
    assert api.usd_per_month == pytest.approx(per_request * t.n_requests / 1e6 / hours * 730)
    assert api.saving_usd_per_month == pytest.approx(
        study.sized[0].cost.usd_per_month - api.usd_per_month
    )
    assert "prefixes are not known" in api.note
    over = [d for d in study.details[0].elastic if d.elastic.kind == "overflow"]
    assert all(0 < item.elastic.overflow_frac < 1 for item in over)
