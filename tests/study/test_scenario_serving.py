"""A rate and a simulation never stand beside each other; targets are read as `size` reads them."""

import pytest

from weighbridge.study.scenario import parse_scenario
from weighbridge.study.scenario_serving import latency_targets, states_a_rate
from weighbridge.units import InputError

RATE = "throughput: {output_tokens_per_s: 900}\n"


def fault(text):
    with pytest.raises(InputError) as caught:
        parse_scenario(text, "s.yaml")
    return str(caught.value)


@pytest.mark.parametrize("field", ["slo: ttft_p95=1s", "endpoint_profile: mine.json"])
@pytest.mark.parametrize("rate", [RATE, "assumptions: {replica_output_tokens_per_s: 900}\n"])
def test_a_rate_has_no_latency_in_it(field, rate):
    name = "throughput" if rate is RATE else "assumptions.replica_output_tokens_per_s"
    assert fault(rate + field) == (
        f"s.yaml: {field.split(':')[0]}: is given beside {name}, a rate that is taken as it is\n"
        f"  mend: drop {name} to have fleets simulated, or drop {field.split(':')[0]}"
    )


def test_an_error_of_simulated_fleets_has_no_place_beside_a_rate():
    text = RATE + "assumptions: {capacity_error_ratio: 1.2}"
    assert "capacity_error_ratio: is of simulated fleets" in fault(text)


@pytest.mark.parametrize("name", ["throughput_shortfall_frac", "reference_input_per_output_ratio"])
def test_what_corrects_a_rate_needs_one(name):
    assert "fleets are simulated where no rate is stated" in fault(f"assumptions: {{{name}: 0.5}}")
    assert parse_scenario(f"{RATE}assumptions: {{{name}: 0.5}}").assumptions[name] == 0.5


def test_a_target_that_cannot_be_read_names_the_part():
    assert fault("slo: ttft_p95=500").startswith("s.yaml: slo: ttft_p95=500: has no unit")
    assert fault("slo: ''").startswith("s.yaml: slo: names no target")


def test_without_a_target_there_is_a_default():
    assert latency_targets(parse_scenario("name: x"), "s").text == "ttft_p95=2s,tpot_p95=100ms"


def test_the_tightest_query_type_tightens_the_fleet_s_target():
    rules = "query_types: [{ttft_p95_s: 0.8}, {ttft_p95_s: 3}]\n"
    assert latency_targets(parse_scenario(rules), "s").text == "ttft_p95=800ms,tpot_p95=100ms"
    stated = parse_scenario(rules + "slo: ttft_p95=500ms,e2e_p95=20s")
    assert latency_targets(stated, "s").text == "ttft_p95=500ms,e2e_p95=20s"
    other = parse_scenario(rules + "slo: e2e_p95=20s")
    assert latency_targets(other, "s").text == "ttft_p95=800ms,e2e_p95=20s"


def test_either_way_of_stating_a_rate_counts():
    assert states_a_rate(parse_scenario(RATE))
    assert states_a_rate(parse_scenario("assumptions: {replica_output_tokens_per_s: 9}"))
    assert not states_a_rate(parse_scenario("slo: ttft_p95=1s"))
