"""How certain each fitted parameter is: all that fits as well, and a bootstrap over blocks.

The misfit has many minima, and which of them a search ends in is part of what is not known; so an
interval spans every point that was simulated and fits as well as the best. Beside that, requests
served side by side err together: blocks of consecutive ones are drawn, with replacement (Künsch,
1989), the parameters are fitted anew to each draw, and nine of ten of these fits lie inside too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from weighbridge.capacity.calibrate.misfit import Misfit
from weighbridge.capacity.calibrate.parameters import HIGH, LOW, NAMES
from weighbridge.capacity.calibrate.search import Effort, polished
from weighbridge.capacity.traffic import Floats

IDENTIFIED_RATIO = 3.0  # high over low: wider, and runs of other lengths are needed
# Misfits that count as equal: mean misses of three metrics a fifth apart each. On made runs of 320
# requests the search ends 0.2 to 0.6 above the misfit of the truth, and with other seeds on one
# real run 0.3 apart, predicting the rest of it alike.
EQUAL_MISFIT = 0.6
_SATURATING = NAMES.index("saturating_s")


@dataclass(frozen=True, slots=True)
class FittedParameter:
    """A parameter, and the interval that the data leave it.

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
        Of the logarithms, among those points.
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
    for _ in range(effort.n_refits):
        weights = rng.multinomial(n_blocks, np.full(n_blocks, 1.0 / n_blocks))
        fits.append(polished(misfit.weighing(weights.astype(np.float64)), x, effort.n_per_refit))
    near = misfit.tried_within(misfit(x) + EQUAL_MISFIT)
    low, high = np.quantile(np.array(fits), [0.05, 0.95], axis=0)
    low = np.minimum.reduce([low, x, *near])
    high = np.maximum.reduce([high, x, *near])
    if high[_SATURATING] > low[_SATURATING] + np.log(IDENTIFIED_RATIO):
        # The scale of something that may as well be nothing is not told either.
        low[_SATURATING + 1], high[_SATURATING + 1] = LOW[_SATURATING + 1], HIGH[_SATURATING + 1]
    parameters = tuple(
        FittedParameter(name, *np.exp([x[i], low[i], high[i]]).tolist())
        for i, name in enumerate(NAMES)
    )
    return Certainty(parameters, _correlations(np.array([*fits, *near])))


def _correlations(fits: Floats) -> Floats:
    spread = fits.std(axis=0)
    centred = (fits - fits.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    found = centred.T @ centred / len(fits)
    np.fill_diagonal(found, 1.0)
    return np.asarray(found)
