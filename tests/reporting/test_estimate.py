"""`describe` estimates the memory of training and says what does not fit."""

import re

import pytest

from configs.schema import Augment, Config, Model, Optimizer, Train
from trainer import Run, process


def _rows(**changes):
    config = Config(
        model=Model(width=2, depth=1, normalization="group"),
        augment=Augment(crop=changes.pop("crop", (32, 64))),
        optimizer=Optimizer(ema_decay=changes.pop("ema_decay", 0.0)),
        train=Train(length="2 steps", **{"batch_size": 4, **changes}),
    )
    text = Run(config, workdir="not/made").describe()
    memory = text[text.index("Memory, estimated:") :]
    units = {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
    found = re.findall(r"^  (\w[\w ]*?) +([\d,.]+) ([KMGT]iB)", memory, re.MULTILINE)
    return {name: float(number.replace(",", "")) * units[unit] for name, number, unit in found}, memory


def test_what_training_takes():
    rows, text = _rows()
    shared = {"weights", "moments", "gradients", "activations", "evaluation", "a replica"}
    parts = ("a replica", "batches", "cache", "saving", "program")
    assert {*rows} == shared | {*parts, "host"}
    assert "4 images of 32 x 64 at a time" in text and "It would not fit" not in text
    assert rows["moments"] == pytest.approx(2 * rows["weights"], rel=0.15)
    assert rows["host"] == pytest.approx(sum(rows[n] for n in parts), rel=0.1)
    # Some hundreds of kilobytes an image: two tensors of width 2 for each of the layers at full size at least.
    assert 4 * 32 * 64 * 4 * 2 * 4 < rows["activations"] < 2**24

    assert rows["saving"] == pytest.approx(rows["weights"] + rows["moments"], rel=0.1)

    averaged, _ = _rows(ema_decay=0.9, accumulate=4)
    assert averaged["averages"] == pytest.approx(averaged["gradients"])
    assert rows["activations"] / 4.5 < averaged["activations"] < rows["activations"] / 1.5


def test_what_does_not_fit_is_said_with_what_to_change():
    _, text = _rows(batch_size=2**16, crop=(512, 1024))
    there = process.memory_limit()
    assert there > 2**28
    for line in (
        "It would not fit: ",
        "are needed on the host",
        "Train(accumulate=2) ",
        "Augment(crop=(256, 512)) ",
    ):
        assert line in text, line


def test_the_limit_of_the_container_counts(tmp_path):
    whole = process.memory_limit(str(tmp_path))
    (tmp_path / "memory.max").write_text("max\n", encoding="utf-8")
    assert process.memory_limit(str(tmp_path)) == whole
    (tmp_path / "memory.max").write_text("104857600\n", encoding="utf-8")
    assert process.memory_limit(str(tmp_path)) == 104857600
    (tmp_path / "memory.max").unlink()
    (tmp_path / "memory").mkdir()
    (tmp_path / "memory" / "memory.limit_in_bytes").write_text("9223372036854771712\n", encoding="utf-8")
    assert process.memory_limit(str(tmp_path)) == whole
    (tmp_path / "memory" / "memory.limit_in_bytes").write_text("52428800\n", encoding="utf-8")
    assert process.memory_limit(str(tmp_path)) == 52428800
