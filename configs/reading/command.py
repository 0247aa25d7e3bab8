"""A command line as a whole: its mode, its flags, a valid config, and where to read and write.

It is read and checked before anything heavy is imported, so that a wrong flag is reported at once.
"""

from __future__ import annotations

import dataclasses
import glob
import os
from collections.abc import Mapping

from absl import flags

from configs import knobs
from configs.reading import flag_syntax, foreign_names, overrides, sweeps, validation
from configs.reading import loading as recipes
from configs.reading import serialization as config_text
from configs.reading.flags import (
    DEFAULT_RECIPE,
    FORMATS,
    OWN_DATA_RECIPE,
    OWN_VOLUMES_RECIPE,
    READ_A_RUN,
    READ_BY,
    READ_FILES,
    SHORTHANDS,
    TAKE_ENSEMBLES,
    define_flags,
)
from configs.reading.folders import folds_of, holds_volumes, named_after, named_with
from configs.reading.nearest import did_you_mean
from configs.reading.values import from_text
from configs.schema import Config
from configs.sweep import Sweep


@dataclasses.dataclass(frozen=True, kw_only=True)
class Command:
    """What a command line says to do, with which config, and where to read and write."""

    mode: str
    config: Config
    workdir: str
    inputs: tuple[str, ...]
    output: str
    formats: tuple[str, ...]
    checkpoint: str
    force_config: bool
    extend: bool
    layers: bool
    runs: tuple[str, ...]
    ensemble: tuple[str, ...]
    sweep: Sweep | None
    # Fields that are set on the command line.
    given: tuple[str, ...]


def read(arguments: list[str]) -> tuple[Command, list[str]]:
    """Reads the command line: the command, and everything wrong with it. With any problem the command must not be
    used."""
    values = define_flags()
    assignments, mistakes = flag_syntax.split(arguments, values)
    assignments += _shorthands(values)
    problems = [mistake.text for mistake in mistakes] + flag_syntax.contradictions(assignments)
    if not any(mistake.flag == "mode" for mistake in mistakes):
        problems += _flag_problems(values)
    if values.mode in READ_FILES:
        problems += [f"--config.{a.path}: --mode={values.mode} reads no fields of the config." for a in assignments]
    config, workdir, recipe_problems = _base_config(values, assignments)
    config, field_problems = overrides.apply(config, assignments)
    problems += [*recipe_problems, *field_problems.values()]
    if not recipe_problems:
        # A field whose text was wrong still has its old value, which needs no message.
        found = validation.problems(config, files=values.mode not in (*READ_A_RUN, *READ_FILES))
        # A recipe may set fields of a part that is not in use; on the command line that is a mistake.
        given = {assignment.path for assignment in assignments}
        found += [problem for problem in validation.unread(config) if problem.fields[0] in given]
        problems += [problem.text for problem in found if field_problems.keys().isdisjoint(problem.fields)]
        if values.mode == "audit_labels" and not config.data.folds and not os.path.isdir(workdir):
            problems.append(
                f"--workdir={workdir}: there is no run in it, so there is nothing to judge the labels with. Folds "
                "judge every image by a network that has not seen it: --config.data.folds=5 trains them, or goes on "
                "with those that --mode=crossvalidate left."
            )
        if "data.split" in given and values.mode != "evaluate":
            problems.append(f"data.split={config.data.split}: --mode={values.mode} does not read it; evaluate would.")
    sweep, sweep_problems = _sweep_of(values, config, assignments) if values.mode == "sweep" else (None, [])
    problems += sweep_problems
    command = Command(
        mode=values.mode,
        config=config,
        workdir=workdir,
        inputs=tuple(values.input),
        output=values.output,
        formats=tuple(values.formats),
        checkpoint=values.checkpoint,
        force_config=values.force_config,
        extend=values.extend,
        layers=values.layers,
        runs=tuple(values.runs),
        ensemble=tuple(values.ensemble) or _folds(values, workdir),
        sweep=sweep,
        given=tuple(assignment.path for assignment in assignments),
    )
    return command, problems


def _shorthands(values: flags.FlagValues) -> list[overrides.Assignment]:
    given = {name: values[name].value for name in SHORTHANDS if values[name].value is not None}
    return [overrides.Assignment(name, str(value), f"--{name}={value}", short=True) for name, value in given.items()]


