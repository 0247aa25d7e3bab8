"""Explains errors in training to the user: the guard's report, a bad file, the line of theirs that raised."""

from __future__ import annotations

import linecache
import os
import re
import site
import sys
import traceback
from collections.abc import Iterator
from typing import TextIO

from trainer import guard
from trainer.data import data_error_from, training_batches
from trainer.data.errors import from_pipeline
from trainer.errors import EXIT_FAILED, UserError
from trainer.guard.causes.removed_function import moved_names
from trainer.reporting.memory.out_of_memory import is_out_of_memory, lacking_memory, training_memory

_OURS = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def explain_failure(error: Exception, run, stream: TextIO | None = None, batch=None) -> UserError | None:
    """Turns an exception from the training loop into an error that the user can correct, or None if it is not theirs.

    Args:
      error: as raised by `tf.function`, which wraps exceptions raised while tracing.
      run: its task and data are used to run the first batch again under the guard.
      stream: where the text will be written; by default standard error. A terminal gets colours.
      batch: the current global batch if it is not the pipeline's.
    """
    for inner in _chain(error):
        if isinstance(inner, guard.MissingGradientError) and hasattr(inner, "report"):
            return _before_the_first_step(inner.report, run, stream)
        if isinstance(inner, UserError):
            return inner
    if is_out_of_memory(error):
        if from_pipeline(error):
            return lacking_memory(error, run.config, "reading the data")
        return training_memory(error, run)
    paths = [variable.path for variable in run.state.trainable]
    for inner in _chain(error):
        lost = moved_names(inner, paths) if isinstance(inner, AttributeError) else None
        if lost is not None:
            return _before_the_first_step(lost, run, stream)
    void = _void_in_labels(error, run)
    if void is not None:
        return void
    bad_file = data_error_from(error)
    if bad_file is not None:
        return bad_file
    if run.config.guard.missing != "off" and _is_of_the_users(error):
        batch = batch or next(iter(training_batches(run.data.train, run.config, start_step=0, steps=1)))
        report = guard.explain_exception(error, run.forward_loss(batch), run.state.trainable)
        if report is not None and not report.ok:
            return _before_the_first_step(report, run, stream)
    return _users_own(error)


def _before_the_first_step(report: guard.Report, run, stream: TextIO | None) -> UserError:
    step = run.current_step
    end = f"Nothing was trained: step {step}, {_what(run)}." if not step else f"Stopped at step {step}, {_what(run)}."
    text = f"{report.shown_on(stream or sys.stderr)}\n\n{end}"
    return UserError(text, exit_code=EXIT_FAILED, markdown=report.to_markdown())


def _void_in_labels(error: Exception, run) -> UserError | None:
    """Explains a void id in a loss on class ids, for which TensorFlow's message lists every label of the batch."""
    found = re.search(r"Received a label value of (-?\d+) which is outside the valid range of \[(.*?)\)", str(error))
    if found is None:
        return None
    value, void = int(found[1]), run.config.data.void_id
    what = f"The labels hold {value}, and the loss takes class ids in [{found[2]})"
    if value != void:
        return UserError(f"{what}: the model has fewer outputs than there are classes.", exit_code=EXIT_FAILED)
    return UserError(
        f"{what}: {void} is void, a pixel that counts nowhere. Labels have it where nobody says the class, and where a "
        "crop reaches beyond its image. Leave such pixels out:\n"
        f"    known = tf.cast(label != {void}, tf.int32)\n"
        "    errors = tf.cast(known, tf.float32) * loss(known * label, logits)",
        exit_code=EXIT_FAILED,
    )


def _what(run) -> str:
    objective = getattr(run.task, "objective", None)
    return f"loss {objective.name}" if objective is not None else f"task {type(run.task).__name__}"


def _is_of_the_users(error: Exception) -> bool:
    """Whether Python code raised it: not lack of memory, a lost worker or a failed operation on the device."""
    return not type(error).__module__.startswith("tensorflow.python.framework.errors")


