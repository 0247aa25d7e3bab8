"""The region family: values by hand, gradients by differences, properties, degenerate inputs."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

import losses
from tests.losses.inputs import assert_gradient_is_numeric, ids_and_logits, mask_and_logits, value_and_gradient

REGION = ("dice", "jaccard", "tversky", "focal_tversky", "generalised_dice", "log_cosh_dice")
every_region_loss = pytest.mark.parametrize("name", REGION)
COUNT = {"absent": "count"}


def soft_inputs():
    _, logits = ids_and_logits()
    return np.random.default_rng(1).dirichlet(np.ones(4), (2, 6, 5)), logits


def volume():
    return ids_and_logits((2, 3, 4, 2, 3))


common_options = {
    "default": {},
    "batch": {"over": "batch"},
    "no background": {"include_background": False},
    "classes": {"classes": (2, 0)},
    "sum": {"reduction": "sum"},
    "none": {"reduction": "none"},
    "class weights": {"class_weights": [0.5, 2, 0, 1]},
    "image weights": {"image_weights": [0.25, 3]},
    "image weights, batch": {"image_weights": [0.25, 3], "over": "batch"},
    "pixel weights": {"pixel_weights": np.random.default_rng(5).uniform(0, 2, (2, 6, 5))},
    "mask": {"mask": np.random.default_rng(6).integers(0, 2, (2, 6, 5))},
    "ignored": {"ignore_id": 1},
    "sigmoid": {"activation": "sigmoid"},
    "smooth 1": {"smooth_nr": 1, "smooth_dr": 2},
    "squared": {"squared": True},
    "soft label": {"soft_label": True},
    "not fused": {"fused": False},
}


@every_region_loss
@pytest.mark.parametrize("options", common_options)
def test_gradients_by_differences(name, options):
    assert_gradient_is_numeric(getattr(losses, name), *ids_and_logits(), **common_options[options])


@every_region_loss
@pytest.mark.parametrize("inputs", [soft_inputs, volume], ids=["soft", "volume"])
def test_gradients_by_differences_of_other_labels(name, inputs):
    assert_gradient_is_numeric(getattr(losses, name), *inputs(), squared=True)
    assert_gradient_is_numeric(getattr(losses, name), *inputs(), soft_label=True)


own_options = [
    ("dice", {"log_loss": True}),
    ("jaccard", {"log_loss": True}),
    ("tversky", {"log_loss": True, "alpha": 0.9, "beta": 0.2}),
    ("focal_tversky", {"gamma": 0.5}),
    ("generalised_dice", {"weighting": "simple"}),
    ("generalised_dice", {"weighting": "uniform"}),
    ("generalised_dice", {"absent": "skip", "over": "batch"}),
    ("log_cosh_dice", {"mean_first": "class"}),
    ("log_cosh_dice", {"mean_first": "batch", "image_weights": [1, 2]}),
    *((name, {"absent": policy}) for name in ("dice", "tversky") for policy in ("count", "skip", "zero", "penalty")),
]


@pytest.mark.parametrize("name, options", own_options)
def test_gradients_by_differences_of_own_options(name, options):
    ids, logits = ids_and_logits()
    ids = np.where(ids == 3, 0, ids)
    assert_gradient_is_numeric(getattr(losses, name), ids, logits, **options)


def test_values_by_hand():
    # p = 3/4 and 1/4 for two pixels, the first of the class: I = 3/4, P = 1, Y = 1.
    y = np.array([[[1.0], [0.0]]])
    p = tf.constant([[[0.75], [0.25]]], tf.float64)
    none = {"activation": None, "smooth_nr": 0, "smooth_dr": 0}
    np.testing.assert_allclose(losses.dice(y, p, **none), 1 - 1.5 / 2)
    np.testing.assert_allclose(losses.dice(y, p, squared=True, **none), 1 - 1.5 / (0.625 + 1))
    np.testing.assert_allclose(losses.dice(y, p, log_loss=True, **none), -np.log(0.75))
    np.testing.assert_allclose(losses.jaccard(y, p, **none), 1 - 0.75 / 1.25)
    np.testing.assert_allclose(losses.tversky(y, p, alpha=1, beta=3, **none), 1 - 0.75 / (0.75 + 0.25 + 0.75))
    np.testing.assert_allclose(losses.focal_tversky(y, p, gamma=2, alpha=0.5, beta=0.5, **none), 0.5)
    np.testing.assert_allclose(losses.generalised_dice(y, p, **none), 0.25)
    np.testing.assert_allclose(losses.log_cosh_dice(y, p, **none), np.log(np.cosh(0.25)))


def test_alpha_is_on_false_positives():
    everything = tf.ones([1, 4, 4, 1])
    half = np.zeros([1, 4, 4, 1])
    half[:, :2] = 1
    low, high = (losses.tversky(half, everything, activation=None, alpha=a, beta=0.5) for a in (0.1, 0.9))
    assert low < high


def test_soft_labels_are_0_at_equality_only_with_soft_label():
    y = np.random.default_rng(0).uniform(0.1, 0.9, (2, 5, 5, 3))
    p = tf.constant(y)
    for name in ("dice", "jaccard", "tversky", "generalised_dice"):
        function = getattr(losses, name)
        np.testing.assert_allclose(function(y, p, activation=None, soft_label=True), 0, atol=1e-12)
        assert function(y, p, activation=None) > 0.05
    np.testing.assert_allclose(losses.dice(y, p, activation=None, squared=True), 0, atol=1e-12)


@every_region_loss
def test_ids_one_hot_and_dense_forms_agree(name):
    function, (ids, logits) = getattr(losses, name), ids_and_logits()
    one_hot = tf.one_hot(ids, 4, dtype=tf.uint8)
    for options in ({}, {"soft_label": True}, {"squared": True}, {"activation": "sigmoid"}):
        expected, expected_gradient = value_and_gradient(function, ids, logits, **options)
        value, gradient = value_and_gradient(function, one_hot, logits, **options)
        np.testing.assert_allclose(value, expected, rtol=1e-12)
        np.testing.assert_allclose(gradient, expected_gradient, atol=1e-14)


@every_region_loss
def test_nan_under_what_is_ignored_goes_nowhere(name):
    function, (ids, logits) = getattr(losses, name), ids_and_logits()
    void = np.zeros(ids.shape, bool)
    void[:, 2:4, 1:3] = True
    broken = tf.where(void[..., None], np.float64("nan"), logits)
    kept = np.broadcast_to(~void[..., None], logits.shape)
    expected, expected_gradient = value_and_gradient(function, ids, logits, mask=~void)
    one_hot = np.eye(4)[ids]
    ways = [
        (np.where(void, 255, ids), {"ignore_id": 255}),
        (np.where(void, 255, ids), {"mask": ~void}),
        (np.where(void[..., None], 255, one_hot), {"ignore_id": 255}),
        (np.where(void[..., None], np.nan, one_hot), {"mask": ~void}),
    ]
    for y_true, options in ways:
        for fused in (True, False):
            value, gradient = value_and_gradient(function, y_true, broken, fused=fused, **options)
            np.testing.assert_allclose(value, expected, rtol=1e-12)
            np.testing.assert_allclose(gradient, np.where(kept, expected_gradient, 0), atol=1e-14)


def degenerate_inputs():
    shape = (2, 4, 4)
    ids, empty = ids_and_logits((2, 4, 4, 3), "float32")[0], np.zeros(shape, np.int32)
    perfect = 1000 * (2 * np.eye(3)[ids] - 1)
    return {
        "empty": (empty, np.random.default_rng(0).standard_normal((*shape, 3)), {}),
        "full": (np.full(shape, 2), np.random.default_rng(0).standard_normal((*shape, 3)), {}),
        "all ignored": (np.full(shape, 255), perfect, {"ignore_id": 255}),
        "one image ignored": (np.where(np.arange(2)[:, None, None], 255, ids), perfect / 1000, {"ignore_id": 255}),
        "perfect, saturated": (ids, perfect, {}),
        "wrong, saturated": (ids, -perfect, {}),
        "empty, perfect, saturated": (empty, 1000 * (2 * np.eye(3)[empty] - 1), {}),
        "constant": (ids, np.zeros((*shape, 3)), {}),
        "weights of 0": (ids, perfect / 1000, {"class_weights": [0, 0, 0]}),
        "pixel weights of 0": (ids, perfect / 1000, {"pixel_weights": np.zeros(shape)}),
    }


@every_region_loss
@pytest.mark.parametrize("smooth", [0, 1e-5])
@pytest.mark.parametrize("case", degenerate_inputs())
def test_connected_and_finite_whatever_the_input(name, smooth, case):
    ids, logits, options = degenerate_inputs()[case]
    options = options | {"smooth_nr": smooth, "smooth_dr": smooth}
    function = getattr(losses, name)
    ways = [("softmax", "count", "float16"), ("softmax", "zero", "float32"), ("softmax", "penalty", "bfloat16")]
    ways += [("sigmoid", "count", "float32"), ("sigmoid", "skip", "float16")]
    for activation, absent, dtype in ways:
        value, gradient = value_and_gradient(
            function, ids, tf.constant(logits, dtype), activation=activation, absent=absent, **options
        )
        assert np.isfinite(value) and np.isfinite(gradient).all(), (activation, absent, dtype)
    p = tf.nn.softmax(tf.constant(logits, tf.float32))
    value, gradient = value_and_gradient(function, ids, p, from_logits=False, **options)
    assert np.isfinite(value) and np.isfinite(gradient).all()


def test_policies_for_an_absent_class():
    ids = np.zeros((1, 4, 4), np.int32)
    logits = tf.constant(np.random.default_rng(0).standard_normal((1, 4, 4, 2)))
    p = tf.nn.softmax(logits)
    formula = losses.dice(ids, logits, absent="count", reduction="none").numpy()[0]

    def dice(policy):
        return float(losses.dice(ids, logits, absent=policy))

    np.testing.assert_allclose(dice("count"), formula.mean())
    np.testing.assert_allclose(dice("skip"), formula[0])
    np.testing.assert_allclose(dice("zero"), formula[0] / 2)
    np.testing.assert_allclose(dice("penalty"), (formula[0] + np.mean(p[..., 1])) / 2)


def test_policies_of_generalised_dice():
    ids, logits = ids_and_logits((1, 4, 4, 3))
    ids = np.where(ids == 2, 0, ids)
    p = tf.nn.softmax(logits)

    def gdl(policy, ids=ids, **options):
        return float(losses.generalised_dice(ids, logits, absent=policy, **options))

    present = gdl("skip")
    np.testing.assert_allclose(gdl("zero"), present * 2 / 3)
    np.testing.assert_allclose(gdl("penalty"), (present * 2 + np.mean(p[..., 2])) / 3)
    assert present < gdl("count")
    # With nothing at all, only a penalty says what is wrong.
    empty = {"ids": np.zeros_like(ids), "include_background": False}
    assert gdl("count", **empty) == gdl("skip", **empty) == gdl("zero", **empty) == 0
    np.testing.assert_allclose(gdl("penalty", **empty), np.mean(p[..., 1:]))


@every_region_loss
@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_a_good_prediction_keeps_its_digits(name, activation):
    """Of a loss of 1e-6 float32 keeps six digits, where 1 minus a score would keep one."""
    ids, _ = ids_and_logits((2, 8, 8, 3))
    good = tf.constant(13.0 * np.eye(3)[ids] - 5, tf.float32) + tf.constant(np.linspace(0, 1, 3), tf.float32)
    for options in ({}, {"soft_label": True}) + (() if "tversky" in name else ({"squared": True},)):
        for form, fused in ((ids, True), (np.eye(3)[ids], True), (ids, False)):
            given = {"activation": activation, "smooth_nr": 0, "smooth_dr": 0, "fused": fused, **options}
            right, slope = value_and_gradient(getattr(losses, name), form, tf.cast(good, tf.float64), **given)
            value, gradient = value_and_gradient(getattr(losses, name), form, good, **given)
            np.testing.assert_allclose(value, right, rtol=1e-6)
            np.testing.assert_allclose(gradient, slope, rtol=0, atol=0.05 * np.abs(slope).max())


def test_the_default_has_a_slope_towards_an_empty_mask():
    mask = np.zeros((1, 64, 64, 1), np.uint8)
    for level in (-2.0, -5.0, -8.0):
        logits = tf.fill([1, 64, 64, 1], level)
        _, gradient = value_and_gradient(losses.dice, mask, logits, activation="sigmoid")
        np.testing.assert_allclose(gradient.sum(), np.exp(level) / (1 + np.exp(level)) ** 2, rtol=1e-4)


logit_fields = st.integers(0, 2**31).map(
    lambda seed: ids_and_logits((2, 4, 3, 3), seed=seed, scale=float(np.random.default_rng(seed).uniform(0.1, 20)))
)


@every_region_loss
@settings(max_examples=5, deadline=None, derandomize=True)
@given(inputs=logit_fields)
def test_bounds_and_symmetries(name, inputs):
    function, (ids, logits) = getattr(losses, name), inputs
    value = float(function(ids, logits))
    assert -1e-9 <= value <= 1 + 1e-9
    order = [2, 0, 1]
    permuted = float(function(np.argsort(order)[ids], tf.gather(logits, order, axis=-1)))
    np.testing.assert_allclose(permuted, value, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(float(function(ids[:, ::-1], logits[:, ::-1])), value, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(float(function(ids[::-1], logits[::-1])), value, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(float(function(ids, logits + 5.0)), value, rtol=1e-7, atol=1e-12)
    halves = [float(function(ids[i : i + 1], logits[i : i + 1])) for i in (0, 1)]
    np.testing.assert_allclose(np.mean(halves), value, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", ["dice", "jaccard"])
def test_symmetric_in_labels_and_predictions(name):
    function = getattr(losses, name)
    a, b = (np.random.default_rng(seed).uniform(0, 1, (1, 5, 5, 2)) for seed in (0, 1))
    for options in ({}, {"squared": True}, {"soft_label": True}):
        there, back = (function(y, tf.constant(p), activation=None, **options) for y, p in ((a, b), (b, a)))
        np.testing.assert_allclose(there, back, rtol=1e-12)


@every_region_loss
def test_perfect_and_disjoint(name):
    function = getattr(losses, name)
    ids, _ = ids_and_logits((2, 8, 8, 3))
    sure = 60.0 * (2 * np.eye(3)[ids] - 1)
    np.testing.assert_allclose(function(ids, tf.constant(sure)), 0, atol=1e-6)
    mask = np.zeros((1, 8, 8, 1))
    mask[:, :4] = 1
    most = np.log(np.cosh(1)) if name == "log_cosh_dice" else 1
    np.testing.assert_allclose(function(mask, tf.constant(1 - mask), activation=None), most, atol=1e-5)


def test_reductions_and_their_shapes():
    ids, logits = ids_and_logits()
    each = losses.dice(ids, logits, reduction="none")
    assert each.shape == (2, 4)
    np.testing.assert_allclose(losses.dice(ids, logits), np.mean(each))
    np.testing.assert_allclose(losses.dice(ids, logits, reduction="sum"), np.sum(each))
    assert losses.dice(ids, logits, reduction="none", over="batch", classes=[1, 2]).shape == (2,)
    assert losses.generalised_dice(ids, logits, reduction="none").shape == (2,)
    np.testing.assert_allclose(losses.dice(ids, logits, classes=[3, 1], reduction="none"), each.numpy()[:, [3, 1]])


@pytest.mark.parametrize("name", ["dice", "generalised_dice", "cross_entropy", "focal_softmax"])
def test_an_empty_share_of_the_batch_is_0(name):
    ids, logits = ids_and_logits()
    value, gradient = value_and_gradient(getattr(losses, name), ids[:0], logits[:0])
    assert value == 0 and gradient.shape == (0, 6, 5, 4)


def test_soft_labels_may_be_a_rounding_above_1():
    ids, logits = ids_and_logits()
    np.testing.assert_allclose(losses.dice(np.eye(4)[ids] * (1 + 1e-6), logits), losses.dice(ids, logits), rtol=1e-5)
    with pytest.raises(ValueError, match="outside 0 to 1"):
        losses.dice(np.eye(4)[ids] * 1.01, logits)


def test_weights_weigh():
    ids, logits = ids_and_logits()
    each = losses.dice(ids, logits, reduction="none").numpy()
    weighted = losses.dice(ids, logits, class_weights=[1, 2, 3, 4], image_weights=[5, 6])
    np.testing.assert_allclose(weighted, np.mean(each * [1, 2, 3, 4] * np.array([[5], [6]])))
    picked = losses.dice(ids, logits, class_weights=[1, 2, 3, 4], include_background=False, reduction="none")
    np.testing.assert_allclose(picked, (each * [1, 2, 3, 4])[:, 1:])
    twice = losses.dice(np.repeat(ids, 2, 1), tf.repeat(logits, 2, 1), pixel_weights=np.full((2, 12, 5), 0.5))
    np.testing.assert_allclose(twice, losses.dice(ids, logits), rtol=1e-12)


def test_the_type_of_the_result():
    ids, logits = ids_and_logits(dtype="float64")
    assert losses.dice(ids, logits).dtype == tf.float64
    for dtype in ("float32", "float16", "bfloat16"):
        assert losses.dice(ids, tf.cast(logits, dtype)).dtype == tf.float32
    mask, logits = mask_and_logits(dtype="float16")
    assert losses.dice(mask, logits, activation="sigmoid").dtype == tf.float32


def test_half_precision_does_not_overflow():
    # P + Y passes 65504 at 360^2: float16 sums give a loss of exactly 1 without a gradient.
    mask = np.ones((1, 400, 400, 1), np.uint8)
    value, gradient = value_and_gradient(losses.dice, mask, tf.ones([1, 400, 400, 1], tf.float16), activation="sigmoid")
    p = 1 / (1 + np.exp(-1.0))
    np.testing.assert_allclose(value, 1 - 2 * p / (1 + p), rtol=1e-6)
    assert gradient.dtype == np.float16
