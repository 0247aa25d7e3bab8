"""Errors in the user's words, which end the program with a message and an exit code, never a traceback.

`main.py` prints a `UserError`'s message and returns its `exit_code`. Every other exception is the program's own fault
and keeps its traceback. An error of a special kind (bad data, a damaged checkpoint, …) subclasses `UserError`, and
`ValueError` too where a caller would expect one: `class DataError(UserError, ValueError)`.
"""

from __future__ import annotations

# What a script can tell apart. 75 is EX_TEMPFAIL of sysexits.h: "try again": the same command goes on from here.
EXIT_OK = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_RESUMABLE = 75
# 128 + SIGINT, as shells count it.
EXIT_INTERRUPTED = 130


class UserError(Exception):
    """Something the user can put right: a wrong flag, file, folder or data set.

    Args:
        message: What happened, with names and numbers; why it is wrong; what to write instead.
        exit_code: What the process returns: 2 for a wrong command line, config or input (the default), 1 for a run that
            failed with a named cause.
        markdown: The same for TensorBoard, where it is worth keeping there: what the guard found.
    """

    exit_code = EXIT_USAGE

    def __init__(self, message: str, *, exit_code: int | None = None, markdown: str = ""):
        super().__init__(message)
        self.markdown = markdown
        if exit_code is not None:
            self.exit_code = exit_code


def numbered(problems: list[str]) -> str:
    """Joins problems into one text: as it is when there is one, a numbered list when there are more."""
    if len(problems) == 1:
        return problems[0]
    lines = []
    for number, problem in enumerate(problems, start=1):
        lead = f"  {number}. "
        lines.append(lead + problem.replace("\n", "\n" + " " * len(lead)))
    return "\n".join(lines)
