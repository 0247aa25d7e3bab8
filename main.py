"""Gradline: train, evaluate, apply and export image segmentation models.

    python main.py                                    # train a U-Net on the embedded nuclei images
    python main.py --config=configs/oxford_pets.py    # another recipe; any field: --config.<section>.<field>=value
    python main.py --helpfull                         # every flag and every field

This is the only file that sets signals and knows exit codes. What the command line asks for is read and judged by
`configs.reading.command`, before TensorFlow is imported; a valid `Config` is handed to a verb of `trainer.Run`.
"""

from __future__ import annotations

import os
import sys
import traceback

from trainer.errors import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_OK, EXIT_RESUMABLE, EXIT_USAGE, UserError, numbered
from trainer.packages import missing_package

try:
    from configs.reading import command as commands
    from configs.reading import flag_syntax
    from configs.reading import help as document
    from configs.reading import serialization as config_text
    from configs.reading.command import Command
    from configs.reading.flags import READ_FILES, define_flags
    from configs.reading.folders import folds_of, named_with
    from configs.reading.line_wrapping import wrapped
    from configs.reading.setting_names import named_by_flags
except ModuleNotFoundError as error:
    answer = missing_package(error, sys.argv)
    if not answer or __name__ != "__main__":
        raise
    print(answer, file=sys.stderr)
    sys.exit(EXIT_USAGE)

# Sections of the config that say nothing about how a trained model is scored.
_OF_TRAINING = ("augment", "optimizer", "train", "predict", "checkpoint", "guard", "plan")


def read(arguments: list[str]) -> Command:
    """The command line, valid as a whole; TensorFlow is not needed for it.

    Raises:
        UserError: Something is wrong; the message lists everything that is.
    """
    command, problems = commands.read(arguments)
    if problems:
        raise UserError(_message(problems))
    return command


def main(argv: list[str]) -> int:
    """Runs one command; returns the exit code: 0 done, 1 failed with a named cause, 2 wrong usage, 75 resumable."""
    help_flags = flag_syntax.HELP_FLAGS.intersection(argument.partition("=")[0] for argument in argv[1:])
    if help_flags:
        try:
            print(
                document.help_text(define_flags(), full=any("helpfull" in flag for flag in help_flags)),
                flush=True,
            )
        except BrokenPipeError:  # main.py --help | head
            sys.stdout = open(os.devnull, "w", encoding="utf-8")
        return EXIT_OK
    try:
        command = read(argv[1:])
        if command.mode in READ_FILES:
            return _OF_FILES[command.mode](command)
        _prepare_environment()
        try:
            # Here and not above: it imports TensorFlow, seconds that --help and a wrong flag should not cost.
            Run = _import_run()  # noqa: N806 - a class
        except ModuleNotFoundError as error:
            answer = missing_package(error, argv)
            if not answer:
                raise
            raise UserError(answer) from error
        with named_by_flags():
            run = Run(command.config, workdir=command.workdir, force=command.force_config, extend=command.extend)
            return _VERBS[command.mode](run, command)
    except UserError as error:
        # What the guard writes has lines of code in it, and its own width.
        print(error if error.markdown else wrapped(str(error)), file=sys.stderr)
        return error.exit_code
    except MemoryError as error:
        # What lies between the verbs; these say themselves what was too large, and for what.
        reason = f": {error}" if str(error) else ""
        print(f"Out of memory on this machine{reason}. What a run needs: --mode=describe", file=sys.stderr)
        return EXIT_FAILED
    except SystemExit as error:
        # A model or a loss of the user's called sys.exit(): without a word, and with whatever exit code, it would look
        # like the end of a run.
        frame = traceback.extract_tb(error.__traceback__)[-1]
        print(f"{frame.filename}:{frame.lineno} ended the program: SystemExit({error.code!r}).", file=sys.stderr)
        return EXIT_FAILED
    except KeyboardInterrupt:
        # While training Ctrl-C is answered by the run, which saves; here there is nothing to save.
        print("Stopped.", file=sys.stderr)
        return EXIT_INTERRUPTED


def _import_run():
    from trainer.reporting.tensorflow_messages import without_chatter

    with without_chatter():
        from trainer.run import Run  # noqa: I001 - before TensorFlow, for which it sets the process up

        import tensorflow

        tensorflow.config.list_physical_devices()
    return Run


def _train(run, command: Command) -> int:
    from trainer.signals import Interruption

    with Interruption() as interrupted:
        result = run.train(stop=lambda: bool(interrupted))
    if result.stopped:
        return EXIT_RESUMABLE
    return EXIT_OK if result.saved else EXIT_FAILED


