"""How the parts of a run are made: from the config, and from objects passed to `Run`.

`Run` calls each of these once, when the part is first needed.
"""

from __future__ import annotations

import dataclasses
import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras

from configs.knobs import meant
from configs.reading import fields, validation
from configs.reading.nearest import did_you_mean
from configs.schema import Config
from trainer.actions.norm_gap import lag_note
from trainer.actions.timing import paired
from trainer.distribution.strategy import Devices
from trainer.errors import UserError, numbered
from trainer.evaluation.metrics import scored_classes
from trainer.models.build import build_form, fresh_names, logits_per_pixel
from trainer.models.outputs import Form
from trainer.models.sizes import fit_crop, fit_sizes
from trainer.parts import name_of, resolve
from trainer.seeds import seeded
from trainer.stepping.intervals import Intervals
from trainer.stepping.objective import build_objective, loss_of_sigmoids
from trainer.stepping.optimizer import build_optimizer, keep_their_rates
from trainer.stepping.precision import Precision
from trainer.stepping.schedule import build_schedule
from trainer.stepping.segmentation import Segmentation
from trainer.stepping.state import TrainState, build_updates, new_rate_factor
from trainer.stepping.task import Phase, Task, build_task


@dataclasses.dataclass(frozen=True, kw_only=True)
class Parts:
    """Parts passed to `Run` as objects, or under another name than the config's; None takes the config's."""

    model: Any = None
    loss: Any = None
    data: Any = None
    metrics: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    optimizer: Any = None
    schedule: Any = None
    augment: Sequence[Any] = ()
    actions: Sequence[Any] = ()
    task: Any = None

    def names(self) -> dict[str, Any]:
        """The parts passed, under their names in config.json."""
        found: dict[str, Any] = {}
        for field in dataclasses.fields(self):
            part = getattr(self, field.name)
            if field.name == "metrics" and part:
                found[field.name] = {name: name_of(metric) for name, metric in part.items()}
            elif field.name == "actions" and part:
                found[field.name] = [a if isinstance(a, str) else f"{a[0]}: {name_of(a[1])}" for a in part]
            elif field.name == "augment" and part:
                found[field.name] = [name_of(function) for function in part]
            elif field.name == "data" and part is not None:
                found[field.name] = type(part).__name__
            elif part is not None and part != () and part != {}:
                found[field.name] = name_of(part)
        return found

    def named_in(self, config: Config) -> Config:
        """A config with the names of what was given in its fields; for messages, as nothing is built by it."""
        names = {part: name for part, name in self.names().items() if isinstance(name, str)}
        paths = {path: names[part] for part, path in _fields_of_parts().items() if part in names}
        return fields.replace(config, paths)


def _fields_of_parts() -> dict[str, str]:
    """A part that is one -> the field that names it."""
    return {
        field.knob.part: path
        for path, field in fields.all_fields().items()
        if field.knob.part and field.type is str and path != "evaluate.metric"
    }


def receive(
    config: Config | None, arguments: Mapping[str, Any], positional: Sequence[Any] = ()
) -> tuple[Config, Parts]:
    """The config and the parts that `Run(config, *positional, **arguments)` means, valid as a whole.

    Raises:
      UserError: with everything that is wrong with either.
    """
    known = [field.name for field in dataclasses.fields(Parts)]
    unknown = [name for name in arguments if name not in known]
    if unknown:
        also = ["config", "workdir", "force", "extend", *known]
        raise UserError(
            numbered([f"Run has no argument {name!r}.{_meant(name, also)}" for name in unknown])
            + f"\n  It takes {', '.join(also)}."
        )
    config = Config() if config is None else config
    if positional or not isinstance(config, Config):
        kinds = ", ".join(type(argument).__name__ for argument in (config, *positional))
        raise UserError(
            f"Run was given {kinds}: only its config, Config(…) of configs.schema, goes without a name. The others: "
            "Run(Config(…), model=…, data=…)"
        )
    config, given = _with_names(config, {name: part for name, part in arguments.items() if part is not None})
    parts = Parts(**given)
    _check_containers(parts)
    paired(parts.actions)
    names = set(parts.names())
    problems = validation.problems(config, files="data" not in names, given=names, metrics=parts.metrics)
    if problems:
        # A name of `metrics` is no value of the field.
        empty, given = "evaluate.metrics=(): ", f"metrics={{{', '.join(f'{name!r}: …' for name in parts.metrics)}}}: "
        texts = [problem.text.removeprefix(empty) for problem in problems]
        raise UserError(
            numbered([(given if text != p.text else "config.") + text for p, text in zip(problems, texts, strict=True)])
        )
    if {"data", "task"} & names and config.name == Config().name:
        # The default is the name of the built-in data.
        config = dataclasses.replace(config, name="run")
    return config, parts


