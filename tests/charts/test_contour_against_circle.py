"""Marching squares against a curve whose length and place are known."""

import numpy as np

from weighbridge.charts.contour import contour


def test_contour_of_a_cone_is_a_circle_of_the_right_radius_and_length():
    grid = np.linspace(-2, 2, 81)
    x, y = np.meshgrid(grid, grid)
    pieces = np.array(contour(grid, grid, np.hypot(x, y), 1.3))
    ends = pieces.reshape(-1, 2)
    assert np.allclose(np.hypot(ends[:, 0], ends[:, 1]), 1.3, atol=2e-3)
    lengths = np.hypot(pieces[:, 2] - pieces[:, 0], pieces[:, 3] - pieces[:, 1])
    assert np.isclose(lengths.sum(), 2 * np.pi * 1.3, rtol=2e-3)


def test_every_inner_end_of_a_piece_meets_another():
    grid = np.linspace(-2, 2, 41)
    x, y = np.meshgrid(grid, grid)
    ends = np.array(contour(grid, grid, x * y, 0.3117)).reshape(-1, 2).round(9)
    inner = ends[(np.abs(ends) < 2).all(axis=1)]
    _, counts = np.unique(inner, axis=0, return_counts=True)
    assert (counts == 2).all()


def test_a_saddle_is_split_the_way_its_mean_lies():
    grid = np.array([0.0, 1.0])
    low = contour(grid, grid, np.array([[1.0, -1.2], [-1.2, 1.0]]), 0.0)
    high = contour(grid, grid, np.array([[1.2, -1.0], [-1.0, 1.2]]), 0.0)
    assert len(low) == len(high) == 2
    corner_cut = [max(x1, x2) < 1 and max(y1, y2) < 1 for x1, y1, x2, y2 in low]
    assert any(corner_cut)  # low mean: the two high corners are islands of their own
    assert not any(max(x1, x2) < 1 and max(y1, y2) < 1 for x1, y1, x2, y2 in high)


def test_a_geometric_axis_is_interpolated_on_its_logarithm():
    grid = np.geomspace(1.0, 1e4, 5)
    across, _ = np.meshgrid(np.log10(grid), np.arange(3))
    pieces = contour(grid, np.arange(3.0), across, 2.5)
    assert np.allclose([[x1, x2] for x1, _, x2, _ in pieces], 10**2.5)


def test_missing_cells_and_a_level_outside_give_nothing():
    grid = np.arange(3.0)
    values = np.array([[0.0, 1, 2], [0, np.nan, 2], [0, 1, 2]])
    assert contour(grid, grid, values, 0.5) == []
    assert contour(grid, grid, np.zeros((3, 3)), 5.0) == []
