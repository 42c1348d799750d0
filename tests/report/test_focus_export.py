"""The FOCUS export: its columns and rules, exact sums, and nothing called billed by guess."""

import csv
import datetime as dt
import io
from decimal import Decimal

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weighbridge.report.focus import (
    COLUMNS,
    CONDITIONAL,
    EXTENSIONS,
    MANDATORY,
    BillingAccount,
    FocusCharge,
    FocusUsage,
    focus_csv,
    focus_metadata,
    focus_parquet,
    focus_rows,
)
from weighbridge.report.focus_spec import faults_of
from weighbridge.units import InputError

ACCOUNT = BillingAccount("acme-1", "Acme")

# The mandatory columns of Cost and Usage in FOCUS 1.2, and the two that 1.3 adds.
MANDATORY_1_2 = {
    *("BilledCost", "BillingAccountId", "BillingAccountName", "BillingCurrency"),
    *("BillingPeriodEnd", "BillingPeriodStart", "ChargeCategory", "ChargeClass"),
    *("ChargeDescription", "ChargePeriodEnd", "ChargePeriodStart", "ContractedCost"),
    *("EffectiveCost", "InvoiceIssuerName", "ListCost", "PricingQuantity", "PricingUnit"),
    *("ProviderName", "PublisherName", "ServiceCategory", "ServiceName"),
}
ADDED_1_3 = {"HostProviderName", "ServiceProviderName"}


def usage(**changed):
    given_usage = {
        "on": dt.date(2026, 12, 31),
        "provider": "openai",
        "model": "gpt-4o",
        "token_type": "cache read",
        "n_tokens": 1_700_000,
        "n_requests": 3,
        "list_cost_usd": Decimal("2.125"),
        "list_usd_per_mtok": Decimal("1.25"),
        "tenant": "search",
        "feature": "rank",
    }
    return FocusUsage(**{**given_usage, **changed})


def whole_usage(**changed):
    costs = dict.fromkeys(
        ("contracted_cost_usd", "effective_cost_usd", "billed_cost_usd"), Decimal("1.9")
    )
    return usage(**{**costs, **changed})


def only_row(item=None, **changed):
    return next(focus_rows([item or usage(**changed)], ACCOUNT))


def test_mandatory_columns_come_first_and_extensions_last():
    assert set(MANDATORY) == MANDATORY_1_2 | ADDED_1_3
    assert list(only_row()) == [*MANDATORY, *CONDITIONAL, *EXTENSIONS] == list(COLUMNS)
    assert all(name.startswith("x_") for name in EXTENSIONS)
    assert not any(name.startswith("x_") for name in (*MANDATORY, *CONDITIONAL))


def test_a_row_of_a_reconciled_and_contracted_day_breaks_no_rule():
    assert list(faults_of(only_row(whole_usage()))) == []


def test_a_computed_cost_is_never_called_billed_and_the_check_says_what_is_lacking():
    row = only_row()
    assert row["BilledCost"] == ""
    assert row["ListCost"] == "2.125"
    assert "not reconciled" in row["x_CostBasis"]
    assert list(faults_of(row)) == [
        "BilledCost: is empty",
        "ContractedCost: is empty",
        "EffectiveCost: is empty",
    ]
    told = focus_metadata(dt.datetime(2026, 11, 2, tzinfo=dt.UTC))
    assert "BilledCost is null" in told["x_Departure"]
    assert told["FocusVersion"] == "1.3"


