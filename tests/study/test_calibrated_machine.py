"""A calibrated endpoint takes the place of data sheets, with its own errors and its own faults."""

import csv
import dataclasses
import datetime as dt
import json
from pathlib import Path

import numpy as np
import pytest

from weighbridge.capacity.calibrate import EndpointProfile, profile_as_dict
from weighbridge.capacity.calibrate.certainty import FittedParameter
from weighbridge.capacity.calibrate.endpoint_profile import Covered, ProfileSource
from weighbridge.capacity.calibrate.held_out import MetricError
from weighbridge.capacity.calibrate.parameters import NAMES
from weighbridge.capacity.observed import EngineSettings
from weighbridge.capacity.slo import parse_slo
from weighbridge.capacity.step_time import EngineLimits
from weighbridge.capacity.traffic import Requests
from weighbridge.catalog.facts import load_catalog
from weighbridge.study import simulated_fleet
from weighbridge.study.calibrate import load_endpoint_profile
from weighbridge.study.calibrated_machine import calibrated_machine
from weighbridge.study.decide import Run, decide
from weighbridge.study.ladder import Bounds
from weighbridge.study.machines import errors_of
from weighbridge.study.scenario import parse_scenario
from weighbridge.study.size_measured import Endpoint, endpoint_speed
from weighbridge.study.size_speed import Load
from weighbridge.study.stretch_traffic import StretchTraffic
from weighbridge.units import InputError
from weighbridge.usage.bench.points import COLUMNS

RUN = Run(n_draws=256, as_of=dt.date(2026, 11, 21), with_surface=False)
FITTED = {
    "decode_base_s": 0.012,
    "decode_s_per_request": 1e-4,
    "saturating_s": 1e-6,
    "saturating_requests": 1.0,
    "kv_s_per_token": 1e-8,
    "mixed_extra_s": 0.004,
    "mixed_s_per_token": 3e-5,
    "attention_s_per_pair": 1e-10,
    "first_token_s": 0.01,
}
QUICK = Bounds(150, 600, compiled=False)
SETTINGS = EngineSettings(model="llama-3.1-8b", gpu="h100-sxm", engine="vllm", n_tensor_parallel=1)
SCENARIO = """
monthly_requests: 1000000
tokens_per_request: 1200
price: {{input_usd_per_mtok: 2.5, output_usd_per_mtok: 10, source: made for the test}}
candidate: llama-3.1-8b
endpoint_profile: {path}
slo: ttft_p95=1s,tpot_p95=60ms
"""


@pytest.fixture
def written(tmp_path, monkeypatch):
    monkeypatch.setattr(simulated_fleet, "bounds_of", lambda *_: QUICK)

    def write(**changes):
        ends = {"e2e": (0.98, 1.01), "tpot": (0.8, 1.3), "ttft": (0.7, 1.6)}
        errors = tuple(
            MetricError("a run", name, 120, 2.0, 2.0, 3.0, 3.0, low, high)
            for name, (low, high) in ends.items()
        )
        profile = EndpointProfile(
            made_on=dt.date(2026, 11, 20),
            sources=(ProfileSource("a run", 240, 0, "digest"),),
            settings=SETTINGS,
            limits=EngineLimits(kv_tokens=200_000, n_max_requests=128),
            parameters=tuple(FittedParameter(n, FITTED[n], FITTED[n], FITTED[n]) for n in NAMES),
            correlations=(),
            held_out=errors,
            held_out_frac=0.5,
            suggested=(),
            covered=Covered((1, 1e5), (1, 1e5), (1, 500), (0.1, 50)),
            curves=(),
            n_evaluations=1,
        )
        path = tmp_path / "endpoint.json"
        path.write_text(json.dumps(profile_as_dict(dataclasses.replace(profile, **changes))))
        return SCENARIO.format(path=path)

    return write


def test_the_endpoint_is_the_deployment_and_its_held_out_errors_are_the_draws(written):
    study = decide(parse_scenario(written()), None, RUN)
    capacity = study.capacity
    assert capacity.basis == "calibrated"
    assert capacity.deployment == "Llama 3.1 8B on 1 x H100 SXM 80 GB, vllm, as calibrated"
    assert len(capacity.tried) == 1
    assert "calibrated on 2026-11-20, errors of 120 held-out requests" in capacity.why[0]
    error = next(a for a in study.assumptions if a.name == "capacity_error_ratio")
    assert 0.6 < error.p10 <= 1 <= error.p90 < 1.6


