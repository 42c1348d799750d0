"""Where marks and words go: spreading labels, edges of grid cells, steps of a colour scale."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
NICE = (1.0, 2.0, 2.5, 5.0, 10.0)


def spread(positions: Sequence[float], gap: float) -> list[float]:
    """Positions moved apart until neighbours are at least `gap` away, their order and mean kept.

    Clusters of labels that would overlap are centred on the mean of their members.

    >>> spread([0.0, 0.1, 5.0], gap=1.0)
    [-0.45, 0.55, 5.0]
    """
    order = sorted(range(len(positions)), key=lambda index: positions[index])
    clusters: list[tuple[float, list[int]]] = []
    for index in order:
        clusters.append((positions[index], [index]))
        while len(clusters) > 1 and _overlap(clusters[-2], clusters[-1], gap):
            (low, low_members), (high, high_members) = clusters[-2:]
            members = low_members + high_members
            centre = (low * len(low_members) + high * len(high_members)) / len(members)
            clusters[-2:] = [(centre, members)]
    placed = [0.0] * len(positions)
    for centre, members in clusters:
        for rank, index in enumerate(members):
            placed[index] = centre + (rank - (len(members) - 1) / 2) * gap
    return placed


def _overlap(low: tuple[float, list[int]], high: tuple[float, list[int]], gap: float) -> bool:
    half_widths = (len(low[1]) + len(high[1])) / 2 * gap
    return high[0] - low[0] < half_widths - 1e-12


def is_geometric(values: Floats) -> bool:
    """Whether a grid grows by a constant factor, and so belongs on a logarithmic axis.

    >>> is_geometric(np.array([1.0, 10.0, 100.0])), is_geometric(np.array([1.0, 2.0, 3.0]))
    (True, False)
    """
    if len(values) < 3 or values.min() <= 0:
        return False
    ratios = values[1:] / values[:-1]
    return bool(np.allclose(ratios, ratios[0], rtol=1e-3) and abs(ratios[0] - 1) > 1e-9)


def cell_edges(centres: Floats) -> Floats:
    """Edges of the cells around grid points: midpoints, on a logarithm where the grid is geometric.

    >>> cell_edges(np.array([1.0, 2.0, 3.0]))
    array([0.5, 1.5, 2.5, 3.5])
    """
    if len(centres) == 1:
        half = abs(centres[0]) / 2 or 0.5
        return np.array([centres[0] - half, centres[0] + half])
    grid = np.log(centres) if is_geometric(centres) else centres
    middles = (grid[1:] + grid[:-1]) / 2
    edges = np.concatenate([[2 * grid[0] - middles[0]], middles, [2 * grid[-1] - middles[-1]]])
    return np.exp(edges) if is_geometric(centres) else edges


def nice_step(span: float) -> float:
    """The least of 1, 2, 2.5 or 5 times a power of ten that is no less than `span`.

    >>> nice_step(0.3), nice_step(171.0), nice_step(2e6)
    (0.5, 200.0, 2000000.0)
    """
    if not span > 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(span))
    return next(factor * power for factor in NICE if factor * power >= span * (1 - 1e-9))
