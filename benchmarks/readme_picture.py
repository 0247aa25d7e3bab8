"""Puts the panels that a run left in TensorBoard into docs/nuclei.png: image | label | prediction.

python main.py && python -m benchmarks.readme_picture runs/nuclei
"""

from __future__ import annotations

import io
import pathlib
import sys

import numpy as np
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

PICTURE = pathlib.Path(__file__).resolve().parent.parent / "docs" / "nuclei.png"
_GAP = 12


def last_panels(workdir: str) -> list[Image.Image]:
    """The panels of a run's last evaluation, in the order of their names."""
    events = EventAccumulator(workdir, size_guidance={"tensors": 0}).Reload()
    tags = sorted(tag for tag in events.Tags()["tensors"] if tag.startswith("panels/"))
    # What tf.summary.image writes: width, height and one PNG.
    return [Image.open(io.BytesIO(events.Tensors(tag)[-1].tensor_proto.string_val[2])) for tag in tags]


def stacked(panels: list[Image.Image], columns: int = 2) -> Image.Image:
    """Panels in rows of `columns`, all at the first one's width, on white."""
    width = panels[0].width
    panels = [p.resize((width, round(p.height * width / p.width)), Image.Resampling.BILINEAR) for p in panels]
    height = max(panel.height for panel in panels)
    rows = -(-len(panels) // columns)
    sheet = np.full((rows * (height + _GAP) - _GAP, columns * (width + _GAP) - _GAP, 3), 255, np.uint8)
    for number, panel in enumerate(panels):
        top, left = number // columns * (height + _GAP), number % columns * (width + _GAP)
        sheet[top : top + panel.height, left : left + panel.width] = np.asarray(panel.convert("RGB"))
    return Image.fromarray(sheet)


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit("python -m benchmarks.readme_picture WORKDIR")
    panels = last_panels(sys.argv[1])
    if not panels:
        sys.exit(f"{sys.argv[1]}: there is no event file with panels in it.")
    stacked(panels).save(PICTURE, optimize=True)
    print(f"{len(panels)} panels -> {PICTURE}")


if __name__ == "__main__":
    main()
