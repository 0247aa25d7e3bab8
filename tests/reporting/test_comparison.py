"""Is B better than A, or was it chance? The bootstrap on known distributions, and which runs are not compared."""

import json
import math
import os

import numpy as np
import pytest

import main
from tests.reporting.pages import assert_offline
from trainer.reporting.page.bootstrap import paired_bootstrap
from trainer.reporting.page.comparison import compare
from trainer.reporting.records import MetricsLog, write_json


def test_the_interval_holds_the_true_difference_as_often_as_it_says():
    """200 pairs of runs on 60 images that differ by 0.02 on average; noise that both share does not widen it."""
    random, true, held, widths = np.random.default_rng(1), 0.02, 0, []
    for number in range(200):
        shared = random.beta(5, 2, 60)
        a = shared + random.normal(0, 0.03, 60)
        b = shared + random.normal(true, 0.03, 60)
        found = paired_bootstrap(a, b, seed=number, resamples=500)
        held += found.low <= true <= found.high
        widths.append(found.high - found.low)
    assert 0.90 <= held / 200 <= 0.98
    # Of the difference, whose deviation is 0.03 sqrt(2), and not of the scores, which vary by 0.16.
    assert np.mean(widths) == pytest.approx(2 * 1.96 * 0.03 * math.sqrt(2 / 60), rel=0.1)


def test_without_a_difference_one_in_twenty_looks_like_one():
    random = np.random.default_rng(2)
    verdicts = [paired_bootstrap(*random.normal(0.8, 0.05, (2, 50)), seed=n, resamples=500).verdict for n in range(200)]
    assert 2 <= sum(verdict != "may be luck" for verdict in verdicts) <= 22


def test_the_same_seed_gives_the_same_answer_and_equal_runs_are_equal():
    a, b = np.random.default_rng(3).uniform(size=(2, 30))
    assert paired_bootstrap(a, b) == paired_bootstrap(a, b) != paired_bootstrap(a, b, seed=1)
    same = paired_bootstrap(a, a)
    assert (same.difference, same.low, same.high, same.better, same.verdict) == (0, 0, 0, 0.5, "equal")
    worse = paired_bootstrap(a, a - 0.1)
    assert worse.verdict == "A is better" and worse.better == 0
    assert (worse.low, worse.high) == (pytest.approx(-0.1), pytest.approx(-0.1))


def test_images_that_a_score_does_not_count_are_left_out_of_its_mean():
    a, b = np.array([0.5, math.nan, math.nan, 0.7]), np.array([0.6, 0.0, math.nan, 0.8])
    found = paired_bootstrap(a, b)
    assert found.images == 3 and found.a == pytest.approx(0.6) and found.b == pytest.approx(1.4 / 3)
    nothing = paired_bootstrap([math.nan] * 3, [0.5] * 3)
    assert math.isnan(nothing.difference) and nothing.verdict == "not counted"
    # Of several classes it is the mean of the classes' means.
    classes = paired_bootstrap(np.array([[0.2, math.nan], [0.4, 1.0]]), np.array([[0.2, 0.5], [0.4, 1.0]]))
    assert classes.a == pytest.approx((0.3 + 1.0) / 2) and classes.b == pytest.approx((0.3 + 0.75) / 2)
    with pytest.raises(ValueError, match="Two values for each image"):
        paired_bootstrap([1.0], [1.0, 2.0])


def write_run(folder, dice, *, names=None, labels=None, settings=None, scored=("cell",), **more):
    """A run's folder with scores of two classes."""
    names = names or [f"image {n}" for n in range(len(dice))]
    columns = {
        "name": names,
        "mean_dice": list(dice),
        "loss": [1.0] * len(dice),
        "dice": {"background": [0.9] * len(dice), "cell": list(dice)},
        "label": labels or list(range(len(dice))),
    }
    content = {"step": 5, "images": len(dice), "scored": list(scored), "dice": {"background": 0.9, "cell": 0.5}}
    content |= {"mean_dice": float(np.mean(dice)), "loss": 1.0, "by_image": columns} | more
    write_json(os.path.join(folder, "evaluation.json"), content)
    with open(os.path.join(folder, "config.json"), "w", encoding="utf-8") as file:
        json.dump({"name": "x", "seed": 0, "optimizer": {"learning_rate": 0.1}} | (settings or {}), file)
    log = MetricsLog(os.path.join(folder, "metrics.jsonl"))
    for step in (1, 2):
        log.append(step, "train", {"loss": 1 / step})
    return str(folder)


