"""Good in training and bad in evaluation: reported as batch normalisation's fault where it is."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from configs.schema import Augment, Checkpoint, Config, Data, Evaluate, Model, Optimizer, Train
from trainer import Run


def model(momentum: float) -> keras.Model:
    image = keras.Input((None, None, 1))
    x = keras.layers.Rescaling(1 / 255)(image)
    for _ in range(2):
        x = keras.layers.Conv2D(8, 3, padding="same")(x)
        x = keras.layers.ReLU()(keras.layers.BatchNormalization(momentum=momentum)(x))
    return keras.Model(image, keras.layers.Conv2D(2, 1)(x))


def trained(tmp_path, capsys, momentum: float) -> tuple[str, float]:
    random = np.random.default_rng(0)
    labels = np.zeros((8, 32, 32), np.uint8)
    labels[:, 8:24, 10:26] = 1
    images = (200 + labels * 12 + random.integers(0, 6, labels.shape)).astype(np.uint8)[..., None]
    config = Config(
        data=Data(classes=("a", "b")),
        augment=Augment(crop=(32, 32), brightness=0.0, contrast=0.0),
        model=Model(),
        optimizer=Optimizer(learning_rate=2e-2),
        train=Train(length="40 steps", batch_size=4, log_every="10 steps"),
        evaluate=Evaluate(every="100%"),
        checkpoint=Checkpoint(every="100%"),
    )
    result = Run(config, workdir=tmp_path, model=model(momentum), data=(images, labels)).train()
    return " ".join(capsys.readouterr().out.split()), result.scores["mean_dice"]


@pytest.mark.page
def test_averages_that_lag_are_named_with_numbers(tmp_path, capsys):
    text, dice = trained(tmp_path, capsys, 0.999)
    assert dice < 0.5
    assert "momentum 0.999 still holds 96% of the zeros and ones" in text  # before the first step
    assert "in evaluation. On one and the same training batch" in text
    assert "the 2 layers of batch normalisation lag behind. Their momentum is 0.999, and after 40 steps" in text
    assert "keras.layers.BatchNormalization(momentum=0.9)" in text and "norm_momentum" not in text
    assert "lag behind" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_nothing_is_said_where_they_are_warm(tmp_path, capsys):
    text, dice = trained(tmp_path, capsys, 0.7)
    assert dice > 0.8 and "batch normalisation" not in text