def _meant(name: str, arguments: Sequence[str]) -> str:
    """What a wrong argument may be: one like it, one that other frameworks call so, or a field of the config."""
    elsewhere = _ELSEWHERE.get(name)
    if elsewhere:
        return f" Write {elsewhere}."
    return did_you_mean(name, arguments) or meant(name, Config).replace(" has it.", " of the config has it.")


_DATA = 'data={"train": …, "validation": …}'
_ELSEWHERE = {
    "callbacks": "actions=[(100, function), …]",
    "train_data": _DATA,
    "train_dataset": _DATA,
    "validation_data": _DATA,
    "validation_split": "Data(validation_fraction=…) of the config",
    "dataset": "data=…",
    "net": "model=…",
    "criterion": "loss=…",
    "scheduler": "schedule=…",
    "transforms": "augment=[function, …]",
    "augmentation": "augment=[function, …]",
}


def _check_containers(parts: Parts) -> None:
    """Metrics have names and augmentations an order: a bare function, or a list in place of a mapping, is refused
    here."""
    problems = []
    if not isinstance(parts.metrics, Mapping):
        first = parts.metrics[0] if isinstance(parts.metrics, (list, tuple)) and parts.metrics else parts.metrics
        example = getattr(first, "__name__", "my_metric")
        problems.append(
            f"metrics is of type {type(parts.metrics).__name__}; each has a name: metrics={{{example!r}: {example}}}."
        )
    if isinstance(parts.augment, (str, Mapping)) or not isinstance(parts.augment, Sequence):
        example = getattr(parts.augment, "__name__", "my_function")
        problems.append(
            f"augment is of type {type(parts.augment).__name__}; it is a list, whose functions are called in order: "
            f"augment=[{example}]."
        )
    if problems:
        raise UserError(numbered(problems))


def _with_names(config: Config, parts: dict[str, Any]) -> tuple[Config, dict[str, Any]]:
    """Moves parts passed by name into the config: `Run(model="unet")` is `model.name="unet"`."""
    fields_of = _fields_of_parts()
    named = {name: part for name, part in parts.items() if isinstance(part, str) and name in fields_of}
    config = fields.replace(config, {fields_of[name]: part for name, part in named.items()})
    return config, {name: part for name, part in parts.items() if name not in named}


def make_task(
    config: Config, parts: Parts, data, devices: Devices, precision: Precision, *, steps: Callable[[], int]
) -> tuple[Task, Config, list[str]]:
    """The task with its models, made in the strategy's scope; `steps` gives the run's length where a task wants it.

    Returns:
      The task; the config, with crop and tiles as the models need them; a note for each field changed for that.
    """

    def form(outputs: int | None = None) -> Form:
        return build_form(config, parts.model, policy=precision.policy, replicas=devices.replicas, outputs=outputs)

    def model_of_a_task() -> keras.Model:
        """The model of a task of the user's, with one output a class or plane of the target."""
        label = data.train.features.get("label")
        for paths, text in validation.crop_problems(config) if parts.model is None else ():
            raise UserError(f"config.{paths[0]}={config.augment.crop}: {text}")
        return form(len(data.classes) or (math.prod(label.shape) if label is not None else 1)).model

    with seeded(config.seed), devices.strategy.scope(), fresh_names():
        given = parts.task or config.task
        if given:
            given = resolve(given, "task")
            _check_all_is_read(given, config, parts)
            task = build_task(given, config=config, data=data, model=model_of_a_task)
            return task, *fit_crop(config, task.models())
        if not data.classes:
            what = "labels that are pictures, not class ids" if "label" in data.train.features else "no label"
            raise UserError(
                f"The examples have {what}, and segmentation learns from class ids [height, width].\n  Give each a "
                "label of whole numbers, data=(images, labels), or say what is learned of them by a task: task=MyTask."
            )
        return _segmentation(form(), config, parts, data.classes, steps)


