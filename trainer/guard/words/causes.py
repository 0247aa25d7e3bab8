"""Every cause: its meaning, its sentence in a report, and the advice on it. A new cause is a row here."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Cause:
    """What a report says about a cause.

    Attributes:
      sentence: without a full stop, in the plural; empty where it depends on the op, see `sentences.py`.
      advice: what to write instead, in words; empty where it depends on the op, see `remedies.py`.
      code: the advice as lines of code.
      may_be_meant: it may be intended: the report shows how to allow the variables.
    """

    sentence: str = ""
    advice: str = ""
    code: tuple[str, ...] = ()
    may_be_meant: bool = False


CAUSES = {
    # tf.stop_gradient, or a tape whose recording was stopped.
    "stop_gradient": Cause(sentence="tf.stop_gradient cuts the gradient", may_be_meant=True),
    # An op for which TensorFlow has no gradient.
    "non_differentiable_op": Cause(may_be_meant=True),
    # A cast to integers or booleans.
    "integer_cast": Cause(sentence="A cast to integers has no gradient", may_be_meant=True),
    # NumPy, .numpy(), float(), tf.py_function.
    "left_tensorflow": Cause(sentence="The value leaves TensorFlow, and no gradient can follow it"),
    # Computed before the tape was opened, or outside it.
    "outside_tape": Cause(
        sentence="The values were computed outside the tape, which knows nothing of how",
        advice=(
            "Call the model, and everything up to the loss, inside the tape's with block (or inside the function "
            "that you pass as the forward pass)."
        ),
        code=(
            "with tf.GradientTape() as tape:",
            "    prediction = model(images, training=True)",
            "    loss = loss_fn(labels, prediction)",
            "gradients = tape.gradient(loss, model.trainable_variables)",
        ),
    ),
    # Never read, or read and dropped before the loss.
    "not_used": Cause(
        sentence="The loss does not use them",
        advice=(
            "Let the loss depend on them (call the layer, add its output's loss to the sum), or take the layer out "
            "of the model."
        ),
        code=("loss = loss_fn(labels_a, output_a) + loss_fn(labels_b, output_b)   # every output has its term",),
        may_be_meant=True,
    ),
    # Frozen, made with trainable=False, or an empty list.
    "not_trainable": Cause(
        sentence="They are not trainable",
        advice=(
            "Unfreeze the layers to be trained, and read the list again afterwards; or leave the others out "
            "of the list."
        ),
        code=(
            "layer.trainable = True",
            "variables = model.trainable_variables",
            "tf.Variable(value, trainable=True)   # for a variable of one's own",
        ),
        may_be_meant=True,
    ),
    # Read by the forward pass, and in no list.
    "untracked_variable": Cause(
        sentence="The forward pass reads them, but no layer tracks them, so no optimizer changes them",
        advice=(
            "Keras 3 tracks only weights made with add_weight, keras.Variable attributes, and layers that are "
            "attributes of a layer (or in a list or dict that is)."
        ),
        code=(
            "def build(self, input_shape):",
            "    self.gain = self.add_weight(shape=(), initializer='ones', name='gain')",
            "",
            "self.dense = keras.layers.Dense(6)   # in the layer itself, not in an object it holds",
        ),
    ),
    # The list holds a variable that another one has replaced.
    "variable_replaced": Cause(
        sentence="Another variable has taken their place in the forward pass",
        advice=(
            "Ask for the list again after the last change of the model, give each attribute one layer only, and "
            "differentiate the model that the forward pass calls."
        ),
        code=(
            "model = make_model()",
            "variables = model.trainable_variables   # after every change, not before",
        ),
        may_be_meant=True,
    ),
    # The loss depends on no variable at all.
    "constant_loss": Cause(
        sentence="The loss does not depend on the model: it is a constant, or made from the labels alone",
        advice=(
            "Compute the loss from what the model returned under this tape. A frequent slip is the labels on both "
            "sides."
        ),
        code=("loss = loss_fn(labels, model(images, training=True))",),
    ),
    # A custom gradient function returns None.
    "custom_gradient_none": Cause(
        sentence="A custom gradient function answers None",
        advice="The inner function of tf.custom_gradient must return a tensor for every input, in their order.",
        code=(
            "@tf.custom_gradient",
            "def layer(x):",
            "    def grad(upstream):",
            "        return upstream * slope   # not None, and not forgotten",
            "    return forward(x), grad",
        ),
        may_be_meant=True,
    ),
    # The value went through Variable.assign.
    "stateful_assign": Cause(
        sentence=(
            "The value is written to a variable by assign and read back; no gradient passes through a variable's memory"
        ),
        advice="Use the new value itself in the loss, and assign it for the next step only.",
        code=(
            "new = 0.9 * self.memory + 0.1 * update",
            "self.memory.assign(new)",
            "return self.reader(x) * new   # not self.memory",
        ),
        may_be_meant=True,
    ),
    # Connected, and exactly zero.
    "zero_gradient": Cause(may_be_meant=True),
    # NaN or infinite.
    "nan_gradient": Cause(),
    # Finite, not zero, and not the derivative of the forward pass.
    "wrong_derivative": Cause(
        sentence="The gradient is not the derivative of the loss",
        advice=(
            "Compare the inner function of tf.custom_gradient with the derivative of what it returns: its sign, its "
            "factors, and every input. Without the decorator TensorFlow differentiates the forward pass itself."
        ),
        code=("numeric = (f(x + 1e-3) - f(x - 1e-3)) / 2e-3   # what grad(1.0) has to be near",),
    ),
    # The loss calls a function that Keras no longer has, so that it cannot be computed.
    "removed_function": Cause(
        sentence="The loss calls a function that Keras 3 no longer has",
        advice="Use the function of that name in keras.ops.",
        code=("K.sum(x)  ->  keras.ops.sum(x)",),
    ),
}
