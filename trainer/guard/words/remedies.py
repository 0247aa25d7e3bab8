"""What to write instead, in words and code."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from . import op_advice
from .causes import CAUSES
from .new_names import numpy_replacements
from .statement import calls_in


def advise(finding) -> str:
    """What to write instead: paragraphs of words and of code, which is indented by four spaces."""
    writers = {
        "non_differentiable_op": _for_op,
        "integer_cast": _for_cast,
        "left_tensorflow": _for_python,
        "zero_gradient": lambda found: _from_table(found, op_advice.ZERO, _ZERO_IN_GENERAL),
        "nan_gradient": lambda found: _from_table(found, op_advice.NAN, _NAN_IN_GENERAL),
        "stop_gradient": _for_stop,
    }
    if finding.cause in writers:
        words = writers[finding.cause](finding)
        return f"{words}\n\n{tried(finding)}" if finding.replacement else words
    cause = CAUSES[finding.cause]
    is_of_variables = finding.cause != "stateful_assign" or finding.op_type is None
    return _joined(cause.advice, cause.code if is_of_variables else ())


_ZERO_IN_GENERAL = (
    "Here the arithmetic gives zero for this batch: a flat function, a factor of zero, or a mask that leaves nothing."
)
_NAN_IN_GENERAL = "Keep the argument of this op inside the range where it and its slope are finite."


def _for_op(finding) -> str:
    _, words = op_advice.OPS.get(finding.op_type, ("", ""))
    return words or (
        f"TensorFlow has no gradient for {finding.op_type or 'this operation'}. Use ops that have one, apply it to the "
        "labels or the data instead of the prediction, or give it a gradient with tf.custom_gradient."
    )


def _for_cast(finding) -> str:
    return (
        "Keep floating-point numbers from the variables to the loss. If it was cast to fit the labels, cast the labels "
        "to the type of the prediction instead; integers are for the metric."
    )


def _for_python(finding) -> str:
    if finding.op_type in op_advice.OPS:
        return _for_op(finding)
    if finding.op_type in ("MapDataset", "ParallelMapDatasetV2"):
        return "Call the model on the batch that comes out of the data set, under the tape; map is for the data."
    calls = calls_in(finding)
    code = [
        f"{name}  ->  {new}" if new else f"{name}  ->  no counterpart: apply it to the labels, in the data pipeline"
        for name, new in numpy_replacements(calls)
    ]
    if any(name.split(".")[-1] == "numpy" for name in calls):
        code.append("prediction.numpy()  ->  prediction   # .numpy() is for printing")
    if any(name in ("float", "int") or name.split(".")[-1] == "item" for name in calls):
        code.append("float(loss)  ->  loss   # return the tensor; float() is for printing")
    if any(name.split(".")[-1] in ("constant", "convert_to_tensor", "Variable", "tolist", "eval") for name in calls):
        code.append("tf.constant(value)  ->  value   # a tensor made from Python numbers has no past")
    words = "Stay in TensorFlow from the variables to the loss."
    return _joined(words, code or ["np.mean(...)  ->  tf.reduce_mean(...)", "float(loss), loss.numpy()  ->  loss"])


def _for_stop(finding) -> str:
    if finding.op_type != "StopGradient":
        return "Take this out of the block that stops the recording."
    return (
        "Take tf.stop_gradient away, or put it only around the part that is not to learn (a target, the other branch "
        "of a straight-through estimator)."
    )


def _from_table(finding, table: dict[str, str], general: str) -> str:
    return table.get(finding.op_type) or op_advice.OPS.get(finding.op_type, ("", general))[1]


def tried(finding) -> str:
    """The replacement as a paragraph of code, with what is known about it."""
    learns = "this variable gets" if len(finding.variables) == 1 else "these variables get"
    new = finding.replacement
    near = new.file == finding.file and new.first_line <= (finding.line or 0) <= new.last_line
    place = "in its place" if near else f"in the place of line {new.first_line}"
    words = f"Tried on this batch: with this {place} {learns} a gradient."
    return _joined(words, textwrap.dedent(finding.replacement.code).splitlines())


def _joined(words: str, code: Sequence[str]) -> str:
    """A paragraph of words and one of code."""
    lines = [f"    {line}" if line else "" for line in "\n".join(code).split("\n")] if code else []
    return "\n\n".join(part for part in (words, "\n".join(lines)) if part)
