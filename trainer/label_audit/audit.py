"""`Run.audit_labels`: images and regions in them whose label a network contradicts that has not seen it.

In the workdir:

    audit.csv   a row a claim, to go through: the image, its mask file, where, what, how strong
    audit.json  the same with all that it came from
    audit.html  the same to look at, with pictures of the first; see `trainer.reporting.page.label_audit`
"""

from __future__ import annotations

import dataclasses
import os
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from configs.reading.levels import rank_of
from trainer.checkpoints import folder as checkpoints
from trainer.checkpoints.resume import config_of
from trainer.crossvalidation import check_parts, fold_run, fold_workdir
from trainer.data import Source
from trainer.errors import EXIT_FAILED, UserError
from trainer.label_audit.claims import KINDS, Claim, claims_of
from trainer.label_audit.held_out import judged
from trainer.label_audit.pictures import ClaimsPicture, picture_of
from trainer.label_audit.ranking import Ranked, ranked
from trainer.prediction.postprocessing import LARGEST_LABELLED
from trainer.reporting.evaluation_record import PICTURES, write_picture
from trainer.reporting.page.label_audit import PAGE_FILE, write_page
from trainer.reporting.panels import background_ids
from trainer.reporting.progress import Progress
from trainer.reporting.records import write_json, write_rows
from trainer.stepping.segmentation import Segmentation

CSV_FILE, JSON_FILE = "audit.csv", "audit.json"
_PICTURES, _MOST_CLAIMS, _LINES = 12, 20, 10
# What says which examples a run held out.
_SPLIT_BY = ("source", "path", "name", "folds", "fold", "group", "split_seed", "validation_fraction")


@dataclasses.dataclass(frozen=True)
class AuditedImage:
    """An image and what is said against its label.

    Attributes:
      name: the image's, as in the data.
      mask_file: the path of its mask; "" where it has no file of its own.
      fold: whose network judged it; -1 where there are no folds.
      score: 0 … 1, of its strongest claim; above one half at most one image in ten has as strong a claim of the kind.
      claims: (what is claimed, its score), the strongest first, at most 20.
    """

    name: str
    mask_file: str
    fold: int
    score: float
    claims: tuple[tuple[Claim, float], ...]


@dataclasses.dataclass(frozen=True)
class LabelAudit:
    """The images whose labels are most probably wrong first.

    Attributes:
      images: all that were judged.
      classes: names, by class id.
      folds: 0 where a run's validation images alone were judged.
      notes: what was not judged, and why.
      stopped: it was asked to stop while folds were trained; the same call goes on.
    """

    images: tuple[AuditedImage, ...]
    classes: tuple[str, ...]
    folds: int
    notes: tuple[str, ...] = ()
    stopped: bool = False

    def table(self) -> str:
        """The first images with their scores; below each, its strongest claim."""
        lines = []
        for image in self.images[:_LINES]:
            for claim, _ in image.claims[:1]:
                where = claim.text or f"at row {claim.box[0]}, column {claim.box[1]}"
                count = f"{len(image.claims)} claim{'s' if len(image.claims) > 1 else ''}"
                lines += [f"  {image.score:.2f}  {image.name}: {count}", f"        {claim.kind} {where}"]
        return "\n".join(lines) or "  nothing was found"

    def said(self, claim: Claim) -> str:
        """A claim in words: kind, classes, and where it is."""
        if claim.whole_label:
            return f"{claim.kind}: {claim.text}"
        a, b = self.classes[claim.labelled], self.classes[claim.predicted]
        top, left, bottom, right = claim.box
        return (
            f"{claim.kind}: labelled {a}, predicted {b}, {claim.pixels} px at rows {top}-{bottom - 1}, columns "
            f"{left}-{right - 1}"
        )

    def rows(self) -> list[dict[str, Any]]:
        """A row a claim, as audit.csv has them."""
        found = []
        for rank, image in enumerate(self.images, start=1):
            for claim, score in image.claims:
                top, left, bottom, right = claim.box
                found.append(
                    {
                        "rank": rank,
                        "image": image.name,
                        "mask_file": image.mask_file,
                        "fold": "" if image.fold < 0 else image.fold,
                        "image_score": round(image.score, 4),
                        "claim": claim.kind,
                        "labelled": "" if claim.whole_label else self.classes[claim.labelled],
                        "predicted": "" if claim.whole_label else self.classes[claim.predicted],
                        "top": top,
                        "left": left,
                        "bottom": bottom,
                        "right": right,
                        "pixels": claim.pixels,
                        "detail": claim.text,
                        "score": round(score, 4),
                    }
                )
        return found


