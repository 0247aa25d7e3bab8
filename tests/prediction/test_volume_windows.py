"""Volumes in windows: averaging, memory, and the way to the image's own grid."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from configs.schema import Augment, Config, Data, Evaluate, Model
from trainer.data.volumes.resampling import resample
from trainer.prediction.volume_windows import VolumeNetwork, gaussian, on_grid, starts


def config_of(window=(8, 8, 8), **evaluate) -> Config:
    return Config(
        data=Data(classes=("a", "b", "c"), channels=1),
        augment=Augment(crop=window, flip_depth=False, flip_vertical=True, flip_horizontal=False),
        model=Model(width=2, depth=1, normalization="none", input_scaling="none"),
        evaluate=Evaluate(**evaluate),
    )


def pointwise() -> keras.Model:
    """A network that sees a voxel at a time, so that windows cannot change what it says."""
    image = keras.Input((None, None, None, 1))
    return keras.Model(image, keras.layers.Conv3D(3, 1, bias_initializer="glorot_uniform")(image))


@pytest.mark.parametrize("length", [8, 9, 15, 16, 40])
@pytest.mark.parametrize("overlap", [0.0, 0.5, 0.75])
def test_windows_cover_an_axis_and_overlap(length, overlap):
    first = starts(length, 8, overlap)
    assert first[0] == 0 and first[-1] == length - 8
    assert all(
        0 < after - before <= 8 - np.floor(8 * overlap) + 1e-9 for before, after in zip(first, first[1:], strict=False)
    )


def test_the_weights_are_a_gaussians():
    weights = gaussian((8, 16, 8))
    assert weights.max() == 1 and weights.min() == pytest.approx(1e-3)
    np.testing.assert_array_equal(weights, weights[::-1, ::-1, ::-1])
    # One deviation, an eighth of the side, from the centre of an axis.
    assert gaussian((9, 1, 1))[4 + 1, 0, 0] == pytest.approx(np.exp(-0.5 * (8 / 9) ** 2))


@pytest.mark.parametrize("shape", [(8, 8, 8), (19, 13, 9), (5, 20, 3)])
def test_windows_say_what_the_whole_would(shape):
    model = pointwise()
    network = VolumeNetwork(model, config_of())
    image = np.random.default_rng(0).normal(size=(*shape, 1)).astype("float32")
    made = list(network.slices(image))
    assert len(made) == shape[0]
    whole = model(image[None]).numpy()[0]
    np.testing.assert_allclose(np.stack(made), whole, atol=1e-5)
    np.testing.assert_array_equal(network.class_ids(image, shape), whole.argmax(-1))


def test_slices_come_as_soon_as_no_window_reaches_them():
    network, done = VolumeNetwork(pointwise(), config_of()), []
    image = np.zeros((24, 8, 8, 1), np.float32)
    made = network.slices(image, progress=lambda: done.append(1))
    next(made)
    # The first slices are known after the first window of five.
    assert len(done) == 1 and network.windows((24, 8, 8)) == 5
    assert len(list(made)) == 23 and len(done) == 5


def test_logits_reach_another_grid_as_if_all_had_been_held():
    logits = np.random.default_rng(0).normal(size=(6, 7, 5, 2)).astype("float32")
    for after in ((6, 7, 5), (13, 7, 5), (4, 14, 9), (1, 3, 5)):
        wanted = np.stack([resample(logits[..., c], after, (1, 1, 1)) for c in range(2)], axis=-1)
        np.testing.assert_allclose(np.stack(list(on_grid(iter(logits), (6, 7, 5), after))), wanted, atol=1e-5)


def test_mirrored_windows_are_averaged_along_the_axes_that_training_mirrors():
    from trainer.models import build_model

    config = config_of(mirror=True)
    model = build_model(config)
    image = np.random.default_rng(0).normal(size=(8, 8, 8, 1)).astype("float32")
    plain, mirrored = model(image[None]).numpy()[0], model(image[None, :, ::-1]).numpy()[0][:, ::-1]
    network = VolumeNetwork(model, config)
    shares = np.empty([8, 8, 8, 3], np.float32)
    network.class_ids(image, (8, 8, 8), shares=shares)
    wanted = (tf.nn.softmax(plain) + tf.nn.softmax(mirrored)) / 2
    np.testing.assert_allclose(shares, wanted, atol=1e-5)
