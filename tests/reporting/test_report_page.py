"""report.html of real runs, parsed: every number is that of evaluation.json, nothing is loaded, no name is markup."""

import io
import json
import logging
import os
import re
import shutil
import subprocess

import keras
import numpy as np
import pytest
from PIL import Image

import main
from configs.schema import Augment, Checkpoint, Config, Data, Evaluate, Optimizer, Train
from tests.reporting.pages import assert_offline
from trainer import Run, Task
from trainer.evaluation.details import BINS, Details
from trainer.evaluation.metrics import evaluation_of
from trainer.reporting.evaluation_record import write_evaluation
from trainer.reporting.page import curves
from trainer.reporting.page.rendering import MOST_BYTES
from trainer.reporting.page.report import write_report
from trainer.reporting.records import MetricsLog, write_json

pytestmark = pytest.mark.page

CLASSES = ("background", '<b>&"x"</b> $a$', "_клетка")
RANDOM = np.random.default_rng(0)
LABELS = RANDOM.integers(0, 3, (12, 16, 16)).astype("uint8")
IMAGES = (RANDOM.normal(20, 5, LABELS.shape) + 60 * LABELS).clip(0, 255).astype("uint8")
DATA = {"train": (IMAGES[:8], LABELS[:8]), "validation": (IMAGES[8:], LABELS[8:])}


def small():
    image = keras.Input((None, None, 1))
    return keras.Model(image, keras.layers.Conv2D(3, 1)(keras.layers.Conv2D(4, 3, padding="same")(image / 64 - 1)))


def config(steps):
    return Config(
        name="cells-1",
        data=Data(classes=CLASSES),
        train=Train(length=f"{steps} steps", batch_size=4, log_every="1 steps", steps_per_call=1),
        augment=Augment(crop=(16, 16)),
        evaluate=Evaluate(every="2 steps"),
        checkpoint=Checkpoint(every="2 steps"),
        optimizer=Optimizer(learning_rate=0.05, schedule="constant", warmup="0 steps"),
    )


