"""Convolutions whose gradient rounds alike on any number of replicas, where that is asked for; see `trainer.wide`."""

from __future__ import annotations

from collections.abc import Callable

import keras
import tensorflow as tf

from trainer import wide

# Products an image up to which a kernel's gradient in float64 costs no more than one in float32: what a call costs
# besides them weighs more.
_SMALL = 500_000


@keras.saving.register_keras_serializable("gradline")
class Conv2D(keras.layers.Conv2D):
    """`keras.layers.Conv2D`, which hands over its gradient in float64 where that is asked for."""

    def call(self, x):
        variables = wide.offered()
        if variables is None or self.groups != 1 or self.data_format != "channels_last":
            return super().call(x)
        options = dict(strides=[1, *self.strides, 1], padding=self.padding.upper(),
                       dilations=[1, *self.dilation_rate, 1])  # fmt: skip
        shape, kernel = tf.shape(x), self.kernel.shape
        y = _product(
            x, self.kernel, variables,
            lambda x, kernel: tf.nn.conv2d(x, kernel, **options),
            lambda dy, kernel: tf.raw_ops.Conv2DBackpropInput(
                input_sizes=shape, filter=kernel, out_backprop=dy, **options
            ),
            lambda x, dy: tf.raw_ops.Conv2DBackpropFilter(input=x, filter_sizes=kernel, out_backprop=dy, **options),
        )  # fmt: skip
        return _finish(self, y, variables)


@keras.saving.register_keras_serializable("gradline")
class DepthwiseConv2D(keras.layers.DepthwiseConv2D):
    """`keras.layers.DepthwiseConv2D`, which hands over its gradient in float64 where that is asked for."""

    def call(self, x):
        variables = wide.offered()
        if (
            variables is None or self.data_format != "channels_last"
            or self.dilation_rate != (1, 1) or self.strides[0] != self.strides[1]
        ):  # fmt: skip
            return super().call(x)
        options = dict(strides=[1, *self.strides, 1], padding=self.padding.upper())
        shape, kernel = tf.shape(x), self.kernel.shape
        y = _product(
            x, self.kernel, variables,
            lambda x, kernel: tf.raw_ops.DepthwiseConv2dNative(input=x, filter=kernel, **options),
            lambda dy, kernel: tf.raw_ops.DepthwiseConv2dNativeBackpropInput(
                input_sizes=shape, filter=kernel, out_backprop=dy, **options
            ),
            lambda x, dy: tf.raw_ops.DepthwiseConv2dNativeBackpropFilter(
                input=x, filter_sizes=kernel, out_backprop=dy, **options
            ),
        )  # fmt: skip
        return _finish(self, y, variables)


@keras.saving.register_keras_serializable("gradline")
class Conv2DTranspose(keras.layers.Conv2DTranspose):
    """`keras.layers.Conv2DTranspose`, which hands over its gradient in float64 where that is asked for."""

    def call(self, x):
        variables = wide.offered()
        if (
            variables is None or self.data_format != "channels_last" or self.output_padding is not None
            or self.dilation_rate != (1, 1) or None in x.shape[1:3]
        ):  # fmt: skip
            return super().call(x)
        options = dict(strides=[1, *self.strides, 1], padding=self.padding.upper())
        # A transposed convolution is the gradient of a convolution from `shape` to x's, so the parts change places.
        shape, kernel = [tf.shape(x)[0], *self.compute_output_shape(x.shape)[1:]], self.kernel.shape
        y = _product(
            x, self.kernel, variables,
            lambda x, kernel: tf.raw_ops.Conv2DBackpropInput(
                input_sizes=shape, filter=kernel, out_backprop=x, **options
            ),
            lambda dy, kernel: tf.nn.conv2d(dy, kernel, **options),
            lambda x, dy: tf.raw_ops.Conv2DBackpropFilter(input=dy, filter_sizes=kernel, out_backprop=x, **options),
        )  # fmt: skip
        return _finish(self, y, variables)


def ours(layer: keras.layers.Layer) -> type[keras.layers.Layer] | None:
    """The class here that stands for one of Keras's convolutions; None for any other layer."""
    return {kind.__base__: kind for kind in (Conv2D, DepthwiseConv2D, Conv2DTranspose)}.get(type(layer))


def _product(x, kernel, variables: wide.WideVariables, product: Callable, to_x: Callable, to_kernel: Callable):
    """`product(x, kernel)`, with the gradient to the kernel handed to its float64 stand-in.

    `to_x(dy, kernel)` and `to_kernel(x, dy)` are the gradients, of any type that x and dy have.
    """

    @tf.custom_gradient
    def convolve(x, kernel, _):
        def gradient(dy):
            return to_x(dy, kernel), None, _in_float64(to_kernel, x, dy, kernel.shape, variables.images)

        return product(x, kernel), gradient

    return convolve(x, tf.cast(tf.convert_to_tensor(kernel), x.dtype), variables.of(kernel))


def _in_float64(to_kernel: Callable, x, dy, kernel: tf.TensorShape, images: int):
    """A small convolution all in float64; a large one in its own type, so many images at a time, added up in float64.

    Which of them may depend on an image's size, not on how many there are.
    """
    pixels = min(x.shape[1:3].num_elements() or 0, dy.shape[1:3].num_elements() or 0)
    if 0 < pixels * kernel.num_elements() <= _SMALL:
        return to_kernel(tf.cast(x, tf.float64), tf.cast(dy, tf.float64))
    batch = x.shape[0]
    if batch is None:
        parts = tf.map_fn(
            lambda pair: to_kernel(pair[0][tf.newaxis], pair[1][tf.newaxis]), (x, dy), fn_output_signature=x.dtype
        )
        return tf.reduce_sum(tf.cast(parts, tf.float64), axis=0)
    count = batch // images if batch % images == 0 else batch
    pairs = zip(tf.split(x, count), tf.split(dy, count), strict=True)
    return tf.add_n([tf.cast(to_kernel(*pair), tf.float64) for pair in pairs])


def _finish(layer, y, variables: wide.WideVariables):
    """Bias and activation, as Keras's layer has them."""
    if layer.use_bias:
        y = _add_bias(y, tf.cast(tf.convert_to_tensor(layer.bias), y.dtype), variables.of(layer.bias))
    return y if layer.activation is None else layer.activation(y)


@tf.custom_gradient
def _add_bias(y, bias, _):
    def gradient(dy):
        return dy, None, tf.reduce_sum(wide.sum_over_space(tf.cast(dy, tf.float32)), axis=0)

    return tf.nn.bias_add(y, bias), gradient
