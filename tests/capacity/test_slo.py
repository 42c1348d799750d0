"""Latency targets: read exactly or refused with what to write, and judged per request."""

import os
from pathlib import Path

import numpy as np
import pytest

from weighbridge.capacity.fleet import FleetPlan
from weighbridge.capacity.simulation import simulate
from weighbridge.capacity.slo import parse_slo, statistic_s
from weighbridge.units import InputError

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "size" / "slo_errors.txt"
BAD = (
    "",
    " , ",
    "ttft<500ms",
    "ttft_p95",
    "ttft_p95=500",
    "ttft_p95=fast",
    "ttft_p95=0ms",
    "ttft_p95=1.2.3s",
    "ttft_p42=1s",
    "itl_p95=50ms",
    "ttft_p95=1h",
    "ttft_p95=1s,tpot_p95=50ms,ttft_p95=2s",
)


def test_targets_are_read_with_their_units() -> None:
    slo = parse_slo(" TTFT_p95 = 500ms,tpot_mean=0.05s, e2e_p99=2min")
    told = [(t.metric, t.statistic, round(t.limit_s, 9)) for t in slo.targets]
    assert told == [("ttft", "p95", 0.5), ("tpot", "mean", 0.05), ("e2e", "p99", 120.0)]
    assert parse_slo(slo.text) == slo


def test_what_cannot_be_read_says_what_to_write() -> None:
    told = []
    for text in BAD:
        with pytest.raises(InputError) as caught:
            parse_slo(text)
        told.append(f"{text!r}\n{caught.value}\n")
    found = "\n".join(told)
    if os.environ.get("WEIGHBRIDGE_WRITE_GOLDEN"):
        GOLDEN.parent.mkdir(parents=True, exist_ok=True)
        GOLDEN.write_text(found, encoding="utf-8")
    assert found == GOLDEN.read_text(encoding="utf-8")


def test_a_request_is_within_the_slo_only_where_every_latency_of_its_own_is(made) -> None:
    requests = made.requests(400, 6.0)
    outcome = simulate(requests, made.engine(), made.limits(), FleetPlan(1))
    slo = parse_slo("ttft_p50=300ms,e2e_p50=2s")
    by_hand = (outcome.ttft_s <= 0.3) & (outcome.e2e_s <= 2.0)
    assert 0 < by_hand.sum() < len(by_hand)
    assert slo.within(outcome).tolist() == by_hand.tolist()


def test_an_answer_of_one_token_has_no_time_per_token_and_breaks_no_target(made) -> None:
    requests = made.requests(50, 1.0)
    requests.output_tokens[:] = 1
    outcome = simulate(requests, made.engine(), made.limits(), FleetPlan(1))
    slo = parse_slo("tpot_p99=1ms")
    assert np.isnan(slo.reached_s(outcome)[0])
    assert slo.is_met(outcome)
    assert slo.within(outcome).all()


@pytest.mark.parametrize("statistic", ["p50", "p90", "p95", "p99"])
def test_quantiles_are_numpys(statistic) -> None:
    values = np.random.default_rng(1).exponential(1.0, 1001)
    assert statistic_s(values, statistic) == np.percentile(values, int(statistic[1:]))
