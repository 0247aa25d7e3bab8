"""Models that do not take images of every size: trained, evaluated, applied and exported all the same."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from configs.schema import Augment, Config, Data, Evaluate, Train
from trainer import Run, Task, UserError
from trainer.models import build_model, size_multiple
from trainer.models.inputs import size_trouble
from trainer.models.sizes import fit_sizes
from trainer.prediction.windows import logits_function

_CONFIG = Config(
    data=Data(classes=("background", "disc")),
    augment=Augment(crop=(24, 24)),
    train=Train(length="1 steps", batch_size=2),
    evaluate=Evaluate(panels=1),
)


def fixed():
    inputs = keras.Input((20, 16, 3))
    hidden = keras.layers.Conv2D(4, 3, padding="same", activation="relu")(keras.layers.Rescaling(1 / 255)(inputs))
    return keras.Model(inputs, keras.layers.Conv2D(2, 1)(hidden))


class Halves(keras.Model):
    def __init__(self):
        super().__init__()
        self.last = keras.layers.Conv2D(2, 1)

    def call(self, x):
        upper = x[:, : x.shape[1] // 2] / 255.0
        return self.last(tf.image.resize(upper, (x.shape[1], x.shape[2])))


class Pooled(Halves):
    def call(self, x):
        return self.last(tf.image.resize(x[:, : tf.shape(x)[1] // 2] / 255.0, tf.shape(x)[1:3]))


class Broken(Halves):
    def call(self, x):
        return self.last(x.no_such_thing)


def _data():
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (4, 30, 37, 3)).astype(np.uint8)
    return images, (images[..., 0] > 128).astype(np.uint8)


@pytest.mark.parametrize(
    ("model", "size", "expected"),
    [
        (fixed, (20, 16), ["augment.crop is set to it (was 24,24)", "tiles of 20 x 16"]),
        (Halves, (24, 24), ["tiles of 24 x 24", "test_sizes.py:", "x.shape[1] // 2", "NoneType", "tf.shape(x)[1]"]),
    ],
)
def test_from_training_to_export(tmp_path, model, size, expected):
    run = Run(_CONFIG, workdir=tmp_path, model=model, data={"train": _data(), "validation": _data()})

    opening = " ".join(run.describe().split())
    assert all(text in opening for text in expected)
    run.train()
    assert (run.config.augment.crop, run.config.evaluate.tile) == (size if model is fixed else (24, 24), size)
    assert run.evaluate().images == 4
    assert run.predict(_data()[0]).shape == (4, 30, 37)
    lines = run.export(tmp_path / "out", ["saved_model", "litert"])
    assert f"Images have to be {size[0]} pixels high and {size[1]} wide" in lines[-1]
    loaded = tf.saved_model.load(str(tmp_path / "out" / "saved_model"))
    assert loaded.serve(tf.zeros([3, *size, 3], tf.uint8))["class_ids"].shape == (3, *size)
    # The same command goes on: the crop that was set is no change of the config.
    again = Run(_CONFIG, workdir=tmp_path, model=model, data={"train": _data(), "validation": _data()})
    assert again.evaluate().images == 4
    assert again.train().step == 1


class OfOneSize(Task):
    def __init__(self):
        inputs = keras.Input((8, 8, 3))
        coarse = keras.layers.UpSampling2D(2)(keras.layers.MaxPooling2D(2)(inputs))
        self.net = keras.Model(inputs, keras.layers.Conv2D(2, 1)(keras.layers.Concatenate()([inputs, coarse])))

    def losses(self, batch, training):
        return {"size": tf.reduce_mean(self.net(batch["image"], training=training) ** 2)}


def test_a_task_of_one_size_is_trained_on_such_crops_and_tried_on_a_validation_image_first(tmp_path):
    config = dataclasses.replace(_CONFIG, augment=Augment(quarter_turns=False))
    run = Run(config, workdir=tmp_path, task=OfOneSize, data={"train": _data(), "validation": _data()})
    with pytest.raises(UserError) as raised:
        run.train()
    text = " ".join(str(raised.value).split())
    assert "was to be evaluated before the first step" in text and "crops of 8 x 8" in text
    assert 'Evaluate(every="0 steps")' in text and run.current_step == 0
    assert run.notes == ["the model net takes images of 8 x 8 pixels alone: augment.crop is set to it"]
    # A requested crop stays: a task may do anything with it before its model.
    cropped = dataclasses.replace(_CONFIG, augment=Augment(crop=(16, 16)))
    run = Run(cropped, workdir=tmp_path, task=OfOneSize, data=_data())
    assert run.task and tuple(run.config.augment.crop) == (16, 16)


def test_sizes_as_tensors_are_no_trouble():
    model = Pooled()
    model(tf.zeros([1, 8, 8, 3]))

    assert size_trouble(model, 3, (8, 8)) is None


def dense(outputs=2):
    """A dense layer over all pixels, in a model that does not say its size."""

    class Dense(keras.Model):
        def __init__(self):
            super().__init__()
            self.last = keras.layers.Dense(24 * 24 * outputs)

        def call(self, x):
            return tf.reshape(self.last(tf.reshape(x, (-1, x.shape[1] * x.shape[2] * 3))), (-1, 24, 24, outputs))

    return Dense()


def patches(outputs=2, side=12):
    x = inputs = keras.Input((None, None, 3))
    x = keras.layers.Conv2DTranspose(outputs, side, strides=side)(keras.layers.Conv2D(4, side, strides=side)(x))
    return keras.Model(inputs, x)


def pooled_far(outputs=2):
    x = inputs = keras.Input((None, None, 3))
    x = keras.layers.UpSampling2D(64)(keras.layers.MaxPooling2D(64)(x))
    return keras.Model(inputs, keras.layers.Conv2D(outputs, 1)(keras.layers.Concatenate()([inputs, x])))


@pytest.mark.parametrize(
    ("model", "size", "reason"),
    [
        (patches, (24, 24), "of images of 32 x 32 pixels the model makes 24 x 24"),
        (pooled_far, (64, 128), "the model does not take images of 96 x 160"),
        (dense, (24, 24), "x.shape[1] * x.shape[2] * 3"),
    ],
)
def test_a_model_that_does_not_take_every_size_is_applied_in_tiles_of_the_training_crop(model, size, reason):
    model = model()
    model(tf.zeros([1, *size, 3]))
    config, notes = fit_sizes(dataclasses.replace(_CONFIG, augment=Augment(crop=size)), model)
    assert config.evaluate.tile == size and reason in notes[0]


def test_a_crop_that_a_model_does_not_give_back_is_answered_with_one_that_it_does(tmp_path):
    run = Run(
        dataclasses.replace(_CONFIG, augment=Augment(crop=(32, 32))), workdir=tmp_path, model=patches, data=_data()
    )
    with pytest.raises(UserError, match=r"to \(1, 24, 24, 2\): .* multiples of 12.\n.*Augment\(crop=\(36, 36\)\)"):
        run.task  # noqa: B018


def test_a_side_that_the_input_leaves_open_is_the_crops(tmp_path):
    def wide(outputs):
        inputs = keras.Input((None, 32, 3))
        return keras.Model(inputs, keras.layers.Conv2D(outputs, 1)(inputs))

    run = Run(_CONFIG, workdir=tmp_path, model=wide, data=_data())
    assert run.task.model.input_shape == (None, 24, 32, 3)
    assert run.config.augment.crop == run.config.evaluate.tile == (24, 32)


def test_whole_images_are_padded_for_the_model_that_is_there_not_for_the_one_that_the_config_names():
    assert size_multiple(_CONFIG, build_model(_CONFIG)) == 16
    assert size_multiple(_CONFIG, fixed()) == 32


def test_what_fails_at_a_known_size_is_no_trouble_of_sizes_and_is_named_by_its_line(tmp_path):
    run = Run(_CONFIG, workdir=tmp_path, model=Broken, data=_data())

    with pytest.raises(UserError, match=r"images \(1, 24, 24, 3\).*test_sizes.py:\d+ raised AttributeError") as raised:
        run.task  # noqa: B018
    assert "x.no_such_thing" in str(raised.value) and "Arguments received" not in str(raised.value)


def test_two_inputs_of_one_size_go_in_tiles():
    image, depth = keras.Input((8, 8, 3), name="image"), keras.Input((8, 8, 1), name="depth")
    model = keras.Model([image, depth], keras.layers.Conv2D(2, 1)(keras.layers.Concatenate()([image, depth])))
    free = keras.Model(
        inputs := [keras.Input((None, None, 3), name="image"), keras.Input((None, None, 1), name="depth")],
        model.layers[-1](keras.layers.Concatenate()(inputs)),
    )
    random = np.random.default_rng(0)
    batch = {
        "image": tf.constant(random.random((1, 11, 13, 3)), tf.float32),
        "depth": tf.constant(random.random((1, 11, 13, 1)), tf.float32),
    }

    got = tf.function(logits_function(model, _CONFIG))(batch)

    # A 1 x 1 convolution sees no more than a pixel: tiles change nothing.
    np.testing.assert_allclose(got, free({n: batch[n] for n in ("image", "depth")}), rtol=1e-5, atol=1e-5)
