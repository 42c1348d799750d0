"""JSON and CSV of a study: exact, complete, safe to open."""

import csv
import dataclasses
import io
import json
import math
from decimal import Decimal

import numpy as np
import pytest

from weighbridge.report.files import plain, study_tables, study_to_json, write_tables, write_whole
from weighbridge.study.result import Study

VARIANTS = ("full", "without_log", "without_surface", "without_forecast", "hostile")


def rows_of(tables, name):
    return list(csv.DictReader(io.StringIO(tables[f"{name}.csv"])))


def test_numbers_come_back_from_json_exactly(study):
    back = json.loads(study_to_json(study))
    for option, found in zip(study.options, back["options"], strict=True):
        assert found["total_usd"] == dataclasses.asdict(option.total_usd)
        assert found["cash_usd_by_month"]["p90"] == option.cash_usd_by_month.p90.tolist()
        assert found["cheapest_probability"] == option.cheapest_probability
    assert np.array_equal(back["surface"]["saving_usd"], study.surface.saving_usd)
    assert Decimal(back["profile"]["list_cost_usd"]) == study.profile.list_cost_usd
    assert back["reproducibility"]["as_of"] == "2026-11-02"


def test_json_carries_its_schema_and_every_field_under_its_own_name(study):
    back = json.loads(study_to_json(study))
    assert back.pop("schema") == "weighbridge.study"
    assert back.pop("schema_version") == 1
    assert list(back) == [field.name for field in dataclasses.fields(Study)]


@pytest.mark.parametrize("variant", VARIANTS)
def test_json_is_strict_and_the_same_each_time(studies, variant):
    def refuse(word):
        raise AssertionError(f"{word} is no JSON")

    text = study_to_json(studies[variant])
    json.loads(text, parse_constant=refuse)
    assert text == study_to_json(studies[variant])


def test_a_missing_number_is_null_and_never_zero(studies):
    study = studies["not_enough_evidence"]
    back = json.loads(study_to_json(study))
    assert back["verdict"]["confidence_probability"] is None
    hours = back["profile"]["hourly_tokens"]
    assert [hour is None for hour in hours] == np.isnan(study.profile.hourly_tokens).tolist()


def test_an_infinite_number_is_refused_by_its_place(study):
    broken = dataclasses.replace(study, monthly_tokens=math.inf)
    with pytest.raises(ValueError, match=r"study\.monthly_tokens: is infinite"):
        study_to_json(broken)


def test_what_has_no_form_in_json_is_refused():
    with pytest.raises(TypeError, match="x: a set"):
        plain({1}, "x")


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_table_has_rows_as_wide_as_its_header(studies, variant):
    for name, text in study_tables(studies[variant]).items():
        widths = {len(row) for row in csv.reader(io.StringIO(text))}
        assert len(widths) <= 1, name


def test_lines_in_csv_add_up_to_the_options(study):
    rows = rows_of(study_tables(study), "lines")
    for option in study.options:
        usd = sum(
            float(row["usd"])
            for row in rows
            if row["option_id"] == option.id and row["place"] == "sum"
        )
        assert math.isclose(usd, sum(line.total_usd for line in option.lines))


def test_months_and_surface_are_complete(study):
    tables = study_tables(study)
    monthly, surface = rows_of(tables, "monthly"), rows_of(tables, "surface")
    assert len(monthly) == len(study.options) * study.horizon_months
    assert len(surface) == study.surface.saving_usd.size
    corner = surface[-1]
    assert float(corner["saving_usd"]) == study.surface.saving_usd[-1, -1]
    assert float(corner["volume_tokens_per_month"]) == study.surface.x[-1]
    owned = [row for row in monthly if row["option_id"] == "owned"]
    assert float(owned[1]["cash_usd_p50"]) == study.option("owned").cash_usd_by_month.p50[1]
    assert {row["n_gpus"] for row in monthly if row["option_id"] == "api"} == {""}


def test_usage_costs_are_written_as_exact_decimals(study):
    rows = [row for row in rows_of(study_tables(study), "usage") if row["dimension"] == "tenant"]
    total = sum(Decimal(row["list_cost_usd"]) for row in rows)
    assert total == sum(row.list_cost_usd for row in study.profile.by["tenant"])


def test_text_that_a_spreadsheet_would_run_is_quoted(studies):
    rows = rows_of(study_tables(studies["hostile"]), "query_types")
    assert rows[0]["label"].startswith("'=cmd()")
    assert rows[1]["label"] == "support / triage / classify"
    negative = [row for row in rows if row["saving_usd_per_month"].startswith("-")]
    assert negative  # numbers below zero stay numbers


def test_tables_are_written_whole_into_a_folder(study, tmp_path):
    written = write_tables(study, tmp_path / "tables")
    assert {path.name for path in written} == set(study_tables(study))
    assert not [path for path in (tmp_path / "tables").iterdir() if path.name.startswith(".")]


def test_a_file_that_fails_half_way_leaves_the_old_one_and_no_scraps(tmp_path, monkeypatch):
    target = tmp_path / "study.json"
    write_whole(target, b"old")

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr("weighbridge.report.files.Path.replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write_whole(target, b"new")
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_replicas_by_demand_and_deployments_have_tables_of_their_own(study, studies):
    tables = study_tables(study)
    rows = rows_of(tables, "capacity")
    capacity = study.capacity
    assert [float(row["n_replicas_p50"]) for row in rows] == (
        capacity.n_replicas_by_demand.p50.tolist()
    )
    tried = rows_of(tables, "deployments")
    assert [row["n_replicas"] for row in tried] == ["2.9", ""]
    without = study_tables(studies["without_forecast"])
    assert without["capacity.csv"] == without["deployments.csv"] == ""
