"""The user's own augmentations: functions of (example, random numbers), called after the built-in ones."""

from __future__ import annotations

import os
import traceback
from collections.abc import Mapping, MutableMapping, Sequence

import numpy as np

from trainer.data.augment.draws import generator
from trainer.data.errors import DataError
from trainer.data.example import Feature
from trainer.parts import name_of

_TRAINER = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def apply_own(
    functions: Sequence,
    example: MutableMapping[str, np.ndarray],
    features: Mapping[str, Feature],
    *,
    seed: int,
    number: int,
    name: str,
    classes: int,
    void_id: int,
) -> dict[str, np.ndarray]:
    """The example after each function in turn.

    Args:
      functions: `f(example, random) -> example`; `example` maps keys to NumPy arrays: "image" float32
        `[height, width, channels]`, "label" int32 `[height, width]`, and the extra keys. It may be changed in place.
        `random` is a `numpy.random.Generator` of (seed, number, position of the function): random numbers must come
        from it alone, or a resumed run differs.
      example: cropped, turned and recoloured.
      features: how its keys travel.
      seed, number: the run's, and the example's over the whole run.
      name: the example's, for messages.
      classes, void_id: the ids that labels may hold afterwards.

    Raises:
      DataError: a function raised, or returned something else; names the function, its file and line, the example.
    """
    for position, function in enumerate(functions):
        shapes = {key: value.shape for key, value in example.items()}
        try:
            result = function(example, generator(seed, number, position))
        except Exception as error:
            raise DataError(f"{name}: the augmentation {name_of(function)} {raised_at(error)}") from error
        problem = _problem(result, shapes, features, classes, void_id)
        if problem:
            raise DataError(f"{name}: the augmentation {name_of(function)} {problem}")
        example = {key: np.asarray(result[key]).astype(features[key].dtype, copy=False) for key in shapes}
    return dict(example)


def _problem(result, shapes: Mapping, features: Mapping[str, Feature], classes: int, void_id: int) -> str:
    """What is wrong with a function's result; "" if nothing."""
    if not isinstance(result, Mapping):
        given = "nothing; does it end in `return example`?" if result is None else f"a {type(result).__name__}."
        return f"has to give back the example, a dict with {', '.join(shapes)}, and gave {given}"
    if set(result) != set(shapes):
        missing, more = [k for k in shapes if k not in result], [repr(k) for k in result if k not in shapes]
        return (
            "has to keep the example's keys"
            + (f"; {', '.join(missing)} {'are' if missing[1:] else 'is'} missing" if missing else "")
            + (f"; {', '.join(more)} {'are' if more[1:] else 'is'} new: put new keys into the data" if more else "")
            + "."
        )
    for key, shape in shapes.items():
        value, wanted = np.asarray(result[key]), features[key]
        if value.shape != shape:
            return f"changed the shape of {key!r} from {list(shape)} to {list(value.shape)}; shapes have to stay."
        if value.dtype.kind == "f" and wanted.dtype.kind in "iu" and (value != np.rint(value)).any():
            return (
                f"made fractions ({value[value != np.rint(value)].flat[0]:g}) of {key!r}, which holds whole numbers: "
                "take the nearest value, do not interpolate."
            )
        if value.dtype.kind == "f" and not np.isfinite(value).all():
            return f"put {int((~np.isfinite(value)).sum())} values that are not finite (NaN or infinite) into {key!r}."
    if "label" in shapes and features["label"].kind == "ids":
        label, planes = np.asarray(result["label"]), bool(features["label"].shape)
        wrong = ((label < 0) | (label >= (2 if planes else classes))) & (label != void_id)
        if wrong.any() and planes:
            return (
                f"put the value {int(label[wrong].flat[0])} into {int(wrong.sum())} places of 'label'; of classes that "
                f"overlap a pixel is (1) or is not (0), and {void_id} is void."
            )
        if wrong.any():
            return (
                f"put the value {int(label[wrong].flat[0])} into {int(wrong.sum())} pixels of 'label'; class ids are "
                f"0 … {classes - 1}, and {void_id} is void."
            )
    return ""


def raised_at(error: BaseException) -> str:
    """`raised ValueError: message`, with the file, line and text of its origin, in the user's code if there is any."""
    frames = traceback.extract_tb(error.__traceback__)
    # The last of the user's lines: one inside a library says less. Ours only calls it.
    own = [frame for frame in frames if _is_users(frame.filename)] or frames[-1:]
    text = f"raised {type(error).__name__}: {str(error).strip() or '(no message)'}"
    for frame in own[-1:]:
        text += f"\n  in {frame.filename}:{frame.lineno}" + (f"\n    {frame.line}" if frame.line else "")
    return text


def _is_users(path: str) -> bool:
    library = "site-packages" in path or f"{os.sep}lib{os.sep}python" in path
    return not library and not path.startswith((_TRAINER, "<"))
