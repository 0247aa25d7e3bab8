"""The program's flags and modes: what each means, and which modes read which flag."""

from __future__ import annotations

from absl import flags

from configs.reading import fields

# What --mode= takes, and what each does.
MODES = {
    "train": "train, or go on where the run in the workdir stopped",
    "check": "look through all data, the loss and the gradients for faults",
    "describe": "show what would be trained, and the memory it takes",
    "plan": "look at the data and write a recipe for them",
    "evaluate": "score the held-out examples, or those of --input",
    "predict": "write masks of the images that --input names",
    "export": "write the model in --formats, each compared and scored",
    "report": "write the workdir's report.html anew",
    "compare": "is one of --runs better than another, or is it luck?",
    "crossvalidate": "train and score a run for each of config.data.folds",
    "sweep": "try settings from the ranges that --sweep names",
    "average": "average the last checkpoints of a run",
    "postprocess": "choose what is done to masks after the network",
    "audit_labels": "which labels are probably wrong?",
    "convert": "write the data as images/ and masks/",
}


FORMATS = ("saved_model", "litert", "litert_float16", "litert_int8", "onnx")


DEFAULT_RECIPE = "configs/nuclei.py"


# Where the command line names a folder and no recipe.
OWN_DATA_RECIPE = "configs/own.py"


OWN_VOLUMES_RECIPE = "configs/own_volumes.py"


# These use a trained model: without --config they read the config that its run left in the workdir.
READ_A_RUN = ("evaluate", "predict", "export", "postprocess", "average")


# These can use several networks as one.
TAKE_ENSEMBLES = ("evaluate", "predict", "export")


# These read only the files of runs: no data, no model, no TensorFlow.
READ_FILES = ("report", "compare")


# Fields of the config with a flag of their own.
SHORTHANDS = ("strategy", "precision", "seed", "deterministic", "logical_devices")


# Flags that only some modes read: giving one to another mode is a mistake.
READ_BY = {
    "input": ("predict", "evaluate"),
    "output": ("predict", "export", "convert", "plan", "compare"),
    "runs": ("compare",),
    "formats": ("export",),
    "checkpoint": ("evaluate", "predict", "export", "postprocess"),
    "ensemble": TAKE_ENSEMBLES,
    "force_config": ("train", "crossvalidate", "audit_labels"),
    "extend": ("train",),
    "sweep": ("sweep",),
    "trials": ("sweep",),
    "minutes": ("sweep",),
    "layers": ("describe",),
}


_FLAGS = (
    (
        "config",
        flags.DEFINE_string,
        None,
        f"Recipe file (it is run). Default: {DEFAULT_RECIPE}, or {OWN_DATA_RECIPE} with --config.data.path "
        f"({OWN_VOLUMES_RECIPE} where it holds volumes); {', '.join(READ_A_RUN[:-1])} and {READ_A_RUN[-1]} take the "
        "config of the run in the workdir.",
    ),
    (
        "workdir",
        flags.DEFINE_string,
        None,
        "Directory of the run: checkpoints, records, TensorBoard. Training goes on where a run in it stopped. "
        "Default: runs/<name of the config>, with what makes it another run than the recipe's behind the name.",
    ),
    (
        "force_config",
        flags.DEFINE_boolean,
        False,
        "train: go on in the workdir although fields of the config changed that make it another run.",
    ),
    (
        "extend",
        flags.DEFINE_boolean,
        False,
        "train: go on in the workdir with more examples, classes added at the end, or a longer train.length; what was "
        "learned of the classes there were is kept.",
    ),
    (
        "checkpoint",
        flags.DEFINE_string,
        "best",
        'evaluate, predict, export, postprocess: "best", "latest", "averaged" (see --mode=average) or the folder of a '
        "checkpoint.",
    ),
    (
        "ensemble",
        flags.DEFINE_multi_string,
        [],
        "evaluate, predict, export: the workdir of a run or of a cross-validation, or the folder of a checkpoint; "
        "given several times, the mean of their probabilities. A --workdir of a cross-validation is an ensemble of its "
        "folds.",
    ),
    (
        "input",
        flags.DEFINE_multi_string,
        [],
        "predict: an image, a folder or a quoted glob pattern; may be given several times. evaluate: a folder with "
        "images and masks, or a list of such files, that is scored in place of the validation examples.",
    ),
    (
        "output",
        flags.DEFINE_string,
        "",
        "predict, export, plan, convert, compare: directory to write to. Default: in the workdir; convert needs one; "
        "compare writes compare.html here.",
    ),
    (
        "runs",
        flags.DEFINE_multi_string,
        [],
        "compare: the workdir of a run, given twice or more; the first is what the others are compared with.",
    ),
    (
        "formats",
        flags.DEFINE_list,
        [],
        f"export: any of {', '.join(FORMATS)}; onnx where its packages are installed. "
        "Left out: saved_model, and litert of images.",
    ),
    (
        "sweep",
        flags.DEFINE_string,
        "",
        "sweep: the file that says what is tried (it is run), configs/sweeps/nuclei.py.",
    ),
    ("trials", flags.DEFINE_string, "", "sweep: settings that are tried, in place of the file's number."),
    ("minutes", flags.DEFINE_string, "", "sweep: time of this call, in place of the file's; the next one goes on."),
    ("layers", flags.DEFINE_boolean, False, "describe: also list the model's layers, with shapes and parameters."),
    ("help", flags.DEFINE_boolean, False, "Show the flags."),
    ("helpfull", flags.DEFINE_boolean, False, "Show the flags and every field of the config."),
)


def define_flags() -> flags.FlagValues:
    """The program's flags, apart from absl's global ones so that `main` can be called many times in one process."""
    values = flags.FlagValues()

    def define(kind, name, default, doc, **choices):
        kind(name=name, default=default, help=doc, flag_values=values, **choices)

    for name, kind, default, doc in _FLAGS:
        define(kind, name, default, doc)
    doc = "\n".join(
        ["What to do; without the flag it is train:", *(f"{mode:<15}{what}" for mode, what in MODES.items())]
    )
    define(flags.DEFINE_enum, "mode", "train", doc, enum_values=list(MODES))
    for name in SHORTHANDS:
        field = fields.all_fields()[name]
        # Text, which the field's own type checks, as it does for --config.<name>.
        kind = flags.DEFINE_boolean if field.type is bool else flags.DEFINE_string
        define(kind, name, None, f"Short for --config.{name}. {field.doc}")
    return values
