"""Which labels are probably wrong: claims against a label, their order, and the files that name them."""

import csv
import dataclasses
import json

import numpy as np
import pytest
from PIL import Image

import main
from configs import own_volumes
from configs.schema import Augment, Config, Data, Evaluate, Model, Optimizer, Train
from tests.reporting.pages import Page, assert_offline
from trainer import Run, UserError
from trainer.label_audit.claims import DROPPED, INVENTED, LOOSE, SHIFTED, SWAPPED, claims_of
from trainer.label_audit.ranking import ranked

SEAM = 2.0


def discs(*places, size=64, radius=6, ids=None):
    rows, columns = np.indices((size, size))
    label = np.zeros((size, size), np.int32)
    for number, (row, column) in enumerate(places):
        label[(rows - row) ** 2 + (columns - column) ** 2 <= radius**2] = ids[number] if ids else 1
    return label


def sure(ids, classes=2, probability=0.95):
    found = np.full((*ids.shape, classes), (1 - probability) / (classes - 1), np.float32)
    np.put_along_axis(found, ids[..., None], probability, axis=2)
    return found


def strongest(label, probabilities, background=(0,)):
    claims = claims_of(label, probabilities, background=background)
    return max(claims, key=lambda claim: claim.evidence(SEAM))


TRUE = discs((14, 14), (14, 48), (46, 30))


@pytest.mark.parametrize(
    ("label", "kind", "box"),
    [
        (discs((14, 14), (14, 48)), DROPPED, (40, 24, 53, 37)),
        (discs((14, 14), (14, 48), (46, 30), (46, 52)), INVENTED, (40, 46, 53, 59)),
    ],
)
def test_an_object_that_is_in_one_of_them_alone(label, kind, box):
    claim = strongest(label, sure(TRUE))
    assert (claim.kind, claim.box, claim.share) == (kind, box, 1.0)
    assert claim.pixels == (discs((30, 30)) == 1).sum()
    assert claim.evidence(SEAM) > 0.5


def test_a_class_that_is_swapped():
    ids = discs((14, 14), (14, 48), (46, 30), ids=[1, 2, 1])
    label = discs((14, 14), (14, 48), (46, 30), ids=[1, 2, 2])
    claim = strongest(label, sure(ids, 3))
    assert (claim.kind, claim.labelled, claim.predicted, claim.box) == (SWAPPED, 2, 1, (40, 24, 53, 37))
    # Of data without a background a part of one class is as good as an object.
    claim = strongest(label, sure(ids, 3), background=())
    assert (claim.kind, claim.labelled, claim.predicted) == (SWAPPED, 2, 1)


@pytest.mark.parametrize(("background", "classes"), [((0,), 2), ((), 2), ((0,), 3)])
def test_a_label_that_is_displaced(background, classes):
    ids = TRUE * (classes - 1)
    label = np.roll(ids, (2, -1), axis=(0, 1))
    (claim,) = [c for c in claims_of(label, sure(ids, classes), background=background) if c.kind == SHIFTED]
    assert claim.text == "fits better 2 px higher and 1 px to the right"
    assert claim.gain > 1


@pytest.mark.parametrize(("radius", "reason"), [(8, "2 px narrower"), (4, "2 px wider")])
def test_an_outline_that_is_too_wide_or_narrow(radius, reason):
    label = discs((14, 14), (14, 48), (46, 30), radius=radius)
    claims = [c for c in claims_of(label, sure(TRUE), background=(0,)) if c.whole_label]
    assert [(claim.kind, claim.text) for claim in claims] == [(LOOSE, f"fits better {reason}")]


def test_a_thin_seam_is_weak_and_what_agrees_says_nothing():
    assert claims_of(TRUE, sure(TRUE), background=(0,)) == []
    assert claims_of(TRUE, sure(TRUE, probability=0.6), background=(0,)) == []
    seam = strongest(discs((14, 14), (14, 48), (46, 30), radius=7), sure(TRUE))
    dropped = strongest(discs((14, 14), (14, 48)), sure(TRUE))
    assert seam.kind == LOOSE and seam.evidence(SEAM) < dropped.evidence(SEAM) / 4
    unsure = strongest(discs((14, 14), (14, 48)), sure(TRUE, probability=0.6))
    assert unsure.evidence(SEAM) < dropped.evidence(SEAM) / 10


def test_void_is_not_judged():
    label = np.where(discs((46, 30), radius=9) == 1, 255, discs((14, 14), (14, 48)))
    assert claims_of(label, sure(TRUE), background=(0,)) == []


def test_labels_of_nothing_and_of_everything():
    nothing, everything = np.zeros((20, 20), np.int32), np.ones((20, 20), np.int32)
    for label, ids in ((nothing, everything), (everything, nothing), (np.full((20, 20), 255), everything)):
        claims = claims_of(label, sure(ids), background=(0,))
        assert all(0 <= claim.evidence(SEAM) <= 1 for claim in claims)
    assert ranked([[], []])[0].score == 0
    assert ranked([]) == []


def test_the_order_goes_by_how_unusual_a_claim_is_among_those_of_its_kind():
    dropped, invented = (
        strongest(label, sure(TRUE)) for label in (discs((14, 14)), discs((14, 14), (14, 48), (46, 30), (46, 52)))
    )
    # One image in three has an object that nobody labelled; one of all an object that is not there.
    claims = [[dropped] if number % 3 == 0 else [] for number in range(30)] + [[invented]]
    order = ranked(claims)
    assert order[0].number == 30 and order[0].score > 0.5 >= order[1].score > 0
    assert [image.number for image in order[1:11]] == list(range(0, 30, 3))


