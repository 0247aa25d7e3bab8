"""`Run.postprocess`: finds the post-processing that helps.

Every candidate is scored on images that the network was not trained on: in a cross-validation on all images, each
predicted by the fold that has not seen it; otherwise on the validation images. For each class in turn a threshold,
whether holes are filled, and a smallest size or only the largest part are chosen by the class's mean Dice over images.
A step is kept if it is better in 97.5 of 100 resamples of the images (a paired bootstrap), so that chance is not
mistaken for an improvement, and all of them together if they improve the mean Dice of the scored classes.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Sequence

import numpy as np

from configs.reading.folders import folds_of
from configs.reading.levels import rank_of
from trainer.checkpoints import folder as checkpoints
from trainer.checkpoints.resume import config_of
from trainer.ensemble import one_for_all
from trainer.errors import UserError
from trainer.evaluation.evaluator import make_evaluator
from trainer.evaluation.metrics import scored_classes
from trainer.postprocess.candidates import HALF, SIZES, THRESHOLDS, Candidates, scores
from trainer.prediction.postprocessing import FILE, Parts, PostProcessing, save
from trainer.reporting.memory.out_of_memory import explaining_memory
from trainer.reporting.page.bootstrap import FEW, Difference, paired_bootstrap
from trainer.reporting.progress import Progress
from trainer.reporting.terminal import table
from trainer.stepping.segmentation import Segmentation


def postprocess(run, checkpoint: str = "best") -> PostProcessing:
    """Chooses the post-processing of a run's masks, or of a cross-validation's, and writes postprocessing.json.

    Returns:
      The steps that were kept; without any an earlier file is removed.

    Raises:
      UserError: the task is not segmentation, there are no images to choose by, or the run is on several machines.
    """
    if run.devices.workers > 1:
        raise UserError("Post-processing is chosen in one process: --strategy=one")
    runs = _runs(run)
    if len(runs) > 1 and checkpoint not in checkpoints.WORDS:
        raise UserError(one_for_all(checkpoint))
    for each in runs:
        if not isinstance(each.task, Segmentation):
            raise UserError("Post-processing is of masks, and this task is no segmentation.")
        if each.data.validation is None:
            raise UserError("There are no validation examples to choose by: data.validation_fraction, or data.folds.")
    return _Choice(run, runs, checkpoint).made()


def _runs(run) -> list:
    """The run itself, or those of the folds in its workdir."""
    folds = folds_of(run.workdir)
    if not folds:
        return [run]
    configs = [config_of(folder) for folder in folds]
    missing = [folder for folder, config in zip(folds, configs, strict=True) if config is None]
    of = configs[0].data.folds if not missing else 0
    if missing or len(folds) < of:
        raise UserError(
            f"{run.workdir}: {len(folds) - len(missing)} of {of or len(folds)} folds have ended; out-of-fold "
            "predictions are of all. Go on with --mode=crossvalidate."
        )
    made = [run.with_config(config, folder) for config, folder in zip(configs, folds, strict=True)]
    for each in made:
        each.devices = run.devices
    return made


@dataclasses.dataclass(frozen=True)
class _Step:
    """A candidate compared with the steps kept so far."""

    name: str
    step: str
    found: Difference

    @property
    def kept(self) -> bool:
        return self.found.low > 0

    def __str__(self) -> str:
        low, high = self.found.low, self.found.high
        verdict = "kept" if self.kept else "not kept: it may be luck" if self.found.difference > 0 else "not kept"
        return (
            f"{self.name}: {self.step}: Dice {self.found.a:.4f} -> {self.found.b:.4f} ({self.found.difference:+.4f}, "
            f"95 % of resamples {low:+.4f} to {high:+.4f}): {verdict}"
        )


class _Choice:
    def __init__(self, run, runs: Sequence, checkpoint: str):
        self._run, self._runs, self._checkpoint = run, runs, checkpoint
        self._config, first = runs[0].config, runs[0].data
        self._classes, self._multi_label = tuple(first.classes), self._config.data.multi_label
        self._rank = rank_of(self._config)
        self._folders: list[str] = []
        self._steps: list[_Step] = []

    def made(self) -> PostProcessing:
        log = self._run.log
        found = self._gathered(self._post(), thresholds=self._multi_label or len(self._classes) == 2)
        if not found.changeable:
            raise UserError(
                f"None of the classes {', '.join(self._classes)} is called background, which what is removed would "
                "become: there is nothing to choose. Name it so: --config.data.classes=background,…"
            )
        images = len(found.before)
        log(f"\nDice on {images} {self._what()}, of each class with each candidate by itself:\n{self._table(found)}\n")
        if images < FEW:
            log(f"  note: {images} images are few: below {FEW} the intervals are too narrow.")
        thresholds = self._thresholds(found)
        if thresholds:
            # Parts are those of the masks made with these thresholds.
            by_part = self._gathered(self._post(thresholds), thresholds=False)
        else:
            by_part = found
        parts = {name: self._parts(by_part, name) for name in found.changeable}
        for step in self._steps:
            log(f"  {step}")
        made = self._post(thresholds, {name: what for name, what in parts.items() if what})
        together = None
        if made:
            after = self._gathered(made, thresholds=False)
            places = [self._classes.index(name) for name in self._scored()]
            together = paired_bootstrap(*(np.stack(rows.before)[:, places] for rows in (found, after)))
            if not together.difference > 0:
                log(f"  Together they change mean Dice from {together.a:.4f} to {together.b:.4f}: none is kept.")
                made = self._post()
        return self._written(made, together, images)

    def _post(self, thresholds=None, parts=None) -> PostProcessing:
        about = {"classes": self._classes, "multi_label": self._multi_label, "rank": self._rank}
        return PostProcessing(**about, thresholds=thresholds or {}, parts=parts or {})

    def _scored(self) -> tuple[str, ...]:
        return scored_classes(self._classes, self._config.evaluate.classes, self._multi_label)

    def _what(self) -> str:
        kind = "volumes" if self._rank == 3 else "images"
        if len(self._runs) > 1:
            return f"{kind}, each predicted by the fold of {len(self._runs)} that had not seen it"
        return f"validation {kind}"

    def _gathered(self, post: PostProcessing, *, thresholds: bool) -> Candidates:
        """All candidates on masks after `post`."""
        found, self._folders = Candidates(self._classes, self._multi_label, thresholds), []
        for each in self._runs:
            config = dataclasses.replace(each.config, evaluate=dataclasses.replace(each.config.evaluate, panels=0))
            with each.weights(self._checkpoint) as saved, explaining_memory(config, "evaluation"):
                self._folders.append(saved.folder)
                how = {"metrics": [found.metric(self._rank)], "progress": Progress("evaluated", self._run.log)}
                make_evaluator(each.task, each.data, config, each.strategy, postprocessing=post or None, **how)()
        return found

    def _table(self, found: Candidates) -> str:
        """A line for each candidate, a column for each class."""
        unit = "mm³" if self._rank == 3 else "pixels"
        lines = [["as predicted"]]
        lines += [[f"threshold {value:g}"] for value in THRESHOLDS] if found.by_threshold else []
        lines += [["holes filled"], *([f"without parts below {s:g} {unit}"] for s in SIZES), ["the largest part alone"]]
        means = []
        for name in found.changeable:
            by_part = scores(found.by_part, name)
            column = [by_part[:, 0, 0]]
            column += list(scores(found.by_threshold, name).T) if found.by_threshold else []
            column += [by_part[:, 1, 0], *by_part[:, 0, 1:].T]
            means.append(_means(np.stack(column, axis=-1)))
            for line, mean in zip(lines, means[-1], strict=True):
                line.append(f"{mean:.4f}")
        # Sizes that leave less than half of every class get no line.
        hopeless = (np.stack(means) < 0.5 * np.stack(means)[:, :1]).all(axis=0)
        shown = [line for line, drop in zip(lines, hopeless, strict=True) if not (drop and "parts below" in line[0])]
        return table(["candidate", *found.changeable], shown)

    def _better(self, name: str, step: str, before: np.ndarray, after: np.ndarray) -> bool:
        """Notes a candidate's Dice `[images]` beside the current one, and returns whether it is kept."""
        self._steps.append(_Step(name, step, paired_bootstrap(before, after)))
        return self._steps[-1].kept

    def _thresholds(self, found: Candidates) -> dict[str, float]:
        kept = {}
        for name in found.changeable if found.by_threshold else ():
            values = scores(found.by_threshold, name)
            best = _best(values)
            if best != HALF and self._better(name, f"threshold {THRESHOLDS[best]:g}", values[:, HALF], values[:, best]):
                kept[name] = float(THRESHOLDS[best])
        return kept

    def _parts(self, found: Candidates, name: str) -> Parts:
        values = scores(found.by_part, name)
        holes = self._better(name, "holes filled", values[:, 0, 0], values[:, 1, 0])
        left = values[:, int(holes)]
        best = _best(left)
        if not best:
            return Parts(fill_holes=holes)
        largest = best == left.shape[1] - 1
        unit = "mm³" if self._rank == 3 else "pixels"
        step = "the largest part alone" if largest else f"without parts below {SIZES[best - 1]:g} {unit}"
        if not self._better(name, step, left[:, 0], left[:, best]):
            return Parts(fill_holes=holes)
        return Parts(fill_holes=holes, largest=largest, smallest=0.0 if largest else float(SIZES[best - 1]))

    def _written(self, made: PostProcessing, together: Difference | None, images: int) -> PostProcessing:
        log, path = self._run.log, os.path.join(self._run.workdir, FILE)
        if not made:
            log("Nothing helps: masks stay as the network gives them.")
            with contextlib.suppress(FileNotFoundError):
                os.remove(path)
            return made
        chosen = {
            "on": self._what(),
            "examples": images,
            "checkpoints": self._folders,
            "mean_dice": {"without": together.a, "with": together.b, "low": together.low, "high": together.high},
            "steps": [
                {"class": s.name, "step": s.step, "without": s.found.a, "with": s.found.b, "kept": s.kept}
                for s in self._steps
            ],
        }
        made = dataclasses.replace(made, chosen=chosen)
        log(f"Kept: {made}. Mean Dice {together.a:.4f} -> {together.b:.4f} on {images} {self._what()}.")
        if len(self._runs) == 1:
            log(
                "  note: these images picked the best checkpoint, too, and are scored with what was chosen on them: "
                "expect less on others. Folds have more images, and no checkpoint that was picked on them alone: "
                "--mode=crossvalidate --config.data.folds=5, then --mode=postprocess."
            )
        try:
            log(f"Written to {save(self._run.workdir, made)}, which evaluate, predict and export read from now on.")
        except OSError as error:
            raise UserError(f"{path} cannot be written: {error.strerror}.") from error
        return made


def _best(values: np.ndarray) -> int:
    """The candidate with the highest mean in `[images, candidates]`, the first of equals."""
    return int(np.argmax(_means(values)))


def _means(values: np.ndarray) -> np.ndarray:
    """The mean of each column over the images that count for it; 0 without any."""
    counted = ~np.isnan(values)
    return np.where(counted, values, 0.0).sum(axis=0) / np.maximum(counted.sum(axis=0), 1)
