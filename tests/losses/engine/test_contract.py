"""Every kind of wrong argument, for every loss: reported, never broadcast, and never silent under XLA."""

import inspect
import re

import numpy as np
import pytest
import tensorflow as tf

import losses
from losses.names import COMMON, LOSSES, options_of, own_options, refused_options, terms_of
from tests.losses.inputs import ids_and_logits, mask_and_logits

# What a loss needs besides labels and predictions.
NEEDED = {"wasserstein_dice": {"distances": 1 - np.eye(4)}}
ONE_CHANNEL = {"activation": "sigmoid"}


def activation_of(name):
    return inspect.signature(getattr(losses, name)).parameters["activation"].default


def call(name, y_true, y_pred, **options):
    needed = NEEDED.get(name, {})
    return getattr(losses, name)(y_true, y_pred, **(needed | options))


def two_classes(name):
    return name == "unified_focal"


def good_inputs(name, dtype="float32"):
    return ids_and_logits((2, 6, 5, 2 if two_classes(name) else 4), dtype)


every_loss = pytest.mark.parametrize("name", sorted(LOSSES))


def wrong_shapes(ids, logits):
    """(y_true, y_pred, what the message must name)."""
    classes = logits.shape[-1]
    one_hot = tf.one_hot(ids, classes)
    return {
        "ids against one channel": (ids, logits[..., :1], "newaxis"),
        "one channel against several": (ids[..., None], logits, "squeeze"),
        "several channels against one": (one_hot, logits[..., :1], "classes"),
        "batch of 1": (ids[:1], logits, "tf.repeat"),
        "half the batch of predictions": (ids, logits[:1], "batch"),
        "swapped height and width": (np.swapaxes(ids, 1, 2), logits, "transpose"),
        "swapped, dense": (tf.transpose(one_hot, [0, 2, 1, 3]), logits, "transpose"),
        "a height of 1": (ids[:, :1], logits, "height"),
        "half the size": (ids[:, ::2, ::2], logits, "height and width"),
        "a class too few": (one_hot[..., :-1], logits, "classes"),
        "an axis too few": (ids[0], logits, "ids"),
    }


@every_loss
@pytest.mark.parametrize("case", wrong_shapes(*ids_and_logits()))
def test_shapes_are_never_broadcast(name, case):
    y_true, y_pred, names = wrong_shapes(*good_inputs(name))[case]
    options = ONE_CHANNEL if y_pred.shape[-1] == 1 else {}
    if "activation" in refused_options(name):
        options = {}
    with pytest.raises(ValueError, match=re.escape(names) if names != "classes" else "class") as failure:
        call(name, y_true, y_pred, **options)
    assert "Received" in str(failure.value)


@pytest.mark.parametrize("case", ["batch of 1", "swapped height and width", "a height of 1", "half the size"])
def test_shapes_known_only_at_run_time(case):
    y_true, y_pred, _ = wrong_shapes(*good_inputs("dice"))[case]
    signature = [tf.TensorSpec([None] * y_true.ndim, tf.int32), tf.TensorSpec([None, None, None, 4])]
    compiled = tf.function(losses.dice, input_signature=signature)
    with pytest.raises(tf.errors.InvalidArgumentError, match="never broadcast"):
        compiled(y_true, y_pred)


@every_loss
@pytest.mark.parametrize("dtype", ["int32", "uint8", "bool"])
def test_predictions_must_be_floating_point(name, dtype):
    ids, logits = good_inputs(name)
    with pytest.raises(TypeError, match=dtype):
        call(name, ids, tf.cast(logits > 0, dtype))


def wrong_values(name):
    """(y_true, y_pred, options, what the message must say)."""
    ids, logits = good_inputs(name)
    classes = logits.shape[-1]

    def with_id(wrong):
        changed = ids.copy()
        changed[1, 2, 3] = wrong
        return changed

    cases = {
        "id = number of classes": (with_id(classes), logits, {}, "none of the"),
        "id -1": (with_id(-1), logits, {}, "none of the"),
        "id 255": (with_id(255), logits, {}, "ignore_id"),
        "mask of 0 and 255": (((ids > 0) * 255).astype(np.uint8), logits, {}, "255"),
        "dense mask of 0 and 255": (tf.one_hot(ids, classes) * 255, logits, {}, "255"),
        "ids between": (ids + 0.25, logits, {}, "whole"),
    }
    if name != "lovasz_hinge":
        cases["logits as probabilities"] = (ids, logits, {"activation": None}, "logits")
    if activation_of(name) == "softmax":
        cases["probabilities as logits"] = (ids, tf.nn.softmax(logits), {}, "probabilities")
    return cases


