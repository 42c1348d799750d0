"""The staircase of replicas says what the study says."""

import dataclasses

import numpy as np
import pytest

from weighbridge import charts
from weighbridge.study.result import BandSeries


def values_of(layer):
    return layer["data"]["values"]


def test_the_staircase_is_the_study_s_and_today_stands_on_it(study):
    capacity = study.capacity
    band, line, _, dot, *_ = charts.replicas_by_demand(capacity)["layer"]
    assert [row["middle"] for row in values_of(line)] == (
        capacity.n_replicas_by_demand.p50.tolist()
    )
    assert [row["low"] for row in values_of(band)] == capacity.n_replicas_by_demand.p10.tolist()
    (today,) = values_of(dot)
    assert (today["demand"], today["middle"]) == (1.0, 4.0)
    assert "8 GPUs" in today["text"]


def test_where_each_size_begins_is_told_to_those_who_do_not_see_it(study):
    demand = np.array([0.5, 1.0, 2.0])
    n = np.array([1.0, 1.0, 3.0])
    capacity = dataclasses.replace(
        study.capacity, demand_ratio=demand, n_replicas_by_demand=BandSeries(n, n, n)
    )
    spoken = charts.replicas_by_demand(capacity)["description"]
    assert spoken == (
        "Replicas kept as traffic grows: 1 at 0.5 times today's traffic; 3 from 1 times."
    )


@pytest.mark.parametrize("flat", [1.0, 7.0])
def test_a_fleet_that_never_grows_is_drawn_too(study, flat):
    n = np.full(2, flat)
    capacity = dataclasses.replace(
        study.capacity, demand_ratio=np.array([1.0, 2.0]), n_replicas_by_demand=BandSeries(n, n, n)
    )
    top = charts.replicas_by_demand(capacity)["layer"][0]["encoding"]["y"]["scale"]["domain"][1]
    assert top > flat