def warns(run, step):
    run.journal.note("**A warning** of `mine`:\n\n```python\nx = y < 3  # </pre><script>alert(1)</script>\n```\n", step)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run stopped after three steps of six and gone on with, in a folder of an odd name."""
    workdir = str(tmp_path_factory.mktemp("runs") / "прогон <1> & 'co'")
    given = dict(model=small, data=DATA, actions=[(1, warns)], workdir=workdir)
    first = Run(config(6), **given)
    assert first.train(stop=lambda: first.current_step == 3).stopped
    assert "Step 3 of 6, stopped." in read(workdir)[1].said
    assert Run(config(6), **given).train().step == 6
    return workdir


def read(workdir):
    with open(os.path.join(workdir, "evaluation.json"), encoding="utf-8") as file:
        evaluation = json.load(file)
    with open(os.path.join(workdir, "report.html"), encoding="utf-8") as file:
        text = file.read()
    assert len(text.encode()) < MOST_BYTES
    return evaluation, assert_offline(text)


def test_every_number_equals_evaluation_json(folder):
    evaluation, page = read(folder)
    rows = page.tables["by-class"][1:]
    for row, name in zip(rows, CLASSES, strict=False):
        columns = ("dice", "iou", "dice_pooled", "iou_pooled", "counted")
        assert row == [name, *(evaluation[column][name] for column in columns)]
    means = ("mean_dice", "mean_iou", "mean_dice_pooled", "mean_iou_pooled", "images")
    assert rows[-1] == ["mean", *(evaluation[name] for name in means)]

    matrix = evaluation["confusion"]
    for row, counts in zip(page.tables["confusion-matrix"][1:], matrix, strict=True):
        assert row[-1] == sum(counts)
        assert row[1:-1] == [(count / sum(counts), count) for count in counts]

    by_image = evaluation["by_image"]
    listed = {row[0]: row[1:] for row in page.tables["by-image"][1:]}
    assert list(listed) == sorted(by_image["name"], key=lambda n: by_image["mean_dice"][by_image["name"].index(n)])
    for place, name in enumerate(by_image["name"]):
        values = [by_image["mean_dice"][place], by_image["loss"][place]]
        assert listed[name] == values + [by_image["dice"][c][place] for c in CLASSES]

    bins = [[each["pixels"], each["confidence"], each["accuracy"]] for each in evaluation["reliability"]["bins"]]
    shown = [[None if cell == "–" else cell for cell in row[1:]] for row in page.tables["reliability-bins"][1:]]
    assert shown == bins and sum(each[0] for each in bins) == 4 * 16 * 16
    found = evaluation["objects"]["classes"]
    assert {row[0]: row[1:] for row in page.tables["objects-by-class"][1:]} == {
        name: [each["objects"], each["found"], each["invented"]] for name, each in found.items() if each["objects"]
    }


def test_curves_go_on_over_a_restart_and_have_their_table(folder):
    _, page = read(folder)
    training, evaluations = (rows for rows in page.tables.values() if rows and rows[0][0] == "step")
    assert [row[0] for row in training[1:]] == [1, 2, 3, 4, 5, 6]
    assert [row[0] for row in evaluations[1:]] == [2, 4, 6]
    with open(os.path.join(folder, "metrics.jsonl"), encoding="utf-8") as file:
        records = [json.loads(line) for line in file]
    losses = [record["loss"] for record in records if record["kind"] == "train"]
    assert [row[training[0].index("loss")] for row in training[1:]] == losses
    assert sum(tag == "svg" for tag, _ in page.elements) >= 8
    assert {"Learning rate", "Gradient norm before clipping", "Loss", "Dice by class"} <= set(page.text)
    assert "Steps skipped because a gradient was not finite: 0." in page.said


def test_it_says_what_was_run_what_the_guard_said_and_where_the_time_went(folder):
    _, page = read(folder)
    assert "cells-1" in page.said and f"3: {', '.join(CLASSES)}" in page.said
    settings = {row[0]: row[1:] for rows in page.tables.values() for row in rows if len(row) == 3}
    assert settings["train.batch_size"] == ["4", "8"] and "model.width" not in settings
    assert "format" not in settings
    assert "A warning of mine:" in page.said and "x = y < 3 # </pre><script>alert(1)</script>" in page.said
    parts = page.tables["time-parts"][1:]
    names = {row[0] for row in parts}
    assert {"training steps", "first call: compiling", "evaluation", "saving"} <= names
    assert sum(row[2] for row in parts) == pytest.approx(1.0)
    pictures = [attributes for tag, attributes in page.elements if tag == "img"]
    assert len(pictures) == 1 + 4  # the crops; of four images each one once
    assert all(picture["src"].startswith("data:image/webp;base64,") and picture["alt"] for picture in pictures)


def test_only_the_last_evaluations_pictures_are_kept(folder):
    names = os.listdir(os.path.join(folder, "pictures"))
    steps = {name.split("-")[1] for name in names if name.startswith("evaluation")}
    assert steps == {"step_00000006"} and "training_crops.webp" in names


def test_the_page_can_be_written_anew_without_data_or_model(folder, capsys, tmp_path):
    moved = str(tmp_path / "moved")
    shutil.copytree(folder, moved)
    os.remove(os.path.join(moved, "report.html"))
    assert main.main(["main.py", "--mode=report", f"--workdir={moved}"]) == 0
    assert os.path.join(moved, "report.html") in capsys.readouterr().out
    read(moved)
    for name in ("run.json", "metrics.jsonl"):
        os.remove(os.path.join(moved, name))
    with open(os.path.join(moved, "config.json"), "w", encoding="utf-8") as file:
        file.write("{half")
    write_report(moved)
    _, page = read(moved)
    assert "config.json cannot be read" in page.said and "There is no run.json" in page.said
    assert page.tables["by-class"]
    assert main.main(["main.py", "--mode=report", f"--workdir={tmp_path / 'nothing'}"]) == 1
    assert "there is no run in this folder" in " ".join(capsys.readouterr().err.split())


def test_a_picture_outside_the_folder_is_not_read(folder, tmp_path):
    moved = str(tmp_path / "moved")
    shutil.copytree(folder, moved)
    (tmp_path / "secret.webp").write_bytes(b"secret")
    path = os.path.join(moved, "evaluation.json")
    with open(path, encoding="utf-8") as file:
        content = json.load(file)
    content["pictures"][0]["file"] = "../secret.webp"
    write_json(path, content)
    write_report(moved)
    assert len([tag for tag, _ in read(moved)[1].elements if tag == "img"]) == 4


def test_a_page_that_cannot_be_written_is_said_once_and_ends_nothing(tmp_path, monkeypatch):
    def broken(workdir):
        raise ZeroDivisionError("of a test")

    monkeypatch.setattr("trainer.actions.page.write_report", broken)
    lines, logger = io.StringIO(), logging.getLogger("gradline")
    handlers = logger.handlers[:]
    logger.handlers[:] = [logging.StreamHandler(lines)]
    try:
        result = Run(config(4), model=small, data=DATA, workdir=tmp_path / "a").train()
    finally:
        logger.handlers[:] = handlers
    assert result.reason == "finished" and result.saved
    warnings = re.findall(r"warning: .*", lines.getvalue())
    assert len(warnings) == 1 and "report.html cannot be written: ZeroDivisionError: of a test" in warnings[0]


class Autoencoder(Task):
    """No classes, no label: what a page says of it has to come from its terms."""

    def __init__(self):
        image = keras.Input((16, 16, 1))
        self.model = keras.Model(image, keras.layers.Conv2D(1, 3, padding="same")(image))

    def losses(self, batch, training):
        error = self.model(batch["image"], training=training) - batch["image"]
        return {"square": keras.ops.mean(error**2), "absolute": keras.ops.mean(abs(error))}


def test_a_task_of_ones_own_has_a_page_without_classes(tmp_path):
    data = {"train": {"image": IMAGES[:8]}, "validation": {"image": IMAGES[8:]}}
    settings = Config(train=config(2).train, augment=config(2).augment, evaluate=Evaluate(every="1 steps"))
    Run(settings, task=Autoencoder, data=data, workdir=tmp_path / "own").train()
    evaluation, page = read(str(tmp_path / "own"))
    terms = {row[0]: row[1] for row in page.tables["terms"][1:]}
    assert terms == {"loss": evaluation["loss"], **evaluation["terms"]}
    for absent in ("by-class", "confusion-matrix", "by-image", "reliability-bins", "objects-by-class"):
        assert absent not in page.tables
    for word in ("Confusion", "Dice", "pixels"):
        assert word not in page.said, word


@pytest.mark.parametrize("count", [1, 60])
def test_one_class_or_sixty_on_a_thousand_images(tmp_path, count):
    """Also scores without a single image, which are null."""
    classes = tuple(f"class {n}" for n in range(count))
    random = np.random.default_rng(0)
    counts = random.integers(1, 50, (1000, count, 3))
    counts[..., 1:] += counts[..., :1]
    confusion = random.integers(0, 1000, (count, count))
    counts[:, -1], confusion[-1], confusion[:, -1] = 0, 0, 0
    details = Details(1000, classes, 255)
    details.by_class[:] = random.integers(0, 100, (count, 2, BINS))
    details.confidence[:] = random.integers(0, 100, (BINS, 3))
    details.found[:, 3:9] = (5, 2, 2**20)
    names = [f"photo {n}.png" for n in range(1000)]
    scores = evaluation_of(
        counts, confusion, classes, names=names, losses=[0.5] * 1000, more=details.to_dict() | {"labels": range(1000)}
    )
    workdir = str(tmp_path)
    write_evaluation(workdir, 7, scores)
    log = MetricsLog(os.path.join(workdir, "metrics.jsonl"))
    for step in range(1, 2001):
        log.append(step, "train", {"loss": 1 / step, "skipped": step // 1000})
    log.append(7, "eval", scores.scalars(""))
    write_report(workdir)
    evaluation, page = read(workdir)
    assert len(page.tables["by-class"]) == count + 2
    assert page.tables["by-class"][count][1] == "–" and evaluation["dice"][classes[-1]] is None
    assert len(page.tables["confusion-matrix"]) == min(count, 40) + 1
    assert "In no image, in neither label nor prediction" in page.said
    if count > 40:
        assert "The 40 classes with the most wrong pixels, of 60" in page.said
        assert "The 100 lowest and the 100 highest of 1000" in page.said
        assert "The first 12 of 59 are drawn" in page.said
    (training,) = (rows for rows in page.tables.values() if rows and rows[0][:2] == ["step", "loss"] and len(rows) > 9)
    assert len(training) - 1 <= curves.MOST_POINTS and training[-1][0] == 2000
    assert "Steps skipped so far" in page.said


def test_a_page_that_is_too_large_leaves_pictures_out_and_says_so(folder, tmp_path, monkeypatch):
    moved = str(tmp_path / "moved")
    shutil.copytree(folder, moved)
    size = os.path.getsize(os.path.join(moved, "report.html"))
    monkeypatch.setattr("trainer.reporting.page.report.MOST_BYTES", size - 500)
    write_report(moved)
    _, page = read(moved)
    assert "Some pictures are left out here" in page.said
    assert len([tag for tag, _ in page.elements if tag == "img"]) == 4


BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def browse(tmp_path, *flags):
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run"]
    command += [f"--user-data-dir={tmp_path / 'profile'}", *flags]
    return subprocess.run(command, capture_output=True, timeout=120, check=True).stdout.decode()


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="no Chromium here: apt-get install chromium")
@pytest.mark.parametrize(("width", "scheme"), [(390, 0), (1280, 1)])
def test_the_page_fits_its_screen_in_the_colours_of_it(folder, tmp_path, width, scheme):
    """What it measures is said by a script that is added here, for the page has none."""
    with open(f"{folder}/report.html", encoding="utf-8") as file:
        text = file.read()
    before, policy, after = text.partition("default-src 'none'")
    assert policy
    measure = (
        "<script>addEventListener('load', () => { document.querySelectorAll('details').forEach(d => d.open = true);"
        "document.title = [innerWidth, document.documentElement.scrollWidth,"
        "[...document.images].filter(i => !i.naturalWidth).length,"
        "[...document.querySelectorAll('svg')].filter(s => s.getBoundingClientRect().width < 250).length].join(' ')"
        "})</script>"
    )
    measured = before + "default-src 'none'; script-src 'unsafe-inline'" + after.replace("</body>", f"{measure}</body>")
    path = tmp_path / "page.html"
    # Headless Chromium has windows of 500 pixels at least: the page is put into a narrower frame.
    path.write_text(measured.replace("<body>", f'<body style="width: {width}px">', 1), encoding="utf-8")
    window = f"--window-size={max(width, 500)},1600"
    colors = f"--blink-settings=preferredColorScheme={scheme}"
    title = browse(tmp_path, window, colors, "--dump-dom", path.as_uri()).partition("<title>")[2].partition("<")[0]
    inner, whole, broken_pictures, small_drawings = map(int, title.split())
    assert whole <= inner and broken_pictures == 0 and small_drawings == 0, title
    picture = tmp_path / "page.png"
    browse(tmp_path, window, colors, f"--screenshot={picture}", path.as_uri())
    pixels = np.asarray(Image.open(picture).convert("L"))
    assert (np.median(pixels) < 60) == (scheme == 0) and pixels.std() > 10
