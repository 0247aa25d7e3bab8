"""What is true of a small program: the decorators that the files beside this one are written with."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable


@dataclasses.dataclass(frozen=True)
class Program:
    """A function that returns (forward_loss, variables), or a dict for `fit` (model, loss_fn, x, y).

    Attributes:
      build: the function.
      causes: those that are right; none for a healthy program.
      ops: op types of which one is to be blamed; empty where no op is.
      none, zero, nan: parts of the names of the variables that get None, zeros or NaN; "all" for all of them.
      stray: parts of the names of variables that are used and in no list.
      raises: the name of the error that TensorFlow raises instead of an answer.
      words: what the report has to say.
      mended: whether a finding offers a replacement.
    """

    build: Callable
    causes: tuple[str, ...] = ()
    ops: tuple[str, ...] = ()
    none: tuple[str, ...] | str = ()
    zero: tuple[str, ...] | str = ()
    nan: tuple[str, ...] | str = ()
    stray: tuple[str, ...] = ()
    raises: str = ""
    words: tuple[str, ...] = ()
    mended: bool = False

    @property
    def file(self) -> str:
        return inspect.getsourcefile(self.build)

    @property
    def lines(self) -> tuple[int, ...]:
        """The lines marked `# HERE`: one of them is to be named."""
        text, first = inspect.getsourcelines(self.build)
        return tuple(first + offset for offset, line in enumerate(text) if line.rstrip().endswith("# HERE"))


def mistake(*causes: str, **facts) -> Callable[[Callable], Program]:
    """Makes a program with a mistake of the function that builds it."""
    return lambda build: Program(build, causes, **facts)


def healthy(build: Callable) -> Program:
    """Makes a healthy program of the function that builds it."""
    return Program(build)
