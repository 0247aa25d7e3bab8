"""The members of an ensemble: whether they fit together, and what each of them was trained on.

    run.predict(images, ensemble=["runs/a", "runs/b"])     # two runs, the best checkpoint of each
    run.predict(images, ensemble=["runs/folds"])           # every fold of a cross-validation
    run.evaluate(ensemble=["runs/a/checkpoints/step_00000400", "runs/a/checkpoints/step_00000600"])

`Run.weights` replaces the run's own network by the members.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Iterator, Sequence

from configs.reading import fields
from configs.reading.folders import FOLDS_FILE, folds_of
from configs.reading.levels import rank_of
from configs.reading.setting_names import by_flags
from configs.schema import Config
from trainer.checkpoints import folder as checkpoints
from trainer.checkpoints.restore import load_weights
from trainer.checkpoints.resume import config_of
from trainer.errors import UserError, numbered
from trainer.models.build import activation, logits_per_pixel, size_multiples
from trainer.models.inputs import fixed_size, input_names
from trainer.prediction.ensemble_model import ensemble_model, standardizes
from trainer.stepping.segmentation import Segmentation

# Fields of members' inputs and outputs, which have to be alike.
_ALIKE = (
    "data.classes",
    "data.labels",
    "data.channels",
    "data.bands",
    "data.value_range",
    "data.pages",
    "data.spacing",
    "data.resampling",
    "data.normalize",
    "data.intensities",
    "model.outputs",
)


@dataclasses.dataclass(frozen=True)
class Member:
    """A member of an ensemble.

    workdir: of the run that trained it.
    checkpoint: "best", "latest", "averaged" or a checkpoint's folder.
    config: that its run left.
    """

    workdir: str
    checkpoint: str
    config: Config


def members_of(named: Sequence[str | os.PathLike], checkpoint: str) -> list[Member]:
    """The members that paths name: of runs, of cross-validations all folds, of checkpoints their folders.

    Args:
      checkpoint: which one of a run.

    Raises:
      UserError: a path names none of these, or there are fewer than two members; with everything that is wrong.
    """
    if isinstance(named, (str, os.PathLike)):
        named = [named]
    found, problems = [], []
    if checkpoint not in checkpoints.WORDS:
        problems.append(one_for_all(checkpoint))
    for path in map(os.fspath, named):
        workdirs = folds_of(path) or [path]
        which = checkpoint
        if os.path.isfile(os.path.join(path, "manifest.json")):
            which, workdirs = path, [os.path.dirname(os.path.dirname(os.path.normpath(path)))]
        for workdir in workdirs:
            config = config_of(workdir)
            if config is None:
                problems.append(
                    f"{path}: there is no run in it (no config.json in {workdir or '.'}). Name a run's workdir, that "
                    "of a cross-validation of which a fold has ended, or a checkpoint's folder in a run's workdir."
                )
            else:
                found.append(Member(workdir, which, config))
    seen = [(os.path.realpath(member.workdir), os.path.realpath(member.checkpoint)) for member in found]
    twice = sorted({f"{m.workdir}" for m, key in zip(found, seen, strict=True) if seen.count(key) > 1})
    problems += [f"{path} is named twice: it would count twice." for path in twice]
    if not problems and len(found) < 2:
        problems.append(f"{', '.join(map(str, named))}: an ensemble has two members or more, and this is one.")
    if problems:
        raise UserError(numbered(problems))
    return found


def one_for_all(checkpoint: str) -> str:
    """The problem with using one checkpoint's folder for several runs."""
    return (
        f"{checkpoint} is one checkpoint, and there are several networks: --checkpoint is one of "
        f"{', '.join(checkpoints.WORDS)}, of each of them. Single checkpoints are members, too: --ensemble={checkpoint}"
    )


def check_alike(members: Sequence[Member]) -> None:
    """Raises:
    UserError: members differ in what they see or say; all differences are named.
    """
    first, problems = members[0], []
    for field in _ALIKE:
        values = {member.workdir: fields.get(member.config, field) for member in members}
        if len({repr(value) for value in values.values()}) > 1:
            shown = ", ".join(f"{value!r} in {workdir}" for workdir, value in values.items())
            problems.append(f"{field}: {shown}.{_REMEDIES.get(field, '')}")
    if rank_of(first.config) != max(rank_of(member.config) for member in members):
        problems.append("Some of them are of images and some of volumes.")
    sides = [size_multiples(member.config) for member in members]
    if not problems and any(side % other for place in sides for side, other in zip(sides[0], place, strict=True)):
        shown = ", ".join(f"{side} in {member.workdir}" for member, side in zip(members, sides, strict=True))
        problems.append(
            f"The sides of an image have to be multiples of {shown}: name the deepest network first, whose multiples "
            "are multiples of the others'."
        )
    if problems:
        raise UserError(f"These runs are no ensemble: they differ in what they see or say.\n{numbered(problems)}")