def _users_own(error: Exception) -> UserError | None:
    """The last line of the user's own code that the exception passed through, or None."""
    for inner in _chain(error):
        frames = [(f.filename, f.lineno) for f in traceback.extract_tb(inner.__traceback__)]
        frames += [f[:2] for f in _autograph_frames(inner)]
        frames += _made_at(inner)
        users = [frame for frame in frames if _is_user_code(frame[0])]
        if users:
            filename, line = users[-1]
            code = linecache.getline(filename, line).strip()
            last = last_line(inner)
            kind = type(inner).__name__
            # Autograph wraps exceptions that it cannot copy, and names the original type itself.
            message = last if kind == "StagingError" or last.startswith(kind) else f"{kind}: {last}"
            return UserError(f"{filename}:{line} raised {message}\n    {code}{_hint(last)}", exit_code=EXIT_FAILED)
    return None


def last_line(error: BaseException) -> str:
    """The last line of an exception's message, without the names that TensorFlow makes up."""
    # Keras lists the arguments after the message.
    text = re.split(r"\n\s*Arguments received by ", _COLORS.sub("", str(error)))[0]
    lines = [line for line in text.splitlines() if line.strip() and not line.strip().startswith("[[")]
    return _NODES.sub("", lines[-1]).strip() if lines else ""


def _made_at(error: BaseException) -> list[tuple[str, int]]:
    """Where an operation that failed in a graph was made, from its message: the caller of this project's lines."""
    frames = [(name, int(line)) for name, line in _MADE_AT.findall(str(error))]
    ours = [i for i, (name, _) in enumerate(frames) if name.startswith(os.path.join(_OURS, "trainer") + os.sep)]
    return frames[ours[0] :] if ours else []


_COLORS = re.compile(r"\x1b\[[0-9;]*m")
_MADE_AT = re.compile(r'^\s*File "([^"]+)", line (\d+), in ', re.MULTILINE)
_NODES = re.compile(r" for '\{\{node [^}]*\}\} = [^']*'|\{\{function_node .*?\}\} ?")  # generated names
_HINTS = {
    r"does not match type|was expected to be an? \w+ tensor but is": (
        "If labels and predictions meet here, cast the labels, not the predictions:\n"
        "    y_true = tf.cast(y_true, y_pred.dtype)"
    ),
    r"Dimensions must be equal|[Ii]ncompatible shapes": (
        "If labels and predictions meet here: --config.loss.labels=one_hot gives labels the shape of the predictions,\n"
        "  and ids lack the last axis:\n"
        "    y_true = y_true[..., None]"
    ),
}


def _hint(message: str) -> str:
    """What to write instead, if the error is about types or shapes that do not fit."""
    return "".join(f"\n  {text}" for pattern, text in _HINTS.items() if re.search(pattern, message))


def _autograph_frames(error: BaseException) -> Iterator[tuple[str, int]]:
    """The original lines behind generated code. The exception has them, without a public accessor."""
    metadata = getattr(error, "ag_error_metadata", None)
    for frame in reversed(getattr(metadata, "translated_stack", ())):
        yield frame.filename, frame.lineno


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _is_user_code(filename: str) -> bool:
    if filename == "<string>":
        return False  # made by a library, such as the methods of a dataclass
    path = os.path.abspath(filename)
    libraries = [*site.getsitepackages(), os.path.dirname(os.__file__), sys.prefix]
    inside = any(path.startswith(os.path.abspath(folder) + os.sep) for folder in libraries)
    # Packages of another environment that this one includes, or of the user's home.
    inside = inside or not {"site-packages", "dist-packages"}.isdisjoint(path.split(os.sep))
    ours = any(path.startswith(os.path.join(_OURS, part) + os.sep) for part in ("trainer", "losses", "configs"))
    return (
        not inside and not ours and "__autograph_generated_file" not in path and path != os.path.join(_OURS, "main.py")
    )
