"""What every loss requires of its inputs' values, and what it returns where XLA has dropped the assertions.

A check made while tracing raises `ValueError` or `TypeError`. A check of values (labels, masks, probabilities) raises
`ValueError` when eager and `tf.errors.InvalidArgumentError` from a graph. Inside a function compiled by XLA assertions
do not exist, so every failed check also turns a factor of the loss into NaN: the value and the gradient are NaN, on
purpose, and never a plausible number made of wrong labels.
"""

import tensorflow as tf

AXES = {1: ("length",), 2: ("height", "width"), 3: ("depth", "height", "width")}


def axis_names(rank: int) -> tuple[str, ...]:
    """Names of the axes of a `[batch, *space, classes]` tensor of this rank."""
    space = AXES.get(rank - 2) or tuple(f"space {i}" for i in range(rank - 2))
    return ("batch", *space, "classes")


def shape_text(shape, names) -> str:
    """`(batch=2, height=64, width=64)`; an unknown size is `?`."""
    return "(" + ", ".join(f"{n}={'?' if s is None else s}" for n, s in zip(names, shape, strict=True)) + ")"


class ValueChecks:
    """Collects the checks of one call; `factor` is 1, or NaN where one of them failed."""

    def __init__(self, loss: str):
        self.loss = loss
        self._oks = []
        self._assertions = []

    def require(self, ok: tf.Tensor, message: str, **numbers: tf.Tensor):
        """Raises `message` with the numbers unless the scalar `ok`; under XLA it only poisons `factor`."""
        if tf.executing_eagerly():
            if not bool(ok):
                received = ", ".join(f"{name}={value.numpy().tolist()}" for name, value in numbers.items())
                raise ValueError(f"{self.loss}: {message}\nReceived: {received}")
            return
        data = [f"{self.loss}: {message}\nReceived: "]
        for name, value in numbers.items():
            data += [f"{name}=", value]
        self._assertions.append(tf.debugging.Assert(ok, data, summarize=16))
        self._oks.append(ok)

    def after(self, tensor: tf.Tensor) -> tf.Tensor:
        """The tensor, read only after the checks so far have passed, so that their error is raised first."""
        if not self._assertions:
            return tensor
        with tf.control_dependencies([a for a in self._assertions if a is not None]):
            return tf.identity(tensor)

    def factor(self, dtype) -> tf.Tensor | None:
        """A scalar that multiplies the loss, 1 or NaN; None when everything is known to be right."""
        if not self._oks:
            return None
        nan = tf.constant(float("nan"), dtype)
        return tf.where(tf.reduce_all(tf.stack(self._oks)), tf.ones([], dtype), nan)


def check_floating(loss: str, dtype: tf.DType):
    """Predictions that have a gradient."""
    if not dtype.is_floating:
        raise TypeError(
            f"{loss}: predictions must be floating point; {dtype.name} has no gradient. Pass the logits, before any "
            f"argmax, rounding or threshold.\nReceived: y_pred of dtype {dtype.name}"
        )


def check_same_shape(checks: ValueChecks, name: str, shape_of, reference: tf.Tensor, axes, remedy: str = ""):
    """The first `len(axes)` sizes of both must be equal: now where they are known, else at run time."""
    static, wanted = shape_of.shape.as_list()[: len(axes)], reference.shape.as_list()[: len(axes)]
    wrong = [a for a, s, w in zip(axes, static, wanted, strict=True) if None not in (s, w) and s != w]
    if wrong:
        raise ValueError(
            f"{checks.loss}: {name} and y_pred differ in {' and '.join(wrong)}; shapes are never broadcast. "
            f"{remedy or shape_remedy(name, static, wanted, axes)}\n"
            f"Received: {name} {shape_text(static, axes)}, y_pred {shape_text(wanted, axes)}"
        )
    if None in static or None in wanted:
        got, want = tf.shape(shape_of)[: len(axes)], tf.shape(reference)[: len(axes)]
        checks.require(
            tf.reduce_all(tf.equal(got, want)),
            f"{name} and y_pred differ in one of the axes ({', '.join(axes)}); shapes are never broadcast. "
            "Compare the sizes below: a batch of 1, swapped axes and a mask that was not resized are the usual causes.",
            **{f"{name}_shape": got, "y_pred_shape": want},
        )


