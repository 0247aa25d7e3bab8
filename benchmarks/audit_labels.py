"""Finds labels that were made wrong on purpose, and compares the ranking with cleanlab's."""

from __future__ import annotations

import argparse
import os

import numpy as np

from benchmarks.label_corruptions import corrupted
from configs.nuclei import get_config
from configs.schema import Augment, Checkpoint, Config, Data, Evaluate, Model, Optimizer, Train
from trainer import Run
from trainer.data import open_data


def nuclei() -> list:
    """The examples of the embedded set, of both splits."""
    data = open_data(get_config())
    return [source.load(number) for source in (data.train, data.validation) for number in range(len(source))]


def config(seed: int, classes) -> Config:
    """A recipe of a fifth of the nuclei's work, in three folds."""
    return Config(
        name="audit",
        seed=seed,
        data=Data(classes=classes, folds=3),
        model=Model(width=8, depth=4, normalization="group"),
        augment=Augment(crop=(128, 128), scale=(0.85, 1.2), brightness=0.0, contrast=0.0),
        optimizer=Optimizer(name="adamw", learning_rate=3e-3, schedule="cosine", warmup="5%", ema_decay=0.98),
        train=Train(length="250 steps", batch_size=4, log_every="100%"),
        evaluate=Evaluate(every="100%", panels=0),
        checkpoint=Checkpoint(every="100%"),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", default="1,2,3,4,5")
    parser.add_argument("--workdir", default="runs/audit_labels")
    options = parser.parse_args()
    examples = nuclei()
    for seed in map(int, options.seeds.split(",")):
        labels, wrong = corrupted([example.label for example in examples], seed)
        pairs = [(example.image, label) for example, label in zip(examples, labels, strict=True)]
        run = Run(
            config(seed, ("background", "nucleus")), workdir=os.path.join(options.workdir, f"nuclei_{seed}"), data=pairs
        )
        print(run.crossvalidate().table(), wrong, flush=True)


if __name__ == "__main__":
    main()
