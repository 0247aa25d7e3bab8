"""Pictures of claims: image, label, prediction and difference, with a numbered box around each claim."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from trainer.data import Example
from trainer.label_audit.claims import Claim
from trainer.reporting.panels import Panel, shrunk, text_font

_SIDE = 320
_GAP = 4
_COLOR = (255, 40, 160)
# Further boxes would hide the picture.
_BOXES = 8


@dataclasses.dataclass(frozen=True)
class ClaimsPicture:
    """picture: RGB uint8 `[h, w, 3]`; legend: what its colours mean, as evaluation.json has it."""

    picture: np.ndarray
    legend: list[dict]


def picture_of(
    example: Example,
    prediction: np.ndarray,
    claims: Sequence[tuple[Claim, float]],
    classes: Sequence[str],
    void_id: int,
) -> ClaimsPicture:
    """Draws an example with what is claimed about its label.

    Args:
      example: with its label.
      prediction: class ids, as many as the label has, in any shape.
      claims: with their scores, the strongest first; those of the whole label have no box.
      classes: names, by class id.
      void_id: of pixels that do not count.
    """
    arrays = shrunk(example.image, example.label, prediction.reshape(example.label.shape), side=_SIDE)
    panel = Panel(**arrays, classes=tuple(classes), void_id=void_id)
    picture = Image.fromarray(panel.grid())
    draw, font = ImageDraw.Draw(picture), text_font(11)
    height, width = panel.label.shape
    scale = height / example.label.shape[0], width / example.label.shape[1]
    for number, (claim, _) in enumerate(claims[:_BOXES], start=1):
        if claim.whole_label:
            continue
        for row in (0, height + _GAP):
            for column in (0, width + _GAP):
                top, bottom = (row + edge * scale[0] for edge in (claim.box[0], claim.box[2]))
                left, right = (column + edge * scale[1] for edge in (claim.box[1], claim.box[3]))
                draw.rectangle((left - 2, top - 2, right + 1, bottom + 1), outline=_COLOR)
                draw.text((right + 3, top - 4), str(number), fill=_COLOR, font=font)
    return ClaimsPicture(np.asarray(picture), [{"text": text, "color": color} for text, color in panel.legend()])
