"""Whole or tiles: chosen by the network's own sizes, and without a mark on the result."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from configs.schema import Config, Data, Evaluate, Model
from trainer.models import build_model
from trainer.models.inference_memory import PATCH_BYTES, footprint
from trainer.prediction import windows
from trainer.prediction.tiling import fitted_tile, tile_starts
from trainer.prediction.windows import logits_function, plan

CONFIG = Config(data=Data(classes=("background", "disc")), model=Model(width=8, depth=1))


def built(**model):
    keras.utils.set_random_seed(1)
    config = dataclasses.replace(CONFIG, model=dataclasses.replace(CONFIG.model, **model))
    return build_model(config), config


def half_dark(height, width):
    """Noise whose left half is four times darker: the statistics of a window are not those of the image."""
    image = np.random.default_rng(0).uniform(0, 255, (1, height, width, 3)).astype("float32")
    image[:, :, : width // 2] *= 0.25
    return image


@pytest.mark.parametrize("normalization", ["group", "batch", "none"])
def test_tiles_see_what_the_whole_image_would_show_them(normalization):
    model, config = built(normalization=normalization)
    tiled = dataclasses.replace(config, evaluate=Evaluate(tile=(96, 96), tile_overlap=56))
    image = half_dark(200, 328)
    whole, parts = (logits_function(model, c)({"image": image}).numpy() for c in (config, tiled))
    # A quarter of the overlap is as far as a pixel of this network sees. Statistics over windows are an estimate.
    apart = np.abs(whole - parts).mean() / np.std(whole)
    assert apart < (1e-5 if normalization != "group" else 0.1)


def test_a_large_image_is_cut_by_itself_and_a_small_one_is_not(monkeypatch):
    model, config = built(normalization="batch")
    whole = logits_function(model, config)
    monkeypatch.setattr(windows, "_MEMORY", footprint(model, 3).activations * 150 * 150)
    # An eighth of a tile so small would be less than a pixel sees.
    monkeypatch.setattr(windows, "_SHARED", 2)
    chosen = plan(model, config)
    assert chosen.whole == pytest.approx(150 * 150, abs=1) and (chosen.tile, chosen.overlap) == ((150, 150), 76)
    assert "0.0 MP whole, larger ones in tiles of up to 150 x 150" in chosen.reason
    signature = [{"image": tf.TensorSpec([1, None, None, 3])}]
    compute = tf.function(logits_function(model, config), input_signature=signature)
    # Odd sizes: tiles stay where the whole image's pooling has its windows.
    for size in ((100, 120), (261, 303), (40, 900)):
        image = half_dark(*size)
        np.testing.assert_allclose(compute({"image": image}), whole({"image": image}), atol=1e-4)


def test_the_footprint_is_the_networks_own():
    _, config = built()
    for width in (8, 16):
        takes = footprint(built(width=width)[0], 3)
        # The widest patches are those of the convolution after the last skip connection: 3 x 3 x (2 + 1) widths.
        assert takes.patches == 9 * 3 * width * 4
        assert takes.pixels(1e15) == (PATCH_BYTES - 1) // takes.patches
        assert takes.pixels(1e6) == 1e6 // takes.activations
    images = keras.Input((None, None, 3))
    nested = keras.Model(images, keras.layers.ReLU()(built()[0](images)))
    assert footprint(nested, 3).patches == footprint(built()[0], 3).patches

    class Own(keras.Model):
        def call(self, images):
            return images

    # Nothing is known of it: what a large network takes.
    assert footprint(Own(), 3).patches > 10_000


@pytest.mark.parametrize("length", [100, 129, 300, 513, 2000, 2001])
def test_fitted_tiles_are_as_few_and_cover_little_twice(length):
    tile, overlap = 128, 16
    fitted = int(fitted_tile(tf.constant(length), tile, overlap, 16))
    starts = tile_starts(tf.constant(max(length, fitted)), fitted, overlap).numpy()
    assert len(starts) == len(tile_starts(tf.constant(max(length, tile)), tile, overlap))
    assert fitted % 16 == 0 and fitted <= tile
    assert len(starts) * fitted <= length + len(starts) * (overlap + 16)
