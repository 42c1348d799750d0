"""Analyses stay within a list of operations, and their SQL changes only knowingly."""

import datetime as dt
import os
from pathlib import Path

import ibis
import pytest

from weighbridge.ledger.record import COLUMN_NAMES
from weighbridge.usage.analyses import expressions
from weighbridge.usage.analyses.portable import operations_outside

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "sql"
BIGGER_ENGINES = ("clickhouse", "trino", "bigquery", "snowflake", "databricks", "postgres")

BY = ("feature", "template")
REQUESTS = expressions.requests_table()
TYPES = expressions.types_table(BY)


def kept(expression, name):
    return ibis.table(expression.schema(), name=name)


HOURLY = kept(expressions.hourly_use(REQUESTS, expressions.BASE_DIMENSIONS), "hourly")
MINUTES = kept(expressions.type_minutes(REQUESTS, TYPES, BY), "type_minutes")
FIRST, LAST = (dt.datetime(2026, 10, day, 6, 30) for day in (5, 12))  # noqa: DTZ001
PEAKS = kept(expressions.type_minute_peaks(MINUTES, FIRST, LAST), "type_peaks")

ANALYSES = {
    "hourly_use": expressions.hourly_use(REQUESTS, expressions.BASE_DIMENSIONS),
    "grouped_use": expressions.grouped_use(HOURLY, ("tenant", "day")),
    "unassigned_use": expressions.unassigned_use(HOURLY),
    "hour_totals": expressions.hour_totals(HOURLY),
    "type_hours": expressions.type_hours(HOURLY, TYPES, BY),
    "type_members": expressions.type_members(HOURLY, TYPES, BY, "model"),
    "type_minutes": expressions.type_minutes(REQUESTS, TYPES, BY),
    "minute_totals": expressions.minute_totals(MINUTES),
    "type_minute_peaks": expressions.type_minute_peaks(MINUTES, FIRST, LAST),
    "type_peak_minutes": expressions.type_peak_minutes(MINUTES, PEAKS),
    "type_histogram_of_tokens": expressions.type_histogram(REQUESTS, TYPES, BY, "input_length"),
    "type_histogram_of_seconds": expressions.type_histogram(REQUESTS, TYPES, BY, "latency_s"),
    "without_model": expressions.without_model(REQUESTS),
    "with_assumed": expressions.with_assumed(REQUESTS, kept(REQUESTS, "assumed")),
}


def test_every_analysis_is_held_against_the_list():
    public = {
        name
        for name, value in vars(expressions).items()
        if callable(value)
        and getattr(value, "__module__", "") == expressions.__name__
        and not name.startswith("_")
        and not name.endswith("_table")
    }
    assert public == {name.partition("_of_")[0] for name in ANALYSES}


@pytest.mark.parametrize("name", ANALYSES)
def test_no_operation_outside_the_list_is_used(name):
    assert operations_outside(ANALYSES[name]) == ()


def test_an_operation_outside_the_list_is_found():
    exact = REQUESTS.aggregate(p99=REQUESTS.latency_s.quantile(0.99))
    numbered = REQUESTS.mutate(n=ibis.row_number().over(order_by=REQUESTS.started_at))
    assert operations_outside(exact) == ("Quantile",)
    assert "RowNumber" in operations_outside(numbered)


@pytest.mark.parametrize("engine", BIGGER_ENGINES)
def test_every_analysis_compiles_for_a_bigger_engine(engine):
    for expression in ANALYSES.values():
        assert "SELECT" in ibis.to_sql(expression, dialect=engine)


@pytest.mark.parametrize("name", ANALYSES)
def test_sql_is_what_was_last_looked_at(name):
    """Set WEIGHBRIDGE_RENEW_GOLDEN=1 to write the files anew, and read the difference."""
    sql = str(ibis.to_sql(ANALYSES[name], dialect="duckdb")) + "\n"
    golden = GOLDEN / f"{name}.sql"
    if os.environ.get("WEIGHBRIDGE_RENEW_GOLDEN"):
        golden.write_text(sql)
    assert sql == golden.read_text()


def test_analyses_read_only_columns_that_a_ledger_has():
    assert set(expressions.REQUEST_SCHEMA) <= set(COLUMN_NAMES)
