"""What binds: a queue is blamed for waiting only, never for a request's own time."""

import dataclasses

import numpy as np
import pytest

from weighbridge.capacity.binding import Pressure, binding
from weighbridge.capacity.sizing import Impossible, Needed, needed_replicas
from weighbridge.capacity.slo import parse_slo
from weighbridge.capacity.traffic import Requests


@pytest.fixture(scope="module")
def served_badly(made):
    """A fleet that does little and misses; latencies are put in by each test."""
    found, _ = needed_replicas(made.case(made.requests(1500, 25.0)))
    assert isinstance(found, Needed)
    assert found.too_few is not None
    return dataclasses.replace(
        found.too_few, n_preemptions=0, mean_kv_frac=0.1, mean_batch_requests=3.0
    )


IDLE = Pressure(work_ratio=0.2, prefill_frac=0.7, n_max_requests=128)


@pytest.mark.parametrize(
    ("slo", "reached_s", "alone_s", "resource"),
    [
        ("ttft_p95=1s", 1.2, 0.1, "queue"),
        ("ttft_p95=1s", 1.2, 0.9, "prefill_compute"),
        ("e2e_p95=20s", 21.0, 19.0, "decode_bandwidth"),
        ("e2e_p95=20s", 21.0, 4.0, "queue"),
    ],
)
def test_a_queue_is_blamed_only_for_what_is_not_the_requests_own_time(
    served_badly, slo: str, reached_s: float, alone_s: float, resource: str
) -> None:
    short = dataclasses.replace(served_badly, reached_s=(reached_s,))
    told = binding(short, parse_slo(slo), IDLE, (alone_s,))
    assert told.resource == resource
    assert ("queue" in told.text) == (resource == "queue")
    assert ("alone on a replica" in told.text) == (resource != "queue")


def test_the_time_per_token_is_never_laid_to_a_queue(served_badly) -> None:
    """It begins with the first token, when all waiting is over."""
    short = dataclasses.replace(served_badly, reached_s=(0.06,))
    told = binding(short, parse_slo("tpot_p95=50ms"), IDLE, (0.012,))
    assert told.resource == "prefill_compute"
    assert "bursts" not in told.text


def test_where_no_fleet_is_enough_the_least_target_and_the_ceiling_are_told(made) -> None:
    """Bursts of hundreds of long prompts at once: no router spreads what one instant brings."""
    at = np.repeat(np.arange(4) * 60.0, 150)
    n = len(at)
    case = made.case(Requests(at, np.full(n, 1900), np.full(n, 20)), "ttft_p95=180ms")
    found, sought = needed_replicas(case)
    assert isinstance(found, Impossible)
    tried = sought.most_tried()
    assert tried.n_replicas == 64
    assert found.why[0].startswith("even with 64 replicas ttft_p95 is ")
    assert "the least ttft_p95 that can be met is about " in found.why[0]
    assert found.why[0].endswith("with 64 replicas, the most that are tried here")
    assert "alone on a replica, without any wait, it is " in found.why[0]


def test_a_target_below_the_time_alone_names_the_least_that_can_be_met(made) -> None:
    found, _ = needed_replicas(made.case(slo="ttft_p95=20ms"))
    assert isinstance(found, Impossible)
    assert "about the least that can be met" in found.why[0]
