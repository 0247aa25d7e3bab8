"""Distance transforms: equal to SciPy's, also under XLA and with sizes not known; the two ends; what raises."""

import numpy as np
import pytest
import tensorflow as tf
from scipy.ndimage import distance_transform_edt

from losses.engine.distance import distance_field, distance_transform, signed_distance_map


def of_each(function, mask):
    """`function` of every image and channel of `[b, *space, c]`."""
    return np.stack([np.stack([function(image[..., c]) for c in range(mask.shape[-1])], -1) for image in mask])


def expected(mask, spacing=None):
    return of_each(
        lambda part: np.full(part.shape, np.inf) if part.all() else distance_transform_edt(part, sampling=spacing), mask
    )


@pytest.mark.parametrize("shape", [(2, 17, 1), (2, 11, 14, 2), (1, 1, 9, 1), (1, 6, 7, 8, 2)])
@pytest.mark.parametrize("share", [0.03, 0.5, 0.97])
def test_equals_scipy(shape, share):
    rng = np.random.default_rng(int(100 * share))
    mask = rng.random(shape) < share
    spacing = tuple(rng.uniform(0.4, 2.5, len(shape) - 2))
    for given in (None, spacing):
        np.testing.assert_allclose(distance_transform(mask, given), expected(mask, given), rtol=3e-7)
    exact = distance_transform(mask, spacing, tf.float64)
    np.testing.assert_allclose(exact, expected(mask, spacing), rtol=1e-14)


def test_under_xla_and_with_unknown_sizes():
    mask = np.random.default_rng(0).random((2, 9, 13, 2)) < 0.9
    compiled = tf.function(distance_transform, jit_compile=True)
    unknown = tf.function(distance_transform, input_signature=[tf.TensorSpec([None] * 4, tf.bool)])
    for function in (compiled, unknown):
        np.testing.assert_allclose(function(tf.constant(mask)), expected(mask), rtol=3e-7)


def test_one_distant_pixel():
    """The walk over offsets has to reach from one corner to the other."""
    mask = np.ones((1, 40, 30, 1), bool)
    mask[0, 0, 0, 0] = False
    assert distance_transform(mask).numpy()[0, -1, -1, 0] == np.float32(np.hypot(39, 29))


def test_both_sides_and_sign():
    mask = np.zeros((1, 7, 7, 1), bool)
    mask[0, 2:5, 2:5] = True
    inside, outside = distance_transform(mask).numpy(), distance_transform(~mask).numpy()
    np.testing.assert_array_equal(distance_field(mask), inside + outside)
    signed = signed_distance_map(mask).numpy()
    np.testing.assert_array_equal(signed, np.where(mask, 1 - inside, outside))
    assert signed[0, 3, 3, 0] == -1 and signed[0, 2, 2, 0] == 0 and signed[0, 0, 3, 0] == 2


@pytest.mark.parametrize("fill", [False, True])
def test_no_border_is_no_distance(fill):
    mask = np.full((1, 4, 5, 2), fill)
    mask[..., 1, 0, 1] = not fill
    for function in (distance_field, signed_distance_map):
        result = function(mask).numpy()
        assert not result[..., 0].any() and result[..., 1].any()


def test_what_raises():
    with pytest.raises(TypeError, match="mask > 0.5"):
        distance_transform(np.zeros((1, 4, 4, 1), np.float32))
    with pytest.raises(ValueError, match="channels"):
        distance_transform(np.zeros((4, 4), bool))
    for spacing in ((1.0,), (1.0, 0.0), (1.0, -2.0)):
        with pytest.raises(ValueError, match="one positive length"):
            distance_transform(np.zeros((1, 4, 4, 1), bool), spacing)
