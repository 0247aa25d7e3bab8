"""What every loss of ranking, shape and rarity promises alike: connected, finite, exact gradients, blind to what is
ignored."""

import numpy as np
import pytest
import tensorflow as tf

import losses
from losses.names import LOSSES, options_of, refused_options
from tests.losses.inputs import (
    assert_gradient_is_numeric,
    ids_and_logits,
    mask_and_logits,
    value_and_gradient,
)

MODULES = ("lovasz", "contour", "skeleton", "confusion", "wasserstein", "mixtures", "calibration")
NAMES = sorted(name for name, row in LOSSES.items() if row[0] in MODULES or name in ("unified_focal", "tanimoto"))
SIGMOID_ONLY, SOFTMAX_ONLY = ("lovasz_hinge",), ("wasserstein_dice", "nacl")
ONE_CHANNEL = [name for name in NAMES if name not in SOFTMAX_ONLY]

every_loss = pytest.mark.parametrize("name", NAMES)


def call(name, y_true, y_pred, **options):
    """The loss, with what it needs besides labels and predictions."""
    if name == "wasserstein_dice":
        options = {"distances": 1 - np.eye(y_pred.shape[-1])} | options
    return getattr(losses, name)(y_true, y_pred, **options)


def shapes(name):
    return (2, 6, 5, 2) if name == "unified_focal" else (2, 6, 5, 3)


def degenerate_inputs(classes):
    shape = (2, 4, 5)
    ids = ids_and_logits((*shape, classes), "float32")[0]
    empty, some = np.zeros(shape, np.int32), np.random.default_rng(0).standard_normal((*shape, classes))
    perfect = 1000 * (2 * np.eye(classes)[ids] - 1)
    return {
        "empty": (empty, some, {}),
        "full": (np.full(shape, classes - 1), some, {}),
        "all ignored": (np.full(shape, 255), perfect, {"ignore_id": 255}),
        "one image ignored": (np.where(np.arange(2)[:, None, None], 255, ids), some, {"ignore_id": 255}),
        "perfect, saturated": (ids, perfect, {}),
        "wrong, saturated": (ids, -perfect, {}),
        "empty, perfect, saturated": (empty, 1000 * (2 * np.eye(classes)[empty] - 1), {}),
        "constant": (ids, np.zeros((*shape, classes)), {}),
        "masked out": (ids, some, {"mask": np.zeros(shape)}),
    }


@every_loss
@pytest.mark.parametrize("case", degenerate_inputs(2))
def test_connected_and_finite_whatever_the_input(name, case):
    ids, logits, options = degenerate_inputs(shapes(name)[-1])[case]
    zeros = {option: 0.0 for option in ("smooth_nr", "smooth_dr", "epsilon", "smooth") if option in options_of(name)}
    ways = [("image", zeros, "float32"), ("batch", {}, "float16"), ("batch", zeros, "bfloat16")]
    if "iterations" in options_of(name):
        options = options | {"iterations": 1}
    for over, smooth, dtype in ways:
        value, gradient = value_and_gradient(
            lambda y, z, **given: call(name, y, z, **given),
            ids,
            tf.constant(logits, dtype),
            over=over,
            **smooth,
            **options,
        )
        assert np.isfinite(value) and np.isfinite(gradient).all(), (over, smooth, dtype, value)


@pytest.mark.parametrize("name", ONE_CHANNEL)
@pytest.mark.parametrize("fill", ["empty", "full", "some"])
@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_one_channel_is_connected_and_finite(name, fill, scale):
    mask, logits = mask_and_logits((2, 6, 5, 1), "float32")
    mask = {"empty": np.zeros_like(mask), "full": np.ones_like(mask), "some": mask}[fill]
    value, gradient = value_and_gradient(getattr(losses, name), mask, scale * logits, activation="sigmoid")
    assert np.isfinite(value) and np.isfinite(gradient).all()
    if name != "lovasz_hinge":
        value, gradient = value_and_gradient(getattr(losses, name), mask, tf.sigmoid(scale * logits), activation=None)
        assert np.isfinite(value) and np.isfinite(gradient).all()


def common_options(name):
    """Options of one call each, of those the loss can honour."""
    shape = shapes(name)[:-1]
    rng = np.random.default_rng(7)
    ignoring = np.where(rng.random(shape) < 0.2, 255, 0)
    wanted = {
        "plain": {},
        "over the batch": {"over": "batch"},
        "sum": {"reduction": "sum"},
        "no background": {"include_background": False},
        "masked, weighed images": {"mask": ignoring == 0, "image_weights": [0.3, 2.0]},
        "class weights": {"class_weights": [0.5, 2.0, 1.0][: shapes(name)[-1]]},
        "pixel weights": {"pixel_weights": rng.uniform(0, 2, shape)},
        "weighed images over the batch": {"over": "batch", "image_weights": [0.3, 2.0]},
    }
    refused = set(refused_options(name))
    return {label: options for label, options in wanted.items() if not refused & set(options)}


@pytest.mark.parametrize("name, label", [(name, label) for name in NAMES for label in common_options(name)])
def test_gradients_by_differences(name, label):
    ids, logits = ids_and_logits(shapes(name))
    assert_gradient_is_numeric(
        lambda y, z, **given: call(name, y, z, **given), ids, logits, **common_options(name)[label]
    )