BROKEN = {
    "a column that FOCUS lacks": ({"Costs": "1"}, "Costs: is no column of FOCUS and no x_ column"),
    "a unit without its quantity": ({"PricingQuantity": ""}, "PricingQuantity: is empty"),
    "a category of our own": (
        {"ChargeCategory": "Tokens"},
        "ChargeCategory: 'Tokens' is not among the values allowed",
    ),
    "a comma in a number": ({"ListCost": "1,5"}, "ListCost: '1,5' is no Decimal"),
    "a price below zero": ({"ListUnitPrice": "-1"}, "ListUnitPrice: '-1' is no Decimal"),
    "no zone": (
        {"ChargePeriodStart": "2026-12-31T00:00:00"},
        "ChargePeriodStart: '2026-12-31T00:00:00' is no Date/Time",
    ),
    "tags that are a list": ({"Tags": "[]"}, "Tags: '[]' is no JSON"),
    "a day that ends before it begins": (
        {"ChargePeriodEnd": "2026-12-30T00:00:00Z"},
        "ChargePeriodEnd: is not after ChargePeriodStart",
    ),
    "a cost that is not price times quantity": (
        {"ListCost": "2.126"},
        "ListCost: is not ListUnitPrice times PricingQuantity",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_the_check_of_rows_finds(case):
    change, told = BROKEN[case]
    found = list(faults_of({**only_row(whole_usage()), **change}))
    assert told in found


def test_a_missing_mandatory_column_is_found():
    row = only_row(whole_usage())
    del row["ServiceProviderName"]
    assert list(faults_of(row)) == ["ServiceProviderName: is missing"]


def test_unpriced_usage_has_an_empty_cost_and_never_zero():
    row = only_row(list_cost_usd=None, list_usd_per_mtok=None)
    assert row["ListCost"] == row["ContractedCost"] == row["EffectiveCost"] == ""
    assert row["x_PriceState"] == "unpriced"
    assert row["ConsumedQuantity"] == "1700000"


def test_tokens_are_consumed_and_priced_by_the_million():
    row = only_row()
    assert (row["ConsumedQuantity"], row["ConsumedUnit"]) == ("1700000", "Tokens")
    assert (row["PricingQuantity"], row["PricingUnit"]) == ("1.700000", "1000000 Tokens")
    assert row["ListUnitPrice"] == "1.25"
    assert row["SkuPriceId"] == "openai/gpt-4o/cache-read/standard"
    above = only_row(above_input_tokens=200_000)
    assert above["SkuPriceId"].endswith("/above-200000")


def test_periods_are_utc_days_inside_calendar_months_across_a_new_year():
    row = only_row()
    assert row["ChargePeriodStart"] == "2026-12-31T00:00:00Z"
    assert row["ChargePeriodEnd"] == "2027-01-01T00:00:00Z"
    assert row["BillingPeriodStart"] == "2026-12-01T00:00:00Z"
    assert row["BillingPeriodEnd"] == "2027-01-01T00:00:00Z"


def test_a_credit_on_a_bill_is_a_credit_and_no_usage():
    charge = FocusCharge(dt.date(2026, 12, 1), "openai", "goodwill", "Credit", Decimal("-5"))
    row = only_row(charge)
    assert (row["ChargeCategory"], row["BilledCost"]) == ("Credit", "-5")
    assert row["ConsumedQuantity"] == row["ListCost"] == ""
    assert list(faults_of(row)) == [
        "ListCost: is empty",
    ]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.decimals(0, 10**6, places=12), min_size=1, max_size=30))
def test_costs_add_up_exactly_in_csv_and_parquet(costs):
    items = [usage(list_cost_usd=cost, list_usd_per_mtok=None) for cost in costs]
    rows = list(csv.DictReader(io.StringIO(focus_csv(items, ACCOUNT))))
    assert sum(Decimal(row["ListCost"]) for row in rows) == sum(costs)
    table = pq.read_table(io.BytesIO(focus_parquet(items, ACCOUNT)))
    assert sum(table["ListCost"].to_pylist()) == sum(costs)


def test_parquet_has_the_csvs_columns_in_types_that_keep_every_digit():
    items = [usage(), whole_usage(tenant=None, billed_cost_usd=Decimal("0.12345678901234567"))]
    table = pq.read_table(io.BytesIO(focus_parquet(items, ACCOUNT)))
    assert table.column_names == list(COLUMNS)
    assert table["BilledCost"].to_pylist() == [None, Decimal("0.12345678901234567")]
    assert table["ChargePeriodStart"].to_pylist()[0] == dt.datetime(2026, 12, 31, tzinfo=dt.UTC)
    assert table["SubAccountId"].to_pylist() == ["search", None]
    assert table.schema.metadata[b"FocusVersion"] == b"1.3"


def test_digits_that_parquet_cannot_hold_are_refused():
    with pytest.raises(InputError, match="write CSV instead"):
        focus_parquet([whole_usage(billed_cost_usd=Decimal("1e-29"))], ACCOUNT)


def test_a_source_that_names_no_tenant_leaves_the_account_and_tags_empty():
    row = only_row(tenant=None, feature=None)
    assert row["SubAccountId"] == row["Tags"] == row["x_Feature"] == ""


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"list_cost_usd": 0.1}, "list_cost_usd"),
        ({"list_cost_usd": Decimal("NaN")}, "list_cost_usd"),
        (
            {
                "list_cost_usd": None,
                "list_usd_per_mtok": None,
                "contracted_cost_usd": Decimal(1),
            },
            "contracted_cost_usd",
        ),
        ({"list_usd_per_mtok": Decimal("1.26")}, "list_usd_per_mtok"),
        ({"n_tokens": -1}, "n_tokens"),
        ({"n_requests": -1}, "n_requests"),
    ],
)
def test_contradictory_usage_is_refused_by_row_and_field(changed, field):
    with pytest.raises(InputError) as caught:
        list(focus_rows([usage(), usage(**changed)], ACCOUNT))
    assert caught.value.where == "usage row 2"
    assert caught.value.field == field
