"""Keras's Adam and AdamW with TensorFlow's kernel for an update: one operation a variable instead of sixteen."""

from __future__ import annotations

import keras
import tensorflow as tf


class _OneKernel:
    """Replaces how a variable is updated; what is kept, and under which names, is Keras's.

    With gradient g at step t = 1, 2, … (Kingma, Ba 2015, the form before section 2.1):
    m <- m + (1 - beta_1) (g - m), v <- v + (1 - beta_2) (g^2 - v),
    w <- w - rate sqrt(1 - beta_2^t) / (1 - beta_1^t) m / (sqrt(v) + epsilon).
    The kernel takes 1 - beta_2 of a float32, Keras of a Python number: at 0.999 that is 1e-5 of v.
    """

    def _backend_update_step(self, grads, trainable_variables, learning_rate):
        # Here, since they are the same for all variables, each of which would read the counter for itself.
        step = tf.cast(self.iterations.value + 1, tf.float32)
        rates = [tf.cast(learning_rate, tf.float32), tf.pow(self.beta_1, step), tf.pow(self.beta_2, step)]
        super()._backend_update_step(grads, trainable_variables, rates)

    def update_step(self, gradient, variable, rates):
        index = self._get_variable_index(variable)
        m, v = (kept[index].value for kept in (self._momentums, self._velocities))
        # Of the variable's type, all of them: the kernel ends the process where one is not.
        gradient, rate, beta_1_power, beta_2_power = (tf.cast(value, variable.dtype) for value in (gradient, *rates))
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle, m=m.handle, v=v.handle, grad=gradient, lr=rate, beta1_power=beta_1_power,
            beta2_power=beta_2_power, beta1=self.beta_1, beta2=self.beta_2, epsilon=self.epsilon, use_locking=True,
        )  # fmt: skip


@keras.saving.register_keras_serializable("gradline")
class Adam(_OneKernel, keras.optimizers.Adam):
    """`keras.optimizers.Adam` without amsgrad, for dense gradients."""


@keras.saving.register_keras_serializable("gradline")
class AdamW(_OneKernel, keras.optimizers.AdamW):
    """`keras.optimizers.AdamW` without amsgrad, for dense gradients."""