own_options = [
    ("lovasz_softmax", {"absent": "count"}),
    ("lovasz_hinge", {"joint": True, "over": "batch"}),
    ("hausdorff", {"alpha": 1.0, "log": True}),
    ("hausdorff", {"log": True, "spacing": (0.5, 2.0)}),
    ("boundary", {"spacing": (0.5, 2.0)}),
    ("cldice", {"iterations": 1, "smooth_nr": 0.0, "smooth_dr": 0.1}),
    ("dice_cldice", {"alpha": 0.2}),
    ("mcc", {"count_smooth": 0.5, "smooth_nr": 0.5}),
    ("wasserstein_dice", {"weighting": "gdl"}),
    ("wasserstein_dice", {"background": 2, "over": "batch"}),
    ("unified_focal", {"form": "symmetric", "gamma": 0.2}),
    ("unified_focal", {"form": "monai", "weight": 0.2, "delta": 0.7}),
    ("unified_focal", {"gamma": 0.0}),
    ("combo", {"alpha": 0.2, "beta": 0.9, "activation": "softmax"}),
    ("exp_log", {"dice_exponent": 1.0, "cross_entropy_exponent": 2.0, "activation": "sigmoid"}),
    ("tanimoto", {"dual": False, "smooth": 1.0}),
    ("sensitivity_specificity", {"sensitivity_weight": 0.7}),
    ("nacl", {"distance": "l2", "kernel_size": 5, "alpha": 2.0}),
]


@pytest.mark.parametrize("name, options", own_options)
def test_gradients_by_differences_of_own_options(name, options):
    ids, logits = ids_and_logits(shapes(name))
    assert_gradient_is_numeric(lambda y, z, **given: call(name, y, z, **given), ids, logits, **options)


@pytest.mark.parametrize("name", ONE_CHANNEL)
def test_gradients_by_differences_of_one_channel_in_space(name):
    mask, logits = mask_and_logits((1, 3, 4, 3, 1))
    assert_gradient_is_numeric(getattr(losses, name), mask, logits, activation="sigmoid")


@every_loss
def test_nan_under_what_is_ignored_goes_nowhere(name):
    shape = shapes(name)
    ids, logits = ids_and_logits(shape)
    void = np.random.default_rng(5).random(shape[:-1]) < 0.3
    broken = tf.where(void[..., None], np.float64("nan"), logits)
    other = tf.where(void[..., None], 3.0, logits)
    value, gradient = value_and_gradient(
        lambda y, z, **given: call(name, y, z, **given), np.where(void, 255, ids), broken, ignore_id=255
    )
    expected, expected_gradient = value_and_gradient(
        lambda y, z, **given: call(name, y, z, **given), np.where(void, 0, ids), other, mask=~void
    )
    np.testing.assert_allclose(value, expected, rtol=1e-12)
    np.testing.assert_allclose(gradient, expected_gradient, atol=1e-14)
    assert not gradient[void].any()


@every_loss
def test_ids_and_one_hot_agree(name):
    ids, logits = ids_and_logits(shapes(name))
    one_hot = np.eye(shapes(name)[-1])[ids]
    np.testing.assert_allclose(call(name, one_hot, logits), call(name, ids, logits), rtol=1e-12)


@every_loss
def test_reductions(name):
    ids, logits = ids_and_logits(shapes(name))
    each, whole = call(name, ids, logits, reduction="none"), call(name, ids, logits)
    assert each.shape.as_list() in ([2], [2, shapes(name)[-1]])
    np.testing.assert_allclose(np.mean(each), whole, rtol=1e-12)
    np.testing.assert_allclose(np.sum(each), call(name, ids, logits, reduction="sum"), rtol=1e-12)


@every_loss
def test_float32_inside_whatever_the_logits(name):
    ids, logits = ids_and_logits(shapes(name), "float32")
    for dtype in ("float16", "bfloat16"):
        half = tf.cast(logits, dtype)
        value = call(name, ids, half)
        assert value.dtype == tf.float32
        np.testing.assert_allclose(value, call(name, ids, tf.cast(half, tf.float32)), rtol=1e-6)


@every_loss
def test_sums_over_the_batch_are_those_of_all_replicas(name):
    """Two shares whose sums are added give what the whole batch gives; where that cannot be, the loss says so."""
    ids, logits = ids_and_logits(shapes(name))
    if name.startswith("lovasz"):
        with pytest.raises(ValueError, match="over='image'"):
            call(name, ids, logits, over="batch", all_reduce=lambda sums: sums)
        return
    sums_of_first = []
    call(name, ids[:1], logits[:1], over="batch", all_reduce=lambda sums: sums_of_first.append(sums) or sums)
    first = iter(sums_of_first)
    both = call(name, ids[1:], logits[1:], over="batch", all_reduce=lambda sums: sums + next(first))
    whole = call(name, ids, logits, over="batch")
    # The first replica saw only its own sums in between, which matters to no loss made of one round of sums.
    np.testing.assert_allclose(both, whole, rtol=1e-12)


# Dice and clDice each stand for their sum.
@pytest.mark.parametrize("name", [name for name in NAMES if name != "dice_cldice"])
def test_unknown_sizes_trace_once(name):
    ids, logits = ids_and_logits(shapes(name), "float32")
    traces = []

    @tf.function(
        input_signature=[tf.TensorSpec([None] * 3, tf.int32), tf.TensorSpec([None] * 3 + [shapes(name)[-1]])],
        autograph=False,
    )
    def traced(y_true, y_pred):
        traces.append(name)
        return call(name, y_true, y_pred)

    for part in (slice(None), slice(1)):
        np.testing.assert_allclose(
            traced(ids[part, :5], logits[part, :5]), call(name, ids[part, :5], logits[part, :5]), rtol=2e-6
        )
    assert len(traces) == 1
