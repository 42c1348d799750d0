"""Global search for the parameters that a run was served with.

Local optima are real here: base time, batch, context and prompts can each explain much of what
another does, and under preemption the misfit is not even continuous. So starts are drawn that all
agree with the typical step seen and differ in what they put it down to; differential evolution
(Storn and Price, 1997) mixes the best of them; Nelder and Mead's simplex finishes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from weighbridge.capacity.calibrate.evidence import Evidence, in_flight_requests
from weighbridge.capacity.calibrate.misfit import Misfit
from weighbridge.capacity.calibrate.parameters import HIGH, LOW, NAMES, StepParameters, logs_of
from weighbridge.capacity.traffic import Floats


@dataclass(frozen=True, slots=True)
class Effort:
    """How many simulations each stage of the search may spend.

    Attributes
    ----------
    n_starts : int
        Drawn at first.
    n_members, n_generations : int
        Of the differential evolution; 0 generations leave it out.
    n_polish : int
        Of the simplex at the end.
    n_refits, n_per_refit : int
        Fits to redrawn requests, for the intervals, and what each of them may spend.
    """

    n_starts: int
    n_members: int
    n_generations: int
    n_polish: int
    n_refits: int
    n_per_refit: int

    @property
    def n_evaluations(self) -> int:
        """About how many simulations that makes."""
        return self.n_starts + self.n_members * (self.n_generations + 1) + self.n_polish


THOROUGH = Effort(400, 60, 140, 800, 12, 250)
PLAIN = Effort(100, 24, 14, 300, 3, 60)  # where nothing is compiled


@dataclass(frozen=True, slots=True)
class _Typical:
    """The middle of what was seen, for drawing starts."""

    step_s: float
    batch_requests: float
    context_tokens: float
    prompt_s_per_token: float


def search(
    misfit: Misfit,
    effort: Effort,
    rng: np.random.Generator,
    x_start: Floats | None = None,
) -> Floats:
    """The point of least misfit that was found.

    Parameters
    ----------
    misfit : Misfit
    effort : Effort
    rng : numpy Generator
    x_start : float64 array of shape (9,), optional
        Tried beside the drawn starts; needed where none are drawn.

    Returns
    -------
    float64 array of shape (9,)
        Logarithms of the parameters.
    """
    starts = list(_starts(misfit.evidence, effort.n_starts, rng))
    if x_start is not None:
        starts.insert(0, x_start)
    tried = np.array(starts)
    found = np.array([misfit(x) for x in tried])
    order = np.argsort(found, kind="stable")
    best = tried[order[0]]
    if effort.n_generations:
        best = _evolved(misfit, tried[order[: effort.n_members]], effort, rng)
    return polished(misfit, best, effort.n_polish)


def _starts(evidence: Sequence[Evidence], n: int, rng: np.random.Generator) -> list[Floats]:
    seen = [_typical(one) for one in evidence]
    return [_drawn(seen[int(rng.integers(len(seen)))], rng) for _ in range(n)]


def _typical(evidence: Evidence) -> _Typical:
    """Step, batch, context and prompt speed, from latencies alone."""
    used = evidence.used
    tokens = evidence.requests.input_tokens[used]
    after = evidence.requests.output_tokens[used]
    e2e_s, ttft_s = evidence.measured_s["e2e"][used], evidence.measured_s["ttft"][used]
    steps_s = evidence.measured_s["tpot"][used]
    whole_s = np.where(np.isfinite(e2e_s), e2e_s / after, ttft_s)
    step_s = (
        float(np.nanmedian(steps_s)) if np.isfinite(steps_s).any() else float(np.median(whole_s))
    )
    batch = in_flight_requests(evidence)
    first_s = np.where(np.isfinite(ttft_s), ttft_s, whole_s)
    return _Typical(
        step_s=step_s,
        batch_requests=float(np.median(batch)) if len(batch) else 1.0,
        context_tokens=float(np.mean(tokens + after / 2)),
        prompt_s_per_token=float(np.quantile(first_s / tokens, 0.2)),
    )


def _drawn(typical: _Typical, rng: np.random.Generator) -> Floats:
    """Parameters that make up the typical step in shares drawn at random."""
    base, batch, saturating, context, _ = rng.dirichlet([1.0, 0.5, 0.5, 1.0, 0.5])
    step_s, requests = typical.step_s, max(typical.batch_requests, 1.0)
    scale_requests = float(np.exp(rng.uniform(np.log(3.0), np.log(200.0))))
    per_token_s = typical.prompt_s_per_token * float(np.exp(rng.uniform(-2.3, 0.4)))
    little = np.exp(rng.uniform(-5.0, 0.0, 3)).tolist()
    drawn = StepParameters(
        decode_base_s=base * step_s,
        decode_s_per_request=batch * step_s / requests,
        saturating_s=saturating * step_s / -float(np.expm1(-requests / scale_requests)),
        saturating_requests=scale_requests,
        kv_s_per_token=context * step_s / (requests * typical.context_tokens),
        mixed_extra_s=step_s * little[0],
        mixed_s_per_token=per_token_s,
        attention_s_per_pair=per_token_s / typical.context_tokens * little[1],
        first_token_s=step_s * little[2],
    )
    return logs_of(drawn)


def _evolved(misfit: Misfit, members: Floats, effort: Effort, rng: np.random.Generator) -> Floats:
    from scipy.optimize import differential_evolution  # noqa: PLC0415  (slow to import)

    found = differential_evolution(
        misfit,
        list(zip(LOW.tolist(), HIGH.tolist(), strict=True)),
        init=np.clip(members, LOW + 1e-9, HIGH - 1e-9),
        maxiter=effort.n_generations,
        mutation=(0.4, 0.9),
        recombination=0.7,
        tol=0.0,
        atol=0.0,
        polish=False,
        rng=rng,
    )
    return np.asarray(found.x, dtype=np.float64)


def polished(misfit: Misfit, x: Floats, n_evaluations: int) -> Floats:
    """The best point of a simplex that starts with steps of a tenth in every logarithm.

    Parameters
    ----------
    misfit : Misfit
    x : float64 array of shape (9,)
    n_evaluations : int

    Returns
    -------
    float64 array of shape (9,)
    """
    from scipy.optimize import minimize  # noqa: PLC0415  (slow to import)

    corners = np.vstack([x, x + 0.1 * np.where(x + 0.1 <= HIGH, 1.0, -1.0) * np.eye(len(NAMES))])
    found = minimize(
        misfit,
        x,
        method="Nelder-Mead",
        bounds=list(zip(LOW.tolist(), HIGH.tolist(), strict=True)),
        options={
            "maxfev": n_evaluations,
            "xatol": 1e-4,
            "fatol": 1e-6,
            "adaptive": True,
            "initial_simplex": np.clip(corners, LOW, HIGH),
        },
    )
    return np.asarray(found.x, dtype=np.float64)
