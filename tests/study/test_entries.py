"""How a scenario may write one assumption, and what is said of one written wrongly."""

import numpy as np
import pytest

from weighbridge.catalog.assumptions import load_assumptions
from weighbridge.economics.distributions import (
    Banded,
    Discrete,
    Event,
    Fixed,
    Triangular,
    Uniform,
)
from weighbridge.study.entries import known_assumption, read_belief
from weighbridge.units import InputError


@pytest.mark.parametrize(
    ("name", "raw", "belief"),
    [
        ("storage_gb", 600, Fixed(600.0)),
        ("storage_gb", 0, Fixed(0.0)),
        ("upkeep_fte", {"p10": 1, "p50": 2, "p90": 4}, Banded(1.0, 2.0, 4.0, 0.0, 100.0)),
        ("upkeep_fte", {"p10": 2, "p50": 2, "p90": 2}, Fixed(2.0)),
        ("storage_gb", {"low": 1, "high": 5}, Uniform(1.0, 5.0)),
        ("storage_gb", {"low": 1, "mode": 2, "high": 5}, Triangular(1.0, 2.0, 5.0)),
        ("storage_gb", {"values": [1, 9], "weights": [3, 1]}, Discrete((1.0, 9.0), (3.0, 1.0))),
        ("exit_event", {"probability": 0.3}, Event(0.3)),
        ("exit_event", 1, Event(1.0)),
        ("exit_event", 0, Event(0.0)),
        ("hours_per_month", 720, Fixed(720.0)),
        ("hours_per_month", {"values": [720], "weights": [1]}, Discrete((720.0,), (1.0,))),
    ],
)
def test_an_entry_becomes_its_distribution(name, raw, belief):
    assert read_belief(name, raw, "s.yaml") == belief


def test_a_band_keeps_the_bounds_of_its_meaning():
    band = read_belief("api_discount_frac", {"p10": 0.1, "p50": 0.5, "p90": 0.9}, "s.yaml")
    values = band.quantile(np.array([1e-9, 1 - 1e-9]))
    assert np.all((values >= 0) & (values <= 1))


@pytest.mark.parametrize("name", load_assumptions())
def test_every_default_may_be_written_into_a_scenario_as_it_is(name):
    row = load_assumptions()[name]
    band = {"p10": row.p10, "p50": row.p50, "p90": row.p90}
    raw = {"probability": row.probability} if row.event else band
    belief = read_belief(name, row.p50 if row.fixed else raw, "s.yaml")
    assert belief.quantile(np.array(0.5)) == pytest.approx(row.p50)


NUMBER = "give a number, or a distribution such as {p10, p50, p90}"
ERRORS = [
    ("upkep_fte", 1, "is no assumption of the model", "did you mean `upkeep_fte`?"),
    ("moonshine", 1, "is no assumption of the model", "see `weighbridge init --full` for all"),
    ("upkeep_fte", True, "is True", NUMBER),
    ("upkeep_fte", "1", "is '1'", NUMBER),
    ("upkeep_fte", None, "is None", NUMBER),
    ("upkeep_fte", [1, 2], "is [1, 2]", NUMBER),
    ("gpu_usd_per_gpu_hour", -2, "is -2", "give 0 to any US dollars per GPU and hour"),
    ("api_discount_frac", 1.5, "is 1.5", "give 0 to 1 fraction, 1 = 100 %"),
    ("storage_gb", float("inf"), "is inf", "give 0 to any gigabytes (10^9 bytes)"),
    ("upkeep_fte", float("nan"), "is nan", "give 0 to 100 full-time equivalents"),
    (
        "upkeep_fte",
        {"p10": 3, "p50": 1, "p90": 2},
        "P10 3.0, P50 1.0, P90 2.0 are not in order",
        "mend the numbers",
    ),
    (
        "storage_gb",
        {"low": 5, "high": 1},
        "low 5.0 and high 1.0 are not in order",
        "mend the numbers",
    ),
    (
        "hours_per_month",
        {"low": 700, "high": 730},
        "must be one number for all draws",
        "give a plain number",
    ),
    (
        "upkeep_fte",
        {"p10": 1, "p90": 2},
        "has the keys ['p10', 'p90']",
        "give a number or one of {p10, p50, p90}, {low, high}, {low, mode, high}, "
        "{values, weights}",
    ),
    ("exit_event", {"low": 0, "high": 1}, "has the keys ['high', 'low']", "give {probability: …}"),
    ("exit_event", 1.5, "probability 1.5 is not between 0 and 1", "mend the numbers"),
    (
        "exit_event",
        {"probability": 2},
        "probability 2.0 is not between 0 and 1",
        "mend the numbers",
    ),
    (
        "storage_gb",
        {"values": [1, 2], "weights": [1]},
        "values and weights must be equally many, and at least one",
        "mend the numbers",
    ),
]


@pytest.mark.parametrize(("name", "raw", "problem", "mend"), ERRORS)
def test_a_fault_names_the_assumption_and_the_mend(name, raw, problem, mend):
    with pytest.raises(InputError) as error:
        read_belief(name, raw, "s.yaml")
    assert str(error.value) == f"s.yaml: assumptions.{name}: {problem}\n  mend: {mend}"


INSIDE = [
    ("storage_gb", {"low": -5, "high": 1}, "low: is -5"),
    ("storage_gb", {"p10": -1, "p50": 1, "p90": 2}, "p10: is -1"),
    ("api_discount_frac", {"values": [0.1, 2], "weights": [1, 1]}, "values: is 2"),
    ("upkeep_fte", {"p10": 1, "p50": "two", "p90": 2}, "p50: is 'two'"),
    ("upkeep_fte", {"p10": 1, "p50": True, "p90": 2}, "p50: is True"),
]


@pytest.mark.parametrize(("name", "raw", "problem"), INSIDE)
def test_a_fault_inside_a_distribution_names_its_part(name, raw, problem):
    with pytest.raises(InputError) as error:
        read_belief(name, raw, "s.yaml")
    assert str(error.value).startswith(f"s.yaml: assumptions.{name}.{problem}\n  mend: ")


def test_an_unknown_name_is_reported_under_the_field_that_holds_it():
    with pytest.raises(InputError) as error:
        known_assumption("storag_gb", "s.yaml", "correlations")
    assert str(error.value) == (
        "s.yaml: correlations.storag_gb: is no assumption of the model\n"
        "  mend: did you mean `storage_gb`?"
    )


def test_a_median_outside_its_band_is_refused_also_where_the_band_has_no_width():
    with pytest.raises(InputError, match="not in order"):
        read_belief("upkeep_fte", {"p10": 1, "p50": 5, "p90": 1}, "s.yaml")


@pytest.mark.parametrize("weight", [float("nan"), float("inf")])
def test_a_weight_that_is_no_finite_number_is_refused(weight):
    with pytest.raises(InputError, match="weights"):
        read_belief("storage_gb", {"values": [1, 2], "weights": [weight, 1]}, "s.yaml")


def test_a_number_too_long_for_a_float_is_refused():
    with pytest.raises(InputError, match="storage_gb"):
        read_belief("storage_gb", 10**400, "s.yaml")
