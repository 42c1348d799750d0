"""What a scenario says of serving: a rate of its own, latency targets, a calibrated endpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING

from weighbridge.capacity.slo import Slo, Target, parse_slo
from weighbridge.units import InputError

if TYPE_CHECKING:
    from weighbridge.study.scenario import Scenario

DEFAULT_SLO = "ttft_p95=2s,tpot_p95=100ms"
"""Where no target is stated: words appear within two seconds and faster than they are read (ten
tokens a second is about 450 words a minute); our judgement, told in the report."""

RATE_INPUT = "replica_output_tokens_per_s"
OF_A_RATE = ("throughput_shortfall_frac", "reference_input_per_output_ratio")


def states_a_rate(scenario: Scenario) -> bool:
    """Whether the scenario says itself how fast one replica is, so that none is simulated."""
    return scenario.throughput is not None or RATE_INPUT in scenario.assumptions


def latency_targets(scenario: Scenario, where: str) -> Slo:
    """What a fleet must keep: as stated, and no slower than any query type asks for."""
    slo = parse_slo(scenario.slo or DEFAULT_SLO, where)
    wanted = [r.ttft_p95_s for r in scenario.query_types if r.ttft_p95_s is not None]
    if not wanted:
        return slo
    stated = [t.limit_s for t in slo.targets if t.name == "ttft_p95"]
    tightest = Target("ttft", "p95", min(wanted + stated))
    return Slo((tightest, *(t for t in slo.targets if t.name != tightest.name)))


def check_serving(s: Scenario, where: str) -> None:
    """Contradictions among a stated rate, latency targets and a calibrated endpoint raise."""
    for i, rule in enumerate(s.query_types):
        if rule.ttft_p95_s is not None and not rule.ttft_p95_s > 0:
            field = f"query_types[{i}].ttft_p95_s"
            raise InputError(where, field, f"is {rule.ttft_p95_s}", "give seconds above zero")
    if s.slo is not None:
        try:
            parse_slo(s.slo, where)
        except InputError as error:
            field = f"slo: {error.field}" if error.field else "slo"
            raise InputError(where, field, error.problem, error.mend) from None
    _check_throughput(s, where)
    _check_one_basis(s, where)


def _check_throughput(s: Scenario, where: str) -> None:
    t = s.throughput
    if t is None:
        return
    for name in ("n_gpus", "input_tokens", "output_tokens"):
        value = getattr(t, name)
        if value is not None and not value > 0:
            raise InputError(where, f"throughput.{name}", f"is {value}", "give a number above zero")
    given = [x for x in (t.output_tokens_per_s, t.requests_per_s) if x is not None]
    if len(given) != 1 or not given[0] > 0:
        raise InputError(
            where,
            "throughput",
            "gives " + ("no rate" if not given else "two rates" if len(given) > 1 else "no speed"),
            "give output_tokens_per_s or requests_per_s, above zero",
        )
    if RATE_INPUT in s.assumptions:
        raise InputError(
            where,
            f"assumptions.{RATE_INPUT}",
            "is given beside throughput",
            "keep one of the two",
        )


def _check_one_basis(s: Scenario, where: str) -> None:
    """A rate has no latency in it, and a simulation nothing that corrects a rate."""
    if s.measured is not None and s.endpoint_profile is not None:
        problem = "is given beside endpoint_profile, which knows its own step times"
        raise InputError(where, "measured", problem, "keep one of the two")
    if states_a_rate(s):
        rate = "throughput" if s.throughput is not None else f"assumptions.{RATE_INPUT}"
        for field in ("slo", "endpoint_profile", "measured"):
            if getattr(s, field) is not None:
                raise InputError(
                    where,
                    field,
                    f"is given beside {rate}, a rate that is taken as it is",
                    f"drop {rate} to have fleets simulated, or drop {field}",
                )
        if "capacity_error_ratio" in s.assumptions:
            raise InputError(
                where,
                "assumptions.capacity_error_ratio",
                f"is of simulated fleets, and {rate} takes their place",
                "drop one of the two",
            )
        return
    for name in OF_A_RATE:
        if name in s.assumptions:
            raise InputError(
                where,
                f"assumptions.{name}",
                "corrects a rate, and fleets are simulated where no rate is stated",
                "drop it, or state throughput: as well",
            )
