"""Cross-entropy and its relatives: values against TensorFlow's and by hand, gradients, degenerate input."""

import numpy as np
import pytest
import tensorflow as tf

import losses
from tests.losses.inputs import assert_gradient_is_numeric, ids_and_logits, mask_and_logits, value_and_gradient

SOFTMAX = ("cross_entropy", "focal_softmax", "top_k_cross_entropy", "generalised_cross_entropy")
SIGMOID = ("binary_cross_entropy", "focal_sigmoid")
every_pixel_loss = pytest.mark.parametrize("name", SOFTMAX + SIGMOID)
RNG = np.random.default_rng

common_options = {
    "default": {},
    "batch": {"over": "batch"},
    "classes": {"classes": (2, 0)},
    "sum": {"reduction": "sum"},
    "none": {"reduction": "none"},
    "class weights": {"class_weights": [0.5, 2, 0, 1]},
    "image weights": {"image_weights": [0.25, 3]},
    "image weights, batch": {"image_weights": [0.25, 3], "over": "batch"},
    "pixel weights": {"pixel_weights": RNG(5).uniform(0.1, 2, (2, 6, 5))},
    "mask": {"mask": RNG(6).integers(0, 2, (2, 6, 5))},
    "ignored": {"ignore_id": 1},
    "not fused": {"fused": False},
}
own_options = [
    ("cross_entropy", {"label_smoothing": 0.1}),
    ("cross_entropy", {"label_smoothing": 0.2, "class_weights": [0.5, 2, 0, 1], "over": "batch"}),
    ("cross_entropy", {"label_smoothing": 0.2, "reduction": "none"}),
    ("binary_cross_entropy", {"label_smoothing": 0.1, "positive_weight": 3}),
    ("binary_cross_entropy", {"label_smoothing": 0.1, "reduction": "none"}),
    ("binary_cross_entropy", {"positive_weight": [1, 2, 3, 4]}),
    ("focal_softmax", {"gamma": 0.5, "alpha": 0.25, "mean_over": "elements"}),
    ("focal_softmax", {"gamma": 0}),
    ("focal_sigmoid", {"gamma": 0.5, "alpha": 0.25}),
    ("top_k_cross_entropy", {"percent": 45, "over": "batch", "label_smoothing": 0.1}),
    ("generalised_cross_entropy", {"q": 0.2}),
    ("generalised_cross_entropy", {"q": 1}),
]


@every_pixel_loss
@pytest.mark.parametrize("options", common_options)
def test_gradients_by_differences(name, options):
    assert_gradient_is_numeric(getattr(losses, name), *ids_and_logits(), **common_options[options])


@pytest.mark.parametrize("name, options", own_options)
def test_gradients_by_differences_of_own_options(name, options):
    function, (ids, logits) = getattr(losses, name), ids_and_logits()
    assert_gradient_is_numeric(function, ids, logits, **options)
    assert_gradient_is_numeric(function, RNG(2).dirichlet(np.ones(4), ids.shape), logits, **options)


def test_cross_entropy_is_tensorflows():
    ids, logits = ids_and_logits()
    nll = tf.nn.sparse_softmax_cross_entropy_with_logits(ids, logits).numpy()
    np.testing.assert_allclose(losses.cross_entropy(ids, logits), nll.mean())
    np.testing.assert_allclose(losses.cross_entropy(ids, logits, reduction="none"), nll)
    np.testing.assert_allclose(losses.cross_entropy(ids, logits, reduction="sum"), nll.sum())
    np.testing.assert_allclose(losses.cross_entropy(ids, tf.nn.softmax(logits), activation=None), nll.mean())
    weights = np.array([0.5, 2, 0, 1])
    weighted = losses.cross_entropy(ids, logits, class_weights=weights, over="batch")
    np.testing.assert_allclose(weighted, (nll * weights[ids]).sum() / weights[ids].sum())
    kept = ids != 1
    by_image = [nll[i][kept[i]].mean() for i in (0, 1)]
    np.testing.assert_allclose(losses.cross_entropy(ids, logits, ignore_id=1), np.mean(by_image))
    np.testing.assert_allclose(losses.cross_entropy(ids, logits, ignore_id=1, over="batch"), nll[kept].mean())
    np.testing.assert_allclose(losses.cross_entropy(ids, logits, classes=[0, 2, 3], over="batch"), nll[kept].mean())


