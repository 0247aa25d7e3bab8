"""A sweep judged before TensorFlow is imported: its fields, its ranges, and every config that it could draw."""

from __future__ import annotations

import dataclasses
import itertools
import random
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from configs import knobs
from configs.reading import fields, loading, validation, values
from configs.reading.overrides import meant_field
from configs.reading.values import shown
from configs.schema import Config
from configs.sweep import Between, OneOf, Sweep

# Of all that ends and choices can be combined to, at most so many configs are judged.
_MOST_COMBINATIONS = 200
# Fields of `data` that change what goes into the model and not what is scored.
_INPUTS = ("data.channels", "data.normalize", "data.value_range")
# They make no other run of a resumed one, and change what is trained all the same.
_BEGINNING = ("checkpoint.warm_start", "checkpoint.warm_start_pattern")


def load(path: str) -> tuple[Sweep, list[str]]:
    """Runs the file's `get_sweep()`; with a problem in the file itself the sweep is empty."""
    try:
        return loading.run(path, loading.SWEEP), []
    except loading.RecipeError as error:
        return Sweep(), [str(error)]


def problems(sweep: Sweep, config: Config, *, given: Collection[str] = (), metrics: Collection[str] = ()) -> list[str]:
    """Everything that is wrong with a sweep over this config; arguments as of `validation.problems`."""
    found = knobs.check(sweep)
    ranges = sweep.ranges
    if not isinstance(ranges, Mapping):
        return [
            *found,
            f'ranges is {shown(ranges)}: write {{"optimizer.learning_rate": between(1e-4, 1e-2, log=True)}}.',
        ]
    if not ranges:
        found.append('there are no ranges: write ranges={"optimizer.learning_rate": between(1e-4, 1e-2, log=True)}.')
    wrong = [f"{path}: {text}" for path, range_ in ranges.items() for text in _of_range(path, range_, config, given)]
    return [*found, *(wrong or _of_combinations(_exact(ranges), config, given, metrics))]


def exact(sweep: Sweep) -> Sweep:
    """A sweep without problems, with every number and value of its field's exact type."""
    return dataclasses.replace(sweep, ranges=_exact(sweep.ranges))


def _exact(ranges: Mapping[str, Any]) -> dict[str, Any]:
    known, found = fields.all_fields(), {}
    for path, range_ in ranges.items():
        if isinstance(range_, Between):
            kind = _number_type(known[path].type)
            found[path] = dataclasses.replace(range_, low=kind(range_.low), high=kind(range_.high))
        else:
            found[path] = OneOf(tuple(values.from_python(value, known[path].type, path) for value in range_.values))
    return found


def _of_range(path: Any, range_: Any, config: Config, given: Collection[str]) -> Iterator[str]:
    field = fields.all_fields().get(path) if isinstance(path, str) else None
    if field is None:
        yield _unknown(path)
        return
    if refusal := _refusal(field, config, given):
        yield refusal
    if isinstance(range_, Between):
        yield from _of_numbers(field, range_)
    elif isinstance(range_, OneOf):
        yield from _of_values(field, range_)
    else:
        items = range_ if isinstance(range_, (list, tuple)) and range_ else ("…",)
        meant = ", ".join("…" if item == "…" else repr(item) for item in items)
        yield f"{shown(range_)} is no range. Write between(low, high) or one_of({meant})."


def _unknown(path: Any) -> str:
    if path in fields.sections():
        inside = [name for name in fields.all_fields() if name.startswith(f"{path}.")]
        return f"this is a section. Write one of its fields: {', '.join(inside)}."
    if path == "workdir":
        return "each trial has a folder of its own in the sweep's workdir. Leave it out."
    near = meant_field(path) if isinstance(path, str) else None
    return f"there is no such field.{f' Did you mean {near}?' if near else ' --helpfull lists them all.'}"


def _refusal(field: fields.Field, config: Config, given: Collection[str]) -> str:
    """Why trials cannot differ in this field; empty where they can."""
    path, section = field.path, field.path.partition(".")[0]
    set_it = f"Set it for all trials: --config.{path}=…"
    if path == "seed":
        return "of several seeds the best is the luckiest. Leave it out: all trials have the config's seed."
    if path == "train.length":
        return f"trials are compared after the same shares of their steps, which would not be the same work. {set_it}"
    if path == "train.batch_size" and config.train.length.strip().endswith(("step", "steps")):
        return (
            "in as many steps a larger batch sees more images, which would not be the same work. Give the length in "
            'epochs: --config.train.length="20 epochs"'
        )
    if section == "data" and path not in _INPUTS:
        return f"it decides which examples are scored or what their labels are, and scores would not compare. {set_it}"
    if section == "evaluate" or path == "task":
        return f"it decides how a trial is scored, and scores would not compare. {set_it}"
    if section == "loss" and config.evaluate.metric == "loss":
        return (
            "evaluate.metric is the loss, and values of different losses do not compare. Choose a score: "
            "--config.evaluate.metric=mean_dice"
        )
    if field.knob.changes_run is False and path not in _BEGINNING:
        return "it changes nothing about what is learned. Leave it out."
    if field.knob.part in given and field.type is str:
        return f"{field.knob.part}= was passed as an object, so that nothing reads this name."
    return ""


