"""A run, built from its requests one by one, with the checks that every format shares."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from weighbridge.units import InputError
from weighbridge.usage.observed import EngineSettings, ObservedRun
from weighbridge.usage.requests import Floats, Requests

MIN_REQUESTS = 5
# Durations are differences of large time stamps: what they lose there is no skew.
ROUNDING_S = 1e-5


@dataclass(frozen=True, slots=True)
class Names:
    """How a format calls what is checked, for errors."""

    ttft: str
    e2e: str
    input_tokens: str
    output_tokens: str
    queue: str = ""


@dataclass(frozen=True, slots=True)
class Served:
    """One request that succeeded; durations count from its arrival, None where not recorded."""

    arrival_s: float
    ttft_s: float | None
    e2e_s: float | None
    input_tokens: int
    output_tokens: int
    queue_s: float | None = None


@dataclass(slots=True)
class RunBuilder:
    """Collects requests in any order; `finish` sorts them by arrival."""

    names: Names
    n_failed: int = 0
    _served: list[Served] = field(default_factory=list)

    def add(self, where: str, served: Served) -> None:
        """Take in one request; one that gave no token counts as failed."""
        if served.input_tokens < 1:
            raise InputError(
                where,
                self.names.input_tokens,
                "is 0: the length of the prompt is not known",
                "run the tool with a tokenizer, or against a server that reports usage",
            )
        self._check_times(where, served)
        if served.output_tokens < 1:
            self.n_failed += 1
        else:
            self._served.append(served)

    def _check_times(self, where: str, served: Served) -> None:
        names = self.names
        pairs = (
            (names.queue, served.queue_s, "arrival", 0.0),
            (names.ttft, served.ttft_s, "arrival", 0.0),
            (names.ttft, served.ttft_s, names.queue, served.queue_s),
            (names.e2e, served.e2e_s, "arrival", 0.0),
            (names.e2e, served.e2e_s, names.ttft, served.ttft_s),
        )
        for late, late_s, early, early_s in pairs:
            if late_s is None or early_s is None or late_s >= early_s - ROUNDING_S:
                continue
            raise InputError(
                where,
                late,
                f"lies {early_s - late_s:.6g} s before {early}: its clocks differ",
                "take all stamps of a request from one clock, or leave the request out",
            )

    def finish(
        self,
        name: str,
        where: str,
        n_concurrent: int | None = None,
        settings: EngineSettings | None = None,
    ) -> ObservedRun:
        """The run; raises where hardly any request succeeded."""
        n = len(self._served)
        if n == 0:
            raise InputError(
                where,
                "",
                f"holds no request that succeeded ({self.n_failed} failed)",
                "run it again and see that the endpoint answers",
            )
        if n < MIN_REQUESTS:
            raise InputError(
                where,
                "",
                f"holds {n} requests that succeeded, too few to learn from",
                f"run it with {MIN_REQUESTS} or more requests, better 100",
            )
        if n_concurrent is not None and n_concurrent < 1:
            raise InputError(
                where, "concurrency", f"is {n_concurrent}", "give the file as the tool wrote it"
            )
        arrival_s = np.array([one.arrival_s for one in self._served])
        order = np.argsort(arrival_s, kind="stable")
        served = [self._served[i] for i in order]
        return ObservedRun(
            name=name,
            requests=Requests(
                arrival_s[order] - arrival_s[order[0]],
                np.array([one.input_tokens for one in served], np.int64),
                np.array([one.output_tokens for one in served], np.int64),
            ),
            ttft_s=_known([one.ttft_s for one in served]),
            e2e_s=_known([one.e2e_s for one in served]),
            queue_s=_known([one.queue_s for one in served]),
            n_concurrent=n_concurrent,
            n_failed=self.n_failed,
            settings=settings or EngineSettings(),
        )


def _known(durations_s: list[float | None]) -> Floats:
    return np.array([math.nan if one is None else one for one in durations_s], np.float64)
