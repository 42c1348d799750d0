"""`size` as a function: traffic from each source, endpoints of one's own, prices, who loses why."""

import csv
import dataclasses
import datetime as dt
import json

import numpy as np
import pytest

from weighbridge.capacity.calibrate import EndpointProfile, profile_as_dict
from weighbridge.capacity.calibrate.certainty import FittedParameter
from weighbridge.capacity.calibrate.endpoint_profile import Covered, ProfileSource
from weighbridge.capacity.calibrate.held_out import MetricError
from weighbridge.capacity.observed import EngineSettings
from weighbridge.capacity.slo import parse_slo
from weighbridge.capacity.step_time import EngineLimits
from weighbridge.catalog.facts import load_catalog
from weighbridge.study.size import impossible, size
from weighbridge.study.size_costs import owned_usd_per_gpu_month, price_of
from weighbridge.study.size_question import SizeQuestion, TrafficQuestion
from weighbridge.study.size_traffic import read_traffic
from weighbridge.units import InputError
from weighbridge.usage.bench.points import COLUMNS
from weighbridge.usage.import_options import ImportOptions
from weighbridge.usage.importing import ImportRequest, import_logs
from weighbridge.usage.sources.table import read_column_map

SLO = "ttft_p95=1s,tpot_p95=50ms"


def write_trace(path, n=500, span_s=300.0, longest=1000):
    rng = np.random.default_rng(9)
    at = np.datetime64("2024-05-06T09:00:00") + (np.sort(rng.uniform(0, span_s, n)) * 1e6).astype(
        "timedelta64[us]"
    )
    lines = ["TIMESTAMP,ContextTokens,GeneratedTokens"]
    lines += [
        f"{str(t).replace('T', ' ')},{i},{o}"
        for t, i, o in zip(at, rng.integers(50, longest, n), rng.integers(2, 120, n), strict=True)
    ]
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="module")
def trace(tmp_path_factory):
    return write_trace(tmp_path_factory.mktemp("trace") / "trace.csv")


def question(trace, **changed):
    given = {
        "model": "llama-3.1-8b",
        "slo": parse_slo(SLO),
        "traffic": TrafficQuestion(trace=trace),
        "gpus": ("l40s",),
        "n_tensor_parallel": (1,),
        "precisions": ("bf16",),
        "n_threads": 1,
        "n_details": 0,
    }
    return SizeQuestion(**{**given, **changed})


def calibrated(trace, path, **changed):
    """A question about an endpoint of one's own, of which the profile tells the rest."""
    none = {"gpus": (), "precisions": (), "n_tensor_parallel": ()}
    return question(trace, profile=path, **{**none, **changed})


def write_profile(path, slower=1.0, **changed):
    """An endpoint whose tokens take 15 ms and whose prompts 50 us a token."""
    values = {
        "decode_base_s": 0.015,
        "decode_s_per_request": 2e-5,
        "saturating_s": 1e-4,
        "saturating_requests": 8.0,
        "kv_s_per_token": 2e-8,
        "mixed_extra_s": 1e-3,
        "mixed_s_per_token": 5e-5,
        "attention_s_per_pair": 1e-10,
        "first_token_s": 0.005,
    }
    errors = [
        MetricError("run", metric, 100, 1.0, 1.0, 1.0, 1.0, 0.95, 1.05)
        for metric in ("ttft", "tpot", "e2e")
    ]
    profile = EndpointProfile(
        made_on=dt.date(2026, 11, 1),
        sources=(ProfileSource("run.jsonl", 300, 0, "0" * 64),),
        settings=EngineSettings(model="llama-3.1-8b", gpu="l40s", engine="vllm"),
        limits=EngineLimits(kv_tokens=100_000, n_max_requests=64, n_max_batched_tokens=2048),
        parameters=tuple(
            FittedParameter(k, slower * v, 0.9 * slower * v, 1.1 * slower * v)
            for k, v in values.items()
        ),
        correlations=tuple(map(tuple, np.eye(len(values)).tolist())),
        held_out=tuple(errors),
        held_out_frac=0.5,
        suggested=(),
        covered=Covered((40.0, 1500.0), (1.0, 200.0), (1.0, 60.0), (0.5, 4.0)),
        curves=(),
        n_evaluations=100,
    )
    profile = dataclasses.replace(profile, **changed)
    path.write_text(json.dumps(profile_as_dict(profile)))
    return path


