"""A scenario is read whole or refused with the file, the field and the mend."""

import datetime as dt
import sys

import pytest

from weighbridge.study.beliefs import correlations, gather, stated, upkeep_basis
from weighbridge.study.scenario import MAX_SCENARIO_BYTES, Scenario, load_scenario, parse_scenario
from weighbridge.units import InputError

FULL = """
name: Support desk
model: gpt-4o
provider: openai
monthly_spend_usd: 47000
monthly_requests: 2000000
input_share_frac: 0.8
tokens_per_request: 1200
price: {input_usd_per_mtok: 2.5, output_usd_per_mtok: 10, source: contract of May}
candidate: llama-3.3-70b
gpu: h100
throughput: {requests_per_s: 2, input_tokens: 1000, output_tokens: 500}
options: [api, committed, rented]
committed: {usd_per_unit_hour: 10, input_tokens_per_min: 9000, output_tokens_per_min: 60, source: q}
horizon_months: 24
mlops_fte: 0.5
can_hire: false
whole_replicas: false
query_types:
  - match: {tenant: acme}
    replaceable: yes
    evidence: 1,000 answers compared
    ttft_p95_s: 0.8
  - stays_inside: true
assumptions:
  headroom_frac: 0.3
  peak_to_mean_ratio: {p10: 2, p50: 3, p90: 6}
correlations:
  - {between: [headroom_frac, peak_to_mean_ratio], correlation: -0.2}
currency: {code: EUR, per_usd: 0.86, on: 2026-11-20, source: ECB}
"""


# --- what is right --------------------------------------------------------------------------------


def test_every_field_arrives_as_written():
    s = parse_scenario(FULL)
    assert (s.name, s.model, s.provider) == ("Support desk", "gpt-4o", "openai")
    assert (s.monthly_spend_usd, s.monthly_requests) == (47_000, 2_000_000)
    assert (s.horizon_months, s.mlops_fte, s.can_hire, s.whole_replicas) == (24, 0.5, False, False)
    assert s.options == ("api", "committed", "rented")
    assert s.price.output_usd_per_mtok == 10
    assert (s.throughput.requests_per_s, s.throughput.output_tokens_per_s) == (2, None)
    assert s.query_types[0].match.tenant == "acme"
    assert [t.replaceable for t in s.query_types] == ["yes", "unknown"]
    assert s.query_types[1].stays_inside
    assert s.currency.on == dt.date(2026, 11, 20)
    assert s.assumptions == {
        "headroom_frac": 0.3,
        "peak_to_mean_ratio": {"p10": 2, "p50": 3, "p90": 6},
    }


def test_yes_no_and_on_are_what_they_look_like():
    s = parse_scenario("query_types: [{replaceable: yes}, {replaceable: no}]\ncan_hire: false")
    assert [t.replaceable for t in s.query_types] == ["yes", "no"]
    assert s.can_hire is False
    s = parse_scenario("currency: {code: EUR, per_usd: 0.9, on: 2026-01-01, source: ECB}")
    assert s.currency.on == dt.date(2026, 1, 1)


def test_one_line_is_a_scenario_and_the_rest_has_defaults():
    s = parse_scenario("monthly_spend_usd: 47000")
    assert s == Scenario(monthly_spend_usd=47_000.0)
    assert s.options == ("api", "managed", "rented", "owned", "hybrid")
    assert s.horizon_months == 36


def test_a_file_reads_as_its_text_does(tmp_path):
    path = tmp_path / "s.yaml"
    path.write_text(FULL, encoding="utf-8")
    assert load_scenario(path) == parse_scenario(FULL)


def test_the_digest_is_of_the_content_and_not_of_its_spelling():
    one = parse_scenario("model: a\nhorizon_months: 12  # a year")
    same = parse_scenario("{horizon_months: 12, model: 'a'}")
    other = parse_scenario("model: a\nhorizon_months: 13")
    assert one.digest == same.digest != other.digest


