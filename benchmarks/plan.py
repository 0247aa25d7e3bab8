"""Is a recipe drawn from the data better than Gradline's defaults, in the same time?

    python -m benchmarks.plan --data=FOLDER                           # nuclei, pets, dubai, slices
    python -m benchmarks.plan --data=FOLDER --seconds=1200 volumes    # the planned recipe for volumes alone

FOLDER holds nuclei/, oxford_pet/, dubai_aerial/ and hippocampus/. Of each set two runs of the whole program are made:
the recipe that `--mode=plan` writes for so much time; then `configs/own.py`, what `--config.data.path=FOLDER` trains
with, in as many steps as the timing of some of them lets fit into the same time, or into what the planned run took
where that was more, and with one evaluation, at the end. Time is processor time, user and system: other programs on the
machine do not lengthen it. It counts all of a run, from the interpreter's start to the last score, and not the drawing
of the plan. Printed is what each run really took. Scores are those of the last step.

Pets have three classes, the pet, its background and the border between them; "slices" are the hippocampus volumes, cut
across their third axis into pictures of 8 bits, each volume scaled by its own values. What was measured is kept in
--keep, and a second call makes only what is missing.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import resource
import subprocess
import sys

import numpy as np
from PIL import Image

from configs import own, own_volumes
from configs.reading import fields
from configs.reading.recipe import recipe_text
from configs.schema import Config
from trainer.plan.plan import plan
from trainer.plan.probe import measure
from trainer.process import usable_processors

_FOLDERS = {"nuclei": "nuclei", "pets": "oxford_pet", "dubai": "dubai_aerial", "volumes": "hippocampus"}
_PETS = {"data.mask_ids": ((1, 0), (2, 1), (3, 2)), "data.classes": ("pet", "background", "border")}
_MEASURING = functools.partial(measure, clock="processor")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sets", nargs="*", default=["nuclei", "pets", "dubai", "slices"])
    parser.add_argument("--data", required=True)
    parser.add_argument("--seconds", type=float, default=240.0, help="of processor time, for a run (default 240)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", default="runs/benchmark_plan")
    given = parser.parse_args()
    os.makedirs(given.keep, exist_ok=True)
    print("| data | what | mean Dice | classes | steps | processor time |\n|---|---|---|---|---|---|", flush=True)
    for name in given.sets:
        config, rows = _config(name, given), {}
        # Its defaults for volumes are for hours on a GPU.
        for kind in ("plan",) if name == "volumes" else ("plan", "defaults"):
            workdir = os.path.join(given.keep, f"{name}-{kind}-{given.seconds:g}-{given.seed}")
            seconds = max([given.seconds, *(row["seconds"] for row in rows.values())])
            rows[kind] = _kept(workdir) or _run(kind, config, seconds, workdir)
            print(f"| {name} | {kind} | {_cells(rows[kind])} |", flush=True)
        if len(rows) == 2:
            print(f"| | | {rows['plan']['mean_dice'] - rows['defaults']['mean_dice']:+.4f} | | | |", flush=True)


def _config(name: str, given) -> Config:
    path = os.path.abspath(os.path.join(given.data, _FOLDERS.get(name, "hippocampus")))
    if name == "slices":
        path = _slices(path, os.path.abspath(os.path.join(given.keep, "slices")))
    base = own_volumes.get_config() if name == "volumes" else own.get_config()
    return fields.replace(base, {"data.path": path, "seed": given.seed} | (_PETS if name == "pets" else {}))


def _run(kind: str, config: Config, seconds: float, workdir: str) -> dict:
    # The plan and what it measures count as if all processors were busy all the time.
    wall = seconds / usable_processors()
    if kind == "plan":
        given = [path for path in ("data.path", "data.mask_ids", "data.classes", "seed")]
        config = fields.replace(config, {"plan.minutes": wall / 60})
        text = plan(config, given=given, measuring=_MEASURING).text
    else:
        measured = _MEASURING(config)
        steps = max(50, int((wall - measured.start - measured.evaluation) / measured.step))
        text = recipe_text(fields.replace(config, {"train.length": f"{steps} steps", "evaluate.every": "100%"}))
    os.makedirs(workdir, exist_ok=True)
    recipe = os.path.join(workdir, "recipe.py")
    with open(recipe, "w", encoding="utf-8") as file:
        file.write(text)
    home = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    before = _children()
    command = [sys.executable, os.path.join(home, "main.py"), f"--config={recipe}", f"--workdir={workdir}"]
    with open(os.path.join(workdir, "log"), "w", encoding="utf-8") as log:
        subprocess.run(command, check=True, stdout=log, stderr=subprocess.STDOUT)
    with open(os.path.join(workdir, "seconds"), "w", encoding="utf-8") as file:
        file.write(str(_children() - before))
    return _kept(workdir)


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _kept(workdir: str) -> dict | None:
    """What a run that is over left: its last evaluation, its steps and the processor time it took."""
    try:
        with open(os.path.join(workdir, "seconds"), encoding="utf-8") as file:
            seconds = float(file.read())
        with open(os.path.join(workdir, "evaluation.json"), encoding="utf-8") as file:
            return json.load(file) | {"seconds": seconds}
    except FileNotFoundError:
        return None


def _cells(found: dict) -> str:
    classes = ", ".join(f"{name} {found['dice'][name]:.3f}" for name in found["scored"])
    return f"{found['mean_dice']:.4f} | {classes} | {found['step']} | {found['seconds']:.0f} s"


def _slices(volumes: str, folder: str) -> str:
    """Writes train/ and val/ with images/ and masks/ of every slice, once; returns the folder."""
    if os.path.exists(folder):
        return folder
    import nibabel

    for split in ("train", "val"):
        for kind in ("images", "masks"):
            os.makedirs(os.path.join(folder + ".part", split, kind))
        with open(os.path.join(volumes, f"{split}.txt"), encoding="utf-8") as file:
            cases = file.read().split()
        for case in cases:
            image, label = (
                np.asarray(nibabel.load(os.path.join(volumes, kind, f"{case}.nii.gz")).dataobj)
                for kind in ("images", "labels")
            )
            low, high = np.percentile(image, (0.5, 99.5))
            grey = np.clip((image - low) / (high - low) * 255, 0, 255).astype(np.uint8)
            for number in range(image.shape[2]):
                for kind, array in (("images", grey), ("masks", label)):
                    picture = Image.fromarray(array[:, :, number].T.astype(np.uint8))
                    picture.save(os.path.join(folder + ".part", split, kind, f"{case}_{number:02}.png"))
    os.rename(folder + ".part", folder)
    return folder


if __name__ == "__main__":
    main()
