"""Lines of equal value on a grid, by marching squares."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from weighbridge.charts.placing import is_geometric

Floats = NDArray[np.float64]
Segment = tuple[float, float, float, float]


def contour(x: Floats, y: Floats, values: Floats, level: float) -> list[Segment]:
    """Straight pieces of the line where `values` cross `level`.

    Parameters
    ----------
    x, y : ndarray of shape (nx,), (ny,)
        Grid points; a geometric grid is interpolated on its logarithm.
    values : ndarray of shape (ny, nx)
    level : float

    Returns
    -------
    list of (x1, y1, x2, y2)
        Cells with a missing corner give no piece.

    Examples
    --------
    >>> grid = np.array([0.0, 1.0])
    >>> contour(grid, grid, np.array([[0.0, 1.0], [0.0, 1.0]]), 0.25)
    [(0.25, 0.0, 0.25, 1.0)]
    """
    above = values > level
    mixed = above[:-1, :-1].astype(int) + above[:-1, 1:] + above[1:, :-1] + above[1:, 1:]
    pieces: list[Segment] = []
    for row, column in zip(*np.nonzero((mixed > 0) & (mixed < 4)), strict=True):
        square = values[row : row + 2, column : column + 2]
        if np.isfinite(square).all():
            pieces += _pieces_of_cell(int(row), int(column), square - level)
    return [(_at(x, x1), _at(y, y1), _at(x, x2), _at(y, y2)) for x1, y1, x2, y2 in pieces]


def _pieces_of_cell(row: int, column: int, square: Floats) -> list[Segment]:
    """Pieces inside one cell, in grid steps; a saddle is split by the cell's mean."""
    corners = ((0, 0), (0, 1), (1, 1), (1, 0))
    crossings: list[tuple[float, float]] = []
    for (r1, c1), (r2, c2) in itertools.pairwise((*corners, corners[0])):
        start, end = float(square[r1, c1]), float(square[r2, c2])
        if (start > 0) != (end > 0):
            share = start / (start - end)
            crossings.append((column + c1 + share * (c2 - c1), row + r1 + share * (r2 - r1)))
    if len(crossings) == 4 and (square.mean() > 0) != (square[0, 0] > 0):
        crossings = crossings[1:] + crossings[:1]
    return [
        (*first, *second) for first, second in zip(crossings[::2], crossings[1::2], strict=True)
    ]


def _at(grid: Floats, step: float) -> float:
    steps = np.arange(len(grid))
    if is_geometric(grid):
        return float(np.exp(np.interp(step, steps, np.log(grid))))
    return float(np.interp(step, steps, grid))
