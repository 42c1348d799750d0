"""The profile against the same tables made in plain Python from the same rows."""

import datetime as dt
import math
import random
from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from weighbridge.ledger.record import COLUMNS
from weighbridge.units import InputError
from weighbridge.usage.profile import ProfileOptions, profile
from weighbridge.usage.results import Tokens

START = dt.datetime(2026, 10, 5, 6, 30, tzinfo=dt.UTC)  # a Monday
TYPES = {
    "string": pa.string(),
    "int64": pa.int64(),
    "float64": pa.float64(),
    "bool": pa.bool_(),
    "timestamp_us_utc": pa.timestamp("us", tz="UTC"),
    "decimal_18_12": pa.decimal128(18, 12),
}
SCHEMA = pa.schema([pa.field(c.name, TYPES[c.type]) for c in COLUMNS])
BUCKETS = ("uncached_input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens")


@dataclass
class StandInLedger:
    parquet_files: tuple[str, ...]
    cannot_tell: tuple[str, ...] = ("ttft_s: the log has no streaming times",)


def row(at, **fields):
    whole = dict.fromkeys((c.name for c in COLUMNS), None)
    tokens = dict.fromkeys((*BUCKETS, "reasoning_tokens"), 0)
    fixed = {"request_id": str(at), "import_id": "i", "status": "ok", "price_state": "unpriced"}
    return {**whole, **tokens, **fixed, "started_at": at, **fields}


def stored(folder: Path, rows) -> StandInLedger:
    halves = (rows[::2], rows[1::2])
    names = []
    for number, half in enumerate(halves):
        path = folder / f"part-{number}.parquet"
        pq.write_table(pa.Table.from_pylist(half, SCHEMA), path)
        names.append(str(path))
    return StandInLedger(tuple(names))


def random_rows(seed: int, n: int, days: float):
    draw = random.Random(seed)

    def maybe(*values):
        return draw.choice([None, *values])

    rows = []
    for _ in range(n):
        state = draw.choice(["priced", "priced", "unpriced", "self_hosted"])
        rows.append(
            row(
                START + dt.timedelta(microseconds=draw.randrange(int(days * 86_400e6))),
                tenant=maybe("a", "b"),
                feature=maybe("chat", "search"),
                template=maybe("t1", "t2", "t3"),
                model=maybe("m1", "m2"),
                provider=maybe("p"),
                data_class=maybe("internal"),
                status=draw.choice(["ok", "ok", "ok", "error", "interrupted"]),
                uncached_input_tokens=int(draw.lognormvariate(5, 2)),
                cache_read_tokens=draw.choice([0, 0, 512]),
                cache_write_tokens=draw.choice([0, 7]),
                output_tokens=int(draw.lognormvariate(4, 2)),
                latency_s=maybe(draw.lognormvariate(0, 1)),
                price_state=state,
                list_cost_usd=Decimal(draw.randrange(10**9)).scaleb(-12)
                if state == "priced"
                else None,
            )
        )
    return rows


def tokens_of(one) -> int:
    return sum(one[name] for name in BUCKETS)


def cost_of(one) -> Decimal:
    return one["list_cost_usd"] or Decimal(0)


def plain_groups(rows, names):
    groups = defaultdict(list)
    for one in rows:
        groups[tuple(one[name] for name in names)].append(one)
    return groups


def assert_group_is(found, members):
    assert found.n_requests == len(members)
    assert found.n_failed == sum(one["status"] != "ok" for one in members)
    assert found.tokens == Tokens(*(sum(one[n] for one in members) for n in BUCKETS), 0)
    assert found.list_cost_usd == sum(map(cost_of, members))
    assert found.n_unpriced == sum(one["price_state"] == "unpriced" for one in members)


