"""The cause of a finding in a sentence."""

from __future__ import annotations

from . import op_advice
from .causes import CAUSES

_SPOKEN = {
    **dict.fromkeys(op_advice.COMPARISONS + op_advice.EQUALITIES, "A comparison"),
    **dict.fromkeys(op_advice.LOGIC, "A logical operation"),
    **dict.fromkeys(("PyFunc", "PyFuncStateless", "EagerPyFunc"), "A Python function"),
    **dict.fromkeys(("MapDataset", "ParallelMapDatasetV2"), "Dataset.map"),
    "ArgMax": "The index of the largest value",
    "ArgMin": "The index of the smallest value",
    "TopKV2": "The index of top_k",
    "Round": "Rounding",
    "Rint": "Rounding",
    "Floor": "Rounding down",
    "Ceil": "Rounding up",
    "FloorDiv": "Whole division",
    "Where": "The position of true values",
    "Multinomial": "A random draw of categories",
    "StatelessMultinomial": "A random draw of categories",
    "Bincount": "A count",
    "DenseBincount": "A count",
}


def explain_cause(finding) -> str:
    """The cause in a sentence, without a full stop, for a finding's title."""
    op = finding.op_type
    if finding.cause == "non_differentiable_op":
        subject = _SPOKEN.get(op, op or "An operation")
        named = f"{subject} ({op})" if op and subject != op else subject
        why = op_advice.OPS.get(op, ("",))[0]
        return f"{named} has no gradient" + (f": {why}" if why else "")
    if finding.cause == "zero_gradient":
        return f"The gradient becomes exactly zero at {op}" if op else "The gradient is exactly zero"
    if finding.cause == "nan_gradient":
        return f"NaN or infinity first appears at {op}" if op else "The gradient is NaN or infinite"
    if finding.cause == "left_tensorflow" and _SPOKEN.get(op) == "Dataset.map":
        return f"Dataset.map ({op}) runs in the input pipeline, where no tape looks"
    if finding.cause == "left_tensorflow" and op in _SPOKEN:
        return f"{_SPOKEN[op]} ({op}) leaves TensorFlow, and no gradient can follow it"
    if finding.cause == "stop_gradient" and op != "StopGradient":
        return "The tape was not recording here" if op is None else f"The gradient is stopped ({op})"
    if finding.cause == "stateful_assign" and op:
        return f"{op} puts the value into a table or a queue, and no gradient passes through that"
    if finding.cause == "not_trainable" and not finding.variables:
        return "There is no trainable variable: the layers are frozen, or not built yet"
    sentence = CAUSES[finding.cause].sentence
    if finding.cause == "integer_cast" and op and op != "Cast":
        return f"{sentence} ({op})"
    return _singular(sentence) if len(finding.variables) == 1 else sentence


def _singular(sentence: str) -> str:
    for plural, single in (
        ("They are", "It is"),
        ("use them", "use it"),
        ("their place", "its place"),
        ("reads them", "reads it"),
        ("tracks them", "tracks it"),
        ("change them", "change it"),
        ("changes them", "changes it"),
    ):
        sentence = sentence.replace(plural, single)
    return sentence
