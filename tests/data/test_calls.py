"""However a program ends while batches are being made, its process ends."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

import pytest

PROGRAM = """
import sys, time
import numpy as np
import tensorflow as tf
from configs.schema import Augment, Config, Data, Train
from tests.data.making import picture
from trainer.data import data_error_from, open_data, training_batches

class Slow:
    spoilt = False
    def __len__(self): return 40
    def __getitem__(self, index):
        time.sleep(0.002)
        image, mask = picture(index, (96, 128))
        return image, mask // 9 if self.spoilt and index == 30 else mask

data = Slow()
config = Config(
    data=Data(cache_mib=0, workers=4), augment=Augment(crop=(64, 64)), train=Train(batch_size=4)
)
train = open_data(config, {"train": data, "validation": None}).train
data.spoilt = sys.argv[1] == "bad example"
iterator = iter(training_batches(train, config, start_step=0, steps=10**6))
kept = []
try:
    for _ in range(40 if data.spoilt else 2):
        next(iterator)
    if sys.argv[1] == "exit":
        sys.exit(3)
    raise KeyError("the user's")
except tf.errors.OpError as error:
    kept.append(error)
    print(data_error_from(error))
    sys.exit(2)
"""


@pytest.mark.slow
@pytest.mark.parametrize(("way", "code"), [("bad example", 2), ("exit", 3), ("error", 1)])
def test_the_process_ends(way, code):
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    root = pathlib.Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, way],
        cwd=root,
        env=environment,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=120,
    )
    assert done.returncode == code, done.stderr[-2000:]
    assert ("train[30]['label']" in done.stdout) == (way == "bad example")