def shape_remedy(name: str, static, wanted, axes) -> str:
    """The likely reason for a difference between two shapes, and the code that removes it."""
    space, wanted_space = static[1:], wanted[1:]
    if space == wanted_space and static[0] == 1:
        return f"If one {name} is meant for the whole batch, write tf.repeat({name}, {wanted[0]}, axis=0)."
    if space == wanted_space:
        return f"Each prediction needs its own {name}: look for a batch that was split or dropped on one side only."
    if space != wanted_space and sorted(map(str, space)) == sorted(map(str, wanted_space)):
        order = [0] + [1 + space.index(size) for size in wanted_space]
        return f"The axes of {name} look swapped: tf.transpose({name}, {order}), with the axis of classes kept last."
    method = "method='nearest'"
    return f"Resize {name} to the prediction (tf.image.resize with {method} for labels), or crop both alike."


def check_ids(checks: ValueChecks, ids: tf.Tensor, num_classes: int, ignore_id):
    """Every id is one of the classes; ids that are ignored have been replaced already."""
    low, high = tf.reduce_min(ids), tf.reduce_max(ids)
    inside = (low >= 0) & (high < num_classes) | tf.equal(tf.size(ids), 0)
    ignored = "" if ignore_id is None else f" and not ignore_id={ignore_id}"
    checks.require(
        inside,
        f"y_true holds ids that are none of the {num_classes} classes 0 to {num_classes - 1}{ignored}. If one id marks "
        "pixels not to be counted, name it (ignore_id=255); a mask of 0 and 255 is y_true // 255; and ids that start "
        "at 1 are y_true - 1.",
        smallest_id=low,
        largest_id=high,
        outside=tf.math.count_nonzero((ids < 0) | (ids >= num_classes)),
    )


def check_unit_interval(checks: ValueChecks, name: str, values: tf.Tensor, remedy: str, slack: float = 0.0):
    """Every value lies in [0, 1]; NaN passes, because it shows in the loss anyway."""
    low, high = tf.reduce_min(values), tf.reduce_max(values)
    outside = (tf.cast(low, tf.float64) < -slack) | (tf.cast(high, tf.float64) > 1.0 + slack)
    checks.require(
        ~outside | tf.equal(tf.size(values), 0),
        f"{name} has values outside 0 to 1. {remedy}",
        smallest=low,
        largest=high,
    )


def check_not_probabilities(checks: ValueChecks, scores: tf.Tensor, activation: str):
    """Logits that are the output of a softmax or sigmoid already: recognised by the op that made them, or by value.

    By value only a softmax can be recognised (each pixel sums to 1 and the classes differ), from the first 1024 pixels
    of each image; values between 0 and 1 may well be logits of a sigmoid.
    """
    remedy = (
        f"activation={activation!r} would apply it a second time. Take the activation off the model's last layer, "
        "which is more accurate, or write activation=None."
    )
    made_by = _activation_behind(scores)
    if made_by:
        raise ValueError(
            f"{checks.loss}: y_pred is the output of a {made_by} already: probabilities, not logits, and {remedy}\n"
            f"Received: y_pred={scores}"
        )
    if activation != "softmax":
        return
    batch, classes = tf.shape(scores)[0], scores.shape[-1]
    sample = tf.stop_gradient(tf.reshape(scores, [batch, -1, classes])[:, :1024])
    sample = tf.cast(sample, tf.float32)
    slack = 1e-2 if scores.dtype == tf.bfloat16 else 2e-3 if scores.dtype == tf.float16 else 1e-4
    unit = tf.reduce_all((sample >= 0) & (sample <= 1)) & tf.reduce_all(tf.abs(tf.reduce_sum(sample, -1) - 1) < slack)
    uniform = tf.reduce_all(tf.abs(sample - 1 / classes) < slack)
    checks.require(
        ~unit | uniform | tf.equal(tf.size(sample), 0),
        f"y_pred looks like probabilities (between 0 and 1, adding to 1 in each pixel), not logits: {remedy}",
        first_pixel=tf.reshape(sample, [-1])[:classes],
    )


def _activation_behind(tensor) -> str | None:
    """`Softmax` or `Sigmoid` if this graph tensor is the output of one, perhaps cast or reshaped."""
    if tf.executing_eagerly() or not tf.is_symbolic_tensor(tensor):
        return None
    for _ in range(8):
        op = tensor.op
        if op.type in ("Softmax", "Sigmoid"):
            return op.type
        if op.type not in ("Cast", "Identity", "Reshape", "Squeeze", "ExpandDims", "EnsureShape"):
            return None
        tensor = op.inputs[0]
    return None