def test_a_shared_block_may_be_merged_without_counting_as_given_twice():
    s = parse_scenario("query_types:\n- &a {match: {tenant: x}}\n- {<<: *a, stays_inside: true}")
    assert s.query_types[1].match.tenant == "x"


def test_both_ways_to_state_upkeep_are_right_once_one_is_chosen():
    both = "assumptions: {upkeep_fte: 1, maintenance_hours_per_month: 10}"
    assert upkeep_basis(parse_scenario(f"upkeep_basis: hours\n{both}")) == "hours"
    assert upkeep_basis(parse_scenario(f"upkeep_basis: fte\n{both}")) == "fte"


def test_upkeep_basis_follows_the_row_that_is_given():
    hours = parse_scenario("assumptions: {maintenance_hours_per_month: 10}")
    assert upkeep_basis(hours) == "hours"
    assert upkeep_basis(parse_scenario("model: a")) == "fte"


# --- what the scenario makes believed -------------------------------------------------------------


def test_the_scenario_speaks_over_the_layers_and_the_layers_over_the_defaults():
    s = parse_scenario("assumptions: {headroom_frac: 0.3}")
    said = parse_scenario("assumptions: {headroom_frac: 0.1, storage_gb: 7, upkeep_fte: 2}")
    later = parse_scenario("assumptions: {storage_gb: 8}")
    beliefs, used = gather(s, "s.yaml", stated(said, "log"), stated(later, "catalog"))
    assert beliefs.at("headroom_frac", 0.5) == 0.3
    assert beliefs.at("storage_gb", 0.5) == 8
    assert beliefs.at("upkeep_fte", 0.5) == 2
    assert beliefs.at("egress_usd_per_gb", 0.5) == pytest.approx(0.09)
    by_name = {row.name: row for row in used}
    assert by_name["headroom_frac"].source == "s.yaml"
    assert by_name["headroom_frac"].origin == "scenario"
    assert by_name["egress_usd_per_gb"].origin == "default"
    assert set(by_name) == set(beliefs.distributions)


def test_people_on_staff_become_their_assumption():
    beliefs, _ = gather(parse_scenario("mlops_fte: 1.5"), "s.yaml")
    assert beliefs.at("existing_mlops_fte", 0.5) == 1.5
    assert "existing_mlops_fte" not in beliefs.uncertain


def test_an_assumption_in_use_shows_its_band_and_an_event_its_probability():
    text = "assumptions: {upkeep_fte: {p10: 1, p50: 2, p90: 5}, exit_event: {probability: 0.4}}"
    _, used = gather(parse_scenario(text), "s.yaml")
    by_name = {row.name: row for row in used}
    upkeep = by_name["upkeep_fte"]
    assert (upkeep.p10, upkeep.p50, upkeep.p90) == pytest.approx((1, 2, 5))
    assert (by_name["exit_event"].p10, by_name["exit_event"].p90) == (0.4, 0.4)
    assert "probability" in by_name["exit_event"].note


def test_api_and_gpu_prices_move_together_unless_the_scenario_says_otherwise():
    pair = ("api_price_change_frac_per_year", "gpu_price_change_frac_per_year")
    assert correlations(parse_scenario("model: a")) == {pair: 0.5}
    assert correlations(parse_scenario("correlations: []")) == {}
    own = "correlations: [{between: [upkeep_fte, storage_gb], correlation: 0.3}]"
    assert correlations(parse_scenario(own)) == {("upkeep_fte", "storage_gb"): 0.3}


# --- what is wrong, and the whole of what is said then --------------------------------------------