def audit_labels(run, stop: Callable[[], bool] = lambda: False) -> LabelAudit:
    """Judges every image by the run of the fold that held it out; of a run without folds its validation images.

    Args:
      run: with `config.data.folds`, folds that are not trained to their end are trained first, as
        `Run.crossvalidate` does it, in <workdir>/fold_0, fold_1, …; or a run that was trained in its workdir.
      stop: as for `Run.train`.

    Raises:
      UserError: there is nothing to judge with; the data are volumes, overlapping classes or a stream; the task is no
        segmentation; what is in the workdir held out other examples.
    """
    plain = _trained(run.workdir)
    _check(run, plain)
    images, places, predictions, claims, notes, large = [], [], [], [], [], []
    folds = 0 if plain else run.config.data.folds
    for fold in range(folds) if folds else (-1,):
        child = run
        if folds:
            if stop():
                return LabelAudit((), (), folds, stopped=True)
            run.log(f"\nFold {fold} of {folds}: {fold_workdir(run, fold)}")
            child = fold_run(run, fold)
        source = _source(child)
        if folds and child.train(stop).stopped:
            return LabelAudit((), (), folds, stopped=True)
        classes, void_id = child.data.classes, child.data.void_id
        progress = Progress("judged", run.log)
        for done, (index, label, probabilities) in enumerate(judged(child), start=1):
            progress(done, len(source))
            if label.size > LARGEST_LABELLED:
                large.append(source.names[index])
                continue
            images.append((source.names[index], source.mask_file(index), fold))
            places.append((fold, index))
            predictions.append(zlib.compress(np.argmax(probabilities, axis=-1).astype(np.uint16).tobytes(), 1))
            claims.append(claims_of(label, probabilities, background=background_ids(classes), void_id=void_id))
        notes += [f"{name} was left out: {reason}" for name, reason in source.skipped.items()]
    if plain:
        notes.append(
            f"Only the {len(images)} validation images were judged: the network has seen the others. To judge all: "
            "--mode=audit_labels --config.data.folds=5 --workdir=ANOTHER, which trains five runs."
        )
    if large:
        notes.append(
            f"Above {LARGEST_LABELLED:,} pixels, and not judged: {', '.join(large[:5])}{' …' * (len(large) > 5)}"
        )
    order = ranked(claims)
    found = LabelAudit(
        tuple(AuditedImage(*images[each.number], each.score, each.claims[:_MOST_CLAIMS]) for each in order),
        tuple(classes),
        folds,
        tuple(notes),
    )
    _say(run, found)
    if run.devices.chief:
        _write(run, found, _pictures(run, order[:_PICTURES], places, predictions))
    return found


def _trained(workdir: str) -> bool:
    """Whether a run was trained in the workdir itself, rather than in its folds."""
    try:
        return bool(checkpoints.list_steps(workdir))
    except OSError:
        return False


def _check(run, plain: bool) -> None:
    config = run.config
    if rank_of(config) == 3:
        raise UserError("--mode=audit_labels looks at images; these are volumes, and are not judged.")
    if not plain and config.data.folds < 2:
        raise UserError(
            f"{run.workdir}: no run was trained here, so there is nothing to judge the labels with. Folds judge every "
            "image by a network that has not seen it: --config.data.folds=5 (those that are not there are trained)."
        )
    before = config_of(run.workdir) if plain else None
    if before is not None:
        different = [
            f"data.{name} was {getattr(before.data, name)!r} and is {getattr(config.data, name)!r}"
            for name in _SPLIT_BY
            if getattr(before.data, name) != getattr(config.data, name)
        ]
        if different:
            raise UserError(
                f"{run.workdir}: the run in it held out other examples: {'; '.join(different)}. It has seen what it "
                "would judge. Take another workdir, or leave the setting out."
            )
    if not plain:
        check_parts(run, "one fold")


