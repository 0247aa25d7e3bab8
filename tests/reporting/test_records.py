"""metrics.jsonl through kills and new starts; JSON files that are whole at every moment."""

import json
import math
import os

import numpy as np
import pytest

from configs.schema import Config
from trainer.reporting.records import MetricsLog, jsonable, read_metrics, write_json


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "run" / "metrics.jsonl")


def write_steps(path, steps, restored_step=0):
    log = MetricsLog(path, restored_step)
    for step in steps:
        log.append(step, "train", {"train/loss": 1 / step})
    return log


def steps_of(path):
    return [record["step"] for record in read_metrics(path)]


def test_a_line_a_report(path):
    log = MetricsLog(path)
    log.append(50, "train", {"train/loss": np.float32(0.5), "train/images_per_second": 31.5})
    log.append(100, "eval", {"eval/mean_dice": math.nan})
    with open(path, encoding="utf-8") as file:
        lines = [json.loads(line) for line in file]
    assert lines == [
        {"step": 50, "kind": "train", "train/loss": 0.5, "train/images_per_second": 31.5},
        {"step": 100, "kind": "eval", "eval/mean_dice": None},
    ]


def test_going_on_drops_the_steps_that_are_done_again(path):
    write_steps(path, [10, 20, 30, 40])
    log = MetricsLog(path, restored_step=20)
    assert steps_of(path) == [10, 20]
    log.append(30, "train", {"train/loss": 0.0})
    assert steps_of(path) == [10, 20, 30]
    assert read_metrics(path)[-1]["train/loss"] == 0.0


def test_a_new_run_starts_the_file_anew(path):
    write_steps(path, [10, 20])
    MetricsLog(path)
    assert steps_of(path) == []


def test_a_reader_drops_nothing(path):
    write_steps(path, [10, 20])
    MetricsLog(path, restored_step=None).append(20, "eval", {})
    assert steps_of(path) == [10, 20, 20]


def test_a_kill_anywhere_in_the_last_line_loses_that_line_alone(path):
    write_steps(path, [10, 20, 30])
    with open(path, "rb") as file:
        whole = file.read()
    last = whole.rindex(b"\n", 0, -1) + 1
    for cut in range(last, len(whole)):
        with open(path, "wb") as file:
            file.write(whole[:cut])
        assert steps_of(path) == [10, 20]
        MetricsLog(path, restored_step=30).append(40, "train", {})
        assert steps_of(path) == [10, 20, 40]


def test_a_report_made_again_at_the_restored_step_is_written_once(path):
    write_steps(path, [10, 20])
    log = MetricsLog(path, restored_step=20)
    log.append(20, "train", {"train/loss": 9.0})
    log.append(20, "eval", {})
    assert [(r["step"], r["kind"]) for r in read_metrics(path)] == [(10, "train"), (20, "train"), (20, "eval")]


def test_a_full_disk_keeps_the_lines_before(path, monkeypatch):
    log = write_steps(path, [10])
    real = os.write
    monkeypatch.setattr(os, "write", lambda file, content: real(file, content[: len(content) // 2]))
    with pytest.raises(OSError, match="No space left"):
        log.append(20, "train", {"train/loss": 1.0})
    monkeypatch.undo()
    log.append(30, "train", {})
    assert steps_of(path) == [10, 30]


def test_json_is_replaced_whole_or_not_at_all(tmp_path, monkeypatch):
    path = str(tmp_path / "evaluation.json")
    write_json(path, {"mean_dice": 0.5})

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_json(path, {"mean_dice": 0.9})
    assert json.loads(open(path, encoding="utf-8").read()) == {"mean_dice": 0.5}
    assert os.listdir(tmp_path) == ["evaluation.json"]


def test_a_config_can_be_written(tmp_path):
    write_json(str(tmp_path / "config.json"), Config(seed=7))
    saved = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    assert saved["seed"] == 7
    assert saved["augment"]["crop"] == [128, 128]


def test_what_json_cannot_say():
    assert jsonable([math.inf, np.int64(3), np.array([1.5, math.nan])]) == [None, 3, [1.5, None]]
    with pytest.raises(TypeError, match="Received: <object"):
        jsonable({"a": object()})
