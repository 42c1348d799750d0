"""Measured runs made ready to be compared with simulated ones, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from weighbridge.capacity.calibrate.parameters import NAMES
from weighbridge.capacity.observed import ObservedRun
from weighbridge.capacity.traffic import Floats, Requests
from weighbridge.units import InputError

Bools = NDArray[np.bool_]
METRICS = ("ttft", "tpot", "e2e")
LEAST_REQUESTS = 3 * len(NAMES)


@dataclass(frozen=True, slots=True)
class Evidence:
    """One run: what went in, and what came out where it was recorded.

    Attributes
    ----------
    name : str
    requests : Requests
        All of them, whether their latencies are used or not: they load the engine.
    measured_s : mapping of metric to float64 array of shape (N,)
        Times to first token, per output token and to the last one; NaN where not known [s].
    used : bool array of shape (N,)
        Requests whose latencies are compared.
    n_concurrent : int, optional
        Of a closed loop whose requests all succeeded: each request was sent because another had
        ended, and so is sent in the simulation. Replaying its arrivals instead would let a backlog
        grow wherever the simulated engine is slower than the real one.
    """

    name: str
    requests: Requests
    measured_s: dict[str, Floats]
    used: Bools
    n_concurrent: int | None = None

    def using(self, used: Bools) -> Evidence:
        """The same run with other requests compared."""
        return replace(self, used=used)

    @property
    def n_used(self) -> int:
        """Requests compared."""
        return int(self.used.sum())


def evidence_of(runs: Sequence[ObservedRun]) -> tuple[Evidence, ...]:
    """Runs made ready, after they were found to tell enough.

    Parameters
    ----------
    runs : sequence of ObservedRun

    Returns
    -------
    tuple of Evidence

    Raises
    ------
    InputError
        Where there is no run, a run without successes, fewer requests than nine parameters need,
        or no variation that could tell one parameter from another.
    """
    if not runs:
        raise InputError("calibrate", "runs", "are none", "give the files of at least one run")
    found = tuple(_evidence(run) for run in runs)
    n_used = sum(one.n_used for one in found)
    where = ", ".join(one.name for one in found)
    if n_used < LEAST_REQUESTS:
        raise InputError(
            where,
            "requests",
            f"are {n_used} with latencies, fewer than {LEAST_REQUESTS}: a step time has "
            f"{len(NAMES)} parameters",
            "run at least 100 requests, better 300, with the lengths of your own traffic",
        )
    _check_variation(found, where)
    return found


def _evidence(run: ObservedRun) -> Evidence:
    n = run.requests.n_requests
    if n == 0:
        raise InputError(
            run.name,
            "requests",
            f"holds none that succeeded ({run.n_failed} failed)",
            "mend what made them fail, then run the benchmark again",
        )
    n_after = run.requests.output_tokens - 1
    with np.errstate(divide="ignore", invalid="ignore"):
        tpot_s = np.where(n_after > 0, (run.e2e_s - run.ttft_s) / np.maximum(n_after, 1), np.nan)
    measured = {"ttft": run.ttft_s, "tpot": tpot_s, "e2e": run.e2e_s}
    measured = {name: np.where(values > 0, values, np.nan) for name, values in measured.items()}
    used = np.isfinite(measured["ttft"]) | np.isfinite(measured["e2e"])
    if not used.any():
        raise InputError(
            run.name,
            "ttft_s, e2e_s",
            "are recorded for no request",
            "record the times of first and last token (streaming must be on)",
        )
    n_concurrent = run.n_concurrent if run.n_failed == 0 else None
    return Evidence(run.name, run.requests, measured, used, n_concurrent)


def _check_variation(found: Sequence[Evidence], where: str) -> None:
    in_flight = np.concatenate([in_flight_requests(one) for one in found])
    inputs = np.concatenate([one.requests.input_tokens for one in found])
    outputs = np.concatenate([one.requests.output_tokens for one in found])
    if max(int(outputs.max()), 1) == 1:
        raise InputError(
            where,
            "output_tokens",
            "are 1 in every request, so that nothing was decoded",
            "run answers of at least 16 tokens, better of your own lengths",
        )
    same_load = len(in_flight) > 0 and np.ptp(in_flight) < 1
    if same_load and np.ptp(inputs) == 0 and np.ptp(outputs) == 0:
        raise InputError(
            where,
            "requests",
            "all have the same lengths at the same concurrency, so that no cost can be told from "
            "another",
            "add runs at other concurrencies (1, 8, 32, 128, say), or with other lengths",
        )


def in_flight_requests(evidence: Evidence) -> Floats:
    """Requests in flight when each of the measured ones arrived, itself among them.

    Parameters
    ----------
    evidence : Evidence

    Returns
    -------
    float64 array of shape (M,)
    """
    arrival_s = evidence.requests.arrival_s
    end_s = arrival_s + evidence.measured_s["e2e"]
    known = np.isfinite(end_s)
    starts, ends = np.sort(arrival_s[known]), np.sort(end_s[known])
    at = arrival_s[known]
    began = np.searchsorted(starts, at, side="right")
    return np.asarray(began - np.searchsorted(ends, at, side="right"), dtype=np.float64)


def first_share(evidence: Evidence, share_frac: float) -> Bools:
    """Which requests are compared when only the first ones by arrival are.

    Parameters
    ----------
    evidence : Evidence
    share_frac : float
        Share of all requests of the run, 0 to 1.

    Returns
    -------
    bool array of shape (N,)
    """
    n = evidence.requests.n_requests
    return np.asarray(evidence.used & (np.arange(n) < round(share_frac * n)))
