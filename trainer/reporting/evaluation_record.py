"""An evaluation as files: its numbers as JSON, its pictures beside it.

The pictures' names have the step, and the JSON names them: a kill between the two leaves the old files together.
"""

from __future__ import annotations

import contextlib
import glob
import io
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from trainer.reporting.records import EVALUATION_FILE, write_json, write_whole

PICTURES = "pictures"
_MOST_OF_A_KIND = 4
CROPS_FILE = "training_crops.webp"


def write_evaluation(
    workdir: str,
    step: int,
    scores,
    pictures: Sequence = (),
    *,
    name: str = EVALUATION_FILE,
    settings: Mapping[str, Any] | None = None,
) -> None:
    """Writes evaluation.json, or a file of another name, and its pictures in pictures/; then removes earlier ones.

    Args:
      scores: an `Evaluation` or `TermScores`.
      pictures: those of `trainer.evaluation.pictures`.
      settings: those of the evaluation that are not the run's.

    Raises:
      OSError: the disk is full or not writable; earlier files are intact.
    """
    stem, written = name.removesuffix(".json"), []
    for picture in pictures:
        if picture.rank > _MOST_OF_A_KIND:
            continue  # TensorBoard has them
        file = f"{PICTURES}/{stem}-step_{step:08d}-{picture.kind}_{picture.rank}.webp"
        write_picture(os.path.join(workdir, file), picture.panel.grid())
        written.append(
            {
                "kind": picture.kind,
                "rank": picture.rank,
                "name": picture.name,
                "dice": picture.dice,
                "file": file,
                "shown_as_black_and_white": [picture.panel.low, picture.panel.high],
                "legend": [{"text": text, "color": color} for text, color in picture.panel.legend()],
            }
        )
    content = {"step": step, **({"settings": settings} if settings else {}), **scores.to_dict()}
    write_json(os.path.join(workdir, name), content | ({"pictures": written} if written else {}))
    files = {os.path.basename(each["file"]) for each in written}
    for path in glob.glob(os.path.join(glob.escape(os.path.join(workdir, PICTURES)), f"{glob.escape(stem)}-step_*")):
        if os.path.basename(path) not in files:
            with contextlib.suppress(OSError):  # the next evaluation removes it
                os.remove(path)


def write_picture(path: str, picture: np.ndarray) -> None:
    """Writes RGB uint8 `[height, width, 3]` as WebP: a third of a PNG's bytes, and every browser shows it."""
    content = io.BytesIO()
    Image.fromarray(picture).save(content, format="WEBP", quality=88, method=4)
    write_whole(path, content.getvalue())