CASES = sorted(wrong_values("dice"))


@every_loss
@pytest.mark.parametrize("case", CASES)
def test_wrong_values_are_told(name, case):
    cases = wrong_values(name)
    if case not in cases or "activation" in cases[case][2] and "activation" in refused_options(name):
        pytest.skip("no such input for this loss")
    y_true, y_pred, options, says = cases[case]
    with pytest.raises(ValueError, match=says):
        call(name, y_true, y_pred, **options)


@pytest.mark.parametrize("name", ["dice", "cross_entropy"])
@pytest.mark.parametrize("case", CASES)
def test_wrong_values_in_a_graph(name, case):
    y_true, y_pred, options, says = wrong_values(name)[case]
    with pytest.raises(tf.errors.InvalidArgumentError, match=says):
        tf.function(lambda y, z: call(name, y, z, **options))(y_true, y_pred)


@every_loss
def test_wrong_ids_are_nan_under_xla(name):
    y_true, y_pred, options, _ = wrong_values(name)["id 255"]
    if "iterations" in own_options(name):
        options = {"iterations": 1}

    @tf.function(jit_compile=True)
    def step(y_true, y_pred):
        with tf.GradientTape() as tape:
            tape.watch(y_pred)
            value = call(name, y_true, y_pred, **options)
        return value, tape.gradient(value, y_pred)

    value, gradient = step(y_true, y_pred)
    assert np.isnan(value) and np.isnan(gradient).any()
    value, gradient = step(good_inputs(name)[0], y_pred)
    assert np.isfinite(value) and np.isfinite(gradient).all()


@pytest.mark.parametrize("case", CASES)
def test_all_wrong_values_are_nan_under_xla(case):
    y_true, y_pred, options, _ = wrong_values("dice")[case]
    assert np.isnan(tf.function(lambda y, z: losses.dice(y, z, **options), jit_compile=True)(y_true, y_pred))


@pytest.mark.parametrize("case", ["batch of 1", "swapped height and width", "a height of 1"])
@pytest.mark.parametrize("dense", [False, True], ids=["ids", "dense"])
def test_shapes_known_only_at_run_time_do_not_pass_under_xla(case, dense):
    y_true, y_pred, _ = wrong_shapes(*good_inputs("dice"))[case]
    y_true = np.eye(4, dtype=np.float32)[y_true] if dense else y_true
    signature = [tf.TensorSpec([None] * y_true.ndim, y_true.dtype), tf.TensorSpec([None, None, None, 4])]
    compiled = tf.function(losses.dice, input_signature=signature, jit_compile=True)
    try:
        assert np.isnan(compiled(y_true, y_pred))
    except tf.errors.InvalidArgumentError:
        pass  # XLA itself cannot compile the two shapes together.


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_an_activation_in_front_is_seen_while_tracing(activation):
    ids, logits = ids_and_logits(dtype="float32")
    activate = {"softmax": tf.nn.softmax, "sigmoid": tf.sigmoid}[activation]
    twice = tf.function(lambda z: losses.dice(ids, activate(z), activation=activation))
    with pytest.raises(ValueError, match="already"):
        twice(logits)


def test_what_only_resembles_a_mistake_passes():
    ids, logits = ids_and_logits()
    constant = tf.fill(logits.shape, tf.constant(0.25, logits.dtype))
    assert np.isfinite(losses.dice(ids, constant))
    assert np.isfinite(losses.dice(ids.astype(np.float32), logits))
    assert np.isfinite(losses.dice(ids, tf.nn.softmax(tf.cast(logits, tf.bfloat16)), activation=None))
    assert np.isfinite(losses.dice(np.where(ids == 1, 255, ids).astype(np.uint8), logits, ignore_id=255))
    # An ignore_id the type cannot hold is nowhere: nothing is ignored.
    np.testing.assert_array_equal(losses.dice(ids.astype(np.uint8), logits, ignore_id=-100), losses.dice(ids, logits))


def test_message_of_swapped_axes():
    ids, logits = ids_and_logits()
    with pytest.raises(ValueError) as error:
        losses.dice(np.swapaxes(ids, 1, 2), logits)
    assert str(error.value) == (
        "dice: y_true and y_pred differ in height and width; shapes are never broadcast. The axes of y_true look "
        "swapped: tf.transpose(y_true, [0, 2, 1]), with the axis of classes kept last.\n"
        "Received: y_true (batch=2, height=5, width=6), y_pred (batch=2, height=6, width=5)"
    )


