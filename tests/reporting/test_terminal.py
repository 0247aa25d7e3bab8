"""What is printed: whole lines compared, since a reader sees whole lines."""

import math
import shlex

import numpy as np
import pytest

from trainer.evaluation.metrics import evaluation_of
from trainer.reporting import terminal


@pytest.fixture
def evaluation():
    counts = np.array([[[90, 95, 98], [5, 10, 7]], [[100, 100, 100], [0, 0, 0]]])
    return evaluation_of(counts, np.array([[190, 5], [8, 5]]), ("background", "nucleus"))


def test_opening(monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    text = terminal.opening(
        name="nuclei",
        data="nuclei: 150 training and 40 validation images",
        classes=("background", "nucleus"),
        model="unet, width 16, depth 4",
        parameters=1_234_567,
        trainable_parameters=1_234_000,
        loss="dice + cross_entropy",
        devices="1 CPU: no GPU is visible",
        precision="float32: the processor has bfloat16 too",
        steps="1,000 steps of 8 images (53.3 epochs)",
        workdir="runs/nuclei",
        more=[("guard", ""), ("seed", "0")],
    )
    assert text == (
        "Gradline · nuclei\n"
        "  data       nuclei: 150 training and 40 validation images\n"
        "  classes    2: background, nucleus\n"
        "  model      unet, width 16, depth 4: 1,234,567 parameters, 567 of them not trained\n"
        "  loss       dice + cross_entropy\n"
        "  devices    1 CPU: no GPU is visible\n"
        "  precision  float32: the processor has bfloat16 too\n"
        "  steps      1,000 steps of 8 images (53.3 epochs)\n"
        "  seed       0\n"
        "  workdir    runs/nuclei"
    )


def test_long_text_is_wrapped_under_itself():
    text = terminal.summary("T", [("a", "one two three"), ("long", "x\ny")], width=16)
    assert text == "T\n  a     one two\n        three\n  long  x\n        y"


def test_progress_lines_align():
    early = terminal.progress(50, 1000, loss=0.43124, dice=0.81237, rate=33.24, seconds_left=400)
    late = terminal.progress(1000, 1000, loss=12.5, dice=0.9, rate=133.24, seconds_left=0)
    assert early == "step   50/1000  loss   0.4312  Dice 0.8124     33.2 images/s     6:40 left"
    assert late == "step 1000/1000  loss    12.50  Dice 0.9000    133.2 images/s     0:00 left"
    assert len(early) == len(late)


def test_progress_says_only_what_it_knows():
    assert terminal.progress(1, 10, loss=math.nan) == "step  1/10  loss      nan"
    assert terminal.progress(1, 10, loss=1.0, more={"loss scale": 32768}).endswith("loss scale 32768")


def test_evaluated_line(evaluation):
    line = terminal.evaluated(50, 1000, evaluation, seconds=3.21, best=True)
    assert line == "eval   50/1000  Dice 0.5882  IoU 0.4167  2 images  in 3.2 s  best so far"


def test_table(evaluation):
    assert evaluation.table() == (
        "  class           Dice     IoU  Dice pooled  IoU pooled  images\n"
        "  ------------  ------  ------  -----------  ----------  ------\n"
        "  background *  0.9663  0.9369       0.9669      0.9360       2\n"
        "  nucleus       0.5882  0.4167       0.4348      0.2778       1\n"
        "  ------------  ------  ------  -----------  ----------  ------\n"
        "  mean          0.5882  0.4167       0.4348      0.2778       2\n"
        "  pixel accuracy 0.9375. Dice and IoU are means over images; pooled is of all pixels together.\n"
        "  * not in the mean."
    )


def test_a_table_that_is_too_wide_leaves_columns_out_and_says_so(evaluation, monkeypatch):
    monkeypatch.setenv("COLUMNS", "50")
    lines = evaluation.table().splitlines()
    assert lines[0].split() == ["class", "Dice", "IoU", "IoU", "pooled", "images"]
    assert "  left out, too wide: Dice pooled" in lines
    long = terminal.table(["class", "a"], [["a" * 90, "1.5"], ["b", "2"]]).splitlines()
    assert max(map(len, long)) == 50 and long[2].endswith("aaa…  1.5")


def test_a_class_in_no_image_is_a_dash():
    counts = np.array([[[4, 4, 4], [0, 0, 0]]])
    lines = evaluation_of(counts, np.array([[4, 0], [0, 0]]), ("background", "cell")).table().splitlines()
    assert lines[3].split() == ["cell", "-", "-", "-", "-", "0"]


@pytest.mark.parametrize(
    ("seconds", "text"), [(7.4, "0:07"), (754, "12:34"), (3723, "1:02:03"), (183_840, "2 d 03:04"), (math.inf, "?")]
)
def test_duration(seconds, text):
    assert terminal.duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.43124, "0.4312"),
        (0, "0.0000"),
        (123.456, "123.46"),
        (65536, "65536"),
        (1.5e-5, "1.500e-05"),
        (-1e9, "-1.000e+09"),
    ],
)
def test_number(value, text):
    assert terminal.number(value) == text


def test_commands_can_be_pasted():
    text = terminal.closing("my runs/a")
    assert max(map(len, text.splitlines())) <= 80 and "--mode=predict \\\n" in text
    # A shell joins lines that end in a backslash; shlex does not.
    lines = {line.split()[0]: line.split(maxsplit=1)[1] for line in text.replace("\\\n", "").splitlines()[1:]}
    assert shlex.split(lines["curves"]) == ["tensorboard", "--logdir", "my runs/a", "--host", "127.0.0.1"]
    assert shlex.split(lines["predict"]) == [
        "python",
        "main.py",
        "--workdir=my runs/a",
        "--mode=predict",
        "--input=path/to/images",
    ]
    assert shlex.split(terminal.closing("w").splitlines()[3].split(maxsplit=1)[1]) == [
        "python",
        "main.py",
        "--workdir=w",
        "--mode=export",
    ]
