"""What the guard found, as data: a `Finding` for each cause, a `Report` of them, and the error that carries a report.

Nothing here uses TensorFlow: the engine fills these in, and `text.py` and `to_dict` write them for a log, a terminal,
TensorBoard or a machine.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Iterable, Sequence
from typing import Any

from .base import BaseFinding, Shown
from .causes import CAUSES

KINDS = ("missing", "untracked", "zero", "nonfinite", "wrong")


@dataclasses.dataclass(frozen=True)
class Link:
    """One op on the way from the cut to the loss. `file` and `line` are the user's, not a library's."""

    op_type: str
    op_name: str | None = None
    file: str | None = None
    line: int | None = None
    code: str | None = None

    def __str__(self) -> str:
        return f"{self.op_type} ({os.path.basename(self.file)}:{self.line})" if self.file else self.op_type


@dataclasses.dataclass(frozen=True)
class Finding(BaseFinding):
    """One cause, and all the variables it keeps from learning.

    Attributes:
      kind: one of `KINDS`.
      cause: one of `CAUSES`.
      variables: paths of the variables (`encoder/kernel`), as `variable.path` or, for a `tf.Variable`, its name.
      op_type: TensorFlow's name of the op to blame (`ArgMax`), where an op is to blame.
      op_name: that op's name in the graph.
      file, line, code: the user's own line; see `BaseFinding`, as for `replacement`.
      chain: the ops from the cut to the loss, in the order of the forward pass; `Link`s, or plain strings.
      advice: what to write instead, in words and code; looked up in `remedies.py` when left empty.
      detail: facts of this case ("the list holds variables of 'unet', the loss reads those of 'unet_1'").
      columns: (first, one after the last) column of the expression in the line, 0-based, where the engine knows them.
    """

    cause: str
    variables: tuple[str, ...] = ()
    op_type: str | None = None
    op_name: str | None = None
    chain: tuple[Link | str, ...] = ()
    advice: str = ""
    detail: str = ""
    columns: tuple[int, int] | None = None

    def __post_init__(self):
        if self.kind not in KINDS or self.cause not in CAUSES:
            raise ValueError(
                f"A finding's kind is one of {', '.join(KINDS)} and its cause one of {', '.join(CAUSES)}. "
                f"Received: kind={self.kind!r}, cause={self.cause!r}"
            )
        set_once = object.__setattr__  # the class is frozen for its users, not for its own construction
        set_once(self, "variables", tuple(self.variables))
        set_once(self, "chain", tuple(self.chain))
        super().__post_init__()
        if not self.advice:
            from .remedies import advise

            set_once(self, "advice", advise(self))

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain lists, strings and numbers, ready for `json.dumps`."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        fields["variables"] = list(self.variables)
        fields["replacement"] = dataclasses.asdict(self.replacement) if self.replacement else None
        fields["columns"] = list(self.columns) if self.columns else None
        fields["chain"] = [dataclasses.asdict(link) if isinstance(link, Link) else link for link in self.chain]
        return fields


@dataclasses.dataclass(frozen=True)
class Report(Shown):
    """What is wrong between a loss and the variables that should learn from it; without findings if `ok`.

    Attributes:
      findings: one for each cause.
      variables_total: the number of variables that were checked.
      allowed: paths without a gradient that the user allowed to have none.
      notes: sentences that belong to no finding ("the forward pass was run twice").
      listed: paths of all checked variables, where known; a hint about what to allow must not match any other.
      allow_form: how to allow a regular expression where this report comes from, as a template for `str.format`.
    """

    findings: tuple[Finding, ...] = ()
    variables_total: int = 0
    allowed: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    listed: tuple[str, ...] = ()
    allow_form: str = "explain(…, allow=[{!r}])"

    def __post_init__(self):
        for name in ("findings", "allowed", "notes", "listed"):
            object.__setattr__(self, name, tuple(getattr(self, name)))

    def allowing(self, patterns: Sequence[str]) -> Report:
        """The same report without the variables whose whole path matches one of the regular expressions.

        Variables with a NaN gradient stay: that is never intended. A finding without variables is dropped.

        Raises:
          ValueError: a pattern is not a regular expression.
        """
        accepts = _any_of(patterns)
        findings, allowed = [], list(self.allowed)
        for finding in self.findings:
            out = [path for path in finding.variables if accepts(path)] if finding.kind != "nonfinite" else []
            allowed += [path for path in out if path not in allowed]
            if not out:
                findings.append(finding)
            elif len(out) < len(finding.variables):
                left = tuple(path for path in finding.variables if path not in out)
                findings.append(dataclasses.replace(finding, variables=left))
        return dataclasses.replace(self, findings=tuple(findings), allowed=tuple(allowed))

    def affected(self, kind: str) -> tuple[str, ...]:
        """The variables of all findings of this kind, each once."""
        return tuple(dict.fromkeys(path for found in self.findings if found.kind == kind for path in found.variables))

    def render(self, color: bool = False, width: int = 110) -> str:
        """The report as text: plain for a log file, with ANSI colours for a terminal."""
        from .text import as_text

        return as_text(self, color=color, width=width)

    def to_markdown(self) -> str:
        """The report for TensorBoard's text plugin: `tf.summary.text("guard", report.to_markdown(), step=0)`."""
        from .text import as_markdown

        return as_markdown(self)

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain lists, strings and numbers, ready for `json.dumps`."""
        return {
            "ok": self.ok,
            "variables_total": self.variables_total,
            "findings": [finding.to_dict() for finding in self.findings],
            "allowed": list(self.allowed),
            "notes": list(self.notes),
        }


class MissingGradientError(ValueError):
    """Variables that should learn from the loss do not; `report` says which, why and where."""

    # Raised while a tf.function is traced, it would come out as AutoGraph's StagingError, without the report.
    ag_pass_through = True

    def __init__(self, report: Report):
        super().__init__(report)
        self.report = report

    def __str__(self) -> str:
        return f"\n\n{self.report}"


def path_of(variable: Any, index: int = 0) -> str:
    """A variable's name in reports: a Keras variable's path, a `tf.Variable`'s name, or `tensor3`."""
    if hasattr(variable, "path"):
        return variable.path
    name = getattr(variable, "name", None) if hasattr(variable, "assign") else None
    return name or f"tensor{index}"


def _any_of(patterns: Iterable[str]):
    if isinstance(patterns, str):
        raise ValueError(f"allow takes a list of regular expressions: allow=[{patterns!r}]. Received: {patterns!r}")
    compiled = []
    for pattern in patterns:
        try:
            compiled.append(re.compile(pattern))
        except re.error as error:
            raise ValueError(
                f"allow={pattern!r} is not a regular expression: {error}. To allow all of a layer: 'layer_name/.*'"
            ) from None
    return lambda path: any(pattern.fullmatch(path) for pattern in compiled)
