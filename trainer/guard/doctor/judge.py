"""Copies of a program with changes, compared with the program as it is: which change helps."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from .change import Change, Suspicion
from .clock import Clock
from .finding import Finding
from .labels import labels_of
from .masks import mask_fit
from .pair import Pair
from .predictability import carries_signal
from .program import Program, taken, tensors
from .skill import decisions, recall, skill
from .trial import Run, Trial


class Judge:
    """Compares runs of changed copies with the run of the program as it is."""

    def __init__(self, program: Program, pair: Pair | None, base: Run, clock: Clock, trial: Trial):
        self.program, self.pair, self.base, self.clock, self.trial = program, pair, base, clock, trial
        self.slowest = base.seconds + 1.0
        self.repeated = False

    def skill(self, run: Run) -> float:
        """What a run learned; where predictions cannot be judged, how far its loss fell."""
        if not run.finite:
            return -1.0
        if np.isfinite(run.skill):
            return run.skill
        part = max(1, len(run.losses) // 10)
        first, last = run.losses[:part].mean(), run.losses[-part:].mean()
        if first > 0 and last >= 0:
            return float(1 - last / first)
        return min(1.0, float((first - last) / abs(first))) if first else 0.0  # a loss without a floor of 0

    def mended_by(self, suspicions: list[Suspicion]) -> list[Suspicion]:
        """Those whose change alone makes the program learn clearly better; the best, and what is about as good."""
        tried: list[tuple[float, Suspicion, Run]] = []
        for suspicion in suspicions:
            if suspicion.change is None or self.clock.left < 0.7 * self.slowest:
                continue
            if suspicion.finding.kind == "batchnorm_statistics" and self.skill(self.base) >= 0.6:
                continue  # averages that are a little late, which some more steps mend
            run = self._try(suspicion.change)
            if run is None:
                continue
            after = self.skill(run)
            if self._better(after, suspicion.strong):
                tried.append((after, suspicion, run))
                if after > 0.9 and (not suspicion.strong or len(tried) > 1):
                    break
        if tried:
            self._repeat()
            tried = [entry for entry in tried if self._better(entry[0], entry[1].strong)]
        if not tried:
            return []
        best = max(after for after, _, _ in tried)
        good = [entry for entry in tried if entry[0] >= best - 0.1]
        good = good[:2] if good[0][1].strong else good[:1]
        return [self._borne_out(suspicion, after) for after, suspicion, _ in good]

    def together(self, suspicions: list[Suspicion]) -> list[Suspicion]:
        """Those that help only together."""
        change = Change()
        usable = [s for s in suspicions if s.change is not None]
        for suspicion in usable:
            change = change | suspicion.change
        run = self._try(change) if len(usable) > 1 and self.clock.left > self.slowest else None
        if run is None or not self._better(self.skill(run), strong=True):
            return []
        after = self.skill(run)
        self._repeat()
        if not self._better(after, strong=True):
            return []
        needed = []
        for suspicion in usable:
            rest = Change()
            for other in usable:
                if other is not suspicion:
                    rest = rest | other.change
            without = self._try(rest) if self.clock.left > self.slowest else None
            if without is None or self.skill(without) < after - 0.1:
                needed.append(suspicion)
        return [self._borne_out(suspicion, after, len(needed) > 1) for suspicion in needed[:3]]

    def _repeat(self) -> None:
        """Makes the steps of the program as it is again, with the rows in another order, and keeps the better run.

        A program that learned little by an unlucky order is no program with a fault.
        """
        if self.repeated or not self.base.finite or self.clock.left < 0.5 * self.base.seconds:
            return
        self.repeated = True
        again = self.trial.run(until=self.clock.share(0.5), draw=1)
        if again.finite and self.skill(again) > self.skill(self.base):
            self.base = again

    def useless_for(self, there: float, trial: Trial) -> list[Suspicion]:
        """Validation data that what was learned does not serve at all, though it serves training rows left out."""
        held_out = self._held_out(trial)
        if held_out is None or held_out < 0.5 or held_out < there + 0.5:
            return []
        return [
            Suspicion(
                Finding(
                    "train_validation_mismatch",
                    "validation",
                    f"A copy that learns two thirds of the training rows explains {held_out:.0%} of the rest of them "
                    f"beyond guessing, and one that learns all {max(there, 0):.0%} of the validation data: by their "
                    "numbers the inputs are alike, and what they mean, or what the labels mean, is not.",
                    "Prepare inputs and labels of both by one function, with one table from names to class numbers.",
                    depth="steps",
                )
            )
        ]

    def rare(self, trial: Trial, beyond: float, up_to: float) -> list[Suspicion]:
        """A rare class that is hardly ever predicted, and would be if it counted as much as the others.

        One that is not so rare (its share lies within the bounds) counts after all else that may hold training up.
        """
        labels, predictions = self._plain()
        if labels is None or self.pair.labels.one_hot_axis not in (None, -1):
            return []
        decided = decisions(self.pair, labels, predictions) if np.isfinite(predictions).all() else None
        if decided is None or decided[0].ndim > 1:
            return []
        true, guessed = decided
        classes, counts = np.unique(true, return_counts=True)
        shares = counts / counts.sum()
        if len(classes) < 2 or shares.max() < 0.8 or not beyond < shares.min() <= up_to or self.base.skill > 0.35:
            return []  # a rare class is one beside a frequent one, and hidden if the others are not found either
        at = int(classes[shares.argmin()])
        own = recall(true, guessed, at)
        if own > 0.55 or self.clock.left < self.slowest:
            return []
        run = self._balanced(trial, labels, true, dict(zip(classes, shares, strict=True)))
        if run is None or not run.finite:
            return []
        again = decisions(self.pair, labels, np.asarray(run.predictions))[1]
        then = recall(true, again, at)
        mean_own = np.mean([recall(true, guessed, int(c)) for c in classes])
        mean_then = np.mean([recall(true, again, int(c)) for c in classes])
        if then < own + 0.25 or mean_then < mean_own + 0.12:
            return []
        found = Finding(
            "class_imbalance",
            "y",
            f"Class {at} is {shares.min():.1%} of {self.pair.name}. After the training {own:.0%} of it is found, "
            f"beside an accuracy of {np.mean(true == guessed):.1%}, which guessing the most frequent class has, too "
            f"({shares.max():.1%}); with the classes weighted alike {then:.0%} is found.",
            "Weight the classes, or take a loss that does (focal, Dice), and a metric that shows the rare one "
            "(recall, IoU):"
            f"\n\n    model.fit(…, "
            f"class_weight={{{', '.join(f'{int(c)}: {0.5 / s:.3g}' for c, s in zip(classes, shares, strict=True))}}})",
            depth="steps",
        )
        return [Suspicion(found, Change(balanced=True))]

    def apart(self, trial: Trial) -> list[Suspicion]:
        """Labels that nothing in their inputs foretells: neither simple learners nor this model, for rows left out."""
        labels, _ = self._plain()
        if labels is None or self.pair.copies_input or keras.tree.is_nested(self.program.x):
            return []
        x = np.asarray(self.program.x)
        simple = mask_fit(x, labels, self.pair) if labels.ndim == 4 or x.ndim == 4 and labels.ndim == 3 else None
        simple = carries_signal(x, labels, self.pair) if simple is None else simple
        if simple is None or simple > 0.03 or self.clock.left < self.slowest:
            return []
        held_out = self._held_out(trial)
        if held_out is None or held_out > max(0.08, 1.5 * self._luck(labels)):
            return []
        known = max(self.base.skill, 0.0)
        return [
            Suspicion(
                Finding(
                    "labels_not_aligned",
                    "y",
                    f"Nothing in x foretells {self.pair.name}: least squares and nearest neighbours predict rows that "
                    "they have not seen no better than shuffled labels would let them, and this model explains "
                    f"{max(held_out, 0):.0%} of such rows ({known:.0%} of those that it has seen).",
                    "Shuffle, sort and split x and y by the same order:\n\n"
                    "    order = np.random.default_rng(0).permutation(len(x))\n    x, y = x[order], y[order]",
                    depth="steps",
                )
            )
        ]

    def _luck(self, labels: np.ndarray) -> float:
        """A deviation of the skill that guessing has by chance, for the third of the rows that is left out."""
        if not self.pair.labels.classes or labels.ndim > 2:
            return 0.0
        decided = labels.argmax(-1) if self.pair.labels.one_hot_axis == -1 else labels.ravel()
        share = np.unique(decided, return_counts=True)[1].max() / decided.size
        return float(np.sqrt(share * (1 - share) / (decided.size / 3)) / max(1 - share, 1e-6))

    def _held_out(self, trial: Trial) -> float | None:
        count = self.program.held
        order = np.random.default_rng(1).permutation(count)
        train, test = order[: 2 * count // 3], order[2 * count // 3 :]
        part = dataclasses.replace(self.program, x=taken(self.program.x, train), y=taken(self.program.y, train))
        whole = trial.program
        try:
            trial.program = part
            trial.run(until=self.clock.share(0.6), x=tensors(part.x), y=tensors(part.y))
            predictions = np.asarray(trial.predict(tensors(taken(self.program.x, test))))
        finally:
            trial.program = whole
        value = skill(self.pair, np.asarray(taken(self.program.y, test)), predictions)
        return value if np.isfinite(value) else None

    def _plain(self) -> tuple[np.ndarray | None, np.ndarray | None]:
        y, predictions = self.program.y, self.base.predictions
        if self.pair is None or y is None or keras.tree.is_nested(y) or keras.tree.is_nested(predictions):
            return None, None
        return np.asarray(y), np.asarray(predictions)

    def _balanced(self, trial: Trial, labels: np.ndarray, true: np.ndarray, shares: dict) -> Run | None:
        weights = np.vectorize(lambda c: 1 / (len(shares) * shares[c]))(true).astype("float32")
        if true.size == len(labels):
            weights = weights.reshape(len(labels))
        else:
            shape = labels.shape if labels.size == true.size else labels.shape[:-1]
            weights = weights.reshape(shape)
            weights = weights[..., 0] if weights.shape[-1] == 1 and weights.ndim > 2 else weights
        try:
            return trial.run(until=self.clock.share(0.6), weight=tf.constant(weights))
        except Exception:  # a loss that takes no weights, or gives one number for all pixels
            return None

    def _try(self, change: Change) -> Run | None:
        began = time.monotonic()
        self.trial.reset()  # a model that is trained in place, and that a run has left trained
        try:
            trial = Trial(self.program, self.pair, change)
            x = _scaled(self.program.x) if change.scale_x else None
            y = _scaled(self.program.y, but_classes=True) if change.scale_y else None
            run = trial.run(until=self.clock.share(0.5), x=x, y=y)
        except Exception:  # the changed program does not run (a width that a Reshape forbids): then it is no remedy
            return None
        self.slowest = max(self.slowest, min(time.monotonic() - began, 2 * self.slowest))
        return run

    def _better(self, after: float, strong: bool) -> bool:
        before = max(self.skill(self.base), -0.2)
        if strong:
            return after - before > max(0.08, 0.3 * (1 - before))
        return before < 0.35 and after > before + max(0.25, 0.4 * (1 - before))

    def _borne_out(self, suspicion: Suspicion, after: float, with_others: bool = False) -> Suspicion:
        before = self.skill(self.base)
        tried = "With that and the other faults below mended" if with_others else "With that mended"
        shown = f"{max(before, 0):.0%}" if self.base.finite else "nothing (its loss becomes NaN)"
        more = (
            f" As it is, a copy learns {shown} of what a constant answer leaves to learn in {len(self.base.losses)} "
            f"steps. {tried} it learns {after:.0%}."
        )
        finding = dataclasses.replace(suspicion.finding, evidence=suspicion.finding.evidence + more, depth="steps")
        return dataclasses.replace(suspicion, finding=finding)


def _scaled(structure: Any, but_classes: bool = False) -> Any:
    """Every array of numbers brought to mean 0 and deviation 1: by column where it is a table, by channel else.

    Class numbers and memberships stay as they are if `but_classes`, beside the targets of another output.
    """

    def scaled(array):
        if array is None or np.asarray(array).dtype.kind not in "fiu":
            return array
        if but_classes and keras.tree.is_nested(structure) and labels_of(array).classes:
            return array
        values = np.asarray(array, "float64")
        axes = tuple(range(values.ndim - 1)) if values.ndim > 1 else (0,)
        deviation = values.std(axes, keepdims=True)
        return ((values - values.mean(axes, keepdims=True)) / np.where(deviation > 0, deviation, 1)).astype("float32")

    return tensors(keras.tree.map_structure(scaled, structure))
