"""What the doctor found, as data: a `Finding` for each fault, and the `Diagnosis` that holds them."""

from __future__ import annotations

import dataclasses
from typing import Any

from ..words.base import BaseFinding, Shown

DEPTHS = ("static", "batch", "steps")

# kind -> the fault in a few words, for a heading
KINDS = {
    "softmax_over_one_unit": "A softmax over one unit is always 1",
    "softmax_axis": "The softmax runs over another axis than the classes",
    "missing_output_activation": "The loss reads probabilities and gets scores",
    "activation_with_from_logits": "The loss takes probabilities for logits",
    "wrong_output_activation": "The output's activation is for another kind of labels",
    "categorical_loss_on_one_unit": "A categorical cross-entropy over one unit is constant",
    "relu_output": "A ReLU stands before a cross-entropy",
    "output_range": "The output cannot reach what the loss compares it with",
    "wrong_loss": "The loss does not measure what is to be learned",
    "label_range": "The labels are outside the range of output and loss",
    "label_encoding": "The labels are encoded differently from what the loss reads",
    "constant_labels": "All labels are the same",
    "class_imbalance": "The rare class is never predicted",
    "nonfinite_data": "The data holds NaN or infinity",
    "unscaled_input": "The inputs are far from unit scale",
    "constant_input": "The inputs are all the same",
    "duplicate_input": "The inputs are copies of each other",
    "unshuffled_data": "The batches come in the order of the labels",
    "unscaled_target": "The targets are far from unit scale",
    "shape_broadcast": "Labels and predictions broadcast against each other",
    "labels_not_aligned": "The labels do not belong to the inputs",
    "train_validation_mismatch": "Validation data is prepared differently from training data",
    "validation_leak": "Validation data is also in the training data",
    "weight_initialization": "The initial weights keep the layer from learning",
    "symmetric_units": "The units of a layer are copies of each other and stay so",
    "dead_units": "A layer never fires",
    "saturated_units": "A layer is saturated",
    "vanishing_gradient": "The gradient vanishes on its way to the first layers",
    "exploding_gradient": "The gradient explodes",
    "too_few_units": "A layer is too narrow for the task",
    "missing_nonlinearity": "The layers are linear, and together no more than a single one",
    "regularization_too_strong": "The penalty outweighs the data",
    "dropout_too_high": "Dropout leaves too little",
    "dropout_on_output": "Dropout hits the output itself",
    "frozen_layer": "A layer that was never trained is frozen",
    "batchnorm_statistics": "Batch normalisation's averages are not those of the data",
    "learning_rate_too_high": "The learning rate is too high",
    "learning_rate_too_low": "The learning rate is too low",
    "clipping_too_tight": "The gradients are clipped to almost nothing",
    "momentum_too_high": "The momentum is too high",
    "optimizer_for_other_variables": "The optimizer was built for other variables",
    "batch_size_too_large": "The batches are so large that there are hardly any steps",
    "too_few_epochs": "Training ends before it has begun to work",
    "zero_gradient": "No gradient passes",
    "nonfinite_loss": "The loss is NaN or infinite",
    "does_not_run": "The program cannot compute its loss",
}


@dataclasses.dataclass(frozen=True)
class Finding(BaseFinding):
    """One fault.

    Attributes:
      kind: one of `KINDS`.
      where: the layer's name, or the argument: `loss`, `optimizer.learning_rate`, `x`, `y`, `batch_size`, `epochs`,
        `validation`; a tuple where several share the fault, the first cause first.
      evidence: what was seen, in numbers.
      remedy: what to do, in words and in code, which is indented by four spaces.
      depth: how far the doctor had to look: "static", "batch" or "steps".
      file, line, code, replacement: the user's own line, where it can be found; see `BaseFinding`.
    """

    where: str | tuple[str, ...]
    evidence: str
    remedy: str
    depth: str = "static"

    def __post_init__(self):
        if self.kind not in KINDS or self.depth not in DEPTHS:
            raise ValueError(
                f"A finding's kind is one of {', '.join(KINDS)} and its depth one of {', '.join(DEPTHS)}. "
                f"Received: kind={self.kind!r}, depth={self.depth!r}"
            )
        super().__post_init__()

    @property
    def places(self) -> tuple[str, ...]:
        """`where` as a tuple in every case."""
        return (self.where,) if isinstance(self.where, str) else tuple(self.where)

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain lists, strings and numbers, ready for `json.dumps`."""
        return {**dataclasses.asdict(self), "where": list(self.places)}


@dataclasses.dataclass(frozen=True)
class Diagnosis(Shown):
    """Why a program does not learn; without findings if `ok`.

    Attributes:
      findings: the faults, the most certain first.
      notes: sentences that belong to no fault: what was tried, what could not be examined.
      depth: how far the doctor looked: "static", "batch" or "steps".
      seconds: how long that took.
    """

    findings: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()
    depth: str = "static"
    seconds: float = 0.0

    def render(self, color: bool = False, width: int = 110) -> str:
        """The diagnosis as text: plain for a log file, with ANSI colours for a terminal."""
        from .text import as_text

        return as_text(self, color=color, width=width)

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain lists, strings and numbers, ready for `json.dumps`."""
        return {
            "ok": self.ok,
            "findings": [finding.to_dict() for finding in self.findings],
            "notes": list(self.notes),
            "depth": self.depth,
            "seconds": round(self.seconds, 3),
        }


class DoesNotLearnError(ValueError):
    """Raised to end training because of a fault; `diagnosis` says which, why and where."""

    def __init__(self, diagnosis: Diagnosis):
        super().__init__(diagnosis)
        self.diagnosis = diagnosis

    def __str__(self) -> str:
        return f"\n\n{self.diagnosis}"