def test_an_endpoint_of_ones_own_is_the_only_deployment_and_its_errors_the_range(
    trace, tmp_path
) -> None:
    study = size(calibrated(trace, write_profile(tmp_path / "p.json")))
    assert [a.basis for a in study.answers] == ["calibrated"]
    best = study.sized[0]
    assert best.setup.gpu == "l40s"
    assert best.kv_tokens == 100_000
    assert any("calibrated on 2026-11-01" in line for line in best.rests_on)
    assert study.warnings == ()


def test_a_slower_endpoint_needs_more_replicas(trace, tmp_path) -> None:
    slo = parse_slo("tpot_p95=80ms,ttft_p95=2s")
    counts = [
        size(calibrated(trace, write_profile(tmp_path / f"{i}.json", slower), slo=slo))
        .sized[0]
        .safety.needed.n_mid
        for i, slower in enumerate((1.0, 4.0))
    ]
    assert counts[0] < counts[1]


def test_traffic_that_an_endpoint_never_saw_is_refused(trace, tmp_path) -> None:
    covered = Covered((4000.0, 8000.0), (1.0, 200.0), (1.0, 60.0), (0.5, 4.0))
    path = write_profile(tmp_path / "p.json", covered=covered)
    with pytest.raises(InputError, match="none of the traffic's requests"):
        size(calibrated(trace, path))


def test_traffic_beyond_what_an_endpoint_saw_widens_the_range_and_says_so(trace, tmp_path) -> None:
    covered = Covered((40.0, 120.0), (1.0, 200.0), (1.0, 60.0), (0.5, 4.0))
    path = write_profile(tmp_path / "p.json", covered=covered)
    best = size(calibrated(trace, path)).sized[0]
    assert any("lie outside the measured" in line for line in best.rests_on)


def test_a_profile_of_another_model_is_refused(trace, tmp_path) -> None:
    path = write_profile(tmp_path / "p.json")
    with pytest.raises(InputError, match=r"is of llama-3.1-8b, and qwen3-8b is asked for"):
        size(calibrated(trace, path, model="qwen3-8b"))
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(InputError, match="cannot be read"):
        size(calibrated(trace, tmp_path / "bad.json"))


def test_points_of_another_model_correct_nothing_and_are_refused(trace, tmp_path) -> None:
    path = tmp_path / "points.csv"
    row = dict.fromkeys(COLUMNS, "")
    row |= {"source": "me", "model": "qwen3-8b", "gpu": "L40S", "num_gpus": "1", "tp": "1"}
    row |= {"precision": "bf16", "engine": "vllm", "isl": "500", "osl": "100"}
    row |= {"concurrency": "8", "ttft_ms": "300", "tpot_ms": "40"}
    with path.open("w", newline="") as text:
        writer = csv.DictWriter(text, COLUMNS)
        writer.writeheader()
        writer.writerow(row)
    with pytest.raises(InputError, match=r"holds no usable measurement of llama-3.1-8b"):
        size(question(trace, measured=path))


def test_more_users_cost_more_and_a_dearer_gpu_too(trace) -> None:
    base = size(question(trace)).sized[0].cost
    busy = size(question(trace, traffic=TrafficQuestion(trace=trace, demand_ratio=8.0))).sized[0]
    assert busy.cost.usd_per_hour > base.usd_per_hour
    assert busy.cost.reserved_usd_per_mtok < base.reserved_usd_per_mtok
    price = price_of(load_catalog(), "l40s", None).usd_per_gpu_hour
    dear = size(question(trace, usd_per_gpu_hour=3 * price)).sized[0].cost
    assert dear.usd_per_month == pytest.approx(3 * base.usd_per_month)


def test_every_answer_that_lost_says_why(trace) -> None:
    study = size(
        question(trace, gpus=("l40s", "h100-sxm", "b200-sxm", "l4"), n_tensor_parallel=(1, 8))
    )
    assert {a.status for a in study.answers} >= {"sized"}
    for answer in study.answers:
        assert bool(answer.why_not) == (answer.status != "sized"), answer.setup.label
    floors = [a for a in study.answers if a.status == "pruned"]
    best_usd = min(a.peak_usd_per_hour for a in study.answers if a.status == "sized")
    assert all(a.floor_usd_per_hour > best_usd for a in floors)


def test_an_impossible_target_tells_of_the_nearest_deployment(trace) -> None:
    study = size(question(trace, slo=parse_slo("tpot_p95=1ms"), gpus=("l40s", "h100-sxm")))
    assert study.sized == ()
    error = str(impossible(study))
    assert "h100-sxm" in error, "the faster one is nearer"
    assert "decode bandwidth binds" in error