def _flag_problems(values: flags.FlagValues) -> list[str]:
    """Problems with the flags that are not fields of the config."""
    found = []
    for name, modes in READ_BY.items():
        if values[name].present and values.mode not in modes:
            found.append(f"--{name}: --mode={values.mode} does not read it; {', '.join(modes)} would.")
    for name in values.formats:
        if name not in FORMATS:
            hint = did_you_mean(name, FORMATS)
            found.append(f"--formats: {name!r} is not a format: write any of {','.join(FORMATS)}.{hint}")
    for name in ("workdir", "output"):
        path = values[name].value
        if path and os.path.exists(path) and not os.path.isdir(path):
            found.append(f"--{name}={path}: this is a file; a directory is needed.")
        if values[name].present and not path:
            found.append(f"--{name} is empty: write a directory, or leave the flag out.")
    checkpoint = values.checkpoint
    known = ("best", "latest", "averaged")
    if values.mode in READ_A_RUN and checkpoint not in known and not os.path.isdir(checkpoint):
        form = "--checkpoint={}"
        hint = foreign_names.value("checkpoint", checkpoint, form) or did_you_mean(checkpoint, known, form)
        found.append(
            f"--checkpoint={checkpoint}: there is no such folder.{hint} It is best, latest, averaged or a checkpoint's "
            "folder: WORKDIR/checkpoints/step_…"
        )
    if values.mode in READ_FILES and values["config"].present:
        found.append(f"--config: --mode={values.mode} does not read it; it takes the config that a run left.")
    if values.mode == "compare":
        found += _runs_problems(values.runs)
        if values["workdir"].present:
            found.append("--workdir: --mode=compare does not read it; write --runs=… for each run.")
    if values.mode == "convert" and not values.output:
        found.append("--mode=convert needs a directory to write to: write --output=FOLDER.")
    if values.mode == "evaluate" and values.input:
        if len(values.input) > 1:
            found.append("--input: --mode=evaluate scores one folder or list at a time; several stand in one list.")
        elif not os.path.exists(values.input[0]):
            found.append(f"--input={values.input[0]}: there is no such folder or list of files.")
    if values.mode == "predict":
        if not values.input:
            found.append("--mode=predict needs images: write --input=FOLDER, --input=FILE or --input='*.png'.")
        elif not any(os.path.exists(name) or glob.glob(name, recursive=True) for name in values.input):
            found.append(f"--input={', '.join(values.input)}: there is no such file or folder.")
    return found


def _sweep_of(
    values: flags.FlagValues, config: Config, assignments: list[overrides.Assignment]
) -> tuple[Sweep, list[str]]:
    """The sweep of --sweep, --trials and --minutes, and its problems."""
    if not values.sweep:
        return Sweep(), ["--mode=sweep needs a file with ranges: write --sweep=configs/sweeps/nuclei.py."]
    sweep, found = sweeps.load(values.sweep)
    if found:
        return sweep, found
    for name, kind in (("trials", int), ("minutes", float)):
        if text := values[name].value:
            try:
                with knobs.unchecked():
                    sweep = dataclasses.replace(sweep, **{name: from_text(text, kind)})
            except ValueError as error:
                found.append(f"--{name}={text}: {error}")
    found += [f"{values.sweep}: {text}" for text in sweeps.problems(sweep, config)]
    ranges = sweep.ranges if isinstance(sweep.ranges, Mapping) else {}
    found += [
        f"{a.said}: {values.sweep} draws it for each trial. Leave it out." for a in assignments if a.path in ranges
    ]
    return sweep, found


def _runs_problems(runs: list[str]) -> list[str]:
    here = sorted(os.path.dirname(found) for found in glob.glob(os.path.join("runs", "*", "evaluation.json")))
    hint = f" Found here: {', '.join(here[:6])}{' …' if len(here) > 6 else ''}." if here else ""
    found = [f"--runs={run}: there is no such folder.{hint}" for run in runs if not os.path.isdir(run)]
    if len(runs) < 2:
        found.append(f"--mode=compare needs two runs or more: write --runs=A --runs=B.{hint}")
    if len({os.path.realpath(run) for run in runs}) < len(runs):
        found.append("--runs: one of them is given twice; it cannot differ from itself.")
    return found


