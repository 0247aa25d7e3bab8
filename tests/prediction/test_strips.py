"""Images a row of tiles at a time: the result is that of the whole image, whatever the size, and rows come once."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from configs.schema import Config, Data, Evaluate, Model
from trainer.models import build_model
from trainer.prediction.network import Network
from trainer.prediction.strips import strips
from trainer.prediction.windows import logits_function
from trainer.stepping.segmentation import probabilities

CONFIG = Config(data=Data(classes=("background", "disc")), model=Model(width=8, depth=1))


def reading(image, log=None):
    def read(top, bottom, left, right):
        assert 0 <= top < bottom <= image.shape[0] and 0 <= left < right <= image.shape[1]
        if log is not None:
            log.append((top, bottom))
        return image[top:bottom, left:right]

    return read


def assembled(network, image, log=None):
    found = list(strips(network, reading(image, log), *image.shape[:2]))
    assert [strip.top for strip in found] == list(np.cumsum([0, *(len(strip.ids) for strip in found)])[:-1])
    np.testing.assert_array_equal(np.concatenate([strip.image for strip in found]), image)
    return np.concatenate([strip.ids for strip in found]), np.concatenate([strip.probabilities for strip in found])


@pytest.mark.parametrize("model", [{"normalization": "batch"}, {"normalization": "none", "outputs": "sigmoid"}])
@pytest.mark.parametrize("mirror", [False, True])
def test_strips_are_the_whole_image_whatever_the_size(model, mirror):
    keras.utils.set_random_seed(1)
    config = dataclasses.replace(CONFIG, model=dataclasses.replace(CONFIG.model, **model))
    model = build_model(config)
    # A quarter of the overlap is as far as a pixel of this network sees.
    tiled = dataclasses.replace(config, evaluate=Evaluate(tile=(96, 128), tile_overlap=56, mirror=mirror))
    network = Network(model, tiled, mirror=mirror, with_probabilities=True)
    whole = tf.function(
        logits_function(model, dataclasses.replace(config, evaluate=Evaluate(mirror=mirror))),
        input_signature=[{"image": tf.TensorSpec([1, None, None, 3])}],
    )
    for height, width in [(200, 328), (97, 129), (96, 500)]:
        image = np.random.default_rng(0).integers(0, 256, (height, width, 3)).astype(np.uint8)
        image[:, : width // 2] //= 4  # the statistics of a tile are not those of the image
        ids, shares = assembled(network, image)
        expected = probabilities(whole({"image": image[None].astype(np.float32)}))[0].numpy()
        np.testing.assert_allclose(shares, expected, atol=2e-3)  # float16
        assert (ids == expected.argmax(axis=-1)).mean() > 0.998
        assert (np.abs(expected[..., 1] - 0.5)[ids != expected.argmax(axis=-1)] < 1e-3).all()


def test_a_network_with_statistics_of_the_image_sees_what_the_graph_shows_it():
    keras.utils.set_random_seed(1)
    config = dataclasses.replace(
        CONFIG,
        model=dataclasses.replace(CONFIG.model, normalization="group"),
        evaluate=Evaluate(tile=(96, 96), tile_overlap=24),
    )
    model = build_model(config)
    network, graph = Network(model, config, with_probabilities=True), logits_function(model, config)
    for height, width in [(150, 230), (5, 7), (30, 330)]:
        image = np.random.default_rng(0).uniform(0, 255, (height, width, 3)).astype(np.float32)
        image[:, : width // 2] *= 0.25
        _, shares = assembled(network, image)
        np.testing.assert_allclose(shares, probabilities(graph({"image": image[None]}))[0], atol=2e-3)


def test_rows_are_read_in_turn_and_no_more_than_a_row_of_tiles_at_once():
    config = dataclasses.replace(
        CONFIG,
        model=dataclasses.replace(CONFIG.model, input_scaling="unit", normalization="none"),
        evaluate=Evaluate(tile=(32, 32), tile_overlap=8),
    )
    log: list = []
    assembled(Network(build_model(config), config, with_probabilities=True), np.zeros([200, 40, 3], np.uint8), log)
    assert log[0] == (0, 32) and all(bottom - top <= 32 for top, bottom in log)
    assert [top for top, _ in log] == [0, *(bottom for _, bottom in log[:-1])] and log[-1][1] == 200


def test_replicas_share_the_tiles():
    devices = tf.config.list_logical_devices("CPU")
    if len(devices) < 2:
        pytest.skip("needs two logical devices")
    strategy = tf.distribute.MirroredStrategy(
        [device.name for device in devices[:2]], cross_device_ops=tf.distribute.ReductionToOneDevice()
    )
    config = dataclasses.replace(CONFIG, evaluate=Evaluate(tile=(32, 32), tile_overlap=8))
    with strategy.scope():
        model = build_model(config)
    image = np.random.default_rng(0).integers(0, 256, (70, 90, 3)).astype(np.uint8)
    alone, shared = (Network(model, config, s, with_probabilities=True) for s in (None, strategy))
    assert (alone.replicas, shared.replicas) == (1, 2)
    np.testing.assert_array_equal(assembled(shared, image)[1], assembled(alone, image)[1])
    batches = [np.stack([image[: 40 + n, :50]] * (2 + n)) for n in range(2)]
    for count in (1, 2):  # the second replica may have nothing of its own
        made = shared.whole(batches[:count])
        for batch, result in zip(batches, made, strict=False):
            np.testing.assert_array_equal(result["ids"], alone.whole([batch])[0]["ids"])
