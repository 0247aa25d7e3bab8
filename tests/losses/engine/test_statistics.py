"""The fused sums are the plain sums: value, gradient, second derivative, in every form, compiled or not; and exact."""

import numpy as np
import pytest
import tensorflow as tf

from losses.engine import fused
from losses.engine.contract import prepare
from losses.engine.statistics import image_sums, region_statistics
from losses.engine.sums import Flags, exact_sum, plain_sums, sum_names
from tests.losses.inputs import ids_and_logits, mask_and_logits

ALL = {"squared": True, "distance": True, "smoothing": True}


def sums_and_gradient(y_true, y_pred, wanted, **options):
    """All sums, and the gradient of a fixed random combination of those that have one."""
    y_pred = tf.convert_to_tensor(y_pred)
    with tf.GradientTape() as tape:
        tape.watch(y_pred)
        sums = image_sums(prepare(y_true, y_pred, loss="test", **options), **wanted)
        combined = 0.0
        for i, (name, value) in enumerate(sorted(sums.items())):
            factors = np.random.default_rng(i).standard_normal((len(y_true), value.shape[-1]))
            if name not in ("target", "target_squared", "pixels"):
                combined += tf.reduce_sum(factors * value)
    return sums, tape.gradient(combined, y_pred)


def forms(shape):
    """(labels, logits, options) in each form the sums come in."""
    ids, logits = ids_and_logits(shape)
    weights = np.random.default_rng(7).uniform(0.2, 2, shape[:-1])
    mask = np.random.default_rng(8).integers(0, 2, shape[:-1])
    void = np.where(mask, ids, 255)
    soft = np.random.default_rng(9).dirichlet(np.ones(shape[-1]), shape[:-1])
    many, _ = mask_and_logits(shape)
    return {
        "ids": (ids, logits, {}),
        "ids, ignored, weighted": (void, logits, {"ignore_id": 255, "pixel_weights": weights}),
        "soft": (soft, logits, {"mask": mask}),
        "sigmoid ids": (void, logits, {"ignore_id": 255, "activation": "sigmoid"}),
        "multi-label": (many, logits, {"activation": "sigmoid", "pixel_weights": weights}),
        "single elements ignored": (
            np.where(soft > 0.4, 255, many),
            logits,
            {"activation": "sigmoid", "ignore_id": 255},
        ),
        "probabilities": (soft, tf.nn.softmax(logits), {"activation": None}),
    }


def assert_same(y_true, y_pred, options, run, tolerance=1e-10):
    wanted = ALL
    plain, plain_gradient = sums_and_gradient(y_true, tf.cast(y_pred, tf.float64), wanted, fused=False, **options)
    sums, gradient = run(lambda z: sums_and_gradient(y_true, z, wanted, fused=True, **options), y_pred)
    assert list(sums) and set(sums) == set(plain)
    for name, value in plain.items():
        np.testing.assert_allclose(sums[name], value, rtol=tolerance, atol=tolerance, err_msg=name)
    scale = np.abs(plain_gradient).max()
    np.testing.assert_allclose(tf.cast(gradient, tf.float64), plain_gradient, atol=tolerance * scale, rtol=0)
    assert gradient.dtype == y_pred.dtype


@pytest.mark.parametrize("form", forms((2, 6, 5, 4)))
@pytest.mark.parametrize("space", [(6, 5), (4, 3, 2), (7,)], ids=["2-D", "3-D", "1-D"])
def test_fused_equals_plain_eager(form, space):
    y_true, y_pred, options = forms((2, *space, 4))[form]
    assert_same(y_true, y_pred, options, lambda f, z: f(z))


# One form of each formula: what a sigmoid's labels are made of is not XLA's business.
@pytest.mark.parametrize("form", sorted(set(forms((2, 6, 5, 4))) - {"sigmoid ids", "multi-label"}))
def test_fused_equals_plain_in_compiled_blocks(form, monkeypatch):
    monkeypatch.setattr(fused, "WORTH_COMPILING", 0)
    monkeypatch.setattr("losses.engine.blocks.BLOCK", 256 * 5)
    y_true, y_pred, options = forms((2, 20, 64, 5))[form]
    assert_same(y_true, y_pred, options, lambda f, z: tf.function(f, autograph=False)(z))


@pytest.mark.parametrize("dtype, tolerance", [("float32", 2e-6), ("float16", 1e-3), ("bfloat16", 8e-3)])
def test_low_precision_predictions_are_summed_in_float32(dtype, tolerance, monkeypatch):
    monkeypatch.setattr(fused, "WORTH_COMPILING", 0)
    ids, logits = ids_and_logits((2, 16, 16, 5), dtype)
    plain, plain_gradient = sums_and_gradient(ids, tf.cast(logits, tf.float64), ALL, fused=False)
    for run in (
        lambda f, z: f(z),
        lambda f, z: tf.function(f, autograph=False)(z),
        lambda f, z: tf.function(f, autograph=False, jit_compile=True)(z),
    ):
        sums, gradient = run(lambda z: sums_and_gradient(ids, z, ALL), logits)
        for name, value in plain.items():
            np.testing.assert_allclose(sums[name], value, rtol=2e-6, err_msg=name)
        assert gradient.dtype == logits.dtype
        np.testing.assert_allclose(
            tf.cast(gradient, tf.float64), plain_gradient, atol=tolerance * np.abs(plain_gradient).max(), rtol=0
        )