def _check_all_is_read(task: Any, config: Config, parts: Parts) -> None:
    """Refuses a loss or a model beside a task that takes neither it nor the config, which names it."""
    taken = inspect.signature(task).parameters if callable(task) and not isinstance(task, Task) else {}
    name, problems = getattr(task, "__name__", type(task).__name__), []
    for part, section in (("loss", config.loss), ("model", config.model)):
        given = getattr(parts, part)
        said = f"{part}={name_of(given)}" if given is not None else ""
        if not said and section != type(section)():
            said = f"config.{part}" if section.name == type(section)().name else f"{part}={section.name!r}"
        if not said or part in taken or (given is None and ("config" in taken or isinstance(task, Task))):
            continue
        instead = (
            "What is learned is what its losses(batch, training) gives: compute it there"
            if part == "loss"
            else f"Its class gets the model where it names it, def __init__(self, model): pass the class, task={name}"
        )
        own = "losses" if part == "loss" else "models"
        problems.append(f"{said} is not read: the task {name} has {own} of its own. {instead}, or leave it out.")
    if problems:
        raise UserError(numbered(problems))


def _segmentation(
    form: Form, config: Config, parts: Parts, classes: Sequence[str], steps: Callable[[], int]
) -> tuple[Task, Config, list[str]]:
    """The built-in task with a model whose outputs are known; see `make_task`."""
    config, notes = fit_sizes(config, form.model)
    one_logit = form.outputs == 1 < logits_per_pixel(config)
    if one_logit:
        config = fields.replace(config, {"model.outputs": "sigmoid"})
    named, more = config, []
    if (config.data.multi_label or one_logit) and parts.loss is None:
        named, more = loss_of_sigmoids(config)
    objective = build_objective(named, logits_per_pixel(config), parts.loss, activation=form.activation)
    if form.activation and objective.own is not None:
        more = [*more, f"the loss of your own gets what the model gives, after its {form.activation}"]
    lag = lag_note(form.model, steps(), config.model.name if parts.model is None else ":")
    scored = [classes.index(name) for name in scored_classes(classes, config.evaluate.classes, config.data.multi_label)]
    task = Segmentation(form.model, objective, config, classes, scored)
    return task, config, [*notes, *form.notes, *more, *([lag] if lag else [])]


def make_state(
    task: Task, config: Config, parts: Parts, intervals: Intervals, devices: Devices, precision: Precision
) -> TrainState:
    """What a step changes: weights, optimizers with their schedules, counters; made in the strategy's scope."""
    with seeded(config.seed), devices.strategy.scope(), fresh_names():
        factor = new_rate_factor()

        def schedule_of(every: int):
            total, warmup = -(-intervals.total // every), intervals.warmup // every
            return build_schedule(config.optimizer, parts.schedule, total_steps=total, warmup_steps=warmup)

        def optimizer_of(phase: Phase | None) -> keras.optimizers.Optimizer:
            schedule = schedule_of(1 if phase is None else phase.every)
            own = phase.optimizer if phase is not None else None
            field = "optimizer" if own is None else f"the optimizer of the phase {phase.name!r}"
            part = parts.optimizer if own is None else own
            return build_optimizer(config.optimizer, schedule, factor, part, field=field)

        updates = build_updates(task, optimizer_of)
        if parts.schedule is not None and keep_their_rates(task.phases, parts.optimizer):
            raise UserError(
                f"schedule={name_of(parts.schedule)} is the rate of nothing: an optimizer that is an object keeps its "
                "own.\n  Give it to the object, keras.optimizers.Adam(schedule), or pass the class, "
                "optimizer=keras.optimizers.Adam."
            )
        return TrainState(task, updates, config, scales_loss=precision.scales_loss, rate_factor=factor)
