"""Going on with more than before: more examples, classes at the end of the list, a longer run (`--extend`).

The rows of the network's head that belong to the old classes keep their weights; rows of new classes begin with weights
of 0 and a low bias, so that the network's first predictions are those from before.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from configs.reading import durations
from configs.schema import Config
from trainer.checkpoints.folder import Saved
from trainer.errors import UserError

# The bias of a new class begins this far below the lowest bias of the others.
_BELOW = 3.0
# Scores that cannot be compared with those of other classes or examples.
_OF_SCORES = {"best_score": None, "best_step": None, "evaluations_since_best": 0, "evaluated": 0, "ended": {}}


def extends(field: str, old: Any, new: Any, more_classes: bool = False) -> bool:
    """Whether a field's new value begins with the old one.

    With `more_classes` the encoding of masks may change: two values become ids.
    """
    if more_classes and field in ("data.mask_encoding", "data.mask_threshold", "data.mask_ids", "data.mask_colors"):
        return True
    if field in ("data.classes", "data.mask_ids", "data.mask_colors", "evaluate.classes"):
        return tuple(new[: len(old)]) == tuple(old)
    if field == "train.length":
        before, after = durations.parse(old), durations.parse(new)
        return before.unit == after.unit and after.amount >= before.amount
    return False


def kept_from(before: Config, config: Config) -> Config:
    """The config with what the first run measured on the data: the range of values, the channels."""
    data = config.data
    if not data.value_range:
        data = dataclasses.replace(data, value_range=before.data.value_range)
    if not data.channels:
        data = dataclasses.replace(data, channels=before.data.channels)
    return dataclasses.replace(config, data=data)


def grown(saved: Saved, shapes: Mapping[str, Sequence[int]], old: int, new: int) -> tuple[Saved, list[str]]:
    """The checkpoint with the rows of new classes added, and a line for each change.

    Args:
      saved: of a run with `old` classes.
      shapes: of this run's variables, by path.
      old, new: numbers of classes.

    Raises:
      UserError: the run has one output for two classes, to which no third can be added.
    """
    arrays, lines = dict(saved.arrays), []
    for path, array in saved.arrays.items():
        wanted = tuple(shapes.get(path, array.shape))
        differing = [axis for axis, (a, b) in enumerate(zip(array.shape, wanted, strict=False)) if a != b]
        if array.ndim != len(wanted) or not differing:
            continue
        axis = differing[0]
        if len(differing) > 1 or wanted[axis] - array.shape[axis] != new - old or array.shape[axis] != old:
            if array.shape[axis] == 1 and old == 2:
                raise UserError(
                    "--extend: the run has one output for its two classes (model.outputs=sigmoid), and no third can "
                    f"be added to {path.removeprefix('model/')}. Start anew: --workdir=… "
                    f"--config.model.outputs=softmax --config.checkpoint.warm_start={saved.folder}"
                )
            continue
        below = array.min() - _BELOW if array.ndim == 1 and path.endswith("bias") and _is_weight(path) else 0.0
        more = np.full([*array.shape[:axis], new - old, *array.shape[axis + 1 :]], below, array.dtype)
        arrays[path] = np.concatenate([array, more], axis=axis)
        if path.startswith("model/"):
            lines.append(f"{path.removeprefix('model/')}: {list(array.shape)} is now {list(wanted)}, the old rows kept")
    host = dict(saved.host) | _OF_SCORES
    return dataclasses.replace(saved, arrays=arrays, host=host), lines


def _is_weight(path: str) -> bool:
    return path.startswith(("model/", "average/"))