def _base_config(values: flags.FlagValues, assignments: list[overrides.Assignment]) -> tuple[Config, str, list[str]]:
    """The recipe, or the config that a run left in its workdir; the workdir; and problems with the config."""
    if values.config is not None:
        recipe, problems = recipes.load(values.config)
    else:
        own = any(a.path == "data.path" or (a.path, a.text) == ("data.source", "folder") for a in assignments)
        given = {a.path: a.text for a in assignments}
        volumes = given.get("data.source", "volumes" if holds_volumes(given.get("data.path", "")) else "") == "volumes"
        home = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
        name = OWN_VOLUMES_RECIPE if volumes else OWN_DATA_RECIPE if own else DEFAULT_RECIPE
        recipe, problems = recipes.load(os.path.join(home, name))
    workdir = values.workdir or _workdir_of_first(values) or _default_workdir(recipe, assignments, values)
    # The config of an ensemble is its first member's.
    home = _workdir_of_first(values) or workdir
    path = os.path.join(next(iter(folds_of(home)), home), "config.json")
    if values.mode == "audit_labels":
        # Each fold has a config of its own. A command line that names data says what to train.
        paths = [os.path.join(workdir, "config.json"), os.path.join(workdir, "fold_0", "config.json")]
        named = any(a.path in ("data.path", "data.source") for a in assignments)
        path = "" if named else next(filter(os.path.isfile, paths), "")
    if values.config is not None or not path or values.mode not in (*READ_A_RUN, "audit_labels"):
        return recipe, workdir, problems
    try:
        with open(path, encoding="utf-8") as file:
            return config_text.from_json(file.read()), workdir, []
    except FileNotFoundError:
        runs = sorted(os.path.dirname(found) for found in glob.glob(os.path.join("runs", "*", "config.json")))
        here = f" Found here: {', '.join(runs[:6])}{' …' if len(runs) > 6 else ''}." if runs else ""
        problem = (
            f"--workdir={workdir}: there is no run in it (no config.json).{here} Name a run's directory, or train "
            f"one: python main.py --workdir={workdir}"
        )
    except (OSError, ValueError) as error:
        problem = f"{path} cannot be read as a config: {error}\nName the recipe instead: --config=…"
    return Config(), workdir, [problem]


def _workdir_of_first(values: flags.FlagValues) -> str:
    """The workdir of the first member of an ensemble; "" where none is named."""
    if not values.ensemble:
        return ""
    first = os.path.normpath(values.ensemble[0])
    return os.path.dirname(os.path.dirname(first)) if os.path.isfile(os.path.join(first, "manifest.json")) else first


def _folds(values: flags.FlagValues, workdir: str) -> tuple[str, ...]:
    """The folds of a cross-validation in the workdir, where the mode takes an ensemble."""
    if values.mode not in TAKE_ENSEMBLES or os.path.exists(os.path.join(workdir, "config.json")):
        return ()
    return tuple(folds_of(workdir))


def _default_workdir(recipe: Config, assignments: list[overrides.Assignment], values: flags.FlagValues) -> str:
    """runs/<name>, or, where fields make it another run than the recipe's, a directory of that run's own.

    A finished run of the recipe would otherwise refuse every command with another learning rate.
    """
    config, _ = overrides.apply(recipe, assignments)
    if values.mode == "plan":
        return os.path.join("runs", named_after(config))  # a plan for each folder
    name = config.name
    if values.mode == "sweep":
        # Beside a run of the recipe, which it is not.
        stem = os.path.basename(values.sweep).removesuffix(".py")
        name += "-sweep" if stem in (name, "") else f"-sweep-{stem}"
    plain = os.path.join("runs", name)
    changed = {d.field: d.new for d in config_text.differences(recipe, config) if d.breaks}
    if not changed or values.force_config or values.extend:
        return plain
    own = os.path.join("runs", named_with(name, changed))
    # Fields that only change the evaluation do not make it another run.
    return own if values.mode not in READ_A_RUN or os.path.isfile(os.path.join(own, "config.json")) else plain
