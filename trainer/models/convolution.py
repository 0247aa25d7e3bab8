"""Convolutions whose gradient rounds alike on any number of replicas, where that is asked for."""

from __future__ import annotations

from collections.abc import Callable

import keras
import tensorflow as tf

from trainer.stepping import wide

# Products an image up to which a kernel's gradient in float64 costs no more than one in float32: what a call costs
# besides them weighs more.
_SMALL = 500_000


class _HandsOver:
    """A convolution of Keras's, which hands over its gradient in float64 where that is asked for."""

    def call(self, x):
        variables = wide.offered()
        parts = self._parts(x) if variables is not None and self.data_format == "channels_last" else None
        if parts is None:
            return super().call(x)
        y = _product(x, self.kernel, variables, *parts)
        if self.use_bias:
            y = _add_bias(y, tf.cast(tf.convert_to_tensor(self.bias), y.dtype), variables.of(self.bias))
        return y if self.activation is None else self.activation(y)

    def _parts(self, x) -> tuple[Callable, Callable, Callable] | None:
        """The product and its gradients, as `_product` takes them; None where the raw operations cannot say it."""
        raise NotImplementedError

    def _options(self) -> dict:
        return dict(strides=[1, *self.strides, 1], padding=self.padding.upper())


@keras.saving.register_keras_serializable("gradline")
class Conv2D(_HandsOver, keras.layers.Conv2D):
    """`keras.layers.Conv2D`, with a gradient that rounds alike on any number of replicas."""

    def _parts(self, x):
        if self.groups != 1:
            return None
        options = {**self._options(), "dilations": [1, *self.dilation_rate, 1]}
        shape, kernel_shape = tf.shape(x), self.kernel.shape
        return (
            lambda x, kernel: tf.nn.conv2d(x, kernel, **options),
            lambda dy, kernel: tf.raw_ops.Conv2DBackpropInput(
                input_sizes=shape, filter=kernel, out_backprop=dy, **options
            ),
            lambda x, dy: tf.raw_ops.Conv2DBackpropFilter(
                input=x, filter_sizes=kernel_shape, out_backprop=dy, **options
            ),
        )


@keras.saving.register_keras_serializable("gradline")
class DepthwiseConv2D(_HandsOver, keras.layers.DepthwiseConv2D):
    """`keras.layers.DepthwiseConv2D`, with a gradient that rounds alike on any number of replicas."""

    def _parts(self, x):
        if self.dilation_rate != (1, 1) or self.strides[0] != self.strides[1]:
            return None
        options, shape, kernel_shape = self._options(), tf.shape(x), self.kernel.shape
        return (
            lambda x, kernel: tf.raw_ops.DepthwiseConv2dNative(input=x, filter=kernel, **options),
            lambda dy, kernel: tf.raw_ops.DepthwiseConv2dNativeBackpropInput(
                input_sizes=shape, filter=kernel, out_backprop=dy, **options
            ),
            lambda x, dy: tf.raw_ops.DepthwiseConv2dNativeBackpropFilter(
                input=x, filter_sizes=kernel_shape, out_backprop=dy, **options
            ),
        )


@keras.saving.register_keras_serializable("gradline")
class Conv2DTranspose(_HandsOver, keras.layers.Conv2DTranspose):
    """`keras.layers.Conv2DTranspose`, with a gradient that rounds alike on any number of replicas."""

    def _parts(self, x):
        if self.output_padding is not None or self.dilation_rate != (1, 1) or None in x.shape[1:3]:
            return None
        # A transposed convolution is the gradient of a convolution from `shape` to x's, so the parts change places.
        options, shape = self._options(), [tf.shape(x)[0], *self.compute_output_shape(x.shape)[1:]]
        kernel_shape = self.kernel.shape
        return (
            lambda x, kernel: tf.raw_ops.Conv2DBackpropInput(
                input_sizes=shape, filter=kernel, out_backprop=x, **options
            ),
            lambda dy, kernel: tf.nn.conv2d(dy, kernel, **options),
            lambda x, dy: tf.raw_ops.Conv2DBackpropFilter(
                input=dy, filter_sizes=kernel_shape, out_backprop=x, **options
            ),
        )


# By Keras's class, whose place it takes.
OURS = {
    keras.layers.Conv2D: Conv2D,
    keras.layers.DepthwiseConv2D: DepthwiseConv2D,
    keras.layers.Conv2DTranspose: Conv2DTranspose,
}


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


@tf.custom_gradient
def _add_bias(y, bias, _):
    def gradient(dy):
        return dy, None, tf.reduce_sum(wide.sum_over_space(tf.cast(dy, tf.float32)), axis=0)

    return tf.nn.bias_add(y, bias), gradient
