"""What to write instead, in words and code."""

from __future__ import annotations

from . import op_advice
from .new_names import numpy_replacements
from .statement import Place, calls_in, in_brackets, place_of

_LONG = 24  # characters; a longer operand that advice needs twice gets a name of its own


def advise(finding) -> str:
    """What to write instead: paragraphs of words and, indented by four spaces, of code."""
    writers = {
        "non_differentiable_op": _for_op,
        "integer_cast": _for_cast,
        "left_tensorflow": _for_python,
        "zero_gradient": lambda found: _from_table(found, op_advice.ZERO, _ZERO_IN_GENERAL),
        "nan_gradient": lambda found: _from_table(found, op_advice.NAN, _NAN_IN_GENERAL),
        "stop_gradient": _for_stop,
    }
    if finding.cause in writers:
        return writers[finding.cause](finding)
    words, code = _ADVICE[finding.cause]
    is_of_variables = finding.cause != "stateful_assign" or finding.op_type is None
    return _joined(words, code if is_of_variables else [])


_ADVICE = {
    "outside_tape": (
        "Call the model, and everything up to the loss, inside the tape's with block (or inside the function "
        "that is handed over as the forward pass).",
        [
            "with tf.GradientTape() as tape:",
            "    prediction = model(images, training=True)",
            "    loss = loss_fn(labels, prediction)",
            "gradients = tape.gradient(loss, model.trainable_variables)",
        ],
    ),
    "not_used": (
        "Let the loss depend on them (call the layer, add its output's loss to the sum), or take the layer out of "
        "the model.",
        ["loss = loss_fn(labels_a, output_a) + loss_fn(labels_b, output_b)   # every output has its term"],
    ),
    "not_trainable": (
        "Unfreeze what is to be trained, after which the list must be asked for again; or leave the others out "
        "of the list.",
        [
            "layer.trainable = True",
            "variables = model.trainable_variables",
            "tf.Variable(value, trainable=True)   # for a variable of one's own",
        ],
    ),
    "untracked_variable": (
        "Keras 3 tracks only weights made with add_weight, keras.Variable attributes, and layers that are "
        "attributes of a layer (or in a list or dict that is).",
        [
            "def build(self, input_shape):",
            "    self.gain = self.add_weight(shape=(), initializer='ones', name='gain')",
            "",
            "self.dense = keras.layers.Dense(6)   # in the layer itself, not in an object it holds",
        ],
    ),
    "variable_replaced": (
        "Ask for the list again after the last change of the model, give each attribute one layer only, and "
        "differentiate the model that the forward pass calls.",
        ["model = make_model()", "variables = model.trainable_variables   # after every change, not before"],
    ),
    "constant_loss": (
        "Compute the loss from what the model returned under this tape. A frequent slip is the labels on both sides.",
        ["loss = loss_fn(labels, model(images, training=True))"],
    ),
    "removed_function": ("Use the function of that name in keras.ops.", ["K.sum(x)  ->  keras.ops.sum(x)"]),
    "custom_gradient_none": (
        "The inner function of tf.custom_gradient must return a tensor for every input, in their order.",
        [
            "@tf.custom_gradient",
            "def layer(x):",
            "    def grad(upstream):",
            "        return upstream * slope   # not None, and not forgotten",
            "    return forward(x), grad",
        ],
    ),
    "stateful_assign": (
        "Use the new value itself in the loss, and assign it for the next step only.",
        [
            "new = 0.9 * self.memory + 0.1 * update",
            "self.memory.assign(new)",
            "return self.reader(x) * new   # not self.memory",
        ],
    ),
}
_ZERO_IN_GENERAL = (
    "Here the arithmetic gives zero for this batch: a flat function, a factor of zero, or a mask that leaves nothing."
)
_NAN_IN_GENERAL = "Keep the argument of this op inside the range where it and its slope are finite."


def _for_op(finding) -> str:
    place = place_of(finding)
    _, words, code = op_advice.OPS.get(finding.op_type, ("", "", []))
    if not words:
        words = (
            f"TensorFlow has no gradient for {finding.op_type or 'this operation'}. Use ops that have one, apply it to "
            "the labels or the data instead of the prediction, or give it a gradient."
        )
        code = ["@tf.custom_gradient", "def with_gradient(x):", "    return operation(x), lambda upstream: upstream"]
    return _joined(words, _filled(code, place))