INIT = "see `weighbridge init --full` for what it takes"
ERRORS = {
    "unknown field, with the nearest": (
        "monthly_spend: 5",
        "s.yaml: monthly_spend: is no field of a scenario\n"
        "  mend: did you mean `monthly_spend_usd`?",
    ),
    "unknown field, nothing near": (
        "zzzz: 5",
        "s.yaml: zzzz: is no field of a scenario\n"
        "  mend: remove it, or see `weighbridge init --full` for every field",
    ),
    "unknown field of a rule": (
        "query_types: [{match: {tenantt: a}}]",
        "s.yaml: query_types[0].match.tenantt: is no field of a scenario\n"
        "  mend: remove it, or see `weighbridge init --full` for every field",
    ),
    "an assumption at top level": (
        "upkeep_fte: 1",
        "s.yaml: upkeep_fte: is no field of a scenario\n"
        "  mend: put it under `assumptions:` as `upkeep_fte`",
    ),
    "words for a number": (
        "monthly_spend_usd: a lot",
        f"s.yaml: monthly_spend_usd: Expected `float | null`, got `str`\n  mend: {INIT}",
    ),
    "a boolean for a number": (
        "monthly_spend_usd: true",
        f"s.yaml: monthly_spend_usd: Expected `float | null`, got `bool`\n  mend: {INIT}",
    ),
    "part of a month": (
        "horizon_months: 3.5",
        f"s.yaml: horizon_months: Expected `int`, got `float`\n  mend: {INIT}",
    ),
    "a list for a mapping": (
        "assumptions: [1]",
        f"s.yaml: assumptions: Expected `object`, got `array`\n  mend: {INIT}",
    ),
    "no such choice": (
        "query_types: [{replaceable: maybe}]",
        f"s.yaml: query_types[0].replaceable: Invalid enum value 'maybe'\n  mend: {INIT}",
    ),
    "no horizon": (
        "horizon_months: 0",
        "s.yaml: horizon_months: is 0\n  mend: give a whole number from 1 to 120",
    ),
    "a horizon beyond reason": (
        "horizon_months: 121",
        "s.yaml: horizon_months: is 121\n  mend: give a whole number from 1 to 120",
    ),
    "no spend": (
        "monthly_spend_usd: 0",
        "s.yaml: monthly_spend_usd: is 0.0\n  mend: give a number above zero",
    ),
    "negative tokens": (
        "monthly_tokens: -5",
        "s.yaml: monthly_tokens: is -5.0\n  mend: give a number above zero",
    ),
    "a spend that is no number": (
        "monthly_spend_usd: .nan",
        "s.yaml: monthly_spend_usd: is nan\n  mend: give a finite number",
    ),
    "a share above one": (
        "input_share_frac: 1.2",
        "s.yaml: input_share_frac: is 1.2\n  mend: give a fraction from 0 to 1",
    ),
    "fewer than no people": (
        "mlops_fte: -1",
        "s.yaml: mlops_fte: is -1.0\n  mend: give 0 or more engineers",
    ),
    "no utilisation": (
        "utilization_frac: 0",
        "s.yaml: utilization_frac: is 0.0\n  mend: give a fraction above 0, to 1",
    ),
    "a negative price": (
        "price: {input_usd_per_mtok: -1, output_usd_per_mtok: 1, source: x}",
        "s.yaml: price.input_usd_per_mtok: is -1.0\n  mend: give 0 or more",
    ),
    "an exchange rate of nothing": (
        "currency: {code: EUR, per_usd: 0, on: 2026-01-01, source: ECB}",
        "s.yaml: currency.per_usd: is 0.0\n  mend: give a rate > 0",
    ),
    "an unknown option": (
        "options: [api, barter]",
        "s.yaml: options: names barter\n"
        "  mend: choose from api, committed, managed, rented, owned, hybrid",
    ),
    "no API to compare with": (
        "options: [rented]",
        "s.yaml: options: leaves out api\n  mend: keep it: all is measured against it",
    ),
    "committed without an offer": (
        "options: [api, committed]",
        "s.yaml: options: names committed without an offer\n  mend: add a `committed:` block "
        "with the price per unit hour and what a unit serves",
    ),
    "spend and tokens together": (
        "monthly_spend_usd: 5\nmonthly_tokens: 6",
        "s.yaml: monthly_tokens: is given beside monthly_spend_usd, and price makes one of the "
        "other\n  mend: keep one of the two",
    ),
    "two rates of throughput": (
        "throughput: {output_tokens_per_s: 5, requests_per_s: 6}",
        "s.yaml: throughput: gives two rates\n"
        "  mend: give output_tokens_per_s or requests_per_s, above zero",
    ),
    "no rate of throughput": (
        "throughput: {n_gpus: 2}",
        "s.yaml: throughput: gives no rate\n"
        "  mend: give output_tokens_per_s or requests_per_s, above zero",
    ),
    "a rate of nothing": (
        "throughput: {requests_per_s: 0}",
        "s.yaml: throughput: gives no speed\n"
        "  mend: give output_tokens_per_s or requests_per_s, above zero",
    ),
    "throughput stated twice": (
        "throughput: {requests_per_s: 5}\nassumptions: {replica_output_tokens_per_s: 4}",
        "s.yaml: assumptions.replica_output_tokens_per_s: is given beside throughput\n"
        "  mend: keep one of the two",
    ),
    "upkeep stated twice": (
        "assumptions: {upkeep_fte: 1, maintenance_hours_per_month: 10}",
        "s.yaml: assumptions.maintenance_hours_per_month: is given beside upkeep_fte: both are "
        "the same work\n  mend: keep one, or say upkeep_basis: fte or hours",
    ),
    "utilisation and peak": (
        "utilization_frac: 0.4\nassumptions: {peak_to_mean_ratio: 3}",
        "s.yaml: assumptions.peak_to_mean_ratio: is given beside utilization_frac, which already "
        "contains the peak\n  mend: keep one of the two",
    ),
    "utilisation and headroom": (
        "utilization_frac: 0.4\nassumptions: {headroom_frac: 0.1}",
        "s.yaml: assumptions.headroom_frac: is given beside utilization_frac, which already "
        "contains the peak\n  mend: keep one of the two",
    ),
    "staff stated twice": (
        "mlops_fte: 1\nassumptions: {existing_mlops_fte: 1}",
        "s.yaml: assumptions.existing_mlops_fte: is given beside mlops_fte\n"
        "  mend: keep one of the two",
    ),
    "a correlation with what does not exist": (
        "correlations: [{between: [upkeep_fte, storag_gb], correlation: 0.1}]",
        "s.yaml: correlations.storag_gb: is no assumption of the model\n"
        "  mend: did you mean `storage_gb`?",
    ),
    "a correlation of one": (
        "correlations: [{between: [upkeep_fte, storage_gb], correlation: 1}]",
        "s.yaml: correlations: is 1.0\n  mend: give -1 < r < 1",
    ),
    "a key given twice": (
        "model: a\nmodel: b",
        "s.yaml, line 2: is not YAML: key 'model' is given twice\n  mend: mend the line",
    ),
    "an assumption given twice": (
        "assumptions:\n  upkeep_fte: 1\n  upkeep_fte: 2",
        "s.yaml, line 3: is not YAML: key 'upkeep_fte' is given twice\n  mend: mend the line",
    ),
    "not YAML": (
        "model: a: b",
        "s.yaml, line 1: is not YAML: mapping values are not allowed in this context\n"
        "  mend: mend the line",
    ),
    "nothing at all": (
        "",
        "s.yaml: holds no fields\n  mend: write one with: weighbridge init s.yaml",
    ),
    "only a comment": (
        "# soon",
        "s.yaml: holds no fields\n  mend: write one with: weighbridge init s.yaml",
    ),
    "a list": (
        "- model: a",
        "s.yaml: holds no fields\n  mend: write one with: weighbridge init s.yaml",
    ),
}


