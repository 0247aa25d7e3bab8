"""The guard as one uses it with compile and fit: the question it began with, several outputs, and the callback."""

import keras
import keras.backend as K
import numpy as np
import pytest
import tensorflow as tf

from tests.guard import keras_models
from tests.guard.keras_models import SMOOTH, segmenter, stopped_dice, two_heads
from trainer.guard import explain_model


@pytest.fixture
def images():
    return keras_models.images()


@pytest.fixture
def masks():
    return keras_models.masks()


def weights_change(model, loss, images, masks, **fit):
    before = [w.copy() for w in model.get_weights()]
    model.compile("adam", loss=loss)
    model.fit(images, masks, epochs=1, verbose=0, **fit)
    return all(not np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


# The question it began with: three usual ways to write Dice.


def dice_from_pytorch(y_true, y_pred):
    probs = tf.sigmoid(y_pred)
    overlap = tf.reduce_sum(probs * y_true)
    return 1.0 - (2.0 * overlap + SMOOTH) / (tf.reduce_sum(probs) + tf.reduce_sum(y_true) + SMOOTH)


def dice_coef(y_true, y_pred, smooth=1.0):
    y_true_f = K.flatten(y_true)
    y_pred_f = K.flatten(y_pred)
    intersection = K.sum(y_true_f * y_pred_f)
    return (2.0 * intersection + smooth) / (K.sum(y_true_f) + K.sum(y_pred_f) + smooth + K.epsilon())


def dice_loss(y_true, y_pred):
    return 1.0 - dice_coef(y_true, y_pred)


def repaired_dice_loss(y_true, y_pred):
    y_true_f = keras.ops.reshape(y_true, [-1])
    y_pred_f = keras.ops.reshape(y_pred, [-1])
    intersection = keras.ops.sum(y_true_f * y_pred_f)
    return 1.0 - (2.0 * intersection + 1.0) / (keras.ops.sum(y_true_f) + keras.ops.sum(y_pred_f) + 1.0 + K.epsilon())


def test_dice_as_pytorch_users_write_it_is_healthy_and_trains(images, masks):
    assert explain_model(segmenter(None), dice_from_pytorch, images, masks).ok
    assert weights_change(segmenter(None), dice_from_pytorch, images, masks)


def test_dice_with_stop_gradient_is_named_with_its_line(images, masks):
    report = explain_model(segmenter(), stopped_dice, images, masks)
    (finding,) = report.findings
    assert finding.cause == "stop_gradient" and finding.file == keras_models.__file__
    assert finding.code == "return 1.0 - tf.stop_gradient(score)"
    assert len(finding.variables) == 4 and "return 1.0 - score" in finding.advice


def test_lost_keras_backend_functions_are_replaced_name_by_name(images, masks):
    report = explain_model(segmenter(), dice_loss, images, masks)
    (finding,) = report.findings
    assert finding.code == "y_true_f = K.flatten(y_true)" and len(finding.variables) == 4
    text = str(report)
    assert "The loss calls a function that Keras 3 no longer has" in text
    assert "module 'keras.backend' has no attribute 'flatten'" in text
    assert "K.flatten(y_true)  ->  keras.ops.reshape(y_true, [-1])" in text
    assert "K.sum(y_true_f * y_pred_f)  ->  keras.ops.sum(y_true_f * y_pred_f)" in text
    assert "K.epsilon() stays" in text and "K.epsilon()  ->" not in text
    assert "allow=" not in text


def test_the_repaired_form_trains(images, masks):
    assert explain_model(segmenter(), repaired_dice_loss, images, masks).ok
    assert weights_change(segmenter(), repaired_dice_loss, images, masks)


# Its five causes: detached, shapes, NaN, not trainable or not tracked, types.


def test_detached_by_numpy(images, masks):
    def loss(y_true, y_pred):
        return np.mean((y_true - y_pred) ** 2)

    (finding,) = explain_model(segmenter(), loss, images, masks).findings
    assert finding.cause == "left_tensorflow" and "np.mean  ->  tf.reduce_mean" in finding.advice


def test_detached_by_a_threshold(images, masks):
    def loss(y_true, y_pred):
        mask = tf.cast(y_pred > 0.5, tf.float32)
        return 1.0 - tf.reduce_sum(mask * y_true) / (tf.reduce_sum(mask + y_true) + 1.0)

    (finding,) = explain_model(segmenter(), loss, images, masks).findings
    assert finding.op_type == "Greater" and finding.code.startswith("mask = tf.cast(y_pred > 0.5")
    assert "mask = y_pred" in finding.advice


def test_shapes_that_do_not_match_are_told_with_both(images, masks):
    with pytest.raises(ValueError) as caught:
        explain_model(segmenter(), lambda t, p: tf.reduce_mean(t * p), images, masks[:, :4])
    text = str(caught.value)
    assert "predictions: shape (8, 8, 8, 1), float32" in text and "labels:      shape (8, 4, 8, 1), float32" in text
    assert f"at {__file__}:" in text and "function_node" not in text


def test_labels_without_the_last_axis(images, masks):
    class Overlap(keras.losses.Loss):
        def call(self, y_true, y_pred):
            return tf.reduce_mean(y_true * y_pred, axis=[1, 2, 3])

    with pytest.raises(ValueError, match=r"y_true = y_true\[..., None\]"):
        explain_model(segmenter(), Overlap(), images[:4], masks[:4, ..., 0])


def test_labels_that_broadcast_are_noted():
    class Squares(keras.losses.Loss):
        def call(self, y_true, y_pred):
            return tf.reduce_mean(tf.square(y_true - y_pred))

    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(1)])
    report = explain_model(model, Squares(), np.random.rand(6, 3), np.random.rand(6))
    assert any("(6,)" in note and "(6, 1)" in note and "(6, 6)" in note for note in report.notes)
    assert not explain_model(model, "mse", np.random.rand(6, 3), np.random.rand(6)).notes  # Keras's own losses adapt


