"""A calibrated endpoint takes the place of data sheets, with its own errors and its own faults."""

import dataclasses
import datetime as dt
import json

import pytest

from weighbridge.capacity.calibrate import EndpointProfile, profile_as_dict
from weighbridge.capacity.calibrate.certainty import FittedParameter
from weighbridge.capacity.calibrate.endpoint_profile import Covered, ProfileSource
from weighbridge.capacity.calibrate.held_out import MetricError
from weighbridge.capacity.calibrate.parameters import NAMES
from weighbridge.capacity.observed import EngineSettings
from weighbridge.capacity.step_time import EngineLimits
from weighbridge.study import simulated_fleet
from weighbridge.study.decide import Run, decide
from weighbridge.study.ladder import Bounds
from weighbridge.study.scenario import parse_scenario
from weighbridge.units import InputError

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
    monkeypatch.setattr(simulated_fleet, "bounds_of", lambda load: QUICK)

    def write(**changes):
        error = MetricError("a run", "e2e", 120, 2.0, 2.0, 3.0, 3.0, 0.9, 1.2)
        profile = EndpointProfile(
            made_on=dt.date(2026, 11, 20),
            sources=(ProfileSource("a run", 240, 0, "digest"),),
            settings=SETTINGS,
            limits=EngineLimits(kv_tokens=200_000, n_max_requests=128),
            parameters=tuple(FittedParameter(n, FITTED[n], FITTED[n], FITTED[n]) for n in NAMES),
            correlations=(),
            held_out=(error,),
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