def test_label_smoothing_is_soft_labels():
    ids, logits = ids_and_logits()
    soft = 0.9 * np.eye(4)[ids] + 0.1 / 4
    for reduction in ("mean", "sum", "none"):
        smoothed = losses.cross_entropy(ids, logits, label_smoothing=0.1, reduction=reduction)
        np.testing.assert_allclose(smoothed, losses.cross_entropy(soft, logits, reduction=reduction), rtol=1e-12)


def test_binary_cross_entropy_is_tensorflows():
    mask, logits = mask_and_logits((2, 6, 5, 3))
    each = tf.nn.sigmoid_cross_entropy_with_logits(mask.astype(float), logits).numpy()
    np.testing.assert_allclose(losses.binary_cross_entropy(mask, logits), each.mean())
    np.testing.assert_allclose(losses.binary_cross_entropy(mask, logits, reduction="none"), each)
    np.testing.assert_allclose(losses.binary_cross_entropy(mask, logits, reduction="sum"), each.sum())
    heavier = tf.nn.weighted_cross_entropy_with_logits(mask.astype(float), logits, 3.0)
    np.testing.assert_allclose(losses.binary_cross_entropy(mask, logits, positive_weight=3), np.mean(heavier))
    given = losses.binary_cross_entropy(mask, tf.sigmoid(logits), from_logits=False)
    np.testing.assert_allclose(given, each.mean(), rtol=1e-9)
    for reduction in ("mean", "none"):
        smoothed = losses.binary_cross_entropy(mask, logits, label_smoothing=0.2, reduction=reduction)
        soft = losses.binary_cross_entropy(0.8 * mask + 0.1, logits, reduction=reduction)
        np.testing.assert_allclose(smoothed, soft, rtol=1e-12)


def test_focal_without_focus_is_cross_entropy():
    ids, logits = ids_and_logits()
    np.testing.assert_allclose(losses.focal_softmax(ids, logits, gamma=0), losses.cross_entropy(ids, logits))
    np.testing.assert_allclose(losses.focal_sigmoid(ids, logits, gamma=0), losses.binary_cross_entropy(ids, logits))
    p = tf.nn.softmax(logits).numpy()
    p_label = np.take_along_axis(p, ids[..., None], -1)[..., 0]
    by_hand = -((1 - p_label) ** 2) * np.log(p_label) * np.where(ids == 0, 0.75, 0.25)
    np.testing.assert_allclose(losses.focal_softmax(ids, logits, alpha=0.25), by_hand.mean())
    np.testing.assert_allclose(losses.focal_softmax(ids, logits, alpha=0.25, mean_over="elements"), by_hand.mean() / 4)
    each = losses.focal_softmax(ids, logits, alpha=[0.75, 0.25, 0.25, 0.25])
    np.testing.assert_allclose(each, by_hand.mean())
    with pytest.raises(ValueError, match="or 4 numbers"):
        losses.focal_softmax(ids, logits, alpha=[0.5, 0.5])


def test_top_k_by_hand():
    ids, logits = ids_and_logits((2, 10, 7, 4))
    nll = tf.nn.sparse_softmax_cross_entropy_with_logits(ids, logits).numpy()
    largest = np.sort(nll.reshape(2, -1), axis=1)[:, ::-1]
    np.testing.assert_allclose(losses.top_k_cross_entropy(ids, logits), largest[:, :7].mean())
    whole = np.sort(nll.ravel())[::-1]
    np.testing.assert_allclose(losses.top_k_cross_entropy(ids, logits, over="batch", percent=5), whole[:7].mean())
    np.testing.assert_allclose(losses.top_k_cross_entropy(ids, logits, percent=100), nll.mean())
    kept = ids != 1
    void = np.where(kept, ids, 255)
    expected = [np.sort(nll[i][kept[i]])[::-1][: int(kept[i].sum() * 0.1)].mean() for i in (0, 1)]
    np.testing.assert_allclose(losses.top_k_cross_entropy(void, logits, ignore_id=255), np.mean(expected))