@pytest.mark.parametrize(("text", "says"), ERRORS.values(), ids=ERRORS.keys())
def test_a_fault_names_file_field_and_mend(text, says):
    with pytest.raises(InputError) as error:
        parse_scenario(text, "s.yaml")
    assert str(error.value) == says


def test_a_missing_file_says_how_to_write_one(tmp_path):
    path = tmp_path / "s.yaml"
    with pytest.raises(InputError) as error:
        load_scenario(path)
    assert (
        str(error.value)
        == f"{path}: does not exist\n  mend: write one with: weighbridge init {path}"
    )


def test_a_directory_is_no_scenario(tmp_path):
    with pytest.raises(InputError) as error:
        load_scenario(tmp_path)
    assert str(error.value) == f"{tmp_path}: is a directory\n  mend: name the scenario file in it"


def test_text_in_another_encoding_names_the_byte(tmp_path):
    path = tmp_path / "s.yaml"
    path.write_bytes("name: Ärger".encode("latin-1"))
    with pytest.raises(InputError) as error:
        load_scenario(path)
    assert str(error.value) == f"{path}: is not UTF-8 text (byte 6)\n  mend: save it as UTF-8"


def test_a_log_given_as_a_scenario_is_refused_by_its_size(tmp_path):
    path = tmp_path / "s.yaml"
    path.write_bytes(b"#" * (MAX_SCENARIO_BYTES + 1))
    with pytest.raises(InputError) as error:
        load_scenario(path)
    assert str(error.value) == (
        f"{path}: has {MAX_SCENARIO_BYTES + 1} bytes\n  mend: a scenario is one page, not a log"
    )


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_a_link_to_itself_is_no_scenario(tmp_path):
    path = tmp_path / "s.yaml"
    path.symlink_to(path)
    with pytest.raises(InputError, match="cannot be read") as error:
        load_scenario(path)
    assert "mend the path" in str(error.value)


