"""Several networks as one model: the mean of their probabilities, whole, in tiles and in windows."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from configs.schema import Augment, Config, Data, Evaluate, Model
from trainer.models import build_model
from trainer.models.inference_memory import footprint
from trainer.prediction.ensemble_model import ensemble_model, standardizes
from trainer.prediction.network import Network
from trainer.prediction.strips import strips
from trainer.prediction.volume_windows import VolumeNetwork
from trainer.stepping.segmentation import probabilities


def config_of(outputs="softmax", **evaluate) -> Config:
    return Config(
        data=Data(classes=("background", "cell"), channels=1),
        model=Model(width=2, depth=1, normalization="group", input_scaling="standardize", outputs=outputs),
        augment=Augment(crop=(16, 16)),
        evaluate=Evaluate(**evaluate),
    )


def members(config, count=3):
    made = []
    for seed in range(count):
        keras.utils.set_random_seed(seed)
        made.append(build_model(config))
    return made


@pytest.mark.parametrize("outputs", ["softmax", "sigmoid"])
def test_probabilities_are_the_mean_of_the_members(outputs):
    config = config_of(outputs)
    models = members(config)
    sigmoid = outputs == "sigmoid"
    model = ensemble_model(models, (None, None, 1), 1 if sigmoid else 2, sigmoid=sigmoid)
    images = np.random.default_rng(0).uniform(0, 255, (2, 16, 12, 1)).astype("float32")
    wanted = np.mean([probabilities(member(images)).numpy() for member in models], axis=0)
    np.testing.assert_allclose(probabilities(model(images)), wanted, atol=1e-6)
    assert standardizes(model)
    # One is computed at a time.
    assert footprint(model, 1).activations == pytest.approx(footprint(models[0], 1).activations, rel=0.02)


def test_tiles_and_mirrored_views_go_through_it_as_through_any_model():
    config = config_of(tile=(16, 16), tile_overlap=8)
    models = members(config, 2)
    model = ensemble_model(models, (None, None, 1), 2, sigmoid=False)
    image = np.random.default_rng(0).uniform(0, 255, (24, 24, 1)).astype("float32")

    def shares(model, mirror=False):
        network = Network(model, config, mirror=mirror, with_probabilities=True)
        made = strips(network, lambda top, bottom, left, right: image[top:bottom, left:right], 24, 24)
        return np.concatenate([strip.probabilities for strip in made])

    # Where tiles overlap logits are averaged, so that it is the mean of the members' but for the seams.
    wanted = np.mean([shares(member) for member in models], axis=0, dtype=np.float32)
    np.testing.assert_allclose(shares(model)[:4, :4], wanted[:4, :4], atol=2e-3)
    assert np.abs(shares(model, mirror=True) - shares(model)).max() > 1e-3


def test_windows_of_volumes():
    config = Config(
        data=Data(classes=("a", "b", "c"), channels=1),
        augment=Augment(crop=(8, 8, 8)),
        model=Model(width=2, depth=1, normalization="instance", input_scaling="none"),
    )
    models = members(config, 2)
    model = ensemble_model(models, (None, None, None, 1), 3, sigmoid=False)
    image = np.random.default_rng(0).normal(size=(8, 8, 8, 1)).astype("float32")
    wanted = np.mean([tf.nn.softmax(member(image[None])).numpy()[0] for member in models], axis=0)
    shares = np.empty([8, 8, 8, 3], np.float32)
    ids = VolumeNetwork(model, config).class_ids(image, (8, 8, 8), shares=shares)
    np.testing.assert_allclose(shares, wanted, atol=1e-5)
    np.testing.assert_array_equal(ids, wanted.argmax(-1))