def test_nan_of_an_empty_dice(images, masks):
    def loss(y_true, y_pred):
        overlap = tf.reduce_sum(y_true * y_pred)
        return 1.0 - 2.0 * overlap / (tf.reduce_sum(y_true) + tf.reduce_sum(y_pred))

    model = segmenter("relu", kernel_initializer="zeros")
    findings = explain_model(model, loss, images, np.zeros_like(masks)).findings
    assert any(f.kind == "nonfinite" and f.op_type == "RealDiv" and "divide safely" in f.advice for f in findings)


def test_overflow_of_float16(images, masks):
    def loss(y_true, y_pred):
        half = tf.cast(y_pred, tf.float16)
        return tf.cast(tf.reduce_sum(half * 1000.0) / tf.reduce_sum(half * 1000.0), tf.float32)

    findings = explain_model(segmenter(), loss, images, masks).findings
    assert any(f.kind == "nonfinite" and "float16 ends at 65504" in f.advice for f in findings)


def test_frozen_model_has_nothing_to_learn(images, masks):
    model = segmenter()
    model.trainable = False
    (finding,) = explain_model(model, "binary_crossentropy", images, masks).findings
    assert finding.cause == "not_trainable" and "trainable = True" in finding.advice


def test_untracked_variable_of_a_layer(images, masks):
    class Gain(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.gain = tf.Variable(1.5, name="gain")

        def call(self, x):
            return x * self.gain

    model = keras.Sequential([segmenter(None), Gain()])
    (finding,) = explain_model(model, "mse", images, masks).findings
    assert finding.kind == "untracked" and "gain" in finding.variables[0] and finding.code == "return x * self.gain"


def test_integer_labels_are_cast_by_keras_and_integer_predictions_are_named(images, masks):
    labels = masks.astype("int32")
    assert explain_model(segmenter(), "binary_crossentropy", images, labels).ok

    def loss(y_true, y_pred):
        return tf.reduce_mean(tf.cast(tf.square(tf.cast(y_pred, tf.int32) - tf.cast(y_true, tf.int32)), tf.float32))

    (finding,) = explain_model(segmenter(), loss, images, labels).findings
    assert finding.cause == "integer_cast" and "cast the labels" in finding.advice


# compile's ways to give a loss.


@pytest.mark.parametrize(
    "names, loss, labels, silent",
    [
        (True, {"a": "mse", "b": "mae"}, {"a": (6, 1), "b": (6, 2)}, True),
        (False, ["mse", keras.losses.Huber()], [(6, 1), (6, 2)], True),
        (True, {"a": "mse"}, {"a": (6, 1)}, False),
        (False, ["mse", None], [(6, 1), (6, 2)], False),
    ],
)
def test_several_outputs(names, loss, labels, silent):
    r = np.random.RandomState(2)
    y = {k: r.rand(*s) for k, s in labels.items()} if names else [r.rand(*s) for s in labels]
    report = explain_model(two_heads(names), loss, r.rand(6, 4), y)
    if silent:
        assert report.ok
    else:
        (finding,) = report.findings
        assert finding.cause == "not_used" and set(finding.variables) == {"b/kernel", "b/bias"}


def test_losses_added_by_layers_count():
    class Spread(keras.layers.Layer):
        def build(self, shape):
            self.scale = self.add_weight(shape=(), initializer="ones", name="scale")

        def call(self, x):
            self.add_loss(keras.ops.mean(keras.ops.square(x * self.scale)))
            return x

    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(2, kernel_regularizer="l2"), Spread()])
    r = np.random.RandomState(3)
    assert explain_model(model, "mse", r.rand(6, 4), r.rand(6, 2)).ok  # scale learns through add_loss alone


def test_compiled_loss_dataset_and_unbuilt_model(images, masks):
    model = keras.Sequential([keras.layers.Conv2D(1, 3, padding="same", activation="sigmoid")])
    model.compile("adam", loss=stopped_dice)
    data = tf.data.Dataset.from_tensor_slices((images.astype("float32"), masks)).batch(4)
    assert explain_model(model, x=data).findings[0].cause == "stop_gradient"


def test_weights_are_as_they_were(images, masks):
    model = keras.Sequential([segmenter(None), keras.layers.BatchNormalization(), keras.layers.Dropout(0.5)])
    model(images)
    before = [w.copy() for w in model.get_weights()]
    explain_model(model, stopped_dice, images, masks)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))
    assert not model.compiled


@pytest.mark.parametrize("arguments, message", [((None, 1.0), "needs a loss"), (("mse", None), "needs data")])
def test_what_is_missing_is_told(arguments, message):
    loss, x = arguments
    with pytest.raises(ValueError, match=message):
        explain_model(segmenter(), loss, x, None)
