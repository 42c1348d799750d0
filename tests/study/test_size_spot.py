"""Spot in a sizing: replicas share machines, and the assumption's P90 stands beside."""

import numpy as np
import pytest

from weighbridge.capacity.interruptions import NOT_MODELLED
from weighbridge.capacity.slo import parse_slo
from weighbridge.catalog.assumptions import load_assumptions
from weighbridge.catalog.facts import load_catalog
from weighbridge.study.size import size
from weighbridge.study.size_question import SizeQuestion, TrafficQuestion


@pytest.fixture(scope="module")
def trace(tmp_path_factory):
    rng = np.random.default_rng(4)
    start = np.datetime64("2024-05-06T09:00:00")
    at = start + (np.sort(rng.uniform(0, 200, 300)) * 1e6).astype("timedelta64[us]")
    rows = zip(at, rng.integers(50, 900, 300), rng.integers(2, 90, 300), strict=True)
    path = tmp_path_factory.mktemp("trace") / "trace.csv"
    lines = [f"{str(t).replace('T', ' ')},{i},{o}" for t, i, o in rows]
    path.write_text("\n".join(["TIMESTAMP,ContextTokens,GeneratedTokens", *lines]) + "\n")
    return path


def detail(trace, **changed):
    question = SizeQuestion(
        model="llama-3.1-8b",
        slo=parse_slo("ttft_p95=1s,tpot_p95=50ms"),
        traffic=TrafficQuestion(trace=trace),
        gpus=("h100-sxm",),
        n_tensor_parallel=(2,),
        precisions=("bf16",),
        n_threads=1,
        n_details=1,
        **changed,
    )
    return size(question).details[0]


def test_replicas_of_two_gpus_share_the_machines_of_eight_that_are_offered(trace) -> None:
    largest = max(offer.n_gpus for offer in load_catalog().offers_for("h100-sxm", "spot"))
    found = detail(trace)
    assert found.spot.terms.n_per_machine_replicas == largest // 2 > 1
    assert f"{largest // 2} replicas share a machine and are lost together." in found.spot_note
    assert found.spot_note.endswith(NOT_MODELLED)


def test_the_assumptions_p90_stands_beside_a_lower_rate_only(trace) -> None:
    p90 = load_assumptions()["spot_interruptions_per_replica_month"].p90
    assert f"At {p90:g} interruptions a month (P90" in detail(trace).spot_note
    assert "P90" not in detail(trace, spot_interruptions_per_month=p90 + 1).spot_note


def test_a_machine_that_is_often_gone_takes_all_of_a_small_fleet(trace) -> None:
    """Down 4 % of the time: the few replicas of one machine, and as many again beside it."""
    found = detail(trace, spot_interruptions_per_month=30.0, spot_restart_s=3600.0).spot
    assert found.n_down_replicas >= found.terms.n_per_machine_replicas
    assert found.n_extra_replicas > 1
