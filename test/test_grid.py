"""Cells of a grid, held against NumPy's sort of the same cells."""

from __future__ import annotations

import numpy as np
import pytest

from segpoint import grid


def textbook(points: np.ndarray, edge, group=None) -> np.ndarray:
    """The voxel of each point: its cell's rank among all cells in use."""
    cells = np.stack([np.floor(axis / edge).astype(np.int64) for axis in points.T], axis=1)
    if group is not None:
        cells = np.concatenate([group[:, None], cells], axis=1)
    return np.unique(cells, axis=0, return_inverse=True)[1].reshape(-1)


@pytest.mark.parametrize("spread", [0.1, 30.0, 1e7])  # a table of cells; a sort; more cells than int64 can number
@pytest.mark.parametrize("grouped", [False, True])
def test_voxels_are_the_ranks_of_cells(spread, grouped):
    rng = np.random.default_rng(0)
    points = rng.normal(size=(5000, 3)) * spread
    points[::3] = points[0] + rng.normal(size=points[::3].shape) * 0.01
    edge = np.where(rng.random(5000) < 0.5, 0.01, 0.04) if grouped else 0.01
    group = (edge > 0.02).astype(np.int64) if grouped else None
    count, voxel_of = grid.voxelise(points, edge, group)
    expected = textbook(points, edge, group)
    assert np.array_equal(voxel_of, expected) and count == expected.max() + 1
    assert grid.occupied(*grid.cell_numbers(points, edge, group)) == count


def test_numbers_are_sorted_and_told_where_they_stood():
    values = np.random.default_rng(1).integers(-(2**62), 2**62, 5000)
    found, order = grid.sorted_numbers(values)
    assert np.array_equal(found, np.sort(values)) and np.array_equal(values[order], found)