random = np.random.default_rng(0)
RIGHT = np.stack([discs(*random.integers(6, 26, (2, 2)), size=32, radius=4) for _ in range(12)])
IMAGES = (random.normal(60, 6, RIGHT.shape) + 120 * RIGHT).clip(0, 255).astype("uint8")
WRONG = 5
LABELS = RIGHT.astype("uint8") * 255
LABELS[WRONG] = 0


def config(path, **data):
    return Config(
        data=Data(source="folder", path=str(path), channels=1, **data),
        model=Model(width=4, depth=1),
        augment=Augment(crop=(32, 32)),
        optimizer=Optimizer(learning_rate=0.02),
        train=Train(length="30 steps", batch_size=4),
        evaluate=Evaluate(panels=0, every="100%"),
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("data")
    for kind, arrays in (("images", IMAGES), ("masks", LABELS)):
        (path / kind).mkdir()
        for number, array in enumerate(arrays):
            Image.fromarray(array).save(path / kind / f"{number:02d}.png")
    return path


@pytest.fixture(scope="module")
def audited(folder, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("runs") / "folds"
    return workdir, Run(config(folder, folds=2), workdir=workdir).audit_labels()


def test_a_planted_error_comes_first(audited):
    _, found = audited
    assert len(found.images) == 12 and found.folds == 2
    first, second = found.images[:2]
    assert first.name.endswith(f"{WRONG:02d}.png") and first.score > second.score
    assert first.claims[0][0].kind == DROPPED
    assert first.name in found.table() and "dropped object at row" in found.table()


def test_the_list_and_the_page_say_the_same(audited, folder):
    workdir, found = audited
    rows = list(csv.DictReader((workdir / "audit.csv").open(encoding="utf-8")))
    assert rows[0]["mask_file"] == str(folder / "masks" / f"{WRONG:02d}.png")
    assert (rows[0]["claim"], rows[0]["labelled"], rows[0]["predicted"]) == (DROPPED, "background", "foreground")
    top, left, bottom, right = (int(rows[0][side]) for side in ("top", "left", "bottom", "right"))
    there = RIGHT[WRONG][top:bottom, left:right].sum()
    assert there > 0.8 * int(rows[0]["pixels"])
    assert [float(row["image_score"]) for row in rows] == sorted((float(r["image_score"]) for r in rows), reverse=True)
    content = json.loads((workdir / "audit.json").read_text(encoding="utf-8"))
    assert [image["name"] for image in content["images"]] == [image.name for image in found.images]
    text = (workdir / "audit.html").read_text(encoding="utf-8")
    assert_offline(text)
    table = Page(text).tables["claims"]
    assert table[1][0] == found.images[0].name and table[1][1] == found.images[0].score
    assert (workdir / content["pictures"][0]["file"]).is_file()


@pytest.mark.slow
def test_folds_are_not_trained_twice_and_may_be_stopped(audited, folder, tmp_path):
    workdir, found = audited
    before = (workdir / "fold_1" / "metrics.jsonl").stat().st_mtime_ns
    again = Run(config(folder, folds=2), workdir=workdir).audit_labels()
    assert again == found
    assert (workdir / "fold_1" / "metrics.jsonl").stat().st_mtime_ns == before
    assert Run(config(folder, folds=2), workdir=tmp_path / "a").audit_labels(stop=lambda: True).stopped


@pytest.mark.slow
def test_a_run_without_folds_judges_what_it_held_out(audited, folder, capsys):
    """A fold is such a run; the command takes its config from the workdir."""
    workdir, found = audited
    assert main.main(["main.py", "--mode=audit_labels", f"--workdir={workdir / 'fold_0'}"]) == 0
    output = " ".join(capsys.readouterr().out.split())
    assert "Only the 6 validation images were judged" in output and "--config.data.folds=5" in output
    rows = list(csv.DictReader((workdir / "fold_0" / "audit.csv").open(encoding="utf-8")))
    held = {image.name for image in found.images if image.fold == 0}
    assert {row["image"] for row in rows} <= held and {row["fold"] for row in rows} <= {""}
    other = dataclasses.replace(config(folder, folds=3), name="other")
    with pytest.raises(UserError, match="held out other examples: data.folds was 2 and is 3"):
        Run(other, workdir=workdir / "fold_0").audit_labels()


def test_the_command_takes_the_config_of_the_folds(audited):
    workdir, _ = audited
    command = main.read(["--mode=audit_labels", f"--workdir={workdir}"])
    assert command.config.data.folds == 2 and command.config.model.width == 4


def test_what_is_not_judged_is_refused(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="(?s)there is no run in it.*--config.data.folds=5"):
        main.read(["--mode=audit_labels", "--workdir=nothing"])
    with pytest.raises(UserError, match=r"(?s)no run was trained here.*Data\(folds=5\)"):
        Run(config(folder), workdir="nothing").audit_labels()
    planes = np.stack([RIGHT, RIGHT], axis=-1).astype("uint8")
    several = dataclasses.replace(config(""), data=Data(folds=2, labels="multi", classes=("a", "b")))
    with pytest.raises(UserError, match="these classes overlap"):
        Run(several, workdir="several", data=(IMAGES, planes)).audit_labels()
    volumes = own_volumes.get_config()
    volumes = dataclasses.replace(volumes, data=dataclasses.replace(volumes.data, path=str(folder), folds=2))
    with pytest.raises(UserError, match="these are volumes"):
        Run(volumes, workdir="volumes").audit_labels()
