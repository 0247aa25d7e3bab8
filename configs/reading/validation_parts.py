"""The longer rules of validation, about what masks mean and how model and loss are named.

A rule yields (paths, text): the fields it is about, and why they are wrong and what to write instead.
"""

from __future__ import annotations

from configs.reading.encoders import ENCODERS
from configs.reading.nearest import did_you_mean
from configs.reading.references import FORM
from configs.schema import Config
from losses import names as losses

# Sources whose masks may be of several classes at once; a function of the user's gives what it likes.
_OVERLAPPING_SOURCES = (
    "folder pairs nnunet coco cvat labelme label_studio supervisely via yolo"  # pairs of files, and what is drawn
).split()

# Options of losses that the run decides, with where to say it instead.
_DECIDED = {
    "activation": "model.outputs decides it",
    "from_logits": "the model gives logits",
    "ignore_id": "data.void_id decides it",
    "reduction": "the step needs one number a batch",
    "mask": "a tensor cannot be given here",
    "image_weights": "a tensor cannot be given here",
    "pixel_weights": "a tensor cannot be given here",
    "distance_maps": "a tensor cannot be given here",
}


def mask_problems(config: Config):
    """Classes, the void id, and the tables that turn mask files into class ids."""
    data = config.data
    count = len(data.classes)
    # No names: as the data say, which is found out when they are opened.
    if count == 1 and not data.multi_label:
        yield ("data.classes",), "two classes are needed at least. Name the background too: background,nucleus."
    if not all(name.strip() for name in data.classes):
        yield ("data.classes",), "a name is empty. Write one name for each class."
    twice = sorted({name for name in data.classes if data.classes.count(name) > 1})
    if twice:
        yield ("data.classes",), f"{', '.join(twice)} is there twice. Give each class a name of its own."
    if data.multi_label and data.void_id in (0, 1):
        yield ("data.void_id", "data.labels"), "0 and 1 say whether a pixel is of a class. Write 255, or another id."
    elif data.void_id in range(count) and not data.multi_label:
        yield (
            ("data.void_id", "data.classes"),
            (
                f"it is the id of class {data.classes[data.void_id]!r}, which nothing would count then. Write 255, "
                f"or any id that is not 0 … {count - 1}."
            ),
        )
    if data.mask_encoding == "binary" and count not in (0, 2) and ":" not in data.source:
        yield (
            ("data.mask_encoding", "data.classes"),
            (
                f"a binary mask has two classes, and data.classes names {count}. Write --config.data.mask_encoding=ids "
                "or colors."
            ),
        )
    overlapping = ("bits", "planes", "files", "regions")
    if data.mask_encoding in ("bits", "planes", "regions") and data.labels == "exclusive":
        yield (
            ("data.mask_encoding", "data.labels"),
            ("it is for classes that overlap. Write --config.data.labels=multi."),
        )
    if data.multi_label and data.mask_encoding not in ("auto", *overlapping):
        yield (
            ("data.mask_encoding", "data.labels"),
            (f"it gives a pixel one class, and data.labels=multi several. Write {', '.join(overlapping)}, or auto."),
        )
    if data.mask_encoding == "regions" and not data.mask_ids:
        yield (
            ("data.mask_encoding", "data.mask_ids"),
            ("mask_ids says which classes unite a value: --config.data.mask_ids='[[1, 0], [2, 0], [2, 1]]'."),
        )
    if data.region_values and (data.mask_encoding != "regions" or count not in (0, len(data.region_values))):
        yield (
            ("data.region_values", "data.mask_encoding", "data.classes"),
            (f"it is for mask_encoding=regions, and has {len(data.region_values)} values for {count} classes."),
        )
    if data.multi_label and ":" not in data.source and data.source not in _OVERLAPPING_SOURCES:
        yield (
            ("data.labels", "data.source"),
            (f"data.source={data.source} gives a pixel one class. Masks that overlap are read from files (folder)."),
        )
    named = [name for name in data.bands if name != "-"]
    if data.bands and (not named or len(set(named)) != len(named)):
        yield ("data.bands",), 'each band needs a name of its own, or "-" to leave it out, and one has to stay.'
    for table, encodings in (("mask_ids", ("ids", "regions")), ("mask_colors", ("colors",))):
        rows = getattr(data, table)
        path = f"data.{table}"
        if rows and data.mask_encoding not in (*encodings, "auto"):
            write = f"Write --config.data.mask_encoding={encodings[0]}."
            yield (path, "data.mask_encoding"), f"mask_encoding={data.mask_encoding} does not read it. {write}"
        elif rows:
            yield from _table_problems(path, rows, config)
    if data.mask_encoding == "colors":
        if not data.mask_colors:
            example = "'[[0, 0, 0, 0], [255, 0, 0, 1]]'"
            yield (
                ("data.mask_colors", "data.mask_encoding"),
                (f"data.mask_encoding=colors needs the table, a row (red, green, blue, class id) a colour: {example}."),
            )
        if any(not 0 <= channel <= 255 for row in data.mask_colors for channel in row[:3]):
            yield ("data.mask_colors",), "red, green and blue are 0 … 255."


