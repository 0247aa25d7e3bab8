"""A convolution whose gradient rounds alike on any number of replicas, where that is asked for; see `trainer.wide`."""

from __future__ import annotations

import keras
import tensorflow as tf

from trainer import wide


@keras.saving.register_keras_serializable("gradline")
class Conv2D(keras.layers.Conv2D):
    """`keras.layers.Conv2D`, which hands over its gradient image by image where float64 gradients are asked for."""

    def call(self, x):
        variables = wide.offered()
        if variables is None or self.groups != 1 or self.data_format != "channels_last":
            return super().call(x)
        options = dict(
            strides=[1, *self.strides, 1], dilations=[1, *self.dilation_rate, 1], padding=self.padding.upper()
        )
        y = _convolve(x, tf.cast(tf.convert_to_tensor(self.kernel), x.dtype), variables.of(self.kernel), options)
        if self.use_bias:
            y = _add_bias(y, tf.cast(tf.convert_to_tensor(self.bias), x.dtype), variables.of(self.bias))
        return y if self.activation is None else self.activation(y)


def _convolve(x, kernel, wide_kernel, options):
    @tf.custom_gradient
    def convolve(x, kernel, wide_kernel):
        def gradient(dy):
            dx = tf.raw_ops.Conv2DBackpropInput(input_sizes=tf.shape(x), filter=kernel, out_backprop=dy, **options)

            def of_image(pair):
                one, slope = (tf.expand_dims(value, 0) for value in pair)
                part = tf.raw_ops.Conv2DBackpropFilter(
                    input=one, filter_sizes=kernel.shape, out_backprop=slope, **options
                )
                return tf.cast(part, tf.float64)

            if x.shape[0] is None:
                each = tf.map_fn(of_image, (x, dy), fn_output_signature=tf.float64)
                return dx, None, tf.reduce_sum(each, axis=0)
            each = [of_image(pair) for pair in zip(tf.unstack(x), tf.unstack(dy, x.shape[0]), strict=True)]
            return dx, None, tf.add_n(each)

        return tf.nn.conv2d(x, kernel, **options), gradient

    return convolve(x, kernel, wide_kernel)


@tf.custom_gradient
def _add_bias(y, bias, wide_bias):
    def gradient(dy):
        return dy, None, tf.reduce_sum(wide.sum_over_space(tf.cast(dy, tf.float32)), axis=0)

    return y + bias, gradient