@pytest.mark.parametrize("space", [(17, 31), (263,), (None, None)], ids=["no divisor", "prime", "unknown"])
def test_space_that_does_not_divide_into_rows(space, monkeypatch):
    monkeypatch.setattr(fused, "WORTH_COMPILING", 0)
    shape = (2, 17, 31, 3) if None in space else (2, *space, 3)
    ids, logits = ids_and_logits(shape)
    weights = np.random.default_rng(0).uniform(0, 1, shape[:-1])
    signature = [tf.TensorSpec([None, *space, 3], tf.float64)]

    def run(f, z):
        return tf.function(f, autograph=False, input_signature=signature)(z)

    assert_same(ids, logits, {}, run)
    assert_same(ids, logits, {"pixel_weights": weights}, run)


def test_compiles_only_where_it_pays():
    decided = []

    def trace(shape, eager=False):
        if eager:
            return fused.worth_compiling(tf.zeros(shape))
        tf.function(lambda z: decided.append(fused.worth_compiling(z))).get_concrete_function(tf.TensorSpec(shape))
        return decided[-1]

    assert trace([None, 512, 512, 21])
    assert not trace([2, None, 512, 21])
    assert not trace([2, 16, 16, 3])
    assert not trace([1, 512, 512, 21], eager=True)


def test_second_derivatives_are_those_of_the_plain_path():
    ids, logits = ids_and_logits((1, 3, 3, 3))

    direction = np.random.default_rng(0).standard_normal(logits.shape)

    def hessian_times_direction(is_fused):
        with tf.GradientTape() as outer:
            outer.watch(logits)
            with tf.GradientTape() as inner:
                inner.watch(logits)
                sums = image_sums(prepare(ids, logits, loss="test", fused=is_fused), squared=True, logs=True)
                value = tf.reduce_sum(sums["product"] / (1 + sums["prediction_squared"])) + tf.reduce_sum(
                    sums["nll"] ** 2
                )
            gradient = inner.gradient(value, logits)
        return outer.gradient(gradient, logits, output_gradients=direction)

    np.testing.assert_allclose(hessian_times_direction(True), hessian_times_direction(False), atol=1e-12)
    assert np.abs(hessian_times_direction(True)).max() > 1e-3


def test_sizes_that_only_some_tensors_are_known_to_have():
    ids, logits = ids_and_logits()
    one_hot, mask = np.eye(4)[ids], np.random.default_rng(0).integers(0, 2, ids.shape)
    expected = region_statistics(ids, logits, mask=mask)
    of_logits = tf.TensorSpec([None, None, None, 4], tf.float64)
    for labels in (ids, one_hot):
        unknown = [tf.TensorSpec([None] * labels.ndim, labels.dtype), of_logits]
        sums = tf.function(lambda y, z: region_statistics(y, z, mask=mask), input_signature=unknown)(labels, logits)
        np.testing.assert_allclose(sums.intersection, expected.intersection)
        known = tf.function(lambda z, y=labels: region_statistics(y, z), input_signature=[of_logits])(logits)
        np.testing.assert_allclose(known.wrong, region_statistics(ids, logits).wrong)


def test_sums_by_hand():
    ids = np.array([[[0, 1]]])
    p = np.array([[[[0.75, 0.25], [0.5, 0.5]]]])
    sums = region_statistics(ids, tf.constant(np.log(p)))
    np.testing.assert_allclose(sums.intersection, [[0.75, 0.5]])
    np.testing.assert_allclose(sums.prediction, [[1.25, 0.75]])
    np.testing.assert_allclose(sums.target, [[1, 1]])
    np.testing.assert_allclose(sums.pixels, [[2, 2]])


def test_names_are_those_of_the_sums():
    ids, logits = ids_and_logits()
    for activation in ("softmax", "sigmoid"):
        flags = Flags(True, True, True, True)
        made = plain_sums(logits, tf.constant(ids), None, activation=activation, flags=flags, is_ids=True)
        assert list(made) == sum_names(activation, flags)


@pytest.mark.slow
@pytest.mark.parametrize("jit", [False, True], ids=["graph", "XLA"])
def test_sums_do_not_drift_in_a_large_volume(jit):
    # 192^3 with a skewed field: float32 reduce_sum over space is off by 1e-2 here.
    field = tf.constant(np.random.default_rng(0).gamma(0.05, 1.0, (1, 192, 192, 192, 1)).astype(np.float32))
    right = np.sum(field.numpy(), dtype=np.float64)
    total = tf.function(exact_sum, jit_compile=jit)(field)
    assert abs(float(total[0, 0]) / right - 1) < 1e-7


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("jit", [None, False, True], ids=["eager", "graph", "XLA"])
def test_an_image_all_alike_sums_exactly(fused, jit):
    # Every addition of equals rounds the same way: rows of 256 added one by one are off by 5e-6.
    side, p1 = 256, 1 / (1 + np.exp(6.0))
    ids = np.zeros((1, side, side), np.uint8)
    ids[0, :5, :7] = 1
    logits = tf.constant(np.broadcast_to(np.float32([3, -3]), (1, side, side, 2)))

    def statistics(y_true, y_pred):
        return region_statistics(y_true, y_pred, fused=fused)

    sums = (statistics if jit is None else tf.function(statistics, jit_compile=jit))(ids, logits)
    n = side**2
    np.testing.assert_allclose(sums.prediction[0], [n * (1 - p1), n * p1], rtol=4e-7)
    np.testing.assert_allclose(sums.intersection[0], [(n - 35) * (1 - p1), 35 * p1], rtol=4e-7)
    np.testing.assert_array_equal(sums.target[0], [n - 35, 35])