def test_runs_are_compared_in_the_terminal_and_on_a_page(tmp_path, capsys):
    random = np.random.default_rng(0)
    dice = random.uniform(0.5, 0.9, 40)
    a = write_run(tmp_path / "first", dice)
    b = write_run(tmp_path / "<second>", (dice + 0.05 + random.normal(0, 0.01, 40)).clip(0, 1), settings={"seed": 3})
    code = main.main(["main.py", "--mode=compare", f"--runs={a}", f"--runs={b}", f"--output={tmp_path / 'out'}"])
    output = capsys.readouterr().out
    assert code == 0
    assert [line.split() for line in output.splitlines() if "seed" in line][:1] == [["seed", "0", "3"]]
    (mean,) = (line.split() for line in output.splitlines() if line.startswith("  mean"))
    assert float(mean[1]) == pytest.approx(dice.mean(), abs=1e-4) and float(mean[3]) == pytest.approx(0.05, abs=0.005)
    assert mean[-4:] == ["40", "B", "is", "better"]
    assert "* back" in output and "not whether another seed would" in " ".join(output.split())
    text = (tmp_path / "out" / "compare.html").read_text(encoding="utf-8")
    page = assert_offline(text)
    assert "A = first, B = <second>" in page.said
    rows = {row[0]: row[1:] for rows in page.tables.values() for row in rows if len(row) == 9}
    assert rows["mean"][0] == pytest.approx(dice.mean()) and rows["mean"][-1] == "B is better"
    assert rows["* background"][-1] == "equal"
    assert sum(tag == "svg" for tag, _ in page.elements) >= 2


def test_what_does_not_compare_is_said(tmp_path):
    dice = np.linspace(0.4, 0.9, 30)
    names = [f"image {n}" for n in range(30)]
    a = write_run(tmp_path / "a", dice)

    def pair(name, *arguments, **options):
        return compare([a, write_run(tmp_path / name, *arguments, **options)]).pairs[0]

    some = pair("some", dice[:25], names=[*names[:24], "another"])
    assert some.images == 24 and "Only the 24 images that both were evaluated on" in some.notes[0]
    assert "6 are in A alone and 1 in B alone" in some.notes[0]
    few = pair("few", dice[:5])
    assert any("5 images are few" in note for note in few.notes)
    none = pair("none", dice, names=[f"x{n}" for n in range(30)])
    assert not none.rows and "no image of A (30 images) was evaluated in B" in none.refused
    other = pair("other", dice, labels=[0, *range(101, 130)])
    assert "29 of the 30 images that both have are of the same name and have other labels" in other.refused
    old = pair("old", dice, by_image={})
    assert "no scores by image" in old.refused and "--mode=evaluate" in old.refused
    terms = pair("terms", dice, by_image={}, terms={"loss": 1.0})
    assert "a task that is no segmentation" in terms.refused
    means = pair("means", dice, scored=("background", "cell"))
    assert [row.name for row in means.rows] == ["cell", "* background"]  # no mean of other classes
    comparison = compare([a, str(tmp_path / "none"), str(tmp_path / "few")])
    assert "Not compared: no image of A" in " ".join(comparison.text().split())
    assert_offline(comparison.page())


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ([], ["needs two runs or more"]),
        (["--runs=nowhere", "--runs=."], ["--runs=nowhere: there is no such folder"]),
        (["--runs=.", "--runs=./"], ["given twice"]),
        (["--runs=.", "--runs=..", "--workdir=x", "--config.seed=1"], ["--workdir: ", "--config.seed: "]),
    ],
)
def test_a_wrong_command_line_is_answered_at_once(flags, words, capsys):
    assert main.main(["main.py", "--mode=compare", *flags]) == 2
    errors = capsys.readouterr().err
    assert all(word in errors for word in words), errors


def test_a_folder_without_scores_is_named(tmp_path, capsys):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    code = main.main(["main.py", "--mode=compare", f"--runs={tmp_path / 'a'}", f"--runs={tmp_path / 'b'}"])
    errors = capsys.readouterr().err
    assert (
        code == 2
        and " ".join(errors.split()).count("there is no evaluation.json in it") == 2
        and "--mode=evaluate" in errors
    )