def _for_cast(finding) -> str:
    place = place_of(finding)
    words = (
        "Cast the labels to the type of the prediction, not the prediction to the type of the labels; integers are for "
        "the metric."
    )
    return _joined(words, _filled(["y_true = tf.cast(y_true, y_pred.dtype)", "={x}"], place))


def _for_python(finding) -> str:
    if finding.op_type in op_advice.OPS:
        return _for_op(finding)
    calls = calls_in(finding)
    found = numpy_replacements(calls)
    words, code = "Stay in TensorFlow from the variables to the loss.", []
    for name, new in found:
        code.append(
            f"{name}  ->  {new}" if new else f"{name}  ->  no counterpart: apply it to the labels, in the data pipeline"
        )
    if any(name.split(".")[-1] == "numpy" for name in calls):
        code.append("prediction.numpy()  ->  prediction   # .numpy() is for printing")
    if any(name in ("float", "int") or name.split(".")[-1] == "item" for name in calls):
        code.append("float(loss)  ->  loss   # return the tensor; float() is for printing")
    if any(name.split(".")[-1] in ("constant", "convert_to_tensor", "Variable", "tolist", "eval") for name in calls):
        code.append("tf.constant(value)  ->  value   # a tensor made from Python numbers has no past")
    return _joined(words, code or ["np.mean(...)  ->  tf.reduce_mean(...)", "float(loss), loss.numpy()  ->  loss"])


def _for_stop(finding) -> str:
    if finding.op_type != "StopGradient":
        return _joined(
            "Take this out of the block that stops the recording.", ["prediction = model(images)   # under the tape"]
        )
    place = place_of(finding)
    words = (
        "Take tf.stop_gradient away, or put it only around the part that is not to learn (a target, the other branch "
        "of a straight-through estimator)."
    )
    return _joined(words, _filled(["={x}"], place) or ["loss = distance(prediction, tf.stop_gradient(target))"])


def _from_table(finding, table: dict, general: str) -> str:
    words, code = table.get(finding.op_type) or op_advice.OPS.get(finding.op_type, ("", general, []))[1:]
    return _joined(words, _filled(code, place_of(finding) if code else None))


def _filled(code: list[str], place: Place | None) -> list[str]:
    """Code lines with the user's own expressions in them; without a place only those that need none."""
    lines: list[str] = []
    operands = place.operands if place else ()
    first = operands[0] if operands else "x"
    expression = place.expression if place else "f(x)"
    for line in code:
        whole = line.startswith("=")
        if whole and (not place or _lacks_operand(line, len(operands))):
            continue
        template, _, comment = line.lstrip("=").partition("  # ") if whole else (line, "", "")
        if _is_probability(first):
            template = template.replace("tf.nn.softmax({x}, axis=-1)", "{x}")
            comment = "" if comment.startswith("if it is a probability") else comment
        x, expr = first, expression
        if template.count("{x}") > 1 and len(first) > _LONG:
            lines.append(f"soft = {first}")
            x, expr = "soft", expression.replace(first, "soft")
        y = operands[1] if len(operands) > 1 else "y"
        difference = in_brackets(x if y in ("0", "0.0") else f"{in_brackets(x)} - {in_brackets(y)}")
        values = {
            "difference": difference,
            "x": in_brackets(x) if template != "{x}" else x,
            "y": in_brackets(y),
            "expr": expr,
            "bare": x,
        }
        text = _fill(template.replace("({x})", "({bare})").replace("({x},", "({bare},"), values)
        new = place.instead(text) if whole else text
        if whole and len(set(new.split(" = "))) == 1 and " = " in new:
            continue  # x = x
        lines.append(new + (f"  # {_fill(comment, values)}" if comment else ""))
    while lines and lines[-1].startswith("# "):
        lines.pop()  # a remark on a line that was left out
    return lines


def _is_probability(expression: str) -> bool:
    """Whether the user's expression says itself that it is one."""
    return any(name in expression for name in ("softmax(", "sigmoid("))


def _lacks_operand(line: str, count: int) -> bool:
    needed = 2 if "{y}" in line or "{difference}" in line else 1 if "{x}" in line else 0
    return count < needed


def _fill(template: str, values: dict[str, str]) -> str:
    for name, value in values.items():
        template = template.replace(f"{{{name}}}", value)
    return template


def _joined(words: str, code: list[str]) -> str:
    """A paragraph of words and one of code; an empty line of code would end the paragraph, so it holds a #."""
    lines = [f"    {line}" if line else "    #" for line in "\n".join(code).split("\n")] if code else []
    return "\n\n".join(part for part in (words, "\n".join(lines)) if part)
