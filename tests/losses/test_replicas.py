"""One meaning on N replicas: 1 and 2 replicas on one global batch give the same loss and the same weights."""

import numpy as np
import pytest
import tensorflow as tf

import losses
from losses.engine import fused
from tests.losses.inputs import ids_and_logits

IMAGES = 4


def train(replicas, loss, features, ids, extras, steps=3):
    """Losses and the final weights of gradient descent on a linear model of each pixel."""
    # Not the default collectives: a process remembers their types by device, across strategies, and this is float64.
    strategy = tf.distribute.MirroredStrategy(
        [f"CPU:{i}" for i in range(replicas)], cross_device_ops=tf.distribute.ReductionToOneDevice()
    )
    with strategy.scope():
        weights = tf.Variable(np.random.default_rng(1).standard_normal((features.shape[-1], 3)))
    share = IMAGES // replicas

    def of_replica(context, value):
        i = context.replica_id_in_sync_group
        return tf.constant(value[i * share : (i + 1) * share])

    def replica_step(y_true, x, given):
        context = tf.distribute.get_replica_context()

        def all_reduce(sums):
            return context.all_reduce(tf.distribute.ReduceOp.SUM, sums)

        with tf.GradientTape() as tape:
            value = loss(y_true, tf.einsum("bhwf,fc->bhwc", x, weights), all_reduce=all_reduce, **given).total
        gradient = tape.gradient(value, weights)
        # Each replica's value is a mean of its share, or already that of the global batch: the mean over replicas.
        gradient, value = context.all_reduce(tf.distribute.ReduceOp.MEAN, [gradient, value])
        weights.assign_sub(0.5 * gradient)
        return value

    @tf.function
    def step():
        distributed = [
            strategy.experimental_distribute_values_from_function(lambda c, v=v: of_replica(c, v))
            for v in (ids, features)
        ]
        given = {
            name: strategy.experimental_distribute_values_from_function(lambda c, v=v: of_replica(c, v))
            for name, v in extras.items()
        }
        return strategy.run(replica_step, args=(*distributed, given))

    values = [float(strategy.experimental_local_results(step())[0]) for _ in range(steps)]
    return values, weights.numpy()


cases = {
    "dice of images": ("dice+cross_entropy", {}, ()),
    "batch Dice": ("dice+cross_entropy", {"*": {"over": "batch"}}, ()),
    "everything ignored on one": ("dice+cross_entropy", {"*": {"over": "batch", "ignore_id": 255}}, ()),
    "family over the batch": (
        "jaccard+tversky+generalised_dice+log_cosh_dice+focal_softmax+generalised_cross_entropy",
        {"*": {"over": "batch"}, "log_cosh_dice": {"mean_first": "batch", "over": "image"}},
        ("pixel_weights",),
    ),
    "absent classes": ("dice+focal_tversky", {"*": {"absent": "skip", "over": "batch"}}, ("image_weights",)),
    "sigmoids": ("binary_cross_entropy+focal_sigmoid", {"*": {"over": "batch"}}, ("mask",)),
}


@pytest.mark.parametrize("case", cases)
def test_two_replicas_are_one(case, logical_devices):
    name, options, extra_names = cases[case]
    ids, _ = ids_and_logits((IMAGES, 6, 5, 3))
    # Replicas that differ: the second has no class 2, and perhaps nothing to count.
    ids[2:][ids[2:] == 2] = 0
    if "ignore_id" in options.get("*", {}):
        ids[2:] = 255
    rng = np.random.default_rng(0)
    features = rng.standard_normal((IMAGES, 6, 5, 4))
    every_extra = {
        "pixel_weights": rng.uniform(0, 2, ids.shape),
        "image_weights": rng.uniform(0, 2, IMAGES),
        "mask": rng.integers(0, 2, ids.shape),
    }
    extras = {name: every_extra[name] for name in extra_names}
    loss = losses.build(name, options=options)
    values, weights = train(1, loss, features, ids, extras)
    values_of_two, weights_of_two = train(2, loss, features, ids, extras)
    np.testing.assert_allclose(values_of_two, values, rtol=1e-10)
    np.testing.assert_allclose(weights_of_two, weights, rtol=1e-9, atol=1e-12)
    assert values[-1] < values[0]


def test_a_batch_wise_loss_of_ones_own_is_one_on_two_replicas(logical_devices):
    """As the README shows it: sums, through all_reduce, and only then divided."""
    ids, _ = ids_and_logits((IMAGES, 6, 5, 3))
    ids[2:][ids[2:] == 2] = 0
    features = np.random.default_rng(0).standard_normal((IMAGES, 6, 5, 4))

    def own(y_true, y_pred, *, all_reduce):
        y, p = tf.one_hot(y_true, 3, dtype=tf.float64), tf.nn.softmax(y_pred)
        overlap, both = tf.unstack(all_reduce(tf.stack([tf.reduce_sum(p * y), tf.reduce_sum(p * p + y)])))
        sums = losses.region_statistics(y_true, y_pred, over="batch", all_reduce=all_reduce)
        value = 1 - 2 * overlap / both + tf.reduce_mean(sums.missed / sums.target)
        return losses.LossValue(value, {})

    values, weights = train(1, own, features, ids, {})
    values_of_two, weights_of_two = train(2, own, features, ids, {})
    np.testing.assert_allclose(values_of_two, values, rtol=1e-10)
    np.testing.assert_allclose(weights_of_two, weights, rtol=1e-9, atol=1e-12)
    assert values[-1] < values[0]


def test_two_replicas_are_one_with_compiled_sums(logical_devices, monkeypatch):
    monkeypatch.setattr(fused, "WORTH_COMPILING", 0)
    ids, _ = ids_and_logits((IMAGES, 16, 16, 3))
    features = np.random.default_rng(0).standard_normal((IMAGES, 16, 16, 4))
    loss = losses.build("dice+cross_entropy", options={"*": {"over": "batch"}})
    values, weights = train(1, loss, features, ids, {})
    values_of_two, weights_of_two = train(2, loss, features, ids, {})
    np.testing.assert_allclose(values_of_two, values, rtol=1e-10)
    np.testing.assert_allclose(weights_of_two, weights, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", sorted(losses.names.LOSSES))
def test_sums_over_images_need_no_communication(name):
    if name == "wasserstein_dice":
        options = {"distances": 1 - np.eye(2)}
    else:
        options = {"absent": "count"} if "absent" in losses.names.options_of(name) else {}
    ids, logits = ids_and_logits((2, 6, 5, 2))

    def forbidden(sums):
        raise AssertionError("all_reduce was called for sums over an image")

    alone = getattr(losses, name)(ids, logits, **options)
    np.testing.assert_array_equal(getattr(losses, name)(ids, logits, all_reduce=forbidden, **options), alone)
    halves = [float(getattr(losses, name)(ids[i : i + 1], logits[i : i + 1], **options)) for i in (0, 1)]
    np.testing.assert_allclose(np.mean(halves), alone, rtol=1e-9, atol=1e-12)