def test_days_drawn_from_an_hour_are_refused_for_want_of_nights(trace) -> None:
    with pytest.raises(InputError, match="would have no nights"):
        read_traffic(TrafficQuestion(trace=trace, synthesize_days=3.0), 0)


def test_rates_need_lengths_and_draw_the_same_traffic_from_the_same_seed(trace, tmp_path) -> None:
    rates = tmp_path / "rates.csv"
    rows = ["client,window_start_s,rate_rps,cv,pattern,pattern_params"]
    rows += [f"{c},{600 * w},0.{c + 1},1.5,Gamma,0.44,2.2" for c in range(2) for w in range(6)]
    rates.write_text("\n".join(rows) + "\n")
    with pytest.raises(InputError, match="no token lengths"):
        size(question(None, traffic=TrafficQuestion(rates=rates)))
    asked = TrafficQuestion(rates=rates, lengths_from=trace)
    one, again, other = (read_traffic(asked, seed).requests for seed in (0, 0, 1))
    assert one.arrival_s.tolist() == again.arrival_s.tolist()
    assert one.arrival_s.tolist() != other.arrival_s.tolist()
    assert one.n_requests == pytest.approx(0.3 * 3600, rel=0.1)


def test_a_bought_gpu_costs_its_worth_its_upkeep_and_its_power() -> None:
    catalog = load_catalog()
    usd = owned_usd_per_gpu_month(catalog.gpu("h100-sxm"))
    assert 700 < usd < 1800
    assert owned_usd_per_gpu_month(catalog.gpu("l40s")) is None or usd > 0
    assert owned_usd_per_gpu_month(catalog.gpu("h200-sxm")) > usd


@pytest.fixture(scope="module")
def ledger(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ledger")
    log = folder / "log.csv"
    lines = ["id,at,model,prompt,answer"]
    lines += [
        f"r{i},2026-10-01T00:{i // 60:02d}:{i % 60:02d}Z,{'gpt-4o' if i % 3 else 'gpt-4o-mini'},"
        f"{100 + i},{5 + i % 9}"
        for i in range(300)
    ]
    log.write_text("\n".join(lines) + "\n")
    columns = ("request_id=id", "started_at=at", "model=model", "input_tokens=prompt")
    options = ImportOptions(
        column_map=read_column_map(None, (*columns, "output_tokens=answer"), ("provider=openai",))
    )
    into = folder / "usage"
    now = dt.datetime(2026, 11, 21, tzinfo=dt.UTC)
    import_logs(ImportRequest("csv", (log,), into, options), now=now)
    return into


def test_some_requests_of_a_ledger_can_be_sized_alone(ledger) -> None:
    chosen = TrafficQuestion(usage=ledger, only={"model": ["gpt-4o-mini"]})
    some, every = read_traffic(chosen, 0), read_traffic(TrafficQuestion(usage=ledger), 0)
    assert (some.requests.n_requests, every.requests.n_requests) == (100, 300)
    assert "only model gpt-4o-mini" in some.notes


def test_choosing_what_no_request_has_says_what_there_is(ledger) -> None:
    with pytest.raises(InputError, match="model is one of gpt-4o, gpt-4o-mini"):
        read_traffic(TrafficQuestion(usage=ledger, only={"model": ["gpt-5"]}), 0)


def test_choosing_from_a_trace_is_refused(trace) -> None:
    asked = question(trace, traffic=TrafficQuestion(trace=trace, only={"model": ["gpt-4o"]}))
    with pytest.raises(InputError, match="--usage DIR"):
        size(asked)


def test_arrivals_recorded_in_ticks_are_spread_and_it_is_said(tmp_path) -> None:
    lines = ["TIMESTAMP,ContextTokens,GeneratedTokens"]
    lines += [f"2024-05-06 09:{i // 60:02d}:{i % 60:02d},100,20" for i in range(0, 600, 3)] * 10
    ticks = tmp_path / "ticks.csv"
    ticks.write_text("\n".join([lines[0], *sorted(lines[1:])]) + "\n")
    found = read_traffic(TrafficQuestion(trace=ticks), 0)
    assert (np.diff(found.requests.arrival_s) > 0).all()
    assert any("recorded in ticks" in note for note in found.notes)


def test_arrivals_with_times_of_their_own_stay_as_they_are(trace) -> None:
    found = read_traffic(TrafficQuestion(trace=trace), 0)
    assert not any("ticks" in note for note in found.notes)