def _evaluate(run, command: Command) -> int:
    """Prints the table and writes evaluation.json, and .csv with a row an image; with other data or settings than the
    run's, files named after these."""
    from trainer.distribution.lost_worker import naming_lost_worker
    from trainer.reporting.evaluation_record import write_evaluation
    from trainer.reporting.page.report import REPORT_FILE, write_report
    from trainer.reporting.records import EVALUATION_FILE, write_rows

    examples = run.examples_to_score(*command.inputs)
    run.task  # noqa: B018 - built, it has said what it says of the config, as in config.json; so have the data
    own = examples is run.__dict__.get("data")
    settings = _other_settings(run.workdir, run.config if own else command.config)
    if command.inputs:
        settings["input"] = command.inputs[0]
    for note in () if own else examples.notes:
        run.log(f"  note: {note}")
    if "data.path" in settings and not command.inputs and command.config.data.split == "auto":
        run.log(
            f"  note: of {command.config.data.path} the {len(examples.validation)} examples are scored that training "
            f"on it would hold out; all of them: --input={command.config.data.path}"
        )
    if command.ensemble != tuple(folds_of(run.workdir)):
        settings["ensemble"] = command.ensemble
    with (
        naming_lost_worker(run.devices.cluster, run.workdir),
        run.weights(command.checkpoint, command.ensemble, scored=examples) as saved,
    ):
        scores = run.evaluate(checkpoint=None, data=examples)
        which = f"An ensemble of {len(run.members)}" if command.ensemble else saved.folder
    if getattr(scores, "without_postprocessing", None):
        settings["postprocessing"] = "on"
    if run.devices.chief:
        left_out = len(examples.validation) - scores.images
        without = f", without {left_out} that cannot be used" if left_out else ""
        kind = "" if command.inputs or command.config.data.split not in ("auto", "validation") else " validation"
        run.log(f"{which} on {scores.images}{kind} images{without}:\n{scores.table()}")
        for reason in examples.validation.skipped.values():
            run.log(f"  skipped: {reason}")
        try:
            if command.checkpoint == "averaged":
                settings["checkpoint"] = "averaged"
            elif command.checkpoint != "best":
                settings["step"] = saved.step
            name = named_with(EVALUATION_FILE.removesuffix(".json"), settings)
            path = os.path.join(run.workdir, name + ".json")
            write_evaluation(run.workdir, saved.step, scores, run.pictures, name=name + ".json", settings=settings)
            run.log(f"Written to {path}" + (", named after what is not as in the run" if settings else ""))
            if scores.rows:
                path = os.path.join(run.workdir, name + ".csv")
                write_rows(path, scores.rows)
                run.log(f"A row an image: {path}")
            if not settings:
                path = os.path.join(run.workdir, REPORT_FILE)
                run.log(f"Written to {write_report(run.workdir)}")
        except OSError as error:
            raise UserError(f"{path} cannot be written: {error.strerror}.", exit_code=EXIT_FAILED) from error
    return EXIT_OK


def _sweep(run, command: Command) -> int:
    from trainer.signals import Interruption

    with Interruption() as interrupted:
        found = run.sweep(command.sweep, stop=lambda: bool(interrupted))
    if found.stopped:
        return EXIT_RESUMABLE
    failed = [trial for trial in found.trials if trial.failure]
    return EXIT_FAILED if failed and len(failed) == len(found.trials) else EXIT_OK


def _crossvalidate(run, command: Command) -> int:
    from trainer.signals import Interruption

    with Interruption() as interrupted:
        found = run.crossvalidate(stop=lambda: bool(interrupted))
    return EXIT_RESUMABLE if found.stopped else EXIT_OK


def _audit_labels(run, command: Command) -> int:
    from trainer.signals import Interruption

    with Interruption() as interrupted:
        found = run.audit_labels(stop=lambda: bool(interrupted))
    return EXIT_RESUMABLE if found.stopped else EXIT_OK


def _other_settings(workdir: str, config) -> dict:
    """Fields that bear on scores and differ from the config that the run left in its workdir: path -> value."""
    try:
        with open(os.path.join(workdir, "config.json"), encoding="utf-8") as file:
            before = config_text.from_json(file.read())
    except (OSError, ValueError):
        return {}
    changed = config_text.differences(before, config)
    return {d.field: d.new for d in changed if d.field.partition(".")[0] not in _OF_TRAINING}