_REMEDIES = {
    field: f" Each run takes them from its own training images: train with --config.{field}=… given."
    for field in ("data.value_range", "data.spacing", "data.intensities")
}


@contextlib.contextmanager
def in_place(run, members: Sequence[Member]) -> Iterator[list[checkpoints.Saved]]:
    """Inside, the members are the model of `run`'s task; gives their checkpoints."""
    before = run.task
    if not isinstance(before, Segmentation):
        raise UserError("An ensemble averages the probabilities of segmentations; this is a task of another kind.")
    check_alike([Member("this run", "", run.config), *members])
    models, saved = [], []
    for member in members:
        other = run.with_config(member.config, member.workdir)
        # A task is built for classes and keys alone, which are the same in all.
        other.data, other.devices = run.data, run.devices
        found = checkpoints.find(member.workdir, member.checkpoint)
        load_weights(other.task, found)
        models.append(other.task.model)
        saved.append(found)
    run.log(f"Ensemble of {len(saved)}: {', '.join(found.folder for found in saved)}")
    config = run.config
    _check_models(models, members)
    with run.strategy.scope():
        model = ensemble_model(
            models,
            (*[None] * rank_of(config), config.data.channels),
            logits_per_pixel(config),
            sigmoid=activation(config) == "sigmoid",
        )
        run.task = before.with_model(model)
    try:
        yield saved
    finally:
        run.task = before


def _check_models(models, members: Sequence[Member]) -> None:
    """What the configs do not show."""
    problems = []
    for what, of in (
        ("takes the inputs", input_names),
        ("takes images of the size", fixed_size),
        ("begins by standardising the image", standardizes),
    ):
        values = [of(model) for model in models]
        if len({repr(value) for value in values}) > 1:
            shown = ", ".join(f"{value} in {m.workdir}" for m, value in zip(members, values, strict=True))
            problems.append(f"Whether or what a network {what}: {shown}.")
    if problems:
        raise UserError(f"These runs are no ensemble: their networks differ.\n{numbered(problems)}")


def seen_in_training(run, members: Sequence[Member], examples) -> dict[str, int]:
    """How many of the examples to be scored each member was trained on, by its workdir; 0 is left out.

    Args:
      examples: a `DataSets` whose validation split is to be scored.
    """
    scored, found = set(examples.validation.names), {}
    for member in members:
        if run.parts.data is None and not _same_place(member.config, examples.config or run.config):
            continue
        other = run.with_config(member.config, member.workdir)
        other.devices = run.devices
        seen = len(scored.intersection(other.data.train.names))
        if seen:
            found[member.workdir] = seen
    return found


def check_unseen(run, members: Sequence[Member], examples) -> None:
    """Refuses scores on training images, which say nothing about other images, unless the user asked for them.

    Raises:
      UserError: members were trained on examples that are to be scored.
    """
    seen, total = seen_in_training(run, members, examples), len(examples.validation.names)
    if not seen:
        return
    listed = ", ".join(f"{workdir} {count}" for workdir, count in seen.items())
    problem = f"Of the {total} images that are to be scored these members were trained on some: {listed}."
    if examples.train is examples.validation:  # somebody has problem what is to be scored
        run.log(f"warning: {problem} The scores say nothing about other images.")
        return
    others = "--input=FOLDER" if by_flags() else 'data="FOLDER"'
    raise UserError(
        f"{problem} Scores on these say nothing about other images.\n"
        "  Of a cross-validation the scores of all images, each by the fold that had not seen it, are in "
        f"{FOLDS_FILE}.\n  Score the ensemble on others: {others}, or the test split, --config.data.split=test; "
        "if you mean these: --config.data.split=all"
    )


def _same_place(first: Config, second: Config) -> bool:
    """Whether examples of the same name are the same."""
    a, b = first.data, second.data
    return (a.source, a.name, os.path.realpath(a.path)) == (b.source, b.name, os.path.realpath(b.path))
