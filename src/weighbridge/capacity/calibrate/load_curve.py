"""Latencies over concurrency, from aggregate points of one mix of lengths."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from weighbridge.capacity.observed import ServingPoint
from weighbridge.capacity.prediction import Interval
from weighbridge.capacity.traffic import Floats
from weighbridge.units import InputError

LEAST_POINTS = 4
# Concurrencies over which a saturating cost bends: experts of a mixture, a kernel's tile.
_BENDS_REQUESTS = (16.0, 64.0)


@dataclass(frozen=True, slots=True)
class LoadCurve:
    """One latency of one mix of lengths over the concurrency of a closed loop.

    A sum of terms that grow with concurrency n and cannot be negative: one, n, sqrt(n), n^0.75
    and 1 - exp(-n / b) for b of 16 and 64. The first two are a dense model's iteration and its
    share of prompts; the others bend as experts of a mixture and queues for prompts do.

    Attributes
    ----------
    metric : {"ttft", "tpot"}
    input_tokens, output_tokens : float
        The mix that was measured.
    n_concurrent : tuple of float
        Concurrencies measured, rising.
    terms_s : tuple of float
        Size of each term [s].
    low_ratio, high_ratio : float
        5th and 95th percentile of measured over predicted, each point left out once.
    """

    metric: str
    input_tokens: float
    output_tokens: float
    n_concurrent: tuple[float, ...]
    terms_s: tuple[float, ...]
    low_ratio: float
    high_ratio: float

    def at(self, n_concurrent: float) -> tuple[Interval, tuple[str, ...]]:
        """The latency at a concurrency [s].

        Parameters
        ----------
        n_concurrent : float

        Returns
        -------
        Interval
            Beyond the measured concurrencies, twice as wide (in logarithms) for each doubling.
        tuple of str
            Why it is wider, where it is.
        """
        mid = float(_terms(np.array([n_concurrent]))[0] @ np.array(self.terms_s))
        least, most = self.n_concurrent[0], self.n_concurrent[-1]
        edge = min(max(n_concurrent, least), most)
        beyond = abs(float(np.log2(n_concurrent / edge)))
        low, high = self.low_ratio ** (1.0 + beyond), self.high_ratio ** (1.0 + beyond)
        why = (
            ()
            if beyond == 0
            else (
                f"wider: {n_concurrent:.0f} at once lie outside the measured "
                f"{least:.0f} to {most:.0f}",
            )
        )
        return Interval(mid * low, mid, mid * high), why


def load_curves(points: Sequence[ServingPoint]) -> tuple[LoadCurve, ...]:
    """Curves of time to first token and per output token, from points of one mix of lengths.

    Parameters
    ----------
    points : sequence of ServingPoint
        Of one endpoint and one mix, at different concurrencies.

    Returns
    -------
    tuple of LoadCurve
        One for each latency that at least four points tell.

    Raises
    ------
    InputError
        Where lengths differ among the points, or fewer than four concurrencies were measured.
    """
    where = points[0].source if points else "points"
    mixes = {(one.input_tokens, one.output_tokens) for one in points}
    if len(mixes) > 1:
        raise InputError(
            where,
            "input_tokens, output_tokens",
            "differ among the points",
            "give one mix at a time",
        )
    curves = tuple(
        curve for metric in ("ttft", "tpot") if (curve := _curve(points, metric)) is not None
    )
    if not curves:
        raise InputError(
            where,
            "n_concurrent",
            f"has fewer than {LEAST_POINTS} values with a latency",
            "measure at four concurrencies or more (1, 4, 16, 64, say), with the same lengths",
        )
    return curves


def _curve(points: Sequence[ServingPoint], metric: str) -> LoadCurve | None:
    seen: dict[float, list[float]] = {}
    for one in points:
        latency_s = one.ttft_s if metric == "ttft" else one.tpot_s
        if one.n_concurrent and latency_s:
            seen.setdefault(one.n_concurrent, []).append(latency_s)
    if len(seen) < LEAST_POINTS:
        return None
    n = np.array(sorted(seen))
    measured_s = np.array([float(np.median(seen[one])) for one in n.tolist()])
    ratios = _left_out(n, measured_s)
    low, high = np.quantile(ratios, [0.05, 0.95]).tolist()
    first = points[0]
    return LoadCurve(
        metric=metric,
        input_tokens=first.input_tokens or 0.0,
        output_tokens=first.output_tokens or 0.0,
        n_concurrent=tuple(n.tolist()),
        terms_s=tuple(fitted_terms_s(n, measured_s).tolist()),
        low_ratio=min(low, 1.0),
        high_ratio=max(high, 1.0),
    )


def _left_out(n_concurrent: Floats, measured_s: Floats) -> Floats:
    """Measured over predicted, each point predicted from the others."""
    found = []
    for i in range(len(n_concurrent)):
        others = np.arange(len(n_concurrent)) != i
        terms_s = fitted_terms_s(n_concurrent[others], measured_s[others])
        found.append(measured_s[i] / float(_terms(n_concurrent[i : i + 1])[0] @ terms_s))
    return np.array(found)


def fitted_terms_s(n_concurrent: Floats, measured_s: Floats) -> Floats:
    """Sizes of the terms by non-negative least squares of relative errors [s].

    Parameters
    ----------
    n_concurrent, measured_s : float64 arrays of shape (N,)

    Returns
    -------
    float64 array of shape (6,)

    Examples
    --------
    >>> import numpy as np
    >>> n = np.array([1.0, 4.0, 16.0, 64.0])
    >>> terms_s = fitted_terms_s(n, 0.01 + 0.0002 * n)
    >>> terms_s.round(4).tolist()
    [0.01, 0.0002, 0.0, 0.0, 0.0, 0.0]
    """
    from scipy.optimize import nnls  # noqa: PLC0415  (slow to import; only who calibrates pays)

    rows = _terms(n_concurrent) / measured_s[:, None]
    found, _ = nnls(rows, np.ones(len(rows)))
    return np.asarray(found, dtype=np.float64)


def _terms(n_concurrent: Floats) -> Floats:
    n = np.asarray(n_concurrent, dtype=np.float64)
    bends = [-np.expm1(-n / one) for one in _BENDS_REQUESTS]
    return np.column_stack([np.ones_like(n), n, np.sqrt(n), n**0.75, *bends])
