"""Models as people have them: an activation at the end, several outputs, a dict, a file."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from configs.schema import Config, Data, Loss, Model
from trainer.errors import UserError
from trainer.models.build import build_form
from trainer.stepping.objective import build_objective

SIZE = (16, 16)
X = np.random.default_rng(0).uniform(0, 255, (2, *SIZE, 3)).astype("float32")


def config_of(classes=("a", "b", "c"), **model) -> Config:
    return Config(data=Data(classes=classes), model=Model(name="my:model", **model))


def base():
    image = keras.Input((None, None, 3))
    return image, keras.layers.Conv2D(4, 3, padding="same", activation="relu")(keras.layers.Rescaling(1 / 255)(image))


def fused(activation):
    image, x = base()
    return keras.Model(image, keras.layers.Conv2D(3, 1, activation=activation)(x))


def layer(activation):
    image, x = base()
    return keras.Model(image, keras.layers.Activation(activation)(keras.layers.Conv2D(3, 1)(x)))


def operation(activation):
    image, x = base()
    return keras.Model(image, getattr(keras.ops, activation)(keras.layers.Conv2D(3, 1)(x)))


def nested(activation):
    return keras.Sequential([keras.Input((None, None, 3)), fused(activation)])


def reshaped(activation):
    image = keras.Input((*SIZE, 3))
    x = keras.layers.Conv2D(3, 1, activation=activation)(keras.layers.Rescaling(1 / 255)(image))
    return keras.Model(image, keras.layers.Reshape((*SIZE, 3))(keras.layers.Identity()(x)))


class Subclassed(keras.Model):
    def __init__(self, activation):
        super().__init__()
        self.inside, self.kind = keras.layers.Conv2D(3, 1), activation

    def call(self, images):
        x = self.inside(images / 255.0)
        return tf.nn.softmax(x) if self.kind == "softmax" else tf.sigmoid(x)


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
@pytest.mark.parametrize("make", [fused, layer, operation, nested, reshaped, Subclassed])
def test_logits_are_those_before_the_activation(make, activation):
    model = make(activation)
    form = build_form(config_of(), model)
    assert form.activation == activation and f"ends in a {activation}" in form.notes[0]
    given = np.asarray(getattr(tf.nn, activation)(form.model(X)))
    np.testing.assert_allclose(given, model(X), atol=1e-5)
    assert {id(v) for v in form.model.trainable_variables} == {id(v) for v in model.trainable_variables}
    with tf.GradientTape() as tape:
        value = tf.reduce_sum(form.model(X)[..., 0])
    assert all(g is not None for g in tape.gradient(value, [v.value for v in form.model.trainable_variables]))


def test_what_ends_in_nothing_is_left_as_it_is():
    model = fused(None)
    form = build_form(config_of(), model)
    assert form.model is model and not form.activation and not form.notes
    assert "ends in relu" in build_form(config_of(), fused("relu")).notes[0]


def heads(*channels, names=False, coarse=False):
    image, x = base()
    parts = [keras.layers.Conv2D(c, 1, strides=2 if coarse and n else 1)(x) for n, c in enumerate(channels)]
    return keras.Model(image, {f"head_{n}": part for n, part in enumerate(parts)} if names else parts)


def test_of_several_outputs_the_one_with_the_labels_form_is_trained():
    for names in (False, True):
        model = heads(1, 3, names=names)
        form = build_form(config_of(), model)
        given = model(X)["head_1"] if names else model(X)[1]
        np.testing.assert_array_equal(form.model(X), given)
        assert len(form.model.trainable_variables) == 4 and "is trained; not used" in form.notes[0]
    image, x = base()
    both = keras.Model(image, [keras.layers.Conv2D(3, 1)(x), keras.layers.Dense(5)(keras.ops.mean(x, (1, 2)))])
    assert build_form(config_of(), both).model(X).shape == (2, *SIZE, 3)


def test_where_several_fit_they_are_listed():
    with pytest.raises(UserError, match=r"(?s)2 of them have the form.*output=head_0 .*output=head_1 "):
        build_form(config_of(), heads(3, 3, names=True))
    assert build_form(config_of(output="head_1"), heads(3, 3, names=True)).model(X).shape[-1] == 3
    with pytest.raises(UserError, match=r"(?s)output=0 .*output=1 .*output=all "):
        build_form(config_of(), heads(3, 3))
    assert len(build_form(config_of(output="all"), heads(3, 3)).model(X)) == 2
    with pytest.raises(UserError, match="has no such output"):
        build_form(config_of(output="heads"), heads(3, 3, names=True))
    coarse = build_form(config_of(), heads(3, 3, coarse=True))
    assert [part.shape[1] for part in coarse.model(X)] == [16, 8] and "at 64 x 64" in coarse.notes[0]


def test_one_value_a_pixel_is_a_sigmoid_of_two_classes():
    image, x = base()
    form = build_form(config_of(("a", "b")), keras.Model(image, keras.layers.Conv2D(1, 1, activation="sigmoid")(x)))
    assert form.outputs == 1 and "model.outputs is sigmoid" in form.notes[1]


def test_a_loss_of_ones_own_gets_what_the_model_gives():
    seen = []

    def own(y_true, y_pred):
        seen.append(np.asarray(y_pred))
        return tf.reduce_mean(y_pred)

    logits, labels = tf.constant([[[[3.0, -1.0, 0.0]]]]), tf.zeros((1, 1, 1), tf.int32)
    for activation in ("softmax", "sigmoid"):
        build_objective(config_of(), 3, own, activation=activation)(labels, logits)
        np.testing.assert_allclose(seen[-1], getattr(tf.nn, activation)(logits))
    keras_loss = keras.losses.CategoricalCrossentropy(from_logits=True)
    value = build_objective(config_of(), 3, keras_loss, activation="softmax")(labels, logits)["loss"]
    np.testing.assert_allclose(value, np.log(np.exp([3.0, -1.0, 0.0]).sum()) - 3, rtol=1e-5)


def test_a_file_by_its_path(tmp_path):
    path = str(tmp_path / "my.keras")
    image, x = base()
    x = keras.layers.BatchNormalization()(x)
    keras.Model(image, keras.layers.Conv2D(3, 1, activation="softmax")(x)).save(path)
    form = build_form(Config(data=Data(classes=("a", "b", "c")), model=Model(name=path)))
    assert form.activation == "softmax" and form.model(X).shape == (2, *SIZE, 3)
    config = Config(data=Data(classes=("a", "b", "c")), model=Model(name=path, options={"norm_momentum": 0.8}))
    layers = build_form(config).model._flatten_layers()
    assert [found.momentum for found in layers if hasattr(found, "momentum")] == [0.8]
    (tmp_path / "my.keras").write_bytes(b"no")
    with pytest.raises(UserError, match=r"my.keras' cannot be loaded"):
        build_form(config)
    assert Loss().from_logits


class InADict(Subclassed):
    def call(self, images):
        return {"masks": super().call(images)}


def test_a_model_of_ones_own_class_may_give_a_dict_of_one():
    form = build_form(config_of(), InADict("sigmoid"))
    assert form.model(X).shape == (2, *SIZE, 3) and form.activation == "sigmoid"


@pytest.mark.parametrize(
    ("model", "options", "words"),
    [
        (keras.layers.Conv2D(3, 1), {}, r"is of type Conv2D: pass a keras.Model, or a function"),
        (object(), {}, "is of type object: pass a keras.Model"),
        (lambda outputs, width=3: None, {"wdith": 4}, "unexpected keyword argument .wdith"),
    ],
)
def test_what_is_no_model_is_refused(model, options, words):
    with pytest.raises(UserError, match=words):
        build_form(config_of(options=options), model)


@pytest.mark.parametrize(
    ("loss", "words"),
    [
        (keras.losses.Dice(), r"is a Keras loss of probabilities, and the model gives logits.\n.*from_logits=false"),
        (lambda logits, labels: 0.0, r"takes \(logits, labels\), and a loss is called as loss\(y_true, y_pred\)"),
    ],
)
def test_a_loss_that_would_compute_something_else_is_refused(loss, words):
    with pytest.raises(UserError, match=words):
        build_objective(config_of(), 3, loss)


def test_a_function_of_keras_gets_logits_as_its_class_does():
    labels, logits = tf.constant([[[0, 1], [2, 1]]]), tf.constant(X[:1, :2, :2] / 50.0)
    made = [build_objective(config_of(), 3, loss) for loss in (_CROSS_ENTROPY, keras.losses.CategoricalCrossentropy)]
    first, second = (float(objective(labels, logits)["loss"]) for objective in made)
    assert first == pytest.approx(second, rel=1e-6)


_CROSS_ENTROPY = keras.losses.categorical_crossentropy


def of_pixels(y_true, y_pred):
    return keras.losses.binary_crossentropy(y_true, y_pred, from_logits=True)


def of_classes(y_true, y_pred):
    return tf.nn.sigmoid_cross_entropy_with_logits(y_true, y_pred)


def of_weights(y_true, y_pred, sample_weight):
    return sample_weight * of_pixels(y_true, y_pred)


@pytest.mark.parametrize(
    "loss",
    [
        of_pixels,
        of_classes,
        of_weights,
        keras.losses.binary_crossentropy,
        keras.losses.BinaryCrossentropy(from_logits=True),
        keras.losses.BinaryCrossentropy(from_logits=True, reduction="none"),
    ],
)
@pytest.mark.parametrize("keys", [(), ("sample_weight",)], ids=["alone", "weighted"])
def test_void_adds_nothing_to_a_loss_of_pixels(loss, keys):
    # A row of zeros alone would teach that void is none of the classes.
    labels, logits = tf.constant([[[0, 255], [2, 1]]]), X[:1, :2, :2] / 50.0
    valid = (labels.numpy() != 255)[..., None]
    wanted = np.maximum(logits, 0) - logits * np.eye(3)[labels.numpy() % 255] + np.log1p(np.exp(-np.abs(logits)))
    batch = dict.fromkeys(keys, tf.ones([1, 2, 2], tf.uint8 if loss is not of_weights else tf.float32))
    assert float(build_objective(config_of(), 3, loss)(labels, tf.constant(logits), batch)["loss"]) == pytest.approx(
        (valid * wanted).mean(), rel=1e-5
    )


def of_the_batch(y_true, y_pred):
    return tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(y_true, y_pred))


def of_void_alone(y_true, y_pred, mask):
    return tf.reduce_mean((1.0 - mask) * tf.reduce_sum(y_pred**2, axis=-1))


@pytest.mark.parametrize(("loss", "learns"), [(of_the_batch, False), (of_pixels, False), (of_void_alone, True)])
def test_void_teaches_nothing_unless_the_loss_takes_the_mask(loss, learns):
    # TensorFlow's gradient of the cross-entropy with a row of zeros is the softmax, though its value is 0.
    labels, logits = tf.constant([[[0, 255], [2, 1]]]), tf.constant(X[:1, :2, :2] / 50.0)
    objective = build_objective(config_of(), 3, loss)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        value = objective(labels, logits)["loss"]
    assert tape.gradient(value, logits)[0].numpy().any(axis=-1).tolist() == [[not learns, learns], [not learns] * 2]
