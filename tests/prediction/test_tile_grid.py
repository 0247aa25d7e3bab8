"""Windows over arrays: every place is covered, by weights that can be taken out again, along any number of axes."""

import numpy as np
import pytest
import tensorflow as tf

from trainer.prediction import tile_grid, tiling
from trainer.prediction.tile_grid import Axis, mirrored_index


@pytest.mark.parametrize("length", [1, 31, 100, 129, 300, 513, 2001])
@pytest.mark.parametrize(("side", "overlap", "multiple"), [(128, 16, 16), (64, 40, 8), (33, 7, 1)])
@pytest.mark.parametrize("fitted", [False, True])
def test_tiles_cover_an_axis_as_those_in_the_graph_do(length, side, overlap, multiple, fitted):
    axis = Axis.of(length, side, overlap, multiple=multiple, fitted=fitted)
    assert axis.starts[0] == 0 and axis.starts[-1] + axis.side == axis.extended >= length
    assert all(b - a <= max(axis.side - overlap, 1) for a, b in zip(axis.starts, axis.starts[1:], strict=False))
    assert (axis.total(0, length) > 0).all()
    middle = length // 2
    np.testing.assert_allclose(axis.total(middle, length), axis.total(0, length)[middle:])
    graph_side = int(tiling.fitted_tile(tf.constant(length), side, overlap, multiple)) if fitted else side
    extended = tiling.rounded_up(max(length, graph_side), multiple)
    assert axis.side == graph_side
    assert axis.starts == tuple(tiling.tile_starts(tf.constant(extended), graph_side, overlap).numpy())
    in_graph = tiling.ramps(tf.constant(axis.starts), tf.constant(axis.side), overlap, tf.constant(extended))
    np.testing.assert_allclose(axis.weights, in_graph, atol=1e-6)
    # What is near the border of a window counts only where no other window has more around it.
    assert axis.weights[0, 0] == axis.weights[-1, -1] == 1
    np.testing.assert_array_equal(
        mirrored_index(0, axis.extended, length), tiling.mirrored_index(tf.constant(length), axis.extended)
    )


def test_weighted_windows_of_a_volume_add_up_to_it():
    volume = np.random.default_rng(0).random((11, 20, 17)).astype(np.float32)
    axes = [Axis.of(n, side, 3) for n, side in zip(volume.shape, (6, 9, 17), strict=True)]
    total, counted = np.zeros_like(volume), np.zeros_like(volume)
    for place, weights in tile_grid.windows(axes):
        assert weights.shape == (6, 9, 17)
        total[place] += volume[place] * weights
        counted[place] += weights
    np.testing.assert_allclose(total / counted, volume, rtol=1e-5)
    np.testing.assert_allclose(counted, tile_grid.outer([axis.total(0, axis.length) for axis in axes]), rtol=1e-4)
