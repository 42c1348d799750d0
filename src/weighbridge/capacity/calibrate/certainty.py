"""How certain each fitted parameter is: a bootstrap over blocks of requests.

Requests served side by side err together, so blocks of consecutive ones are drawn, with
replacement (Künsch, 1989), and the parameters are fitted anew to each draw: in turn from the best
point, and from points of their own. The misfit has many minima, and which of them a search ends in
is part of what is not known; so a fit of its own counts when it is as good as the other.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from weighbridge.capacity.calibrate.misfit import Misfit
from weighbridge.capacity.calibrate.parameters import NAMES
from weighbridge.capacity.calibrate.search import Effort, polished, searched_afresh
from weighbridge.capacity.traffic import Floats

IDENTIFIED_RATIO = 3.0  # high over low: wider, and runs of other lengths are needed
# Misfits that count as equal: mean misses of three metrics a tenth apart each. Searches with other
# seeds on one run of 300 requests end 0.25 to 0.3 apart, and predict the rest of it alike.
EQUAL_MISFIT = 0.3


@dataclass(frozen=True, slots=True)
class FittedParameter:
    """A parameter, and the interval that holds nine of ten fits to redrawn requests.

    Attributes
    ----------
    name : str
        Of `StepParameters`; carries the unit.
    value, low, high : float
    """

    name: str
    value: float
    low: float
    high: float

    @property
    def is_identified(self) -> bool:
        """Whether the data tell it to within a factor of 3."""
        return self.high <= IDENTIFIED_RATIO * self.low


@dataclass(frozen=True, slots=True)
class Certainty:
    """Intervals and correlations of all parameters, in the order of `NAMES`.

    Attributes
    ----------
    parameters : tuple of FittedParameter
    correlations : float64 array of shape (9, 9)
        Of the logarithms, among the fits to the draws.
    """

    parameters: tuple[FittedParameter, ...]
    correlations: Floats


def certainty(misfit: Misfit, x: Floats, effort: Effort, rng: np.random.Generator) -> Certainty:
    """Intervals around a point of least misfit.

    Parameters
    ----------
    misfit : Misfit
    x : float64 array of shape (9,)
        Where the search on all blocks ended, as logarithms.
    effort : Effort
    rng : numpy Generator

    Returns
    -------
    Certainty
    """
    n_blocks = misfit.n_blocks
    fits = [x]
    for k in range(effort.n_refits):
        weights = rng.multinomial(n_blocks, np.full(n_blocks, 1.0 / n_blocks))
        redrawn = misfit.weighing(weights.astype(np.float64))
        if k % 2:
            fits.append(polished(redrawn, x, effort.n_per_refit))
            continue
        afresh = searched_afresh(redrawn, effort.n_per_refit, rng)
        if redrawn(afresh) <= redrawn(x) + EQUAL_MISFIT:
            fits.append(afresh)
    all_fits = np.array(fits)
    low, high = np.quantile(all_fits, [0.05, 0.95], axis=0)
    low, high = np.minimum(low, x), np.maximum(high, x)
    parameters = tuple(
        FittedParameter(name, *np.exp([x[i], low[i], high[i]]).tolist())
        for i, name in enumerate(NAMES)
    )
    return Certainty(parameters, _correlations(all_fits))


def _correlations(fits: Floats) -> Floats:
    spread = fits.std(axis=0)
    centred = (fits - fits.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    found = centred.T @ centred / len(fits)
    np.fill_diagonal(found, 1.0)
    return np.asarray(found)