def test_top_k_of_unknown_size():
    ids, logits = ids_and_logits((2, 10, 7, 4))
    signature = [tf.TensorSpec([None, None, None], tf.int32), tf.TensorSpec([None, None, None, 4], tf.float64)]
    dynamic = tf.function(losses.top_k_cross_entropy, input_signature=signature)
    np.testing.assert_allclose(dynamic(ids, logits), losses.top_k_cross_entropy(ids, logits))


@every_pixel_loss
def test_connected_and_finite_whatever_the_input(name):
    function = getattr(losses, name)
    ids, _ = ids_and_logits((2, 4, 4, 3))
    sure = 1000 * (2 * np.eye(3)[ids] - 1)
    for y_true, scores, options in (
        (ids, sure, {}),
        (ids, -sure, {}),
        (ids * 0 + 255, sure, {"ignore_id": 255}),
        (np.where(np.arange(2)[:, None, None], 255, ids), sure / 1000, {"ignore_id": 255}),
        (ids, sure / 1000, {"pixel_weights": np.zeros(ids.shape)}),
        (ids, sure / 1000, {"class_weights": np.zeros(3)}),
        (np.where(ids == 1, 255, ids), np.where((ids == 1)[..., None], np.nan, sure), {"ignore_id": 255}),
    ):
        for over in ("image", "batch"):
            for dtype in ("float32", "float16"):
                value, gradient = value_and_gradient(function, y_true, tf.constant(scores, dtype), over=over, **options)
                assert np.isfinite(value) and np.isfinite(gradient).all(), (options, over, dtype)
    p = np.eye(3)[ids]
    value, gradient = value_and_gradient(function, ids, tf.constant(1 - p, tf.float32) / 2, activation=None)
    assert np.isfinite(value) and np.isfinite(gradient).all() and np.abs(gradient).max() > 0


@every_pixel_loss
def test_confident_mistakes_have_a_gradient(name):
    ids, _ = ids_and_logits((1, 4, 4, 3))
    wrong = tf.constant(-30.0 * (2 * np.eye(3)[ids] - 1), tf.float32)
    if name == "generalised_cross_entropy":
        return  # It forgives them by design.
    _, gradient = value_and_gradient(getattr(losses, name), ids, wrong)
    assert np.abs(gradient).sum() > 0.3


@every_pixel_loss
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_low_precision_and_xla(name, dtype):
    function = getattr(losses, name)
    ids, logits = ids_and_logits((2, 8, 8, 4), dtype)
    expected = float(function(ids, tf.cast(logits, tf.float64)))
    compiled = tf.function(function, jit_compile=True)
    for value in (function(ids, logits), compiled(ids, logits)):
        assert value.dtype == tf.float32
        np.testing.assert_allclose(value, expected, rtol=2e-6)


@pytest.mark.parametrize("name", SOFTMAX)
def test_a_sigmoid_is_refused_with_the_loss_to_take(name):
    with pytest.raises(ValueError, match="binary_cross_entropy"):
        getattr(losses, name)(*ids_and_logits(), activation="sigmoid")


@pytest.mark.parametrize("name", SIGMOID)
def test_a_softmax_is_refused_with_the_loss_to_take(name):
    with pytest.raises(ValueError, match="cross_entropy or focal_softmax"):
        getattr(losses, name)(*ids_and_logits(), activation="softmax")


def test_what_cannot_be_honoured_raises():
    ids, logits = ids_and_logits()
    with pytest.raises(ValueError, match="over='image'"):
        losses.top_k_cross_entropy(ids, logits, over="batch", all_reduce=lambda x: x)
    with pytest.raises(ValueError, match="label smoothing"):
        losses.cross_entropy(ids, logits, label_smoothing=0.1, classes=[1, 2])
    with pytest.raises(ValueError, match="percent"):
        losses.top_k_cross_entropy(ids, logits, percent=0)
