"""Batch normalisation over the global batch, the same on any number of replicas.

A float32 accumulator drifts over the pixels of a batch, on every kernel that TensorFlow has for this, fused or not, and
Keras's `BatchNormalization(synchronized=True)` takes E[x^2] - E[x]^2 of such sums. With it the gradients of a U-Net
(width 8, depth 3, 8 images of 64 x 64) on 2, 4 and 8 replicas differed from those on one by 1e-4 to 6e-4 of the
largest, some variables' by 3 % of their own, and four replicas took minutes to trace. Here sums are made in two stages,
the second in float64: they differ by 1e-6, of the largest and of each variable's own.
"""

from __future__ import annotations

import keras
import tensorflow as tf

from trainer.distribution.all_reduce import sum_over_replicas
from trainer.models.layers.sums import sum_over_space


@keras.saving.register_keras_serializable("gradline")
class BatchNormalization(keras.layers.Layer):
    """Normalises `[batch, *space, channels]`, images or volumes, by channel (Ioffe, Szegedy 2015).

    In training: y = gamma (x - mean) / sqrt(variance + epsilon) + beta with mean and variance over the global
    batch's pixels, and moving averages m <- momentum m + (1 - momentum) batch statistic (variance by n - 1). In
    inference, and if the layer is frozen (`trainable = False`), the moving averages are used instead.

    Args:
      momentum: that of the moving averages.
      epsilon: added to the variance.
      synchronized: statistics over all replicas; needed when there is more than one.
    """

    def __init__(self, momentum: float = 0.9, epsilon: float = 1e-3, synchronized: bool = False, **kwargs):
        super().__init__(**kwargs)
        self.momentum, self.epsilon, self.synchronized = momentum, epsilon, synchronized

    def build(self, shape):
        def weight(name, value, trainable):
            return self.add_weight(
                name=name,
                shape=(shape[-1],),
                initializer=value,
                trainable=trainable,
                dtype="float32",
                autocast=False,
                aggregation="only_first_replica" if not trainable else "none",
            )

        self.gamma, self.beta = weight("gamma", "ones", True), weight("beta", "zeros", True)
        self.moving_mean = weight("moving_mean", "zeros", False)
        self.moving_variance = weight("moving_variance", "ones", False)

    def call(self, x, training=False, mask=None):
        if mask is not None:
            raise ValueError(f"{self.name}: batch normalisation over all pixels has no use for a Keras mask.")
        # As tensors: outside of a replica (where the guard runs a batch again) a mirrored variable would be taken for
        # one that the custom gradient forgets.
        gamma, beta = tf.convert_to_tensor(self.gamma.value), tf.convert_to_tensor(self.beta.value)
        if not (training and self.trainable):
            return _in_inference(x, gamma, beta, self.moving_mean.value, self.moving_variance.value, self.epsilon)
        y, mean, variance = _normalize(x, gamma, beta, self.epsilon, self.synchronized)
        for moving, batch in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign(moving + (1.0 - self.momentum) * (tf.stop_gradient(batch) - moving))
        return y

    def compute_output_shape(self, shape):
        return shape

    def get_config(self):
        return {
            **super().get_config(),
            "momentum": self.momentum,
            "epsilon": self.epsilon,
            "synchronized": self.synchronized,
        }


