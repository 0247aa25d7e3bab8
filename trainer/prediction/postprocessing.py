"""Post-processing of a mask: thresholds, holes filled, small parts removed, only the largest part kept.

It is chosen by `trainer.postprocess`, stored in the run's folder as postprocessing.json, and computed by the program
exported with a model, `trainer.export.serving.postprocess`, so that both give the same.

A part of a class is a connected component, across corners too. Removed pixels become background, and only background is
filled: other classes stay unchanged. It needs the whole mask of an image at a time.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from trainer.errors import UserError
from trainer.export.serving.postprocess import processed
from trainer.reporting.panels import background_ids
from trainer.reporting.records import write_json

# Pixels of the largest image whose objects are searched: labelling them takes the host's memory and time.
LARGEST_LABELLED = 50_000_000
FILE = "postprocessing.json"
FORMAT = 1
_OFF = "--config.{}.postprocessing=false"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Parts:
    """The steps for the parts of a class.

    fill_holes: background enclosed by a part becomes the class. This is the first step.
    smallest: smaller parts are removed; in pixels, or mm³ for volumes. 0 keeps all.
    largest: only the largest part is kept.
    """

    fill_holes: bool = False
    smallest: float = 0.0
    largest: bool = False

    def __bool__(self) -> bool:
        return self.fill_holes or self.smallest > 0 or self.largest


@dataclasses.dataclass(frozen=True, kw_only=True)
class PostProcessing:
    """The steps for the masks of one network.

    classes: names, by class id.
    multi_label: whether they overlap.
    rank: 2 for images, 3 for volumes.
    thresholds: class -> the probability above which it is predicted, instead of 0.5: the second of two classes, or any
      of classes that overlap.
    parts: class -> the steps for its parts.
    chosen: how it was chosen, for people.
    """

    classes: tuple[str, ...]
    multi_label: bool = False
    rank: int = 2
    thresholds: Mapping[str, float] = dataclasses.field(default_factory=dict)
    parts: Mapping[str, Parts] = dataclasses.field(default_factory=dict)
    chosen: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.thresholds) or any(self.parts.values())

    @property
    def cuts(self) -> tuple[float, ...]:
        """The thresholds as logits, for `trainer.stepping.segmentation.predicted`; empty if there are none."""
        if not self.thresholds:
            return ()
        names = self.classes if self.multi_label else self.classes[1:]
        shares = [self.thresholds.get(name, 0.5) for name in names]
        return tuple(math.log(share / (1.0 - share)) for share in shares)

    @property
    def of_whole_masks(self) -> bool:
        """Whether there are steps besides thresholds, which alone can be applied to a piece of a mask."""
        return any(self.parts.values())

    def __call__(self, mask: np.ndarray, spacing: Sequence[float] = (), *, name: str = "It") -> np.ndarray:
        """Applies the other steps to a mask made with the thresholds.

        Args:
          mask: class ids `[height, width]` or `[depth, height, width]`; for classes that overlap 0 and 1,
            `[height, width, classes]`.
          spacing: mm of a volume's voxels along its axes.
          name: the image's, for the error.

        Raises:
          UserError: it is too large for its parts to be searched.
        """
        if not self.of_whole_masks:
            return mask
        self.check_size(math.prod(mask.shape[: self.rank]), name)
        return processed(mask, self.steps(), spacing)

    def check_size(self, pixels: int, name: str = "It") -> None:
        """Raises: UserError: a mask of so many is too large for its parts to be looked for."""
        if self.of_whole_masks and pixels > LARGEST_LABELLED:
            raise UserError(
                f"{name} has {pixels:,} pixels, and post-processing looks for parts in whole masks of up to "
                f"{LARGEST_LABELLED:,}. Without it: {_OFF.format('predict')} ({_OFF.format('evaluate')})"
            )

    def steps(self) -> dict:
        """The steps for `trainer.export.serving.postprocess`."""
        background = background_ids(self.classes)
        return {
            "classes": list(self.classes),
            "overlapping": self.multi_label,
            "background": None if self.multi_label or not background else background[0],
            "thresholds": dict(self.thresholds),
            "parts": {name: dataclasses.asdict(parts) for name, parts in self.parts.items() if parts},
        }

    def to_dict(self) -> dict:
        """The contents of postprocessing.json."""
        units = {"unit": "mm3" if self.rank == 3 else "pixels", "neighbours": 26 if self.rank == 3 else 8}
        return {"format": FORMAT, **self.steps(), **units, "chosen": self.chosen}

    def __str__(self) -> str:
        """threshold 0.4 of nucleus; holes of nucleus filled; nucleus below 32 pixels removed"""
        unit = "mm³" if self.rank == 3 else "pixels"
        found = [f"threshold {value:g} of {name}" for name, value in self.thresholds.items()]
        for name, parts in self.parts.items():
            found += [f"holes of {name} filled"] if parts.fill_holes else []
            found += [f"{name} below {parts.smallest:g} {unit} removed"] if parts.smallest else []
            found += [f"the largest part of {name} alone"] if parts.largest else []
        return "; ".join(found) or "nothing"


def save(workdir: str, made: PostProcessing) -> str:
    """Writes postprocessing.json, and returns its path.

    Raises:
      OSError: as `write_json`.
    """
    path = os.path.join(workdir, FILE)
    write_json(path, made.to_dict())
    return path


def load(workdir: str, classes: Sequence[str], *, multi_label: bool, rank: int) -> PostProcessing | None:
    """Reads the file written by `save` from a folder; None if there is none.

    Raises:
      UserError: it cannot be read, or belongs to another model.
    """
    path = os.path.join(workdir, FILE)
    try:
        with open(path, encoding="utf-8") as file:
            content = json.load(file)
        if content["format"] != FORMAT:
            raise ValueError(f"it has the format {content['format']}; this version reads {FORMAT}")
        made = PostProcessing(
            classes=tuple(content["classes"]),
            multi_label=content["overlapping"],
            rank=3 if content["unit"] == "mm3" else 2,
            thresholds={name: float(value) for name, value in content["thresholds"].items()},
            parts={name: Parts(**parts) for name, parts in content["parts"].items()},
            chosen=content["chosen"],
        )
        wrong = [f"the threshold {v:g} of {name}" for name, v in made.thresholds.items() if not 0 < v < 1]
        wrong += [f"the class {name}" for name in (*made.thresholds, *made.parts) if name not in made.classes]
        if wrong:
            raise ValueError(", ".join(wrong))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{path} is no post-processing: {type(error).__name__}: {error}.\n  Choose it anew, "
            f"--mode=postprocess --workdir={workdir}, or remove the file."
        ) from error
    if (made.classes, made.multi_label, made.rank) != (tuple(classes), multi_label, rank):
        raise UserError(
            f"{path} is of another model: it has the classes {', '.join(made.classes)}, and this one "
            f"{', '.join(classes)}.\n  Choose it anew, --mode=postprocess --workdir={workdir}, or remove the file."
        )
    return made
