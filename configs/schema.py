"""The typed configuration: every knob of a run, documented where it is declared, frozen.

A recipe (`configs/nuclei.py`, …) returns a `Config` that says only what differs from these defaults; any field can be
set on the command line as `--config.<section>.<field>=value`. A field's type, default, meaning, unit and range stand
here and nowhere else, and so does whether another value makes another run of a resumed one (`changes_run`; see
`configs/knobs.py`). A section checks what it is given, from Python as from the command line. Nothing here needs more
than the standard library, so that a wrong flag is answered before TensorFlow is loaded. The rules that relate fields to
each other are in `configs/reading/validation.py`.

Durations are text: "500 steps", "3 epochs", "5%" (of the run's length), or "0 steps" for never.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

from configs.knobs import knob, section


@section
class Data:
    source: str = knob(
        "nuclei",
        'Where examples come from: "nuclei" (the embedded images), "tfds" (any TensorFlow Datasets set), '
        '"folder" (what data.path holds is recognised), "pairs" (image and mask files), "volumes" (3-D '
        'images, see docs/volumes.md), the name of a format, or "package.module:function" of your own, called '
        "with this section: it returns anything that open_data takes as data, such as an object with len() "
        "and [i].",
        form="name",
        names=(
            "nuclei",
            "tfds",
            "folder",
            "pairs",
            "ade20k",
            "ade20k_full",
            "camvid",
            "cityscapes",
            "coco",
            "coco_panoptic",
            "coco_stuff",
            "cvat",
            "huggingface",
            "label_studio",
            "labelme",
            "masks_beside",
            "nnunet",
            "supervisely",
            "via",
            "voc",
            "volumes",
            "yolo",
        ),
        part="data",
    )
    path: str = knob(
        "",
        'folder: the directory that holds images/ and masks/. tfds: the data_dir ("" = ~/tensorflow_datasets).',
        changes_run=False,
    )
    name: str = knob("", 'tfds: the data set\'s name, with an optional version, e.g. "oxford_iiit_pet:4.0.0".')
    train_split: str = knob("train", "tfds: the split trained on, in TFDS's slicing language.")
    validation_split: str = knob("test", "tfds: the split that is evaluated.")
    image_key: str = knob("image", "tfds, huggingface: the feature or column that holds the image.")
    mask_key: str = knob("segmentation_mask", "tfds, huggingface: the feature or column that holds the mask.")
    download: bool = knob(
        False,
        "tfds: download the set when it is not on disk yet. Off by default: no surprise downloads.",
        changes_run=False,
    )
    validation_fraction: float = knob(
        0.2,
        "Data that come without a split of their own: the share of the examples that is held out for validation.",
        within="(0, 1)",
        why="neither split may be empty",
    )
    split_seed: int = knob(
        0,
        "The seed of that split, apart from the run's seed so that runs compare.",
        within="[0, 2147483647]",
        why="seeds are 32-bit",
    )
    folds: int = knob(
        0,
        "Divides all examples but those of a test split into this many parts, of which data.fold is held out. "
        "0 is off. --mode=crossvalidate trains one run for each.",
        within="[0, 1000]",
    )
    fold: int = knob(0, "With data.folds: which part is held out, from 0.", within="[0, 999]")
    split: Literal["auto", "train", "validation", "test", "all"] = knob(
        "auto",
        "evaluate: which examples are scored. auto: those held out for validation; of a folder named by --input its "
        "test split, or all where it is not divided. test: the test split that the data have; all: every example.",
        changes_run=False,
    )
    group: str = knob(
        "",
        "A regular expression on an example's name: examples with the same group (or whole match) are one "
        "patient or scene, and are never on both sides of the split: --config.data.group='(patient\\d+)'.",
        form="pattern",
    )
    classes: tuple[str, ...] = knob(
        (),
        "Names of the classes; their position is the class id. The first is the background where there is "
        "one. Empty: taken from the data, from their own names or from the ids in the labels.",
    )
    labels: Literal["auto", "exclusive", "multi"] = knob(
        "auto",
        'Whether a pixel is of one class, "exclusive", or may be of several at once, or of none, "multi": then each '
        "class has a mask and a sigmoid of its own. auto: exclusive, unless the data show classes that overlap.",
    )
    mask_encoding: Literal["auto", "ids", "binary", "colors", "alpha", "bits", "planes", "files", "regions"] = knob(
        "auto",
        'How a mask file says the class: "ids" (the pixel is the id), "binary" (low is class 0, high, usually '
        '255, class 1), "colors" (an RGB or palette image and the table mask_colors), "alpha" (opaque is '
        'class 1), or "auto": what the masks hold is recognised and reported; where it could mean several '
        'things, an error lists them. Of classes that overlap (labels): "bits" (bit k of the pixel is class '
        'k), "planes" (channel or TIFF page k is class k), "files" (a file for each class) or "regions" (the '
        "pixel is an id, and mask_ids has a row for each class that unites it).",
    )
    mask_threshold: int = knob(
        0,
        "binary: values from this one up are class 1. 0: half of the highest value where there are several, "
        "as in compressed or smoothly resized masks, else everything but 0.",
        within="[0, 65535]",
    )
    void_values: tuple[int, ...] = knob(
        (), "ids, binary: pixel values of mask files that are void, such as a border of 255.", within="[-1, 65535]"
    )
    mask_ids: tuple[tuple[int, int], ...] = knob(
        (),
        "ids: raw pixel value -> class id, as pairs, e.g. ((1, 1), (2, 0), (3, 255)). Empty: the value is the "
        "id. regions: a pair for each class that unites a value; without one 0 belongs to no class.",
        within="[-1, 65535]",
    )
    region_values: tuple[int, ...] = knob(
        (),
        "regions: the values for predictions in one file, one for each class: where a pixel has several "
        "classes the last counts, as in nnU-Net's regions_class_order. Empty: a file for each class.",
        within="[0, 65535]",
    )
    mask_colors: tuple[tuple[int, int, int, int], ...] = knob(
        (),
        "colors: (red, green, blue, class id) rows; a colour outside the table is an error that names it.",
        within="[-1, 65535]",
    )
    color_tolerance: int = knob(
        0,
        "colors: how far a pixel's red, green and blue may be from the nearest row of the table: for masks "
        "that were saved as JPEG. 0 takes the colours as they are; 255 the nearest row, however far.",
        within="[0, 255]",
    )
    void_id: int = knob(
        255, "The class id of pixels that no loss and no metric counts. 255 is the usual choice.", within="[-1, 65535]"
    )
    channels: int = knob(
        3,
        "Channels of image files that the model sees: 3 (grey is repeated), 1 (colour becomes luma), or the "
        "number of bands of TIFF files; a declared alpha is dropped. 0: what the files have, 3 for grey and "
        "colour. Arrays and objects of your own have the channels that they have.",
        within="[0, 4096]",
    )
    bands: tuple[str, ...] = knob(
        (),
        'Names of the bands of image files, in the files\' order, "-" for one that is left out: '
        "--config.data.bands=blue,green,-,nir. There are then as many channels as names; --mode=check shows each.",
    )
    value_range: tuple[tuple[float, float], ...] = knob(
        (),
        "Image files of more than 8 bits: the values that become 0 and 255, one row for all bands or one for each. "
        "Empty: from 0.1 % to 99.9 % of the values in the training images.",
    )
    pages: Literal["refuse", "first", "channels", "objects", "slices"] = knob(
        "refuse",
        'The meaning of a TIFF file\'s pages: "channels" of an image, "objects" of a mask that are united, or '
        '"slices", each an image with the same page of its mask; "first" takes the first page alone; "refuse" '
        "ends with the file's name.",
    )
    resize_masks: bool = knob(
        False,
        "Masks of another size than their image, and of the same proportions, are brought to its size, each pixel from "
        "the nearest.",
    )
    spacing: tuple[float, ...] = knob(
        (),
        "voxel size in depth, height and width that volumes are resampled to; 0 keeps an axis as each volume "
        "has it. Empty: the median of the training volumes.",
        unit="mm",
        within="[0, 10000]",
        read_by={"source": ("volumes",)},
    )
    resampling: Literal["cubic", "linear"] = knob(
        "cubic",
        "how images are resampled; labels never get a class that was not there.",
        read_by={"source": ("volumes",)},
    )
    normalize: tuple[str, ...] = knob(
        ("auto",),
        'how intensities are brought to one scale, one word for all channels or one for each: "z_score" (each '
        'volume to mean 0 and deviation 1), "ct" (clipped and scaled by the foreground of all training volumes), '
        '"none", or "auto": "ct" where a channel is called CT, else "z_score".',
        read_by={"source": ("volumes",)},
    )
    intensities: tuple[tuple[float, float, float, float], ...] = knob(
        (),
        "of normalize=ct: lowest and highest value, mean and deviation, a row for each channel. Empty: 0.5 and "
        "99.5 % of the training volumes' foreground, and its mean and deviation.",
        read_by={"source": ("volumes",)},
    )
    cache_path: str = knob(
        "",
        "the folder for prepared volumes beyond cache_mib, which are read from there piece by piece. Empty: "
        "gradline-volumes in the system's folder for temporary files.",
        read_by={"source": ("volumes",)},
        changes_run=False,
    )
    bad_files: Literal["stop", "skip"] = knob(
        "stop",
        "What happens at an unreadable or inconsistent file: stop with its name, or skip and count it.",
        changes_run=False,
    )
    max_pixels: int = knob(
        100_000_000,
        "Larger images are accepted only if their file could hold them and memory can: a small file can "
        'decode to gigabytes (a "decompression bomb").',
        unit="pixels",
        within="[1, inf)",
        changes_run=False,
    )
    cache_mib: int = knob(
        1024,
        "Decoded examples are kept in memory while they fit in this much; beyond it files are decoded each time.",
        unit="MiB",
        within="[0, inf)",
        changes_run=False,
    )
    workers: int = knob(
        0,
        "Batches made at the same time, each by one thread that decodes and augments its examples one after "
        "the other; 0 lets tf.data choose.",
        within="[0, 1024]",
        changes_run=False,
    )
    processes: int = knob(
        0,
        "Processes that make the same training batches, where one process under Python's lock cannot feed the "
        "device. Each opens the data and keeps its share of cache_mib. 0 makes them in threads of this "
        "process.",
        within="[0, 1024]",
        changes_run=False,
    )

    @property
    def multi_label(self) -> bool:
        """Whether labels are `[height, width, classes]` of 0 and 1, a plane a class."""
        return self.labels == "multi"


@section
class Augment:
    crop: tuple[int, int] | tuple[int, int, int] = knob(
        (128, 128),
        "Height and width of a training crop; of volumes depth, height and width. Smaller images are padded with void.",
        unit="pixels",
        within="[1, 16384]",
    )
    flip_horizontal: bool = knob(True, "Mirror left-right with probability one half.")
    flip_vertical: bool = knob(
        True, "Mirror top-bottom with probability one half. Off for scenes with an up and a down."
    )
    flip_depth: bool = knob(True, "volumes: mirror along the depth with probability one half.")
    quarter_turns: bool = knob(
        True, "Turn by 0, 90, 180 or 270 degrees; volumes only in planes whose voxels are square."
    )
    scale: tuple[float, float] = knob(
        (0.8, 1.25),
        "Zoom factor, drawn log-uniformly from this range before the crop. (1.0, 1.0) is off.",
        within="[0.01, 100]",
    )
    brightness: float = knob(
        0.1,
        "Largest brightness shift, as a share of the range 0..255, or of each image's own range where it has "
        "fractions.",
        within="[0, 1]",
        why="it is a share of the range of brightness",
    )
    contrast: float = knob(
        0.1,
        "Contrast factor is drawn from [1 - contrast, 1 + contrast].",
        within="[0, 1)",
        why="a factor of 0 leaves nothing of the image",
    )
    color: float = knob(
        0.0,
        "Factor of each of red, green and blue, drawn from [1 - color, 1 + color]; grey images get a tint. 0 is off.",
        within="[0, 1)",
        why="a factor of 0 leaves nothing of a channel",
    )
    rotate: float = knob(0.0, "Largest turn, of volumes about each axis. 0 is off.", unit="degrees", within="[0, 180]")
    elastic: float = knob(
        0.0, "Largest shift in a smooth random deformation. 0 is off.", unit="pixels", within="[0, 1000]"
    )
    gamma: float = knob(
        0.0,
        "Brightness within its range is raised to a power drawn log-uniformly from 1 / (1 + gamma) to 1 + gamma. 0 is "
        "off.",
        within="[0, 10]",
    )
    noise: float = knob(
        0.0, "Largest deviation of Gaussian noise, as a share of the crop's own deviation. 0 is off.", within="[0, 10]"
    )
    blur: float = knob(0.0, "Largest deviation of a Gaussian blur. 0 is off.", unit="pixels", within="[0, 100]")
    coarsen: float = knob(
        1.0, "Largest factor by which resolution is lowered and raised again. 1 is off.", within="[1, 100]"
    )
    share: float = knob(
        0.2,
        "Share of the examples to which each of rotate, elastic, gamma, noise, blur and coarsen is applied.",
        within="[0, 1]",
    )
    foreground: float = knob(
        0.0,
        "Share of the crops that are laid over a pixel of a class other than the first, each such class "
        "equally often: for small objects that random crops rarely contain.",
        within="[0, 1]",
    )
    functions: tuple[str, ...] = knob(
        (),
        'Augmentations of your own, "package.module:function" each, called in this order after the above as '
        "function(example, random): a dict of NumPy arrays, and this example's own numpy.random.Generator.",
        form="name",
    )


@section
class Model:
    name: str = knob(
        "unet",
        '"unet", "encoder_unet" (a U-Net on a keras.applications encoder), or "package.module:function" of '
        "your own, called with those of input_channels and outputs that it names and with model.options, and "
        "returning a Keras model that maps float32 images [batch, height, width, channels] with values 0..255 "
        "to logits [batch, height, width, outputs]; or the path of a .keras file. A softmax or sigmoid at its "
        "end is recognised.",
        form="name",
        names=("unet", "encoder_unet"),
        part="model",
    )
    width: int = knob(
        16,
        "channels of the first level; each level down doubles them.",
        within="[1, 4096]",
        read_by={"name": ("unet", "encoder_unet")},
    )
    depth: int = knob(
        4,
        "number of times the resolution is halved.",
        within="[1, 8]",
        why="each level halves the resolution",
        read_by={"name": ("unet",)},
    )
    strides: tuple[tuple[int, ...], ...] = knob(
        (),
        "how many times smaller each level down is along each axis, a row a level. Empty: 2 along all; of volumes only "
        "where voxels are not yet twice as long as along another axis, and the crop has at least 8 left.",
        within="[1, 8]",
        read_by={"name": ("unet",)},
    )
    kernels: tuple[tuple[int, ...], ...] = knob(
        (),
        "sides of the convolutions at each level and at the bottom, a row each. Empty: 3; of volumes 1 along an axis "
        "while its voxels are twice as long as along another.",
        within="[1, 15]",
        why="larger ones are no convolutions of a U-Net",
        read_by={"name": ("unet",)},
    )
    residual: bool = knob(
        False,
        "each block on the way down adds its input to its result (a residual encoder).",
        read_by={"name": ("unet",)},
    )
    most_channels: int = knob(
        0,
        "upper limit on a level's channels, where doubling stops. 0: no limit.",
        within="[0, 65536]",
        read_by={"name": ("unet",)},
    )
    normalization: Literal["batch", "group", "instance", "none"] = knob(
        "batch",
        "Normalisation after each convolution: batch statistics, synchronised over replicas; of each image by groups "
        "of channels, or by channel (instance); or none.",
    )
    norm_momentum: float = knob(
        0.9,
        "Momentum of batch normalisation's moving averages. Keras's 0.99 needs thousands of steps to warm up.",
        within="[0, 1)",
    )
    dropout: float = knob(0.0, "Dropout rate at the bottom of the U-Net.", within="[0, 1)")
    upsampling: Literal["transpose", "bilinear", "nearest"] = knob("nearest", "How the decoder doubles the resolution.")
    input_scaling: Literal["unit", "standardize", "none"] = knob(
        "standardize",
        'How pixel values 0..255 enter the network: "unit" (to 0..1), "standardize" (each image to mean 0 and '
        'deviation 1: right where brightness says nothing, as in microscopy) or "none". encoder_unet uses its '
        "encoder's own.",
    )
    encoder: str = knob(
        "MobileNetV2",
        'a name in keras.applications, e.g. "MobileNetV2", "EfficientNetB0", "ResNet50".',
        read_by={"name": ("encoder_unet",)},
    )
    encoder_weights: str = knob(
        "",
        '"" for random weights, "imagenet" to download them, or a path to a .weights.h5 file.',
        read_by={"name": ("encoder_unet",)},
        changes_run=False,
    )
    encoder_trainable: bool = knob(
        True, "train the encoder too; off trains the decoder alone.", read_by={"name": ("encoder_unet",)}
    )
    outputs: Literal["softmax", "sigmoid"] = knob(
        "softmax",
        '"softmax": one logit a class. "sigmoid": two classes from one logit, that of class 1. Classes that '
        "overlap (data.labels) have a logit and a sigmoid each in any case.",
    )
    output: str = knob(
        "",
        "Of a model of your own with several outputs: the name or number of the one that gives the masks, or "
        '"all" to train all of them on the labels. Empty: the one whose shape fits the labels.',
    )
    deep_supervision: bool = knob(
        False,
        "unet: also predict at the coarser levels while training, each with its share of the loss (weights 1, 1/2, …).",
    )
    options: Mapping[str, Any] = knob(
        {}, "Keyword arguments for a model of your own, as JSON: --config.model.options='{\"blocks\": 3}'."
    )


@section
class Loss:
    name: str = knob(
        "dice+cross_entropy",
        'A loss of losses/, or a sum of them ("dice+cross_entropy"), or "package.module:function" of your '
        "own, called as Keras calls it: function(y_true, y_pred).",
        part="loss",
    )
    weights: tuple[float, ...] = knob((), "One factor for each term of the sum; empty: 1 each.")
    options: Mapping[str, Any] = knob(
        {},
        'Options of the named losses, as JSON by term, "*" for all: --config.loss.options=\'{"dice": {"over": '
        '"batch"}, "*": {"include_background": false}}\'.',
    )
    from_logits: bool = knob(
        True, "A loss of your own: y_pred as raw logits, or as probabilities (softmax or sigmoid applied)."
    )
    labels: Literal["one_hot", "ids"] = knob(
        "one_hot",
        "A loss of your own: y_true as float32 of y_pred's shape, or as int32 class ids [batch, height, width].",
    )


@section
class Optimizer:
    name: str = knob(
        "adamw",
        'Any of Keras\'s, by its name in lower case, or "package.module:name" of your own: a class derived from '
        "keras.optimizers.Optimizer, or a function that returns one, called as name(learning_rate=, **options).",
        form="name",
        names=(
            "adadelta",
            "adafactor",
            "adagrad",
            "adam",
            "adamax",
            "adamw",
            "ftrl",
            "lamb",
            "lion",
            "muon",
            "nadam",
            "rmsprop",
            "schedulefreeadamw",
            "sgd",
        ),
        part="optimizer",
    )
    learning_rate: float = knob(
        3e-3, "Peak learning rate, reached after the warm-up.", within="(0, inf)", why="nothing would be learnt"
    )
    schedule: str = knob(
        "cosine",
        "How the rate falls from its peak to learning_rate * final_fraction at the end of the run, or "
        '"package.module:name" of your own: a function of the step, or a factory of a Keras schedule, called '
        "with learning_rate, total_steps and warmup_steps where it names them.",
        form="name",
        names=("constant", "cosine", "poly"),
        part="schedule",
    )
    warmup: str = knob(
        "5%",
        "linear rise from 0 to the peak.",
        form="duration",
        read_by={"schedule": ("constant", "cosine", "poly")},
    )
    final_fraction: float = knob(
        0.01, "rate at the end, as a share of the peak.", within="[0, 1]", read_by={"schedule": ("cosine", "poly")}
    )
    power: float = knob(0.9, "exponent of (1 - progress).", within="(0, inf)", read_by={"schedule": ("poly",)})
    weight_decay: float = knob(
        1e-4, "decoupled weight decay, times the rate.", within="[0, inf)", read_by={"name": ("adamw",)}
    )
    beta_1: float = knob(0.9, "decay of the first moment.", within="[0, 1)", read_by={"name": ("adam", "adamw")})
    beta_2: float = knob(0.999, "decay of the second moment.", within="[0, 1)", read_by={"name": ("adam", "adamw")})
    epsilon: float = knob(
        1e-7,
        "added to the root of the second moment.",
        within="(0, inf)",
        why="it keeps a division from 0",
        read_by={"name": ("adam", "adamw")},
    )
    momentum: float = knob(0.9, "momentum.", within="[0, 1)", read_by={"name": ("sgd",)})
    nesterov: bool = knob(True, "Nesterov's form of it.", read_by={"name": ("sgd",)})
    options: Mapping[str, Any] = knob(
        {},
        "Further options of the optimizer, as JSON; all options of one without fields of its own: "
        "--config.optimizer.name=lion --config.optimizer.options='{\"weight_decay\": 0.01}'.",
    )
    clip_norm: float = knob(
        1.0,
        "Largest global L2 norm of the gradient, taken after reduction over replicas and unscaling. 0 is off.",
        within="[0, inf)",
        why="0 is off",
    )
    ema_decay: float = knob(
        0.0,
        "Decay of an exponential moving average of the weights, used for evaluation and export. 0 is off.",
        within="[0, 1)",
        why="0 is off",
    )


@section
class Train:
    length: str = knob("1000 steps", 'Length of the run, in "steps" or "epochs".', form="duration")
    batch_size: int = knob(
        8, "Images in a step over all replicas and micro-batches together: the global batch.", within="[1, 1048576]"
    )
    accumulate: int | Literal["auto"] = knob(
        1,
        "Micro-batches that a step is computed in, one after the other, to save memory. Divides batch_size / "
        "replicas. auto: one at first; where a step does not fit in memory the micro-batches are halved and "
        "the same step is run again. The number found is kept in the workdir.",
        within="[1, inf)",
    )
    log_every: str = knob(
        "50 steps",
        "Distance between log lines with losses, rates and time left; the host reads from the device only then.",
        form="duration",
        changes_run=False,
    )
    steps_per_call: int = knob(
        0,
        "The most steps in one call on the device; 0 takes as many as fit in two seconds, or ten with several "
        "workers. More steps are a little faster, but a signal waits for the end of the call.",
        within="[0, inf)",
        changes_run=False,
    )
    jit_compile: bool = knob(
        False,
        "Compile the step with XLA. A new image shape compiles again, so only with fixed crops.",
        changes_run=False,
    )
    histograms: str = knob(
        "10%",
        'Histograms of each layer\'s gradient norms in TensorBoard at this distance; "0 steps": none.',
        form="duration",
        changes_run=False,
    )
    profile: tuple[int, int] = knob(
        (0, 0),
        "Profile of the steps for TensorBoard: after how many steps it begins, and how many it covers, as "
        "20,5. From 0 it includes the compilation. Some ten steps are enough; (0, 0) is off.",
        unit="steps",
        within="[0, inf)",
        changes_run=False,
    )
    actions: tuple[str, ...] = knob(
        (),
        "Functions of your own, f(run, step) -> None or a reason to stop, and when each is called: "
        '"100 steps: package.module:function", and likewise with epochs, a share of the run, "evaluation" (after '
        'each) and "end".',
        form="action",
        part="actions",
    )

    @property
    def micro_batches(self) -> int:
        """Those that a step begins with: `accumulate`, or 1 where they are found out."""
        return 1 if self.accumulate == "auto" else self.accumulate


@section
class Evaluate:
    every: str = knob(
        "25%",
        "Distance between evaluations; the end of the run is always evaluated.",
        form="duration",
        changes_run="evaluate.patience",
    )
    tile: tuple[int, int] | tuple[int, int, int] = knob(
        (0, 0),
        "Tile height and width. (0, 0): whole or in tiles, depending on the network and each image's size. "
        "Volumes go through in windows of depth, height and width: 0,0,0 is the training crop.",
        unit="pixels",
        within="[0, 65536]",
        changes_run="evaluate.patience",
    )
    tile_overlap: int = knob(
        32,
        "Rows and columns that neighbouring tiles share; their logits are averaged.",
        unit="pixels",
        within="[0, inf)",
        changes_run="evaluate.patience",
    )
    seams: bool = knob(
        True,
        "An image composed of several pictures, as large as four training crops or more, is taken apart at "
        "its seams, and each picture is seen by itself, where the network takes statistics of its image "
        "(model.input_scaling=standardize, group or instance normalisation). Prediction does the same.",
        changes_run="evaluate.patience",
    )
    window_overlap: float = knob(
        0.5,
        "volumes: the share of a window that it has in common with the next; predictions are averaged, "
        "weighted by a Gaussian around each window's centre.",
        within="[0, 0.9]",
        changes_run="evaluate.patience",
    )
    mirror: bool = knob(
        False,
        "An image is also seen mirrored along its axes, all combinations, and the probabilities are averaged: 4 times "
        "the work for scores that are usually a little better. Of volumes each window, along the axes that "
        "augmentation mirrors: 2 to the number of axes times.",
        changes_run="evaluate.patience",
    )
    postprocessing: bool = knob(
        True,
        "--mode=evaluate: score the masks after the post-processing that --mode=postprocess left in the "
        "workdir, and without it for comparison. Evaluations during training have none.",
        changes_run=False,
    )
    surface_tolerance: float = knob(
        1.0,
        "volumes: distance up to which a surface counts as found in the surface Dice.",
        unit="mm",
        within="[0, inf)",
        changes_run="evaluate.patience",
    )
    metric: str = knob(
        "mean_dice",
        "The score that picks the best checkpoint and stops early: mean_dice, mean_iou, pixel_accuracy, loss, of "
        "volumes also surface_dice or hausdorff_95_mm (means over the scored classes), or one of `metrics`, by the "
        "name after its colon. Of a task of your own: loss (in place of the others), one of its terms, or of "
        "`metrics`.",
        names=("mean_dice", "mean_iou", "pixel_accuracy", "loss"),
        part="metrics",
    )
    best: Literal["auto", "highest", "lowest"] = knob(
        "auto",
        "Which value of `metric` is the best: auto is the lowest of a loss or a distance, the highest of any "
        "other score.",
    )
    metrics: tuple[str, ...] = knob(
        (), 'Further scores of your own, each "package.module:name".', form="name", part="metrics"
    )
    classes: tuple[str, ...] = knob(
        (), "Classes whose score enters the mean: empty takes all but the first (the background) of two, all of more."
    )
    panels: int = knob(
        4,
        "Images shown at each evaluation, those with the lowest Dice: in TensorBoard, and up to four in report.html; "
        "with two of the middle and the two best. 0: none.",
        within="[0, 1000]",
        changes_run=False,
    )
    patience: int = knob(0, "Evaluations without a better score after which training ends; 0 never.", within="[0, inf)")


@section
class Predict:
    mirror: bool = knob(
        False,
        "Test-time mirroring: each image is also seen mirrored along its axes, all combinations, and the probabilities "
        "are averaged. 4 times the work.",
        changes_run=False,
    )
    postprocessing: bool = knob(
        True,
        "Carry out the post-processing that --mode=postprocess left in the workdir. Off: masks as the network gives "
        "them.",
        changes_run=False,
    )
    probabilities: Literal["none", "float16", "png"] = knob(
        "none",
        'Also written for each image, below probabilities/: "float16" is a NumPy array [height, width, classes]; "png" '
        "one grey picture a class, 0 to 255, of two classes that of the second.",
        changes_run=False,
    )
    overlays: bool = knob(
        True,
        "Write the image with the classes' colours over it, too. Off: masks alone, which is faster.",
        changes_run=False,
    )
    skip_existing: bool = knob(
        False,
        "Leave out images whose outputs are all there already, so that an interrupted command can go on.",
        changes_run=False,
    )
    ahead_mib: int = knob(
        256,
        "Memory for decoded images and results that wait for the network or the disk; at least one image.",
        unit="MiB",
        within="[1, inf)",
        changes_run=False,
    )


@section
class Checkpoint:
    every: str = knob(
        "25%", "Distance between checkpoints; the end of the run is always saved.", form="duration", changes_run=False
    )
    keep: int = knob(3, "Newest checkpoints kept.", within="[1, inf)", changes_run=False)
    keep_best: bool = knob(True, "Also keep the checkpoint with the best score.", changes_run=False)
    warm_start: str = knob(
        "",
        'Weights to start from when the workdir is empty: a checkpoint folder or another run\'s workdir. "" is off.',
        changes_run=False,
    )
    warm_start_pattern: str = knob(
        ".*",
        "Only variables whose path matches this regular expression are taken from warm_start.",
        form="pattern",
        changes_run=False,
    )


@section
class Plan:
    minutes: float = knob(
        10.0,
        "--mode=plan: time that the planned run may take on this machine, start and evaluations included.",
        within="(0, inf)",
        unit="minutes",
        changes_run=False,
    )
    memory_gib: float = knob(
        4.0,
        "--mode=plan: memory that the planned run may take: of the process, or of the GPU where there is one.",
        within="(0, inf)",
        unit="GiB",
        changes_run=False,
    )


@section
class Guard:
    missing: Literal["error", "warn", "off"] = knob(
        "error",
        "What happens if a trainable variable has no gradient: end the run before its first step, warn, or nothing.",
        changes_run=False,
    )
    allow: tuple[str, ...] = knob(
        (),
        "Regular expressions on the paths of variables that may have no gradient: --config.guard.allow='pooler/.*'.",
        form="pattern",
        changes_run=False,
    )
    nonfinite: Literal["auto", "stop", "skip", "back"] = knob(
        "auto",
        'What happens at a gradient that is not finite: "auto" (float16 skips the step and lowers the loss '
        'scale, others stop), "stop", "skip" the batch, or go "back" to the last checkpoint and skip that '
        "data.",
        changes_run=False,
    )
    max_skips: int = knob(
        20,
        "skip and float16: steps skipped in a row before the run ends. back: number of returns before the run ends.",
        within="[1, inf)",
        changes_run=False,
    )
    derivatives: bool = knob(
        False,
        "--mode=check compares the gradient with finite differences of the loss, too: wrong custom gradients.",
        changes_run=False,
    )
    zero_steps: int = knob(
        200,
        "Steps in a row for which a variable's gradient may be exactly zero before a warning names it. 0 is off.",
        within="[0, inf)",
        changes_run=False,
    )


@section
class Config:
    name: str = knob("nuclei", "A short name, shown in titles.", changes_run=False)
    seed: int = knob(
        0,
        "Draws the initial weights, the order of the data and the augmentation.",
        within="[0, 2147483647]",
        why="seeds are 32-bit",
    )
    strategy: Literal["auto", "one", "mirrored", "multi_worker", "tpu"] = knob(
        "auto", 'Devices: "auto" takes what there is and reports it.', changes_run=False
    )
    precision: Literal["auto", "float32", "mixed_float16", "mixed_bfloat16"] = knob(
        "auto", "Arithmetic of the model; losses, metrics and weights are always float32."
    )
    logical_devices: int = knob(
        0,
        "Splits the CPU into this many logical devices, to try replicas on a laptop. 0 is off.",
        within="[0, 64]",
        changes_run=False,
    )
    deterministic: bool = knob(
        False,
        "Equal runs on equal devices are equal bit for bit on a GPU, too, as they are on CPUs without it. Costs speed.",
        changes_run=False,
    )
    task: str = knob(
        "",
        'What is learned from a batch: "" is segmentation, by model and loss; "package.module:name" a task of your '
        "own, derived from trainer.Task.",
        form="name",
        part="task",
    )
    data: Data = dataclasses.field(default_factory=Data)
    augment: Augment = dataclasses.field(default_factory=Augment)
    model: Model = dataclasses.field(default_factory=Model)
    loss: Loss = dataclasses.field(default_factory=Loss)
    optimizer: Optimizer = dataclasses.field(default_factory=Optimizer)
    train: Train = dataclasses.field(default_factory=Train)
    evaluate: Evaluate = dataclasses.field(default_factory=Evaluate)
    predict: Predict = dataclasses.field(default_factory=Predict)
    checkpoint: Checkpoint = dataclasses.field(default_factory=Checkpoint)
    guard: Guard = dataclasses.field(default_factory=Guard)
    plan: Plan = dataclasses.field(default_factory=Plan)