def _predict(run, command: Command) -> int:
    output = command.output or os.path.join(run.workdir, "predictions")
    with run.weights(command.checkpoint, command.ensemble) as saved:
        run.log(f"Predicting with {_named(run, saved)} into {output}")
        failures = run.predict(list(command.inputs), output, checkpoint=None)
    return EXIT_FAILED if failures else EXIT_OK


def _named(run, saved) -> str:
    """The checkpoint that is used, or those of an ensemble."""
    if not run.members:
        return saved.folder
    return "the mean of " + ", ".join(member.folder for member in run.members)


def _postprocess(run, command: Command) -> int:
    run.postprocess(command.checkpoint)
    return EXIT_OK


def _average(run, command: Command) -> int:
    run.average()
    return EXIT_OK


def _export(run, command: Command) -> int:
    output = command.output or os.path.join(run.workdir, "export")
    with run.weights(command.checkpoint, command.ensemble) as saved:
        run.log(f"Exporting {_named(run, saved)} to {output}")
        for line in run.export(output, command.formats, checkpoint=None):
            run.log(f"  {line}")
    return EXIT_OK


def _describe(run, command: Command) -> int:
    run.log(run.describe(layers=command.layers))
    return EXIT_OK


def _convert(run, command: Command) -> int:
    """Writes the data of the config as images/ and masks/, whatever they were read from."""
    from trainer.data.convert import convert
    from trainer.reporting.memory.out_of_memory import explaining_memory
    from trainer.reporting.progress import Progress

    try:
        with explaining_memory(run.config, "reading the data"):
            written = convert(run.data, command.output, progress=Progress("written", run.log))
    except OSError as error:
        raise UserError(f"{error.filename or command.output} cannot be written: {error.strerror}.") from error
    run.log(f"{written} examples in {command.output}; class names in {os.path.join(command.output, 'classes.txt')}")
    return EXIT_OK


def _plan(run, command: Command) -> int:
    """Writes a recipe that is drawn from the data; what is set on the command line stays as it is."""
    from trainer.plan.plan import summary, write
    from trainer.reporting.progress import Progress

    made = run.plan(given=command.given, progress=Progress("read", run.log))
    path = os.path.join(command.output or command.workdir, "plan.py")
    write(made, path)
    run.log(summary(made, path))
    return EXIT_OK


def _check(run, command: Command) -> int:
    wrong = sum(len(section.problems) for section in run.check())
    run.log(f"{wrong} problem(s) found." if wrong else "Nothing wrong was found.")
    return EXIT_FAILED if wrong else EXIT_OK


def _report(command: Command) -> int:
    from trainer import console
    from trainer.reporting.page.report import write_report

    try:
        console.log(f"Written to {write_report(command.workdir)}")
    except OSError as error:
        raise UserError(f"{error.filename} cannot be written: {error.strerror}.", exit_code=EXIT_FAILED) from error
    return EXIT_OK


def _compare(command: Command) -> int:
    from trainer import console
    from trainer.reporting.page.comparison import compare

    comparison = compare(command.runs)
    console.log(comparison.text())
    try:
        console.log(f"Written to {comparison.write(command.output or '.')}")
    except OSError as error:
        raise UserError(f"{error.filename} cannot be written: {error.strerror}.", exit_code=EXIT_FAILED) from error
    return EXIT_OK


_OF_FILES = {"report": _report, "compare": _compare}
_VERBS = {
    "train": _train,
    "evaluate": _evaluate,
    "predict": _predict,
    "export": _export,
    "describe": _describe,
    "check": _check,
    "plan": _plan,
    "crossvalidate": _crossvalidate,
    "postprocess": _postprocess,
    "average": _average,
    "audit_labels": _audit_labels,
    "sweep": _sweep,
    "convert": _convert,
}


def _message(problems: list[str]) -> str:
    if len(problems) == 1:
        return f"{problems[0]}\nNothing was started. --help shows the flags, --helpfull every field."
    listed = numbered(problems)
    return f"{len(problems)} mistakes; nothing was started:\n{listed}\n--help shows the flags, --helpfull every field."


def _prepare_environment() -> None:
    """What has to be set before TensorFlow and Keras are imported; what the user has set is kept."""
    from trainer.process import prepare

    prepare()


if __name__ == "__main__":
    # A terminal that cannot show a character gets a replacement, not a traceback.
    sys.stdout.reconfigure(errors="backslashreplace")
    # Where the user's own modules are searched: "my_losses:dice_loss" in the current directory.
    sys.path.append(os.getcwd())
    sys.exit(main(sys.argv))
