"""A run's machine-readable files: metrics.jsonl, a line for each report, and JSON files, old or new but never partial.

The keys of a line are in `tags.py`. JSON has no NaN or infinity; both are written as null, so that any parser can read
the file.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import math
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

METRICS_FILE = "metrics.jsonl"
EVALUATION_FILE = "evaluation.json"
CONFIG_FILE = "config.json"
BAD_FILES_FILE = "bad_files.json"
GUARD_FILE = "guard.jsonl"
RUN_FILE = "run.json"


def jsonable(value: Any) -> Any:
    """Dataclasses, mappings, sequences, NumPy and TensorFlow values for `json`; NaN and infinity become None."""
    if value is None or isinstance(value, (bool, str, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if dataclasses.is_dataclass(value):
        return {field.name: jsonable(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [jsonable(item) for item in value]
    if hasattr(value, "numpy"):
        return jsonable(value.numpy())
    if hasattr(value, "tolist"):
        return jsonable(value.tolist())
    raise TypeError(f"A record holds numbers, text, lists and mappings. Received: {value!r} of {type(value).__name__}.")


def unsaved(value: Any, where: str = "run.memory") -> str:
    """What of a value would not be read back from JSON as it is, and where it is; "" for nothing."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return f"{value} in {where}"
    if value is None or isinstance(value, (bool, str, int, float)):
        return ""
    if isinstance(value, (list, tuple)):
        return next(filter(None, (unsaved(item, f"{where}[{i}]") for i, item in enumerate(value))), "")
    if isinstance(value, dict):
        odd = [key for key in value if not isinstance(key, str)]
        if odd:
            return f"the key {odd[0]!r}, of type {type(odd[0]).__name__}, in {where}"
        return next(filter(None, (unsaved(item, f"{where}[{key!r}]") for key, item in value.items())), "")
    return f"a value of type {type(value).__name__} in {where}"


def write_json(path: str, value: Any) -> None:
    """Writes a JSON file, indented, beside the old one and moves it over that: a kill leaves one of the two intact.

    Raises:
      OSError: the disk is full or the folder cannot be written; the old file is intact.
    """
    write_whole(path, f"{_indented(jsonable(value))}\n".encode())


def _indented(value: Any, indent: str = "") -> str:
    """JSON with a line for each value, except lists of numbers, which are long in an evaluation, on a single line."""
    if isinstance(value, dict) and value:
        items = [f"{json.dumps(key)}: {_indented(item, indent + '  ')}" for key, item in value.items()]
    elif isinstance(value, list) and any(isinstance(item, (dict, list, str)) for item in value):
        items = [_indented(item, indent + "  ") for item in value]
    else:
        return json.dumps(value, allow_nan=False)
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    return f"{opening}\n" + ",\n".join(f"{indent}  {item}" for item in items) + f"\n{indent}{closing}"


def write_rows(path: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Writes a CSV file with a line for each mapping, and the first one's keys as header; NaN is an empty field.

    Raises:
      OSError: as `write_json`.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({k: "" if isinstance(v, float) and math.isnan(v) else v for k, v in row.items()} for row in rows)
    write_whole(path, text.getvalue().encode())


def write_whole(path: str, content: bytes) -> None:
    """Writes a file beside the old one and moves it over that.

    Raises:
      OSError: as `write_json`.
    """
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    beside = f"{path}.{os.getpid()}.tmp"
    try:
        with open(beside, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except OSError:
        if os.path.exists(beside):
            os.remove(beside)
        raise


def read_metrics(path: str) -> list[dict]:
    """The lines of a metrics file; a last line cut off by a kill is left out. An absent file is empty."""
    return [record for _, record in _lines(path)]


def _lines(path: str) -> list[tuple[bytes, dict]]:
    if not os.path.exists(path):
        return []
    with open(path, "rb") as file:
        lines = file.read().split(b"\n")
    found = []
    # What follows the last newline was never finished, even where it happens to parse ("12" of "123}").
    for line in lines[:-1]:
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if isinstance(record, dict):
            found.append((line, record))
    return found


class MetricsLog:
    """`metrics.jsonl`: appends a line for each report, and after a restart drops reports of later steps.

    Args:
      path: the file.
      restored_step: the step that training goes on from; lines of later steps are dropped, since those steps are
        repeated. 0 starts the file anew. None keeps all, for a reader or an evaluator.

    A line is one `write`, so a kill leaves at most the last line unfinished; it is dropped at the next start.
    """

    def __init__(self, path: str, restored_step: int | None = 0):
        self.path = path
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        kept = [
            (line, record)
            for line, record in _lines(path)
            if restored_step is None or 0 < restored_step >= _step(record) >= 0
        ]
        content = b"".join(line + b"\n" for line, _ in kept)
        if os.path.exists(path) and os.path.getsize(path) != len(content):
            write_whole(path, content)
        # A report of the restored step itself may be repeated after a kill between report and checkpoint.
        self._already = {(_step(record), record.get("kind")) for _, record in kept if _step(record) == restored_step}

    def append(self, step: int, kind: str, values: Mapping[str, Any], *, again: bool = False) -> None:
        """Adds `{"step": step, "kind": kind, **values}`, e.g. kind "train" or "eval".

        A report that the file already has for the restored step is not written twice, unless `again` allows several.

        Raises:
          OSError: the disk is full or the file cannot be written; earlier lines are intact.
        """
        if (step, kind) in self._already and not again:
            return
        record = {"step": int(step), "kind": kind} | jsonable(values)
        line = json.dumps(record, allow_nan=False).encode() + b"\n"
        file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        try:
            before = os.fstat(file).st_size
            written = os.write(file, line)
            if written < len(line):
                os.ftruncate(file, before)
                raise OSError(28, "No space left on device", self.path)
        finally:
            os.close(file)


def _step(record: Mapping) -> int:
    step = record.get("step")
    return step if isinstance(step, int) else -1
