"""The FOCUS export: its columns, exact sums, and nothing called billed."""

import csv
import datetime as dt
import io
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weighbridge.report.focus import (
    COLUMNS,
    CONDITIONAL,
    EXTENSIONS,
    MANDATORY,
    BillingAccount,
    FocusUsage,
    focus_csv,
    focus_metadata,
    focus_rows,
)
from weighbridge.units import InputError
from weighbridge.usage.results import Tokens

ACCOUNT = BillingAccount("acme-1", "Acme")


def usage(**changed):
    given_usage = {
        "on": dt.date(2026, 12, 31),
        "provider": "openai",
        "model": "gpt-4o",
        "tokens": Tokens(700, 200, 0, 100, 40),
        "n_requests": 3,
        "list_cost_usd": Decimal("0.004250000001"),
        "tenant": "search",
        "feature": "rank",
    }
    return FocusUsage(**{**given_usage, **changed})


def only_row(**changed):
    return next(focus_rows([usage(**changed)], ACCOUNT))


def test_all_mandatory_columns_of_focus_1_2_come_first_and_extensions_last():
    assert len(MANDATORY) == 21
    assert list(only_row()) == [*MANDATORY, *CONDITIONAL, *EXTENSIONS] == list(COLUMNS)
    assert all(name.startswith("x_") for name in EXTENSIONS)
    assert not any(name.startswith("x_") for name in (*MANDATORY, *CONDITIONAL))


def test_a_computed_cost_is_never_called_billed():
    row = only_row()
    assert row["BilledCost"] == ""
    assert row["ListCost"] == "0.004250000001"
    assert "not reconciled" in row["x_CostBasis"]
    assert (
        "BilledCost is null"
        in focus_metadata(dt.datetime(2026, 11, 2, tzinfo=dt.UTC))["x_Departure"]
    )


def test_unpriced_usage_has_an_empty_cost_and_never_zero():
    row = only_row(list_cost_usd=None)
    assert row["ListCost"] == row["ContractedCost"] == row["EffectiveCost"] == ""
    assert row["x_PriceState"] == "unpriced"
    assert row["ConsumedQuantity"] == "1000"


def test_tokens_are_the_consumed_quantity_and_reasoning_is_not_counted_twice():
    row = only_row()
    assert (row["ConsumedQuantity"], row["ConsumedUnit"]) == ("1000", "Tokens")
    parts = ("UncachedInput", "CacheRead", "CacheWrite", "Output")
    assert sum(int(row[f"x_{part}Tokens"]) for part in parts) == 1000


def test_periods_are_utc_days_inside_calendar_months_across_a_new_year():
    row = only_row()
    assert row["ChargePeriodStart"] == "2026-12-31T00:00:00Z"
    assert row["ChargePeriodEnd"] == "2027-01-01T00:00:00Z"
    assert row["BillingPeriodStart"] == "2026-12-01T00:00:00Z"
    assert row["BillingPeriodEnd"] == "2027-01-01T00:00:00Z"


@given(st.lists(st.decimals(0, 10**6, places=12), min_size=1, max_size=30))
def test_costs_in_the_csv_add_up_exactly(costs):
    text = focus_csv([usage(list_cost_usd=cost) for cost in costs], ACCOUNT)
    rows = list(csv.DictReader(io.StringIO(text)))
    assert sum(Decimal(row["ListCost"]) for row in rows) == sum(costs)


def test_a_source_that_names_no_tenant_leaves_the_account_and_tags_empty():
    row = only_row(tenant=None, feature=None)
    assert row["SubAccountId"] == row["Tags"] == row["x_Feature"] == ""


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"list_cost_usd": 0.1}, "list_cost_usd"),
        ({"list_cost_usd": Decimal("NaN")}, "list_cost_usd"),
        ({"list_cost_usd": None, "contracted_cost_usd": Decimal(1)}, "contracted_cost_usd"),
        ({"tokens": Tokens(-1, 0, 0, 0, 0)}, "uncached_input_tokens"),
        ({"n_requests": -1}, "n_requests"),
    ],
)
def test_contradictory_usage_is_refused_by_row_and_field(changed, field):
    with pytest.raises(InputError) as caught:
        list(focus_rows([usage(), usage(**changed)], ACCOUNT))
    assert caught.value.where == "usage row 2"
    assert caught.value.field == field