def _table_problems(path: str, rows: tuple[tuple[int, ...], ...], config: Config):
    count, void = len(config.data.classes), config.data.void_id
    # A region's value is of several classes, but of each once.
    keys = [row if config.data.mask_encoding == "regions" else row[:-1] for row in rows]
    what = "colour" if len(rows[0]) == 4 else "pixel value"
    twice = sorted({key for key in keys if keys.count(key) > 1})
    if twice:
        named = ", ".join(str(key if len(key) > 1 else key[0]) for key in twice)
        yield (path,), f"{what} {named} has two rows. Keep one."
    targets = {row[-1] for row in rows}
    strange = sorted(targets - {*range(count), void})
    if strange and count:
        named = ", ".join(map(str, strange))
        yield (
            (path, "data.classes", "data.void_id"),
            (f"{named} is no class id: classes are 0 … {count - 1} ({', '.join(config.data.classes)}), void {void}."),
        )
    unreached = [name for number, name in enumerate(config.data.classes) if number not in targets]
    if unreached:
        yield (path, "data.classes"), f"no {what} means {', '.join(unreached)}. Add a row, or take the class away."


def is_model_file(name: str) -> bool:
    """Whether model.name is the path of a file of Keras's."""
    return name.lower().endswith((".keras", ".h5", ".hdf5"))


def model_problems(config: Config):
    """The model's name, and the fields that only some models read."""
    model = config.model
    own = ":" in model.name or is_model_file(model.name)
    if not own and model.options:
        yield (
            ("model.options", "model.name"),
            (f"they are for a model of your own; {model.name} has fields: --config.model.width=…, depth, dropout."),
        )
    if model.name == "encoder_unet" and model.encoder not in ENCODERS:
        hint = did_you_mean(model.encoder, ENCODERS) or f" It has {', '.join(ENCODERS)}."
        yield ("model.encoder",), f"keras.applications has no such network.{hint}"
    overlap = config.data.multi_label or config.data.mask_encoding in ("bits", "planes", "files", "regions")
    if model.outputs == "sigmoid" and len(config.data.classes) not in (0, 2) and not overlap:
        yield (
            ("model.outputs", "data.classes"),
            (
                f"one logit stands for two classes, and data.classes names {len(config.data.classes)}. Write "
                "--config.model.outputs=softmax, or, where they overlap, --config.data.labels=multi."
            ),
        )
    if model.deep_supervision and model.name == "encoder_unet":
        yield ("model.deep_supervision", "model.name"), "encoder_unet predicts at full resolution alone. Leave it out."
    if model.deep_supervision and model.name == "unet" and model.depth < 3:
        yield (
            ("model.deep_supervision", "model.depth"),
            (f"model.depth={model.depth} leaves no coarser level to predict at. Write --config.model.depth=3 or more."),
        )


def loss_problems(config: Config):
    """The loss's name, weights and options."""
    loss = config.loss
    if ":" in loss.name:
        if not FORM.fullmatch(loss.name):
            yield ("loss.name",), 'it is not of the form "package.module:name".'
        if loss.options:
            yield ("loss.options", "loss.name"), "they are for the named losses; a loss of your own has its defaults."
        if loss.weights:
            yield ("loss.weights", "loss.name"), "they are for the terms of a sum of named losses."
        return
    if not loss.from_logits:
        yield ("loss.from_logits", "loss.name"), "it is for a loss of your own; named ones take logits. Leave it out."
    if loss.labels != "one_hot":
        yield ("loss.labels", "loss.name"), "it is for a loss of your own; named ones take class ids. Leave it out."
    terms, problems = losses.read_sum(loss.name)
    if problems:
        own = 'One of your own: "package.module:function".'
        yield ("loss.name",), f"{'; '.join(problems)}. {losses.listing()} {own}"
    elif loss.weights and len(loss.weights) != len(terms):
        example = ",".join(["1"] * len(terms))
        yield (
            ("loss.weights", "loss.name"),
            (f"{loss.name} has {len(terms)} term{'s' * (len(terms) > 1)}. Write --config.loss.weights={example}."),
        )
    if any(weight < 0 for weight in loss.weights) or (loss.weights and not any(loss.weights)):
        yield ("loss.weights",), "none may be negative, and not all 0, which leaves nothing to minimise."
    yield from _option_problems(config, terms)


def _option_problems(config: Config, terms: tuple[str, ...]):
    for written, options in config.loss.options.items():
        key = losses.term_of(written)
        if key != "*" and key not in terms:
            hint = did_you_mean(key, [*terms, "*"])
            yield ("loss.options", "loss.name"), f"{key!r} is not a term of {config.loss.name}.{hint}"
            continue
        if not isinstance(options, dict):
            yield ("loss.options",), f'{key!r} needs an object of options: {{"{key}": {{"option": value}}}}.'
            continue
        accepted = {option for term in (terms if key == "*" else [key]) for option in losses.options_of(term)}
        for option in options:
            if option in _DECIDED:
                yield ("loss.options",), f"{key}: {option!r} is not set here: {_DECIDED[option]}."
            elif option not in accepted:
                open_to = sorted(accepted - _DECIDED.keys())
                hint = did_you_mean(option, open_to) or f" It has {', '.join(open_to)}."
                whose = "none of the losses has" if key == "*" else f"{key} has no"
                yield ("loss.options",), f"{whose} option {option!r}.{hint}"