def _number_type(type_: Any) -> type | None:
    """int or float where numbers can be drawn for a field of this type."""
    for kind in (int, float):
        try:
            # Of `int | Literal["auto"]` the number; true and false are whole numbers to Python alone.
            if type_ is kind or type_ is not float and type(values.from_python(1, type_)) is kind:
                return kind
        except ValueError:
            continue
    return None


def _of_numbers(field: fields.Field, range_: Between) -> Iterator[str]:
    kind = _number_type(field.type)
    if kind is None:
        yield f"it is {values.describe(field.type)}, not a number. Write one_of(…) with the values to try."
        return
    ends = []
    for name in ("low", "high"):
        end = getattr(range_, name)
        try:
            ends.append(values.from_python(end, kind))
        except ValueError as error:
            yield f"{name}: {error}"
            continue
        if wrong := knobs.problem(ends[-1], field.knob, field.path):
            yield f"{name}={shown(end)}: {wrong}"
    if not isinstance(range_.log, bool):
        yield f"log={shown(range_.log)} is neither True nor False."
    if len(ends) < 2:
        return
    if ends[0] >= ends[1]:
        yield f"between({shown(range_.low)}, {shown(range_.high)}) is empty: the lower end comes first, and is lower."
    elif range_.log and ends[0] <= 0:
        low = "1" if kind is int else f"{ends[1] / 1000:g}"
        yield f"log=True needs a lower end above 0: between({low}, {shown(range_.high)}, log=True)."


def _of_values(field: fields.Field, range_: OneOf) -> Iterator[str]:
    seen = []
    for value in range_.values:
        try:
            exact_value = values.from_python(value, field.type, field.path)
        except ValueError as error:
            yield f"{error}{knobs.hint(value, field.knob)}"
            continue
        if wrong := knobs.problem(exact_value, field.knob, field.path):
            yield f"{shown(value)}: {wrong}"
        if exact_value in seen:
            yield f"{shown(value)} is there twice."
        seen.append(exact_value)
    if len(range_.values) < 2:
        all_alike = f"Set it for all trials: --config.{field.path}=…"
        yield f"of {len(range_.values)} values there is nothing to choose. {all_alike}"


def _of_combinations(
    ranges: Mapping[str, Any], config: Config, given: Collection[str], metrics: Collection[str]
) -> list[str]:
    """What is wrong with configs that could be drawn and not with this one, and ranges that no drawn config reads."""
    own = {problem.text for problem in validation.problems(config, given=given, metrics=metrics)}
    known, found = fields.all_fields(), {}
    read, unread = set(), {}
    for settings in _combinations(ranges):
        drawn = fields.replace(config, settings)
        for problem in validation.problems(drawn, given=given, metrics=metrics):
            others = [f"{path}={shown(v)}" for path, v in settings.items() if path in problem.fields[1:]]
            together = f" (drawn together with {', '.join(others)})" if others else ""
            if problem.text not in own:
                # The first example of each rule: the same fields, in words that differ by their values.
                found.setdefault(str(problem.fields), f"{problem.text}{together}")
        now = {problem.fields[0]: problem.text for problem in validation.unread(drawn, given=given)}
        unread |= {path: text for path, text in now.items() if path in settings}
        # Of a default nobody says that it is not read.
        read |= {path for path, value in settings.items() if path not in now and value != known[path].default}
    return [*found.values(), *(text for path, text in unread.items() if path not in read)]


def _combinations(ranges: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Settings made of the ends of each range and of all values: all of them, or as many as are judged."""
    ends = [list(r.values) if isinstance(r, OneOf) else [r.low, r.high] for r in ranges.values()]
    count = 1
    for each in ends:
        count *= len(each)
    if count <= _MOST_COMBINATIONS:
        chosen = itertools.product(*ends)
    else:
        draw = random.Random(0)
        # Every value at least once, beside others that are drawn.
        chosen = [[draw.choice(each) for each in ends] for _ in range(_MOST_COMBINATIONS)]
        for place, each in enumerate(ends):
            chosen += [[*chosen[n % 99][:place], v, *chosen[n % 99][place + 1 :]] for n, v in enumerate(each)]
    for combination in chosen:
        yield dict(zip(ranges, combination, strict=True))
