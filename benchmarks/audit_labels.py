"""Labels that were made wrong on purpose: how well are they found, beside cleanlab on the same probabilities?

    pip install cleanlab==2.9.0
    python -m benchmarks.audit_labels [--seeds=1,2,3] [--workdir=runs/audit_labels]
    python -m benchmarks.audit_labels --tiles=FOLDER     # swapped classes in tiles of a data set of several classes

For each seed a tenth of the labels is made wrong (`benchmarks.label_corruptions`), three networks are trained on these
labels in a fifth of the nuclei recipe's work, and each judges the images that it has not seen. Printed is the average
precision of the ranking of images, over all that are wrong, and for each kind against the right ones; the mean over the
seeds, and each seed's. Beside it cleanlab's default score of an image (softmin of the pixels' probabilities; Lad and
Mueller 2023, "Estimating label quality and errors in semantic segmentation data via any model"). What was trained is
kept in the workdir, and not trained again.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
import time
from collections.abc import Sequence

import numpy as np

from benchmarks.label_corruptions import KINDS, corrupted
from configs.nuclei import get_config
from configs.schema import Augment, Checkpoint, Config, Data, Evaluate, Model, Optimizer, Train
from trainer import Run
from trainer.crossvalidation import fold_run
from trainer.data import open_data
from trainer.label_audit.claims import claims_of
from trainer.label_audit.held_out import judged
from trainer.label_audit.ranking import ranked
from trainer.reporting.panels import background_ids

# Of tiles: one pixel in so many along each side is taken, and an image cut into so many by so many.
_EVERY, _TILES = 3, 2


def recipe(seed: int, classes: Sequence[str], crop: int) -> Config:
    return Config(
        name="audit",
        seed=seed,
        data=Data(classes=tuple(classes), folds=3),
        model=Model(width=8, depth=4, normalization="group"),
        augment=Augment(crop=(crop, crop), scale=(0.85, 1.2), brightness=0.0, contrast=0.0),
        optimizer=Optimizer(name="adamw", learning_rate=3e-3, schedule="cosine", warmup="5%", ema_decay=0.98),
        train=Train(length="250 steps", batch_size=4, log_every="100%"),
        evaluate=Evaluate(every="100%", panels=0),
        checkpoint=Checkpoint(every="100%"),
    )


def examples_of(config: Config) -> tuple[list, Sequence[str]]:
    """The examples of both splits, and the classes."""
    data = open_data(config)
    return [source.load(n) for source in (data.train, data.validation) for n in range(len(source))], data.classes


def tiles_of(path: str) -> tuple[list, Sequence[str]]:
    examples, classes = examples_of(Config(data=Data(source="folder", path=path)))
    found = []
    for example in examples:
        small = example.image[::_EVERY, ::_EVERY], example.label[::_EVERY, ::_EVERY]
        rows, columns = (np.array_split(np.arange(n), _TILES) for n in small[1].shape)
        for down in rows:
            for across in columns:
                image, label = (array[down[0] : down[-1] + 1, across[0] : across[-1] + 1] for array in small)
                found.append(dataclasses.replace(example, image=image, label=label))
    return found, classes


def softmin(label: np.ndarray, probabilities: np.ndarray) -> float:
    """cleanlab's score of an image, the lower the worse; void is left out."""
    from cleanlab.segmentation.rank import get_label_quality_scores

    known = label < probabilities.shape[2]
    # One row of the pixels that count: the score is a function of their probabilities alone.
    labels, columns = label[known][None, None], probabilities[known].T[None, :, None]
    return float(get_label_quality_scores(labels, columns, method="softmin", verbose=False)[0][0])


def average_precision(suspicion: np.ndarray, wrong: np.ndarray) -> float:
    found = wrong[np.argsort(-suspicion, kind="stable")]
    return float((np.cumsum(found) / np.arange(1, len(found) + 1))[found].mean())


def judge(examples, labels, classes, seed: int, crop: int, workdir: str) -> tuple[np.ndarray, np.ndarray]:
    """How suspicious each image is: by `trainer.label_audit`, and by cleanlab."""
    pairs = [(example.image, label) for example, label in zip(examples, labels, strict=True)]
    run = Run(recipe(seed, classes, crop), workdir=workdir, data=pairs)
    claims, theirs = [[] for _ in labels], np.zeros(len(labels))
    for fold in range(run.config.data.folds):
        child = fold_run(run, fold)
        child.train()
        for index, label, probabilities in judged(child):
            number = int(child.data.validation.names[index][5:-1])  # "data[12]"
            claims[number] = claims_of(label, probabilities, background=background_ids(classes))
            theirs[number] = 1 - softmin(label, probabilities)
    ours = np.zeros(len(labels))
    for image in ranked(claims):
        ours[image.number] = image.score
    return ours, theirs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", default="1,2,11,13")
    parser.add_argument("--workdir", default="runs/audit_labels")
    parser.add_argument("--tiles", default="")
    options = parser.parse_args()
    try:
        import cleanlab  # noqa: F401
    except ModuleNotFoundError:
        sys.exit("cleanlab is compared with, and is not installed: pip install cleanlab==2.9.0")
    if options.tiles:
        (examples, classes), kinds, crop, name = tiles_of(options.tiles), ("swapped",), 96, "tiles"
    else:
        (examples, classes), kinds, crop, name = examples_of(get_config()), KINDS, 128, "nuclei"
    right = [example.label for example in examples]
    rows: dict[str, list[tuple[float, float]]] = {}
    for seed in map(int, options.seeds.split(",")):
        labels, wrong = corrupted(
            right, seed, classes=len(classes), kinds=kinds, background=bool(background_ids(classes))
        )
        scores = judge(examples, labels, classes, seed, crop, os.path.join(options.workdir, f"{name}_{seed}"))
        for kind in ("all", *kinds):
            kept = [n for n in range(len(right)) if kind == "all" or wrong.get(n, kind) == kind]
            marked = np.array([n in wrong for n in kept])
            rows.setdefault(kind, []).append(tuple(average_precision(s[kept], marked) for s in scores))
        print(f"seed {seed}: {len(wrong)} of {len(right)} wrong, average precision {rows['all'][-1]}", flush=True)
    print(f"\n{'':<10}{'here':>8}{'cleanlab':>10}{'difference':>12}   each seed")
    for kind, pairs in rows.items():
        ours, theirs = np.mean(pairs, axis=0)
        each = ", ".join(f"{a:.2f}/{b:.2f}" for a, b in pairs)
        print(f"{kind:<10}{ours:8.3f}{theirs:10.3f}{ours - theirs:+12.3f}   {each}")
    print(f"{time.process_time() / len(rows['all']):.0f} s of processor time a seed")


if __name__ == "__main__":
    main()