def test_message_of_wrong_ids_has_the_numbers():
    ids, logits = ids_and_logits()
    ids[0, 0, :2] = 255
    with pytest.raises(ValueError, match=r"(?s)4 classes 0 to 3.*smallest_id=0, largest_id=255, outside=2") as failure:
        losses.dice(ids, logits)
    assert "ignore_id=255" in str(failure.value)


bad_options = {
    "softmax of one": (mask_and_logits, {}, ValueError, "sigmoid"),
    "unknown option": (ids_and_logits, {"smoth_nr": 1}, TypeError, "smooth_nr"),
    "class outside": (ids_and_logits, {"classes": [1, 4]}, ValueError, "0 to 3"),
    "class 0 said twice": (ids_and_logits, {"classes": [0], "include_background": False}, ValueError, "once"),
    "nothing left": (mask_and_logits, {"include_background": False, **ONE_CHANNEL}, ValueError, "no class is left"),
    "negative class weights": (ids_and_logits, {"class_weights": [1, 1, -1, 1]}, ValueError, "negative"),
    "too many class weights": (ids_and_logits, {"class_weights": [1] * 5}, ValueError, "class_weights"),
    "pixel weights as image weights": (
        ids_and_logits,
        {"image_weights": np.ones((2, 6, 5))},
        ValueError,
        "pixel_weights",
    ),
    "image weights of another batch": (ids_and_logits, {"image_weights": np.ones(3)}, ValueError, "batch"),
    "pixel weights of another size": (ids_and_logits, {"pixel_weights": np.ones((2, 5, 6))}, ValueError, "height"),
    "pixel weights for each class": (ids_and_logits, {"pixel_weights": np.ones((2, 6, 5, 4))}, ValueError, "a pixel"),
    "mask of another size": (ids_and_logits, {"mask": np.ones((2, 6, 1))}, ValueError, "width"),
    "mask of 0 and 255": (ids_and_logits, {"mask": np.full((2, 6, 5), 255)}, ValueError, "mask > 0"),
    "over": (ids_and_logits, {"over": "pixels"}, ValueError, "image"),
    "absent": (ids_and_logits, {"absent": "ignore"}, ValueError, "skip"),
    "from_logits without activation": (
        ids_and_logits,
        {"from_logits": True, "activation": None},
        ValueError,
        "sigmoid",
    ),
}


@pytest.mark.parametrize("case", bad_options)
def test_bad_options(case):
    inputs, options, error, says = bad_options[case]
    with pytest.raises(error, match=says):
        losses.dice(*inputs(), **options)


@every_loss
def test_refused_options_raise_with_the_reason(name):
    function = getattr(losses, name)
    assert set(function.refuses) == set(refused_options(name))
    for option in refused_options(name):
        value = {"include_background": False, "classes": [1], "activation": "softmax"}.get(option, np.ones(2))
        with pytest.raises(ValueError, match=f"cannot honour {option}"):
            call(name, *good_inputs(name), **{option: value})


@every_loss
def test_the_table_of_names_is_the_signatures(name):
    parameters = list(inspect.signature(getattr(losses, name)).parameters.values())
    assert [p.name for p in parameters[:2]] == ["y_true", "y_pred"]
    assert all(p.kind == p.KEYWORD_ONLY for p in parameters[2:])
    assert set(options_of(name)) | {"all_reduce"} == {p.name for p in parameters[2:]}
    assert not set(own_options(name)) & set(COMMON)


@every_loss
def test_docstrings_say_source_and_options(name):
    text = inspect.getdoc(getattr(losses, name))
    assert re.search(r"(19|20)\d\d", text), "no source with a year"
    assert all(option in text for option in own_options(name))


def test_terms_names_the_nearest_and_all_mistakes():
    assert terms_of("dice + cross_entropy") == ("dice", "cross_entropy")
    with pytest.raises(ValueError, match="did you mean 'dice'.*did you mean 'lovasz_hinge'"):
        terms_of("dcie+lovazs_hinge")
    with pytest.raises(ValueError, match="twice"):
        terms_of("dice+dice")


def test_names_import_without_tensorflow():
    import subprocess
    import sys

    code = "import sys, losses.names; assert 'tensorflow' not in sys.modules; losses.names.options_of('dice')"
    subprocess.run([sys.executable, "-c", code], check=True)