def _normalize(x, gamma, beta, epsilon: float, synchronized: bool):
    """Training-mode normalisation; returns y, the mean, and the variance by n - 1, float32."""
    context = tf.distribute.get_replica_context()
    replicas = context.num_replicas_in_sync if synchronized and context is not None else 1
    pixels = tf.cast(tf.reduce_prod(tf.shape(x)[:-1]) * replicas, tf.float64)

    def over_replicas(*sums):
        """Adds up float64 `[channels]` sums over the replicas, all in the same message."""
        if replicas == 1:
            return sums
        return tf.unstack(sum_over_replicas([tf.stack(sums)])[0], num=len(sums))

    total, squares = over_replicas(*_sums(tf.stop_gradient(tf.cast(x, tf.float32))))
    mean64 = total / pixels
    spread = tf.maximum(squares - pixels * tf.square(mean64), 0.0)
    mean, variance = tf.cast(mean64, tf.float32), tf.cast(spread / pixels, tf.float32)

    @tf.custom_gradient
    def normalize(x, gamma, beta, mean64, mean, variance):
        # The statistics are arguments, so that TensorFlow, which looks for variables between the arguments of such a
        # function and its results, does not look through the other replicas. x's own share in them is in dx.
        def gradient(dy):
            floats, dy32 = tf.cast(x, tf.float32), tf.cast(dy, tf.float32)
            scale = tf.math.rsqrt(variance + epsilon)
            d_beta = _sum(dy32)
            centred = _sum(dy32 * floats) - mean64 * d_beta
            # gamma's and beta's gradients are summed over replicas with all the others; those for dx are summed here.
            all_beta, all_centred = over_replicas(d_beta, centred)
            # dx = gamma scale (dy - mean(dy) - scale^2 (x - mean) mean(dy (x - mean)))
            slope = gamma * scale
            tilt = -slope * tf.square(scale) * tf.cast(all_centred / pixels, tf.float32)
            shift = -slope * tf.cast(all_beta / pixels, tf.float32)
            dx = dy32 * slope + _affine(floats, tilt, shift, mean, tf.ones_like(mean), 0.0)
            d_gamma = tf.cast(centred * tf.cast(scale, tf.float64), gamma.dtype)
            return tf.cast(dx, x.dtype), d_gamma, tf.cast(d_beta, beta.dtype), None, None, None

        return _affine(x, gamma, beta, mean, variance, epsilon), gradient

    y = normalize(x, gamma, beta, mean64, mean, variance)
    return y, mean, tf.cast(spread / tf.maximum(pixels - 1.0, 1.0), tf.float32)


def _in_inference(x, gamma, beta, mean, variance, epsilon: float):
    """gamma (x - mean) / sqrt(variance + epsilon) + beta with given statistics, in two passes over x.

    Not the single operation of `_affine`: grappler fuses that with the convolution before it, and oneDNN's version of
    the pair took 17 times as long as both on a processor without AVX-512.
    """
    scale = gamma * tf.math.rsqrt(variance + epsilon)
    return tf.cast(tf.cast(x, tf.float32) * scale + (beta - mean * scale), x.dtype)


def _affine(x, gamma, beta, mean, variance, epsilon: float):
    """gamma (x - mean) / sqrt(variance + epsilon) + beta in one pass over x, which may be float16.

    The raw operation, because the public `tf.nn.batch_normalization` makes four passes.
    """
    # It takes images: the rows of a volume are stacked.
    images = x if x.shape.rank == 4 else tf.reshape(x, [1, -1, tf.shape(x)[-2], x.shape[-1]])
    y, *_ = tf.raw_ops.FusedBatchNormV3(
        x=images, scale=gamma, offset=beta, mean=mean, variance=variance, epsilon=epsilon, is_training=False
    )
    return y if x.shape.rank == 4 else tf.ensure_shape(tf.reshape(y, tf.shape(x)), x.shape)


def _sum(x):
    """Sum over batch and space, float64 `[channels]`."""
    return tf.reduce_sum(sum_over_space(x), axis=0)


def _sums(x):
    """Sum and sum of squares, float64 `[channels]`.

    Squares are taken about a value near the image's mean and shifted to zero in float64, where the mean's own square,
    which may be a million times the variance, loses no digits. All float32 arithmetic is within an image, so that it
    rounds in the same way whatever other images are on the replica.
    """
    axes = list(range(1, x.shape.rank - 1))
    near = tf.reduce_mean(x[:, ::16, ::16], axis=axes, keepdims=True)
    total, about = sum_over_space(x), sum_over_space(tf.math.squared_difference(x, near))
    near = tf.cast(tf.squeeze(near, axes), tf.float64)
    pixels = tf.cast(tf.reduce_prod(tf.shape(x)[1:-1]), tf.float64)
    squares = about + near * (2.0 * total - pixels * near)
    return tf.reduce_sum(total, axis=0), tf.reduce_sum(squares, axis=0)
