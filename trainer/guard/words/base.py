"""What the guard's findings and the doctor's have in common: a place in the user's code, and how a report is shown."""

from __future__ import annotations

import dataclasses
import os
import shutil
import sys


@dataclasses.dataclass(frozen=True)
class Replacement:
    """Whole lines to put in the place of others; they were tried before they are offered.

    Attributes:
      file, first_line, last_line: the lines that they replace, 1-based and both ends included.
      code: the new lines, with their indentation, without the last line break.
    """

    file: str
    first_line: int
    last_line: int
    code: str


@dataclasses.dataclass(frozen=True)
class BaseFinding:
    """A fault, with its place in the user's own code where that is known.

    Attributes:
      kind: what kind of fault it is.
      file, line: the user's own line, 1-based.
      code: that line's text without its indentation; looked up in `file` when left out.
      replacement: lines that were tried instead of the user's, and helped; None where nothing was tried or helped.
    """

    kind: str
    file: str | None = dataclasses.field(default=None, kw_only=True)
    line: int | None = dataclasses.field(default=None, kw_only=True)
    code: str | None = dataclasses.field(default=None, kw_only=True)
    replacement: Replacement | None = dataclasses.field(default=None, kw_only=True)

    def __post_init__(self):
        if self.code is None and self.file and self.line:
            from .source import line_at

            object.__setattr__(self, "code", line_at(self.file, self.line).strip() or None)


class Shown:
    """Prints a report, which has findings and a `render(color, width)`."""

    findings: tuple[BaseFinding, ...]

    @property
    def ok(self) -> bool:
        return not self.findings

    def render(self, color: bool = False, width: int = 110) -> str:
        """The text: plain for a log file, with ANSI colours for a terminal."""
        raise NotImplementedError

    def __str__(self) -> str:
        return self.render()

    def shown_on(self, stream) -> str:
        """The text for a stream: on a terminal in its width, and in colour where NO_COLOR is not set."""
        terminal = bool(getattr(stream, "isatty", lambda: False)())
        width = min(max(shutil.get_terminal_size((110, 24)).columns, 40), 110) if terminal else 110
        return self.render(color=terminal and not os.environ.get("NO_COLOR"), width=width)

    def print(self, stream=None) -> None:
        """Writes the text, by default to standard error."""
        stream = stream or sys.stderr
        print(self.shown_on(stream), file=stream)
