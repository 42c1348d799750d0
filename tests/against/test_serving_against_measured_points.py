"""Predicted speeds against published measurements of groups that the fit never saw."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from weighbridge.capacity.configuration import configured, distinct
from weighbridge.capacity.earned import group_weights, weighted_quantile
from weighbridge.capacity.fitting import Fitter, cases_of
from weighbridge.capacity.held_out import Validation, bounds_of, spreads_of
from weighbridge.catalog.facts import load_catalog
from weighbridge.catalog.serving_fit import load_serving_fit
from weighbridge.usage.bench.points import read_serving_points


@pytest.fixture(scope="module")
def points_file(checkout):
    path = checkout.parent / "shared" / "measured" / "measured_points.csv"
    if not path.is_file():
        pytest.skip("no ../shared/measured/measured_points.csv beside this checkout")
    return path


@pytest.fixture(scope="module")
def measured(points_file):
    catalog = load_catalog()
    found = [configured(point, catalog) for point in read_serving_points(points_file)]
    return distinct(one for one in found if not isinstance(one, str))


@pytest.fixture(scope="module")
def validation(measured):
    return Validation(measured, Fitter(cases_of(measured)), n_most_steps=3)


@pytest.fixture(scope="module")
def held_out(validation):
    return validation.held_out()


def median_error(held_out, metric):
    relative = np.abs(np.expm1(-held_out.log_ratios[metric]))
    return weighted_quantile(relative, group_weights(held_out.groups.tolist()), 0.5)


def test_rows_with_a_configuration_are_judged_and_no_others(points_file, measured):
    assert len(measured) > 2000
    assert len({one.group for one in measured}) == 21
    usable = sum(
        not isinstance(configured(point, load_catalog()), str)
        for point in read_serving_points(points_file)
    )
    assert usable - len(measured) == 448  # repeats under another id


def test_time_per_output_token_of_unseen_groups_is_within_15_percent(held_out):
    assert median_error(held_out, "tpot") <= 0.15


def test_time_to_first_token_of_unseen_groups_is_within_25_percent(held_out):
    assert median_error(held_out, "ttft") <= 0.25


@pytest.fixture(scope="module")
def levels(validation):
    return validation.levels_held_out()


@pytest.fixture(scope="module")
def earned(held_out, levels):
    return spreads_of(held_out, levels)


@pytest.mark.parametrize(("metric", "widest"), [("tpot", 2.0), ("ttft", 3.5)])
def test_intervals_of_the_shipped_form_hold_what_they_promise(held_out, earned, metric, widest):
    """Not nested: `benchmarks/fit_serving.py` makes each interval without its group."""
    low, high = bounds_of(metric, held_out.conditions, earned)
    errors = held_out.log_ratios[metric]
    weights = group_weights(held_out.groups.tolist())
    inside = (low <= errors) & (errors <= high)
    assert 0.85 <= float(weights @ inside) <= 0.95
    assert np.exp(weighted_quantile(high - low, weights, 0.5)) <= widest


def test_cases_of_a_level_left_out_whole_are_known_as_such(levels, held_out):
    assert all(any(one[f"new_{n}"] for n in UNSEEN) for one in levels.conditions)
    assert len(levels.places) == len(UNSEEN) * len(held_out.places)
    assert (levels.groups == held_out.groups[levels.places]).all()


UNSEEN = ("generation", "engine", "format")


def test_the_shipped_fit_rests_on_this_file(points_file, measured):
    fit = load_serving_fit()
    assert fit.data_digest == hashlib.sha256(points_file.read_bytes()).hexdigest()
    assert fit.n_points == len(measured)
