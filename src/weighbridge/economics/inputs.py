"""The inputs of one evaluation: named arrays that broadcast against each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri
from scipy.stats import qmc

from weighbridge.economics.distributions import Distribution, Floats

SOBOL_FLOOR = 2.0**-33  # half a step of the 32-bit sequence: keeps probabilities off 0 and 1


@dataclass(frozen=True, slots=True)
class Inputs(Mapping[str, Floats]):
    """Named inputs, each of a shape that broadcasts to the evaluation's shape S."""

    arrays: Mapping[str, Floats]

    def __getitem__(self, name: str) -> Floats:
        return self.arrays[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.arrays)

    def __len__(self) -> int:
        return len(self.arrays)

    def fixed(self, name: str) -> float:
        """An input that is one number for all draws; ValueError where it varies."""
        values = self[name]
        first = float(values.flat[0])
        if values.size > 1 and not np.all(values == first):
            raise ValueError(f"{name} must be one number, not a distribution")
        return first

    def is_zero(self, name: str) -> bool:
        """Whether the input is zero in every draw, so that its lines can be left out."""
        return not np.any(self[name])

    def replaced(self, **changes: Floats | float) -> Inputs:
        """A copy with some inputs replaced."""
        return Inputs({**self.arrays, **{k: np.asarray(v, float) for k, v in changes.items()}})


@dataclass(frozen=True, slots=True)
class Beliefs:
    """A distribution for every input, and which of them move together.

    Attributes
    ----------
    distributions : mapping of str to Distribution
    correlations : mapping of (str, str) to float
        Correlation of the normal scores of two inputs (Gaussian copula), between -1 and 1.
    """

    distributions: Mapping[str, Distribution]
    correlations: Mapping[tuple[str, str], float] = field(default_factory=dict)

    @property
    def uncertain(self) -> tuple[str, ...]:
        """Names of the inputs that vary, in order."""
        return tuple(name for name, d in self.distributions.items() if not d.is_certain)

    def central(self) -> Inputs:
        """Every input at its median: shape ()."""
        half = np.array(0.5)
        return Inputs({name: d.quantile(half) for name, d in self.distributions.items()})

    def at(self, name: str, probability: float) -> float:
        """One input at one probability."""
        return float(self.distributions[name].quantile(np.array(probability)))

    def correlated(self, u: Floats) -> Floats:
        """Uniforms of shape (n_uncertain, N) with the stated correlations put into them.

        Each row stays uniform; the normal scores of the rows named have the stated correlations.
        A correlation with an input that is certain says nothing and changes nothing.
        """
        rows = {name: i for i, name in enumerate(self.uncertain)}
        names = sorted({n for pair in self.correlations for n in pair if n in rows})
        if len(names) < 2:
            return u
        matrix = np.eye(len(names))
        for (a, b), rho in self.correlations.items():
            if a in rows and b in rows:
                i, j = names.index(a), names.index(b)
                matrix[i, j] = matrix[j, i] = rho
        places = [rows[name] for name in names]
        mixed = u.copy()
        mixed[places] = ndtr(correlation_root(matrix, names) @ ndtri(u[places]))
        return np.clip(mixed, SOBOL_FLOOR, 1 - SOBOL_FLOOR)

    def from_probabilities(self, u: Floats) -> Inputs:
        """Inputs at uniforms `u` of shape (n_uncertain, N); see `correlated` for dependence.

        Certain inputs stay of shape (1,), so that what depends on them only is computed once.
        """
        by_name = dict(zip(self.uncertain, u, strict=True))
        half = np.array([0.5])
        return Inputs(
            {name: d.quantile(by_name.get(name, half)) for name, d in self.distributions.items()}
        )


def correlation_root(correlation_ratio: Floats, names: Sequence[str]) -> Floats:
    """Cholesky root of a correlation matrix; ValueError where no such numbers can be."""
    try:
        return np.asarray(np.linalg.cholesky(correlation_ratio), np.float64)
    except np.linalg.LinAlgError as error:
        raise ValueError(f"correlations of {', '.join(names)} contradict each other") from error


def quasi_random(n_inputs: int, n_draws: int, rng: np.random.Generator) -> Floats:
    """Scrambled Sobol points in (0, 1), shape (n_inputs, n_draws), C-contiguous per input.

    Source: A. B. Owen, "Scrambling Sobol' and Niederreiter-Xing points" (1998), by scipy.stats.qmc.
    """
    if n_inputs == 0:
        return np.empty((0, n_draws))
    points: NDArray[np.float64] = qmc.Sobol(n_inputs, scramble=True, rng=rng).random_base2(
        int(np.ceil(np.log2(n_draws)))
    )[:n_draws]
    return np.clip(np.ascontiguousarray(points.T), SOBOL_FLOOR, 1 - SOBOL_FLOOR)
