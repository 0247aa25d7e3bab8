"""A whole config judged before TensorFlow is imported: every field's range, and the rules that relate fields.

Each problem says what is wrong, why, and what to write instead; all of them are found at once.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import os
import re
from collections.abc import Callable, Collection, Iterator

from configs import knobs
from configs.knobs import ConfigError
from configs.reading import actions, durations, fields, foreign_names
from configs.reading.levels import levels, rank_of
from configs.reading.nearest import did_you_mean
from configs.reading.optimizers import option_problems
from configs.reading.references import FORM, module_problem
from configs.reading.validation_parts import is_model_file, loss_problems, mask_problems, model_problems
from configs.reading.validation_volumes import SCORES as VOLUME_SCORES
from configs.reading.validation_volumes import volume_problems
from configs.reading.values import shown
from configs.schema import Config


@dataclasses.dataclass(frozen=True)
class Problem:
    """`fields`: the paths it is about; `text`: the message, which begins with the first of them and its value."""

    fields: tuple[str, ...]
    text: str


# A rule yields (paths, text): about which fields, and why and what instead.
Rule = Callable[[Config], Iterator[tuple[tuple[str, ...], str]]]


def check(config: Config, *, files: bool = True, given: Collection[str] = (), metrics: Collection[str] = ()) -> None:
    """Raises an error with everything that is wrong with a config, if anything is.

    Args:
        config: The whole config of a run.
        files: Look also whether the files, folders and modules that training reads exist.
        given: Parts that were passed as objects, by the name of the argument: "model", "data". The fields that
            would name them are not judged.
        metrics: Names of metrics that were passed as objects.

    Raises:
        ConfigError: With every problem, as the command line would say it.
    """
    found = problems(config, files=files, given=given, metrics=metrics)
    if found:
        raise ConfigError([problem.text for problem in found])


def problems(
    config: Config, *, files: bool = True, given: Collection[str] = (), metrics: Collection[str] = ()
) -> list[Problem]:
    """Everything that is wrong with `config`, in the order of the schema; the arguments are those of `check`."""
    config = _with_objects(config, given)
    found = list(_by_themselves(config))
    # A rule about a field that is wrong by itself would say the same in other words, or fail; it sees the default.
    wrong = {path for problem in found for path in problem.fields}
    defaults = fields.all_fields()
    judged = fields.replace(config, {path: defaults[path].default for path in wrong})
    rules: list[Rule] = [_run, mask_problems, volume_problems, _augment, model_problems, loss_problems]
    metric = functools.partial(_metric, given=metrics, task="task" in given)
    rules += [_optimizer, option_problems, _train, _evaluate, metric, _save, _folds]
    if files:
        rules += [_data_source, _files, functools.partial(_modules, given=given)]
    for rule in rules:
        for paths, text in rule(judged):
            if wrong.isdisjoint(paths):
                found.append(_problem(config, paths, text))
    order = {path: position for position, path in enumerate(fields.all_fields())}
    return sorted(found, key=lambda problem: order[problem.fields[0]])


_OF_THE_RATE = tuple(f"optimizer.{name}" for name in ("learning_rate", "schedule", "warmup", "final_fraction", "power"))


def unread(config: Config, *, given: Collection[str] = (), own_rate: bool = False) -> list[Problem]:
    """Fields that were set and that nothing reads, because another part was chosen: the momentum of Adam.

    No mistake in a recipe, whose optimizer the command line may exchange; worth a remark when the run starts.

    Args:
        config: The whole config of a run.
        given: As for `check`.
        own_rate: Each optimizer is an object with a rate of its own.
    """
    found = []
    known = fields.all_fields()
    for path, field in fields.all_fields().items():
        if own_rate and path in (*_OF_THE_RATE, "optimizer.options") and fields.get(config, path) != field.default:
            text = "an optimizer that is an object keeps its own: say it there, or pass the class."
            found.append(_problem(config, (path,), text))
            continue
        for sibling, readers in field.knob.read_by.items():
            chooser = f"{path.rpartition('.')[0]}.{sibling}"
            part, chosen = known[chooser].knob.part, fields.get(config, chooser)
            if fields.get(config, path) != field.default and (part in given or chosen not in readers):
                reader = f"the {part} given" if part in given else f"{chooser}={chosen}"
                verb = "does" if len(readers) == 1 else "do"
                text = f"{reader} does not read it; {', '.join(readers)} {verb}."
                found.append(_problem(config, (path, chooser), text))
    return found


# What stands in for the name of a part that was passed as an object: a part of the user's own.
_AN_OBJECT = "an:object"


def _with_objects(config: Config, given: Collection[str]) -> Config:
    own = [path for path, field in fields.all_fields().items() if field.knob.part in given and field.type is str]
    return fields.replace(config, dict.fromkeys((path for path in own if path != "evaluate.metric"), _AN_OBJECT))


def _problem(config: Config, paths: tuple[str, ...], text: str) -> Problem:
    return Problem(paths, f"{paths[0]}={shown(fields.get(config, paths[0]))}: {text}")


def _by_themselves(config: Config) -> Iterator[Problem]:
    for path, field in fields.all_fields().items():
        wrong = knobs.problem(fields.get(config, path), field.knob, path)
        if wrong:
            yield _problem(config, (path,), wrong)


def _run(config: Config):
    if not re.fullmatch(r"\w[\w.-]*", config.name):
        yield ("name",), "it names a folder: write letters, digits, dashes and dots, and begin with a letter or digit."
    if config.strategy == "tpu" and config.precision == "mixed_float16":
        yield ("precision", "strategy"), "TPUs compute in bfloat16. Write --config.precision=mixed_bfloat16."
    if config.strategy == "tpu" and config.logical_devices:
        yield ("logical_devices", "strategy"), "it splits the CPU, and strategy=tpu does not use it. Leave it out."


def _data_source(config: Config):
    data = config.data
    if ":" in data.source:
        return
    if data.name and data.source != "tfds":
        yield ("data.name", "data.source"), f"data.source={data.source} reads no name. Write --config.data.source=tfds."
    if data.path and data.source == "nuclei":
        yield ("data.path", "data.source"), "the embedded nuclei have no path. Write --config.data.source=folder."
    if data.source == "tfds":
        if not re.fullmatch(r"[\w/]+(:(\d+\.\d+\.\d+|\d+\.\*\.\*|\d+\.\d+\.\*))?", data.name):
            yield ("data.name",), "data.source=tfds needs a data set: write --config.data.name=oxford_iiit_pet:4.0.0."
        for name in ("train_split", "validation_split"):
            if not getattr(data, name).strip():
                yield (f"data.{name}",), "data.source=tfds needs a split here, such as train or test[:50%]."
        if data.image_key == data.mask_key:
            yield ("data.mask_key", "data.image_key"), "image and mask cannot be the same feature."


def _files(config: Config):
    data, model, checkpoint = config.data, config.model, config.checkpoint
    if data.source in ("folder", "coco", "labelme", "volumes"):
        if not data.path:
            what = "imagesTr/ and labelsTr/" if data.source == "volumes" else "images/ and masks/"
            yield ("data.path",), f"a folder with {what} is needed: write --config.data.path=FOLDER."
        elif not os.path.isdir(data.path):
            yield ("data.path",), _missing(data.path, "folder")
    if is_model_file(model.name) and not os.path.isfile(model.name):
        yield ("model.name",), _missing(model.name, "file")
    weights = model.encoder_weights
    if model.name == "encoder_unet" and weights not in ("", "imagenet") and not os.path.isfile(weights):
        yield ("model.encoder_weights",), _missing(weights, "file") + ' ("imagenet" downloads, "" is random.)'
    if checkpoint.warm_start and not os.path.isdir(checkpoint.warm_start):
        yield ("checkpoint.warm_start",), _missing(checkpoint.warm_start, "folder")


def _missing(path: str, kind: str) -> str:
    """There is no such file or folder, with the nearest name beside it."""
    if os.path.exists(path):
        return f"this is not a {kind}."
    parent, name = os.path.split(os.path.abspath(path))
    if not os.path.isdir(parent):
        return f"there is no folder {parent!r}."
    is_kind = os.path.isdir if kind == "folder" else os.path.isfile
    try:
        beside = [entry for entry in os.listdir(parent) if is_kind(os.path.join(parent, entry))]
    except OSError:
        beside = []
    return f"there is no such {kind}.{did_you_mean(name, beside, os.path.join(os.path.dirname(path), '{}'))}"


def _folds(config: Config):
    data = config.data
    if data.folds == 1:
        yield ("data.folds",), "one fold would hold everything out: write 2 or more, or 0 for none."
    elif data.fold >= max(data.folds, 1):
        known = f"they are 0 to {data.folds - 1}" if data.folds else "data.folds says how many there are"
        yield ("data.fold", "data.folds"), f"there is no such fold: {known}."


def _augment(config: Config):
    low, high = config.augment.scale
    if low > high:
        yield ("augment.scale",), f"the smaller factor comes first. Write --config.augment.scale={high},{low}."
    # A task of the user's may have no use for the configured model; what makes it for the task looks then.
    if not config.task:
        yield from crop_problems(config)


def crop_problems(config: Config) -> Iterator[tuple[tuple[str, ...], str]]:
    """Whether the configured model takes the training crop."""
    multiples, why = size_multiples(config)
    if any(side % multiple for side, multiple in zip(config.augment.crop, multiples, strict=True)):
        both = zip(config.augment.crop, multiples, strict=True)
        better = ",".join(str(max(1, round(side / multiple)) * multiple) for side, multiple in both)
        text = f"the sides have to be multiples of {_of(multiples)}: {why}. Write --config.augment.crop={better}."
        yield ("augment.crop", "model.depth"), text


def size_multiples(config: Config) -> tuple[tuple[int, ...], str]:
    """What the model needs the sides of an image to be divisible by, one an axis, and why."""
    rank = rank_of(config)
    if config.model.name == "unet":
        if any(len(row) != rank for row in config.model.strides):
            return (1,) * rank, ""  # said by itself
        multiples = levels(config).multiples
        if len(set(multiples)) == 1 and multiples[0] == 2**config.model.depth:
            return multiples, f"the U-Net halves them {config.model.depth} times (model.depth)"
        return multiples, f"the U-Net shrinks them so on {config.model.depth} levels (model.strides)"
    if config.model.name == "encoder_unet":
        return (32,) * rank, "the encoder halves them 5 times"
    return (1,) * rank, ""


def size_multiple(config: Config) -> tuple[int, str]:
    """What the model needs all sides of an image to be divisible by, and why."""
    multiples, why = size_multiples(config)
    return math.lcm(*multiples), why


def _of(multiples: tuple[int, ...]) -> str:
    return str(multiples[0]) if len(set(multiples)) == 1 else ", ".join(map(str, multiples))


def _optimizer(config: Config):
    optimizer = config.optimizer
    warmup, length = durations.parse(optimizer.warmup), durations.parse(config.train.length)
    if length.unit == "%" or not length.amount:
        return
    too_long = warmup.amount >= (100 if warmup.unit == "%" else length.amount)
    if too_long and warmup.unit in ("%", length.unit):
        yield (
            ("optimizer.warmup", "train.length"),
            (
                f"the warm-up is as long as the run ({config.train.length}), which never reaches its learning rate. "
                'Write a shorter one, e.g. --config.optimizer.warmup="5%".'
            ),
        )


def _train(config: Config):
    train = config.train
    length = durations.parse(train.length)
    if length.unit == "%" or not length.amount:
        yield ("train.length",), 'a run needs a length of its own: write "1000 steps" or "20 epochs".'
    if train.batch_size % train.micro_batches:
        fewer = max(n for n in range(1, train.micro_batches) if train.batch_size % n == 0)
        more = _up(train.batch_size, train.micro_batches)
        yield (
            ("train.accumulate", "train.batch_size"),
            (
                f"it does not divide train.batch_size={train.batch_size}, and micro-batches are of one size. Write "
                f"--config.train.accumulate={fewer} or --config.train.batch_size={more}."
            ),
        )
    elif config.strategy == "mirrored" and config.logical_devices:
        parts = config.logical_devices * train.micro_batches
        if train.batch_size % parts:
            yield (
                ("train.batch_size", "logical_devices", "train.accumulate"),
                (
                    f"{config.logical_devices} logical devices cannot share it in {train.micro_batches} "
                    f"micro-batch(es). Write --config.train.batch_size={_up(train.batch_size, parts)}."
                ),
            )


def _up(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple


def _evaluate(config: Config):
    evaluate = config.evaluate
    multiples, why = size_multiples(config)
    if any(evaluate.tile):
        if not all(evaluate.tile):
            yield ("evaluate.tile",), "one side is 0. Write both, as --config.evaluate.tile=512,512, or 0,0 for none."
        elif len(evaluate.tile) != len(multiples):
            text = f"it has {len(evaluate.tile)} sides, and augment.crop {len(multiples)}. Write as many."
            yield ("evaluate.tile", "augment.crop"), text
        elif not config.task and any(s % multiple for s, multiple in zip(evaluate.tile, multiples, strict=True)):
            better = ",".join(str(_up(side, multiple)) for side, multiple in zip(evaluate.tile, multiples, strict=True))
            text = f"the sides have to be multiples of {_of(multiples)}: {why}. Write --config.evaluate.tile={better}."
            yield ("evaluate.tile", "model.depth"), text
        elif len(evaluate.tile) == 2 and evaluate.tile_overlap >= min(evaluate.tile):
            text = f"tiles of {evaluate.tile} would not move on. Write at most half of the smaller side."
            yield ("evaluate.tile_overlap", "evaluate.tile"), text
    unknown = [name for name in evaluate.classes if name not in config.data.classes]
    if unknown and config.data.classes:
        hints = "".join(did_you_mean(name, config.data.classes) for name in unknown)
        known = ", ".join(config.data.classes)
        yield ("evaluate.classes", "data.classes"), f"{', '.join(unknown)} not among data.classes ({known}).{hints}"
    if len(set(evaluate.classes)) != len(evaluate.classes):
        yield ("evaluate.classes",), "a class is named twice. Name each once."
    if evaluate.patience and not durations.parse(evaluate.every).amount:
        yield (
            ("evaluate.patience", "evaluate.every"),
            ('early stopping needs evaluations, and evaluate.every is 0. Write --config.evaluate.every="5%".'),
        )


def _metric(config: Config, *, given: Collection[str] = (), task: bool = False):
    """The score that decides: built in, or one of the user's; the terms of a task are known when it is traced."""
    evaluate = config.evaluate
    names = [*(name.rpartition(":")[2] for name in evaluate.metrics), *given]
    built_in = fields.all_fields()["evaluate.metric"].knob.names + (VOLUME_SCORES if rank_of(config) == 3 else ())
    twice = sorted({name for name in names if names.count(name) > 1 or name in built_in})
    if twice:
        text = f"{', '.join(twice)} is the name of two metrics. Give each function a name of its own."
        yield ("evaluate.metrics",), text
    known = [*built_in, *names]
    if evaluate.metric not in known and not (task or config.task):
        own = "Name one of your own in evaluate.metrics, too"
        if FORM.fullmatch(evaluate.metric):
            own = (
                f"Write --config.evaluate.metrics={evaluate.metric} "
                f"--config.evaluate.metric={evaluate.metric.rpartition(':')[2]}"
            )
        hint = foreign_names.value("evaluate.metric", evaluate.metric, "{!r}")
        hint = hint or did_you_mean(evaluate.metric, known, "{!r}")
        text = f"it is not one of the scores measured: {', '.join(known)}.{hint} {own}."
        yield ("evaluate.metric", "evaluate.metrics"), text


def _modules(config: Config, *, given: Collection[str] = ()):
    """Whether there are the modules that parts of the user's own are in."""
    for path, field in fields.all_fields().items():
        if not field.knob.part or path == "evaluate.metric" or field.knob.part in given and field.type is str:
            continue
        value = fields.get(config, path)
        for text in value if isinstance(value, tuple) else (value,):
            name = actions.parse(text)[1] if field.knob.form == "action" else text
            if ":" in name and name != _AN_OBJECT:
                found = module_problem(name)
                if found:
                    yield (path,), found


def _save(config: Config):
    if config.checkpoint.warm_start_pattern != ".*" and not config.checkpoint.warm_start:
        yield (
            ("checkpoint.warm_start_pattern", "checkpoint.warm_start"),
            (
                "it chooses among the weights of checkpoint.warm_start, which is empty. Write "
                "--config.checkpoint.warm_start=FOLDER."
            ),
        )
    if config.guard.nonfinite == "back" and not durations.parse(config.checkpoint.every).amount:
        yield (
            ("guard.nonfinite", "checkpoint.every"),
            ('to go back takes checkpoints, and checkpoint.every is 0. Write --config.checkpoint.every="5%".'),
        )