def _source(run) -> Source:
    """The run's held-out examples, if they can be judged."""
    source = run.data.validation
    if source is None:
        raise UserError("There are no validation examples, so there is nothing to judge: --config.data.folds=5.")
    if not isinstance(run.task, Segmentation):
        raise UserError(f"--mode=audit_labels judges class ids; the task {type(run.task).__name__} is no segmentation.")
    if run.config.data.multi_label:
        raise UserError(
            "--mode=audit_labels judges labels in which a pixel is of one class; these classes overlap "
            "(data.labels=multi). Judge each class by itself, as data of two classes."
        )
    if source.stream is not None:
        raise UserError(
            "--mode=audit_labels: a tf.data.Dataset can only be read in its own order; pictures of the worst need "
            "examples by number: pass an object with len() and [i]."
        )
    return source


def _pictures(run, first: Sequence[Ranked], places: Sequence, predictions: Sequence[bytes]) -> list[ClaimsPicture]:
    """Of the first images; their data are opened anew, so that no fold's stay in memory while the next is trained."""
    sources, found = {}, []
    for each in first:
        if not each.claims:
            break
        fold, index = places[each.number]
        if fold not in sources:
            child = run if fold < 0 else fold_run(run, fold)
            sources[fold] = child.data.validation
        source = sources[fold]
        prediction = np.frombuffer(zlib.decompress(predictions[each.number]), np.uint16)
        claims = each.claims[:_MOST_CLAIMS]
        found.append(picture_of(source.load(index), prediction, claims, source.classes, source.void_id))
    return found


def _say(run, found: LabelAudit) -> None:
    how = (
        f"each judged by the one of {found.folds} networks that has not seen it" if found.folds else "validation alone"
    )
    counts = {kind: sum(c.kind == kind for i in found.images for c, _ in i.claims) for kind in KINDS}
    listed = ", ".join(f"{number} {kind}" for kind, number in counts.items() if number) or "no claim"
    run.log(f"\n{len(found.images)} images, {how}: {listed}\n{found.table()}")
    for note in found.notes:
        run.log(f"  note: {note}")


def _write(run, found: LabelAudit, pictures: Sequence[ClaimsPicture]) -> None:
    content: dict[str, Any] = {
        "workdir": run.workdir,
        "folds": found.folds,
        "notes": found.notes,
        "classes": found.classes,
        "images": [
            {
                "name": image.name,
                "mask_file": image.mask_file,
                "fold": image.fold,
                "score": image.score,
                "claims": [
                    {"score": score, "said": found.said(claim), **dataclasses.asdict(claim)}
                    for claim, score in image.claims
                ],
            }
            for image in found.images
        ],
        "pictures": [],
    }
    rows, path = found.rows(), run.workdir
    try:
        for rank, each in enumerate(pictures, start=1):
            file = f"{PICTURES}/audit-{rank}.webp"
            path = os.path.join(run.workdir, file)
            write_picture(path, each.picture)
            content["pictures"].append({"file": file, "name": found.images[rank - 1].name, "legend": each.legend})
        path = os.path.join(run.workdir, JSON_FILE)
        write_json(path, content)
        path = os.path.join(run.workdir, CSV_FILE)
        if rows:
            write_rows(path, rows)
        elif os.path.exists(path):
            os.remove(path)  # of an audit before this one
        path = os.path.join(run.workdir, PAGE_FILE)
        write_page(run.workdir, content)
        run.log(f"Written to {path}" + (f"; a row a claim: {os.path.join(run.workdir, CSV_FILE)}" if rows else ""))
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}.", exit_code=EXIT_FAILED) from error