def plain_quantile(values, share):
    ordered = sorted(values)
    return ordered[max(1, -(-round(share * 100) * len(ordered) // 100)) - 1]


def assert_quantiles_are(found, values):
    assert found.n == len(values)
    if not values:
        assert math.isnan(found.p50)
        return
    assert found.mean == pytest.approx(sum(values) / len(values), rel=1e-5)
    assert found.max == pytest.approx(max(values), abs=1e-6)
    for share, name in ((0.1, "p10"), (0.5, "p50"), (0.9, "p90"), (0.95, "p95"), (0.99, "p99")):
        assert getattr(found, name) == pytest.approx(
            plain_quantile(values, share), rel=0.0110, abs=1e-6
        )


def plain_peak(rows, window_s, measure):
    windows = Counter()
    for one in rows:
        window = one["started_at"].timestamp() // window_s
        windows[window] += {
            "requests": 1,
            "tokens": tokens_of(one),
            "output_tokens": one["output_tokens"],
        }[measure]
    top = max(windows.values())
    return windows, top, min(window for window, value in windows.items() if value == top)


def assert_peaks_are(found, rows, span):
    first, last = span
    seen = {(peak.window_s, peak.measure): peak for peak in found}
    for (window_s, measure), peak in seen.items():
        windows, top, at = plain_peak(rows, window_s, measure)
        whole = [
            window
            for window in range(int(first // window_s), int(last // window_s) + 1)
            if min(last, (window + 1) * window_s) - max(first, window * window_s) >= 0.95 * window_s
        ]
        assert peak.peak_per_window == top
        assert peak.peak_at.timestamp() == at * window_s
        assert peak.mean_per_window == pytest.approx(
            sum(windows[window] for window in whole) / len(whole)
        )
        assert peak.peak_to_mean_ratio >= 1
    return seen


def plain_weekly(rows, span, value):
    sums, exposure = np.zeros(168), np.zeros(168)
    first, last = span
    for hour in range(int(first // 3600), int(last // 3600) + 1):
        moment = dt.datetime.fromtimestamp(hour * 3600, dt.UTC)
        place = moment.weekday() * 24 + moment.hour
        exposure[place] += (min(last, hour * 3600 + 3600) - max(first, hour * 3600)) / 3600
    for one in rows:
        at = one["started_at"]
        sums[at.weekday() * 24 + at.hour] += value(one)
    return np.where(exposure >= 0.25, sums / np.where(exposure > 0, exposure, 1), np.nan)


@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    seed=st.integers(0, 10**6),
    n=st.integers(2, 250),
    days=st.sampled_from([0.03, 0.9, 3.0, 8.5]),
    top=st.sampled_from([1, 3, 200]),
)
def test_every_table_equals_the_same_sums_in_plain_python(tmp_path_factory, seed, n, days, top):
    rows = random_rows(seed, n, days)
    span = tuple(sorted(one["started_at"].timestamp() for one in rows)[:: n - 1])
    options = ProfileOptions(by=(("tenant", "model"),), top_types=top)
    found = profile(stored(tmp_path_factory.mktemp("ledger"), rows), options)

    assert found.span.n_requests == n
    assert (found.span.first_at.timestamp(), found.span.last_at.timestamp()) == span
    assert found.list_cost_usd == sum(map(cost_of, rows))
    assert_spend_tables_are(found, rows)
    assert_types_are(found, rows, span, top)
    assert_concentration_is(found, rows)
    assert_peaks_are(found.peaks, rows, span)
    answered = [one for one in rows if one["status"] == "ok"]
    assert_quantiles_are(found.output_length, [one["output_tokens"] for one in answered])
    times = [one["latency_s"] for one in answered if one["latency_s"] is not None]
    if times:
        assert_quantiles_are(found.latency_s, times)
    else:
        assert found.latency_s is None
    assert found.ttft_s is None
    np.testing.assert_allclose(found.hourly_tokens, plain_weekly(rows, span, tokens_of), rtol=1e-6)


def assert_spend_tables_are(found, rows):
    names = ["tenant", "feature", "template", "model", "provider", "data_class"]
    for by in [[name] for name in names] + [["tenant", "model"]]:
        groups = plain_groups(rows, by)
        table = {one.key: one for one in found.by[",".join(by)]}
        assert len(table) == len(groups)
        for parts, members in groups.items():
            said = any(part is not None for part in parts)
            key = " / ".join(part or "(not said)" for part in parts) if said else None
            assert_group_is(table[key], members)
    days = Counter(one["started_at"].date().isoformat() for one in rows)
    assert [(one.key, one.n_requests) for one in found.by["day"]] == sorted(days.items())


def assert_types_are(found, rows, span, top):
    groups = plain_groups(rows, ["feature", "template"])
    kept = [one for one in found.query_types if one.template != "(other)"]
    assert len(kept) == min(top, len(groups))
    others = dict(groups)
    for one in kept:
        members = others.pop((one.feature, one.template))
        assert_type_is(one, members, span)
    rest = [member for members in others.values() for member in members]
    if rest:
        assert_type_is(found.query_types[-1], rest, span)
    assert sum(one.n_requests for one in found.query_types) == len(rows)
    assert sum(one.list_cost_usd for one in found.query_types) == found.list_cost_usd
    assert [one.list_cost_usd for one in kept] == sorted(
        (one.list_cost_usd for one in kept), reverse=True
    )


def assert_type_is(one, members, span):
    assert_group_is(one, members)
    models = Counter(member["model"] for member in members if member["model"])
    assert set(one.models) == set(models)
    assert [models[name] for name in one.models] == sorted(models.values(), reverse=True)
    answered = [member for member in members if member["status"] == "ok"]
    inputs = [sum(member[name] for name in BUCKETS[:3]) for member in answered]
    assert_quantiles_are(one.input_length, inputs)
    assert_peaks_are(one.peaks, members, span)
    for name, value in (
        ("hourly_requests", lambda _: 1),
        ("hourly_input_tokens", lambda member: member["uncached_input_tokens"]),
        ("hourly_output_tokens", lambda member: member["output_tokens"]),
    ):
        np.testing.assert_allclose(
            getattr(one, name), plain_weekly(members, span, value), rtol=1e-6
        )


def assert_concentration_is(found, rows):
    by_measure = {one.measure: one for one in found.concentration}
    for measure, value in (("tokens", tokens_of), ("cost", cost_of)):
        groups = plain_groups(rows, ["feature", "template"])
        sums = {parts: sum(map(value, members)) for parts, members in groups.items()}
        unassigned = sums.pop((None, None), 0)
        if not sum(sums.values()) + unassigned:
            assert measure not in by_measure
            continue
        curve = by_measure[measure]
        ordered = sorted(sums.values(), reverse=True)
        assert curve.n_types == len(ordered)
        assert curve.unassigned_share_frac == pytest.approx(
            float(unassigned) / float(sum(ordered) + unassigned)
        )
        reached = [
            k for k in range(1, len(ordered) + 1) if 5 * sum(ordered[:k]) >= 4 * sum(ordered)
        ]
        if sum(ordered):
            assert curve.n_types_for_80_frac == reached[0]
            np.testing.assert_allclose(
                curve.cumulative_share_frac,
                np.cumsum([float(value) for value in ordered]) / float(sum(ordered)),
            )


def hourly_rows(days, per_hour=4, **fields):
    return [
        row(START + dt.timedelta(hours=hour, minutes=15 * part), output_tokens=100, **fields)
        for hour in range(int(days * 24))
        for part in range(per_hour)
    ]


def test_a_model_without_price_is_a_share_and_not_zero_dollars(tmp_path):
    priced = hourly_rows(1, model="known", price_state="priced", list_cost_usd=Decimal("0.5"))
    found = profile(stored(tmp_path, [*priced, *hourly_rows(3, model="obscure")]))
    assert found.list_cost_usd == Decimal("48.0")
    assert found.unpriced_models == ("obscure",)
    assert found.unpriced_tokens_share_frac == 0.75
    assert "the whole spend" in [one.conclusion for one in found.withheld]


def test_without_any_price_cost_shares_are_unknown_and_not_zero(tmp_path):
    found = profile(stored(tmp_path, hourly_rows(1)))
    assert found.unpriced_tokens_share_frac == 1.0
    assert all(math.isnan(one.cost_share_frac) for one in found.by["tenant"])
    assert [one.measure for one in found.concentration] == ["tokens"]


def test_under_seven_days_no_month_and_no_rhythm(tmp_path):
    short = profile(stored(tmp_path, hourly_rows(6.9)))
    assert {"a month's volume and cost", "weekly rhythm", "growth trend"} <= {
        one.conclusion for one in short.withheld
    }
    assert np.isnan(short.hourly_requests).any()
    enough = profile(stored(tmp_path, hourly_rows(7)))
    assert "weekly rhythm" not in {one.conclusion for one in enough.withheld}
    np.testing.assert_allclose(enough.hourly_requests, 4.0, rtol=0.4)


def test_from_fourteen_days_growth_is_told(tmp_path):
    found = profile(stored(tmp_path, hourly_rows(14) + hourly_rows(15)[14 * 24 * 4 :]))
    assert found.trend_per_week_frac == pytest.approx(0, abs=1e-9)
    assert "growth trend" not in {one.conclusion for one in found.withheld}


def test_an_hour_of_log_has_minutes_to_compare_but_no_hours(tmp_path):
    found = profile(
        stored(tmp_path, [row(START + dt.timedelta(seconds=9 * k)) for k in range(380)])
    )
    assert {peak.window_s for peak in found.peaks} == {60}
    assert {"peak-to-mean at 1 hour", "peak-to-mean at 1 day"} <= {
        one.conclusion for one in found.withheld
    }
    assert found.volume_relative_sd_frac is None  # no tokens at all


def test_one_request_makes_a_profile_that_claims_nothing(tmp_path):
    found = profile(stored(tmp_path, [row(START, output_tokens=5)]))
    assert found.peaks == ()
    assert found.volume_relative_sd_frac is None
    assert np.isnan(found.hourly_requests).all()


def test_only_failures_leave_lengths_unknown(tmp_path):
    found = profile(stored(tmp_path, hourly_rows(1, status="error")))
    assert found.output_length.n == 0
    assert found.span.n_failed == 96
    assert "token lengths" in {one.conclusion for one in found.withheld}


def test_fingerprints_seen_once_or_twice_are_unassigned_and_no_types(tmp_path):
    strays = [
        row(START, template=name, tenant=f"t{k}", output_tokens=10)
        for k, name in enumerate(("~one", "~two", "~two", "named-once"))
    ]
    often = [row(START, template="~often", output_tokens=10) for _ in range(3)]
    found = profile(stored(tmp_path, [*hourly_rows(1, feature="a"), *strays, *often]))
    labels = {(one.template, one.n_requests) for one in found.query_types}
    assert {("~often", 3), ("named-once", 1), ("(other)", 3)} <= labels
    assert not any(template in {"~one", "~two"} for template, _ in labels)
    tokens = found.concentration[0]
    assert tokens.n_types == 3
    assert tokens.unassigned_share_frac == pytest.approx(30 / found.tokens.total_tokens)
    assert sum(one.n_requests for one in found.query_types) == found.span.n_requests


def test_tenants_stand_in_where_all_fingerprints_are_rare(tmp_path):
    rows = [row(START, template=f"~{k}", tenant="a", output_tokens=10) for k in range(4)]
    found = profile(stored(tmp_path, rows))
    assert [(one.label, one.n_requests) for one in found.query_types] == [("a", 4)]
    assert found.concentration[0].unassigned_share_frac == 1.0


def test_rare_fingerprints_alone_are_told_of_together(tmp_path):
    rows = [row(START, template=f"~{k}", output_tokens=10) for k in range(4)]
    found = profile(stored(tmp_path, rows))
    assert [(one.template, one.n_requests) for one in found.query_types] == [("(other)", 4)]
    assert found.concentration[0].n_types == 0


def test_tenants_stand_in_where_nobody_names_a_query_type(tmp_path):
    found = profile(stored(tmp_path, [*hourly_rows(1, tenant="a"), *hourly_rows(1)]))
    assert [one.label for one in found.query_types] == ["(unassigned)", "a"]
    tokens = found.concentration[0]
    assert (tokens.n_types, tokens.unassigned_share_frac) == (1, 1.0)


def test_query_types_can_be_told_apart_by_tenant(tmp_path):
    rows = [*hourly_rows(1, tenant="a", template="t"), *hourly_rows(1, tenant="b", template="t")]
    options = ProfileOptions(query_type_by=("tenant", "template"))
    assert {one.label for one in profile(stored(tmp_path, rows), options).query_types} == {
        "a / t",
        "b / t",
    }


def test_caps_say_which_binds_when_and_for_how_long(tmp_path):
    burst = [row(START + dt.timedelta(minutes=7, seconds=k), output_tokens=1) for k in range(50)]
    calm = [row(START + dt.timedelta(minutes=k), output_tokens=1000) for k in range(60) if k != 7]
    caps = {"requests_per_min": 40, "output_tokens_per_min": 2000, "tokens_per_min": 999}
    found = profile(stored(tmp_path, [*burst, *calm]), ProfileOptions(caps=caps)).caps
    assert [one.cap for one in found] == [
        "tokens_per_min",
        "requests_per_min",
        "output_tokens_per_min",
    ]
    requests = found[1]
    assert (requests.minutes_over, requests.requests_over, requests.peak_per_min) == (1, 50, 50.0)
    assert requests.peak_at == START + dt.timedelta(minutes=7)
    assert requests.over_share_frac == pytest.approx(1 / 60)
    assert found[2].minutes_over == 0


def flat_price(cost_by_model):
    """Stands for the catalog: a price per token by model, none for models that it lacks."""

    def price(keys, batch):
        rates = np.array([cost_by_model.get(key.model, 0) for key in keys])
        known = np.array([key.model in cost_by_model for key in keys])
        tokens = sum(batch.tokens)
        long = np.where(tokens > 1000, 2, 1)  # a long-context tier: sums cannot be priced
        return tokens * long * rates[batch.key_index], known[batch.key_index]

    return price


def test_an_assumed_model_fills_only_requests_that_name_none(tmp_path):
    rows = [
        row(START, model="own", price_state="priced", list_cost_usd=Decimal(1), output_tokens=1),
        row(START + dt.timedelta(seconds=1), output_tokens=600),
        row(START + dt.timedelta(seconds=2), output_tokens=2000, provider="theirs"),
        row(START + dt.timedelta(seconds=3), model="obscure", output_tokens=9),
        row(START + dt.timedelta(seconds=4), price_state="self_hosted", output_tokens=9),
    ]
    options = ProfileOptions(assume_model="big", assume_provider="acme")
    found = profile(stored(tmp_path, rows), options, price=flat_price({"big": 10**9}))
    table = {one.key: one for one in found.by["model"]}
    assert table["own"].list_cost_usd == 1
    assert table["big"].list_cost_usd == Decimal("0.6") + Decimal("4.0")
    assert table["obscure"].n_unpriced == 1
    assert table[None].n_requests == 1
    assert {one.key for one in found.by["provider"]} == {"acme", "theirs", None}
    assert any("2 requests: assumed to be big at acme" in note for note in found.cannot_tell)


def test_an_assumption_is_priced_by_the_catalog_as_each_request_would_be(tmp_path):
    pricing = pytest.importorskip("weighbridge.ledger.pricing")
    assert pricing
    rows = [row(START, uncached_input_tokens=1000, output_tokens=100)]
    options = ProfileOptions(assume_model="gpt-4o-mini", assume_provider="openai")
    found = profile(stored(tmp_path, rows), options)
    assert found.list_cost_usd == Decimal("0.000210")
    assert found.n_unpriced == 0


def test_an_assumption_without_any_price_is_refused(tmp_path):
    ledger = stored(tmp_path, hourly_rows(1))
    options = ProfileOptions(assume_model="no-such-model")
    with pytest.raises(InputError, match="no price is known for no-such-model"):
        profile(ledger, options, price=flat_price({}))


def test_an_assumption_that_no_request_needs_says_so(tmp_path):
    ledger = stored(tmp_path, hourly_rows(1, model="own"))
    found = profile(ledger, ProfileOptions(assume_model="big"), price=flat_price({"big": 1}))
    assert any("not used" in note for note in found.cannot_tell)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (ProfileOptions(by=(("tenant", "colour"),)), "colour: is not known here"),
        (ProfileOptions(by=(("tenant", "tenant"),)), "names one twice"),
        (ProfileOptions(query_type_by=("model",)), "model: is not known here"),
        (ProfileOptions(query_type_by=()), "is empty"),
        (ProfileOptions(caps={"requests_per_second": 5}), "requests_per_second: is not known"),
        (ProfileOptions(caps={"requests_per_min": 0}), "requests_per_min: is 0"),
        (ProfileOptions(top_types=0), "top: is 0"),
        (ProfileOptions(assume_provider="openai"), "names a provider but no model"),
    ],
)
def test_options_that_cannot_be_used_say_what_would_be_right(options, says):
    with pytest.raises(InputError, match=says):
        profile(StandInLedger(("unread.parquet",)), options)


def test_a_ledger_without_requests_is_refused(tmp_path):
    with pytest.raises(InputError, match="holds no requests"):
        profile(StandInLedger(()))
    with pytest.raises(InputError, match="holds no requests"):
        profile(stored(tmp_path, []))


def test_what_the_sources_cannot_tell_is_passed_on(tmp_path):
    ledger = replace(stored(tmp_path, hourly_rows(1)), cannot_tell=("cost", "cost", "tenant"))
    assert profile(ledger).cannot_tell == ("cost", "tenant")
