"""What the doctor found, as data: a `Finding` a fault, and the `Diagnosis` that holds them."""

from __future__ import annotations

import dataclasses
import linecache
import os
import sys
from typing import Any

DEPTHS = ("static", "batch", "steps")

# kind -> the fault in a few words, for a heading
KINDS = {
    "softmax_over_one_unit": "A softmax over one unit is always 1",
    "softmax_axis": "The softmax runs over another axis than the classes",
    "missing_output_activation": "The loss reads probabilities and gets scores",
    "activation_with_from_logits": "The loss takes probabilities for logits",
    "wrong_output_activation": "The output's activation is one for another kind of labels",
    "categorical_loss_on_one_unit": "A categorical cross-entropy over one unit is constant",
    "relu_output": "A ReLU stands before a cross-entropy",
    "output_range": "The output cannot reach what the loss compares it with",
    "wrong_loss": "The loss does not measure what is to be learned",
    "label_range": "The labels lie outside of what output and loss take",
    "label_encoding": "The labels are encoded otherwise than the loss reads them",
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
    "train_validation_mismatch": "Validation data is prepared otherwise than training data",
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
class Replacement:
    """Whole lines to put in the place of others, which were tried and help.

    Attributes:
      file: the file.
      first_line, last_line: the lines that go, 1-based and inclusive.
      code: what comes instead, indented as it stands there, without the last line break.
    """

    file: str
    first_line: int
    last_line: int
    code: str


@dataclasses.dataclass(frozen=True)
class Finding:
    """One fault.

    Attributes:
      kind: one of `KINDS`.
      where: the layer's name, or the argument: `loss`, `optimizer.learning_rate`, `x`, `y`, `batch_size`, `epochs`,
        `validation`; a tuple where several share the fault, the first cause first.
      evidence: what was seen, in numbers.
      remedy: what to do, in words and, indented by four spaces, code.
      depth: how far the doctor had to look: "static", "batch" or "steps".
      file, line: the user's own line, 1-based, where it can be found.
      code: that line's text.
      replacement: lines that were tried and help, or None.
    """

    kind: str
    where: str | tuple[str, ...]
    evidence: str
    remedy: str
    depth: str = "static"
    file: str | None = None
    line: int | None = None
    code: str | None = None
    replacement: Replacement | None = None

    def __post_init__(self):
        if self.kind not in KINDS or self.depth not in DEPTHS:
            raise ValueError(
                f"A finding's kind is one of {', '.join(KINDS)} and its depth one of {', '.join(DEPTHS)}. "
                f"Received: kind={self.kind!r}, depth={self.depth!r}"
            )
        if self.code is None and self.file and self.line:
            object.__setattr__(self, "code", linecache.getline(self.file, self.line).strip() or None)

    @property
    def places(self) -> tuple[str, ...]:
        """`where`, always as a tuple."""
        return (self.where,) if isinstance(self.where, str) else tuple(self.where)

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain lists, strings and numbers, ready for `json.dumps`."""
        return {**dataclasses.asdict(self), "where": list(self.places)}


@dataclasses.dataclass(frozen=True)
class Diagnosis:
    """Why a program does not learn; nothing, if `ok`.

    Attributes:
      findings: the faults, the most certain first.
      notes: sentences that belong to no fault: what was tried, what could not be looked at.
      depth: how far the doctor looked: "static", "batch" or "steps".
      seconds: how long that took.
    """

    findings: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()
    depth: str = "static"
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        return not self.findings

    def render(self, color: bool = False, width: int = 110) -> str:
        """The diagnosis as text: plain for a log file, with ANSI colours for a terminal."""
        from .text import as_text

        return as_text(self, color=color, width=width)

    def __str__(self) -> str:
        return self.render()

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain lists, strings and numbers, ready for `json.dumps`."""
        return {
            "ok": self.ok,
            "findings": [finding.to_dict() for finding in self.findings],
            "notes": list(self.notes),
            "depth": self.depth,
            "seconds": round(self.seconds, 3),
        }

    def print(self, stream=None) -> None:
        """Writes the diagnosis, to standard error if nothing else is said; in colour on a terminal."""
        stream = stream or sys.stderr
        color = bool(getattr(stream, "isatty", lambda: False)()) and not os.environ.get("NO_COLOR")
        print(self.render(color=color), file=stream)


class DoesNotLearnError(ValueError):
    """Raised where training was to end on a fault; `diagnosis` says which, why and where."""

    def __init__(self, diagnosis: Diagnosis):
        super().__init__(diagnosis)
        self.diagnosis = diagnosis

    def __str__(self) -> str:
        return f"\n\n{self.diagnosis}"