def test_its_errors_are_those_that_size_reads_of_token_and_first_token_not_of_queues(written):
    scenario, catalog = parse_scenario(written()), load_catalog()
    lengths = np.full(200, 700), np.full(200, 120)
    requests = Requests(np.arange(200.0), *lengths)
    traffic = StretchTraffic(requests, np.zeros(200, np.int64), None, "made")
    model = catalog.models["llama-3.1-8b"]
    machine = calibrated_machine(scenario, catalog, model, traffic, "s.yaml")
    assert machine.measured is not None
    profile = load_endpoint_profile(Path(scenario.endpoint_profile))
    theirs = endpoint_speed(Endpoint(None, profile), requests, "p")
    ours = errors_of(machine, Load(requests, parse_slo("ttft_p95=1s"))).band
    for end in ("low", "mid", "high"):
        mine, size_s = getattr(ours, end), getattr(theirs.band, end)
        assert np.array_equal(mine.decode_s, size_s.decode_s)
        assert np.array_equal(mine.mixed_s, size_s.mixed_s)
    spread = ours.high.decode_s[1] / ours.low.decode_s[1]
    assert spread > 1.2  # a whole request's error, queues included, was 3 %


def points(path, **changes):
    row = dict.fromkeys(COLUMNS, "")
    row |= {"source": "me", "model": "llama-3.1-8b", "gpu": "H100-SXM", "num_gpus": "1", "tp": "1"}
    row |= {"precision": "fp8", "engine": "vllm", "isl": "900", "osl": "300", "concurrency": "64"}
    row |= {"ttft_ms": "300", "tpot_ms": "30", **changes}
    with path.open("w", newline="") as text:
        writer = csv.DictWriter(text, COLUMNS)
        writer.writeheader()
        writer.writerow(row)
    return path


def test_points_correct_the_roofline_as_size_corrects_it(written, tmp_path):
    text = written().replace("endpoint_profile:", "gpu: h100-sxm\nprecision: fp8\n#")
    measured = f"measured: {points(tmp_path / 'points.csv')}\n"
    plain, corrected = (
        decide(parse_scenario(text + more), None, RUN).capacity for more in ("", measured)
    )
    assert (plain.basis, corrected.basis) == ("roofline", "measured")
    assert corrected.deployment.endswith("H100 SXM 80 GB, vllm")
    # Such a token takes several times as long as the roofline says.
    assert corrected.full_load_usd_per_mtok.p50 > 1.5 * plain.full_load_usd_per_mtok.p50


def test_points_beside_a_profile_or_a_rate_and_points_of_another_model_are_refused(
    written, tmp_path
):
    path = points(tmp_path / "points.csv", model="qwen3-8b")
    assert "measured: is given beside endpoint_profile" in told(written() + f"measured: {path}\n")
    text = written().replace("endpoint_profile:", "gpu: h100-sxm\n#") + f"measured: {path}\n"
    assert "holds no usable measurement of llama-3.1-8b" in told(text)
    rate = text.replace("slo: ttft_p95=1s,tpot_p95=60ms", "throughput: {output_tokens_per_s: 900}")
    assert "measured: is given beside throughput" in told(rate)


def told(text):
    with pytest.raises(InputError) as fault:
        decide(parse_scenario(text, "s.yaml"), None, RUN)
    return str(fault.value)


def test_an_endpoint_of_another_model_or_gpu_is_refused(written):
    text = written(settings=dataclasses.replace(SETTINGS, model="llama-3.3-70b"))
    assert "is of llama-3.3-70b, and the candidate is llama-3.1-8b" in told(text)
    assert "was measured on h100-sxm, and gpu says l40s" in told(written() + "gpu: l40s\n")


def test_what_the_file_does_not_say_is_asked_for(written):
    text = written(settings=dataclasses.replace(SETTINGS, gpu=None))
    assert "does not say on which GPU it was measured" in told(text)
    text = written(settings=dataclasses.replace(SETTINGS, n_tensor_parallel=None))
    assert "does not say over how many GPUs" in told(text)


def test_a_file_that_is_none_is_told(tmp_path):
    assert "cannot be read" in told(SCENARIO.format(path=tmp_path / "none.json"))
    broken = tmp_path / "broken.json"
    broken.write_text("{")
    assert "is not JSON" in told(SCENARIO.format(path=broken))