# --- what should be refused, or read, and is not --------------------------------------------------


def refused(text, *parts):
    with pytest.raises(InputError) as error:
        parse_scenario(text, "s.yaml")
    for part in ("s.yaml", *parts):
        assert part in str(error.value)
    assert "` in `" not in str(error.value)


def test_a_million_may_be_written_as_1e6():
    assert parse_scenario("monthly_requests: 1e6").monthly_requests == 1e6


def test_a_key_that_is_a_list_is_refused():
    refused("? [a, b]\n: 1", "line 1")


@pytest.mark.parametrize("text", ["1: 2", "assumptions: {5: 3}"])
def test_a_key_that_is_no_name_is_refused_readably(text):
    refused(text)


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("monthly_spend_usd: .inf", "monthly_spend_usd"),
        ("tokens_per_request: .inf", "tokens_per_request"),
        ("mlops_fte: .nan", "mlops_fte"),
        ("mlops_fte: .inf", "mlops_fte"),
        ("price: {input_usd_per_mtok: .nan, output_usd_per_mtok: 1, source: x}", "price.input"),
        ("throughput: {requests_per_s: .inf}", "throughput"),
    ],
)
def test_what_is_no_finite_number_is_refused(text, field):
    refused(text, field)


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("throughput: {requests_per_s: 5, n_gpus: -1}", "throughput.n_gpus"),
        ("throughput: {requests_per_s: 5, output_tokens: -500}", "throughput.output_tokens"),
        ("query_types: [{ttft_p95_s: -1}]", "ttft_p95_s"),
    ],
)
def test_what_cannot_be_negative_is_refused(text, field):
    refused(text, field)


@pytest.mark.parametrize(
    "pairs",
    [
        "{between: [upkeep_fte, upkeep_fte], correlation: 0.5}",
        "{between: [upkeep_fte, storage_gb], correlation: 0.5}, "
        "{between: [storage_gb, upkeep_fte], correlation: -0.5}",
        # each pair is possible, the three together are not
        "{between: [upkeep_fte, storage_gb], correlation: 0.9}, "
        "{between: [storage_gb, fte_usd_per_year], correlation: 0.9}, "
        "{between: [upkeep_fte, fte_usd_per_year], correlation: -0.9}",
    ],
)
def test_correlations_that_contradict_themselves_are_refused(pairs):
    refused(f"correlations: [{pairs}]", "correlations")


def test_an_option_named_twice_is_refused():
    refused("options: [api, rented, rented]", "options")
