"""A profile as plain data, and back; what is wrong with it is named."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import pytest

from weighbridge.capacity.calibrate import EndpointProfile, profile_as_dict, profile_from_dict
from weighbridge.capacity.calibrate.advice import SuggestedRun
from weighbridge.capacity.calibrate.certainty import FittedParameter
from weighbridge.capacity.calibrate.endpoint_profile import Covered, ProfileSource
from weighbridge.capacity.calibrate.held_out import MetricError
from weighbridge.capacity.calibrate.load_curve import LoadCurve
from weighbridge.capacity.calibrate.parameters import NAMES
from weighbridge.capacity.observed import EngineSettings
from weighbridge.capacity.step_time import EngineLimits
from weighbridge.units import InputError

PROFILE = EndpointProfile(
    made_on=date(2026, 11, 21),
    sources=(ProfileSource("run.json", 300, 2, "ab" * 32),),
    settings=EngineSettings(model="m", kv_tokens=4096),
    limits=EngineLimits(kv_tokens=4096),
    parameters=tuple(FittedParameter(name, 2e-3, 1e-3, 4e-3) for name in NAMES),
    correlations=tuple(tuple(float(i == k) for k in range(9)) for i in range(9)),
    held_out=(MetricError("run.json", "ttft", 150, 1.0, 1.1, 2.0, 1.9, 0.9, 1.2),),
    held_out_frac=0.5,
    suggested=(SuggestedRun("kv_s_per_token", 4, 8192, 256, "contexts are long"),),
    covered=Covered((1.0, 9.0), (1.0, 9.0), (1.0, 4.0), (2.0, 2.0)),
    curves=(LoadCurve("tpot", 512.0, 128.0, (1.0, 8.0), (0.01, 0.001), 0.95, 1.05),),
    n_evaluations=1000,
    notes=("assumed",),
)


def plain() -> dict[str, Any]:
    made: dict[str, Any] = json.loads(json.dumps(profile_as_dict(PROFILE)))
    return made


def test_a_profile_comes_back_as_it_was() -> None:
    assert profile_from_dict(plain()) == PROFILE
    assert next(iter(plain())) == "format"


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        (("format",), "weighbridge-endpoint-profile/2", "format: is 'weighbridge-endpoint-pro"),
        (("made_on",), "yesterday", "made_on: is 'yesterday', no date"),
        (("limits", "kv_tokens"), "many", "limits.kv_tokens: is 'many', not a whole number"),
        (("limits", "kv_tokens"), True, "limits.kv_tokens: is True, not a whole number"),
        (("limits", "admission"), "last", "limits.admission: is 'last', none of"),
        (("parameters", 0, "value"), float("nan"), "parameters[0].value: is not finite"),
        (("parameters", 0, "value"), 9.0, "decode_base_s: 9.0 does not lie between"),
        (("parameters", 0, "name"), "speed", "parameters: are speed"),
        (("sources",), {}, "sources: is no list"),
        (("covered", "input_tokens"), [1.0], "covered.input_tokens: has 1 items, not 2"),
        (("covered", "colour"), 1, "covered.colour: is not known"),
        (("settings",), 3, "settings: is no object"),
    ],
)
def test_a_field_that_is_wrong_is_named(path: tuple[Any, ...], value: object, told: str) -> None:
    data = plain()
    place: Any = data
    for one in path[:-1]:
        place = place[one]
    place[path[-1]] = value
    with pytest.raises(InputError) as caught:
        profile_from_dict(data, "p.json")
    assert told in str(caught.value)
    assert str(caught.value).startswith("p.json: ")


@pytest.mark.parametrize("name", list(profile_as_dict(PROFILE)))
def test_a_field_that_is_missing_is_named(name: str) -> None:
    data = plain()
    del data[name]
    with pytest.raises(InputError, match=f"{name}: is missing"):
        profile_from_dict(data)


def test_a_list_is_no_profile() -> None:
    with pytest.raises(InputError, match="format: is missing"):
        profile_from_dict([])
