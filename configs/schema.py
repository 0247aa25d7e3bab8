"""The typed configuration: every knob of a run, one commented field each, frozen.

A recipe (`configs/nuclei.py`, …) returns a `Config` that says only what differs from these defaults; any field can be
set on the command line as `--config.<section>.<field>=value`. The comment above a field is its documentation: unit,
meaning, and why the default. This file imports nothing but the standard library, so that a wrong flag is answered
before TensorFlow is loaded. The rules that relate fields to each other are in `configs/reading/validation.py`.

Durations are text: "500 steps", "3 epochs", "5%" (of the run's length), or "0 steps" for never.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

_section = dataclasses.dataclass(frozen=True, kw_only=True)


@_section
class Data:
    # Where examples come from: the embedded nuclei images, any TensorFlow Datasets set, or a folder of one's own.
    source: Literal["nuclei", "tfds", "folder"] = "nuclei"
    # folder: the directory that holds images/ and masks/. tfds: the data_dir ("" = ~/tensorflow_datasets).
    path: str = ""
    # tfds: the data set's name, with an optional version, e.g. "oxford_iiit_pet:4.0.0".
    name: str = ""
    # tfds: the split trained on, in TFDS's slicing language.
    train_split: str = "train"
    # tfds: the split that is evaluated.
    validation_split: str = "test"
    # tfds: the feature that holds the image.
    image_key: str = "image"
    # tfds: the feature that holds the mask.
    mask_key: str = "segmentation_mask"
    # tfds: download the set when it is not on disk yet. Off by default: no surprise downloads.
    download: bool = False
    # folder without train.txt and val.txt: the share of the pairs that is held out for validation, in (0, 1).
    validation_fraction: float = 0.2
    # folder without train.txt and val.txt: the seed of that split, apart from the run's seed so that runs compare.
    split_seed: int = 0
    # Names of the classes; their position is the class id. The first is the background where there is one.
    classes: tuple[str, ...] = ("background", "nucleus")
    # How a mask file says the class: "ids" (the pixel is the id), "binary" (0 is class 0, anything else, usually 255,
    # is class 1), "colors" (an RGB or palette image and the table mask_colors).
    mask_encoding: Literal["ids", "binary", "colors"] = "binary"
    # ids: raw pixel value -> class id, as pairs, e.g. ((1, 1), (2, 0), (3, 255)). Empty: the value is the id.
    mask_ids: tuple[tuple[int, int], ...] = ()
    # colors: (red, green, blue, class id) rows; a colour outside the table is an error that names it.
    mask_colors: tuple[tuple[int, int, int, int], ...] = ()
    # The class id of pixels that no loss and no metric counts. 255 is the field's habit.
    void_id: int = 255
    # Channels the model sees: 3 (grey is repeated) or 1 (colour becomes luma). Alpha is dropped.
    channels: Literal[1, 3] = 3
    # What an unreadable or inconsistent file does when it is met: stop with its name, or skip it and count.
    bad_files: Literal["stop", "skip"] = "stop"
    # Largest image accepted, in pixels: a small file can decode to gigabytes (a "decompression bomb").
    max_pixels: int = 100_000_000
    # Decoded examples are kept in memory while they fit in this many MiB; beyond it files are decoded each time.
    cache_mib: int = 1024
    # Examples decoded and augmented at a time; 0 lets tf.data choose.
    workers: int = 0


@_section
class Augment:
    # Height and width of a training crop, pixels. Smaller images are padded with void.
    crop: tuple[int, int] = (128, 128)
    # Mirror left-right with probability one half.
    flip_horizontal: bool = True
    # Mirror top-bottom with probability one half. Off for scenes with an up and a down.
    flip_vertical: bool = True
    # Turn by 0, 90, 180 or 270 degrees.
    quarter_turns: bool = True
    # Zoom factor, drawn log-uniformly from this range before the crop. (1.0, 1.0) is off.
    scale: tuple[float, float] = (0.8, 1.25)
    # Largest brightness shift, as a share of the full range 0..255.
    brightness: float = 0.1
    # Contrast factor is drawn from [1 - contrast, 1 + contrast].
    contrast: float = 0.1
    # Factor of each of red, green and blue, drawn from [1 - color, 1 + color]; grey images get a tint. 0 is off.
    color: float = 0.0


@_section
class Model:
    # "unet", "encoder_unet" (a U-Net on a keras.applications encoder), or "package.module:function" of your own,
    # called as function(input_channels=, outputs=, **options) and returning a Keras model that maps float32 images
    # [batch, height, width, channels] with values 0..255 to logits [batch, height, width, outputs].
    name: str = "unet"
    # unet: channels of the first level; each level down doubles them.
    width: int = 16
    # unet: number of times the resolution is halved.
    depth: int = 4
    # Normalisation after each convolution. Batch statistics are synchronised over replicas.
    normalization: Literal["batch", "group", "none"] = "batch"
    # Momentum of batch normalisation's moving averages. Keras's 0.99 needs thousands of steps to warm up.
    norm_momentum: float = 0.9
    # Dropout rate at the bottom of the U-Net, in [0, 1).
    dropout: float = 0.0
    # How the decoder doubles the resolution.
    upsampling: Literal["transpose", "bilinear", "nearest"] = "nearest"
    # How pixel values 0..255 enter the network: "unit" (to 0..1), "standardize" (each image to mean 0 and deviation
    # 1: right where brightness says nothing, as in microscopy) or "none". encoder_unet uses its encoder's own.
    input_scaling: Literal["unit", "standardize", "none"] = "standardize"
    # encoder_unet: a name in keras.applications, e.g. "MobileNetV2", "EfficientNetB0", "ResNet50".
    encoder: str = "MobileNetV2"
    # encoder_unet: "" for random weights, "imagenet" to download them, or a path to a .weights.h5 file.
    encoder_weights: str = ""
    # encoder_unet: train the encoder too; off trains the decoder alone.
    encoder_trainable: bool = True
    # "softmax": one logit a class. "sigmoid": two classes told by one logit, that of class 1.
    outputs: Literal["softmax", "sigmoid"] = "softmax"
    # unet: also predict at the coarser levels while training, each with its share of the loss (weights 1, 1/2, …).
    deep_supervision: bool = False
    # Keyword arguments for a model of your own, as JSON: --config.model.options='{"blocks": 3}'.
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@_section
class Loss:
    # A loss of losses/, or a sum of them ("dice+cross_entropy"), or "package.module:function" of your own, called as
    # Keras calls it: function(y_true, y_pred).
    name: str = "dice+cross_entropy"
    # One factor for each term of the sum; empty: 1 each.
    weights: tuple[float, ...] = ()
    # Options of the named losses, as JSON by term, "*" for all:
    # --config.loss.options='{"dice": {"over": "batch"}, "*": {"include_background": false}}'.
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    # A loss of your own: y_pred as raw logits, or as probabilities (softmax or sigmoid applied).
    from_logits: bool = True
    # A loss of your own: y_true as float32 of y_pred's shape, or as int32 class ids [batch, height, width].
    labels: Literal["one_hot", "ids"] = "one_hot"


@_section
class Optimizer:
    # Adam, Adam with decoupled weight decay, or stochastic gradient descent with momentum.
    name: Literal["adam", "adamw", "sgd"] = "adamw"
    # Peak learning rate, reached after the warm-up.
    learning_rate: float = 3e-3
    # How the rate falls from its peak to learning_rate * final_fraction at the end of the run.
    schedule: Literal["constant", "cosine", "poly"] = "cosine"
    # Linear rise from 0 to the peak.
    warmup: str = "5%"
    # Rate at the end, as a share of the peak.
    final_fraction: float = 0.01
    # poly: exponent of (1 - progress).
    power: float = 0.9
    # adamw: decoupled weight decay (times the rate); sgd and adam: must be 0.
    weight_decay: float = 1e-4
    # adam, adamw: decay of the first moment.
    beta_1: float = 0.9
    # adam, adamw: decay of the second moment.
    beta_2: float = 0.999
    # adam, adamw: added to the root of the second moment.
    epsilon: float = 1e-7
    # sgd: momentum, in [0, 1).
    momentum: float = 0.9
    # sgd: Nesterov's form of it.
    nesterov: bool = True
    # Largest global L2 norm of the gradient, taken after reduction over replicas and unscaling. 0 is off.
    clip_norm: float = 1.0
    # Decay of an exponential moving average of the weights, used for evaluation and export. 0 is off.
    ema_decay: float = 0.0


@_section
class Train:
    # Length of the run, in "steps" or "epochs".
    length: str = "1000 steps"
    # Images in a step over all replicas and micro-batches together: the global batch.
    batch_size: int = 8
    # Micro-batches that a step is computed in, one after the other, to save memory. Divides batch_size / replicas.
    accumulate: int = 1
    # A line of losses, rates and time left at this distance; the host reads from the device only then.
    log_every: str = "50 steps"
    # Steps in one call on the device; 0 takes the distance of the reports. Larger is faster by a little, and a signal
    # waits for the end of the call.
    steps_per_call: int = 0
    # Compile the step with XLA. A new image shape compiles again, so only with fixed crops.
    jit_compile: bool = False


@_section
class Evaluate:
    # Distance between evaluations; the end of the run is always evaluated.
    every: str = "25%"
    # Tile height and width, pixels, for images larger than memory allows; (0, 0) takes each image whole, padded.
    tile: tuple[int, int] = (0, 0)
    # Pixels that neighbouring tiles share; their logits are averaged.
    tile_overlap: int = 32
    # The score that tells the best checkpoint and early stopping: mean_dice, mean_iou or pixel_accuracy.
    metric: Literal["mean_dice", "mean_iou", "pixel_accuracy"] = "mean_dice"
    # Classes whose score enters the mean: empty takes all but the first (the background) of two, all of more.
    classes: tuple[str, ...] = ()
    # Images shown in TensorBoard at each evaluation.
    panels: int = 4
    # Evaluations without a better score after which training ends; 0 never.
    patience: int = 0


@_section
class Checkpoint:
    # Distance between checkpoints; the end of the run is always saved.
    every: str = "25%"
    # Newest checkpoints kept.
    keep: int = 3
    # Also keep the checkpoint with the best score.
    keep_best: bool = True
    # Weights to start from when the workdir is empty: a checkpoint folder or another run's workdir. "" is off.
    warm_start: str = ""
    # Only variables whose path matches this regular expression are taken from warm_start.
    warm_start_pattern: str = ".*"


@_section
class Guard:
    # What a trainable variable without a gradient does: end the run before its first step, warn, or nothing.
    missing: Literal["error", "warn", "off"] = "error"
    # Regular expressions on variable paths that may stay without a gradient: --config.guard.allow='pooler/.*'.
    allow: tuple[str, ...] = ()
    # What a gradient that is not finite does: "auto" (float16 skips the step and lowers the loss scale, others stop),
    # "stop", "skip" the batch, or go "back" to the last checkpoint and skip that data.
    nonfinite: Literal["auto", "stop", "skip", "back"] = "auto"
    # skip and float16: steps skipped in a row before the run ends. back: number of returns before the run ends.
    max_skips: int = 20
    # Steps in a row for which a variable's gradient may be exactly zero before a warning names it. 0 is off.
    zero_steps: int = 200


@_section
class Config:
    # A short name, shown in titles.
    name: str = "nuclei"
    # Draws the initial weights, the order of the data and the augmentation.
    seed: int = 0
    # Devices: "auto" takes what is there and says so.
    strategy: Literal["auto", "one", "mirrored", "multi_worker", "tpu"] = "auto"
    # Arithmetic of the model; losses, metrics and weights are always float32.
    precision: Literal["auto", "float32", "mixed_float16", "mixed_bfloat16"] = "auto"
    # Splits the CPU into this many logical devices, to try replicas on a laptop. 0 is off.
    logical_devices: int = 0
    # Equal runs are equal bit for bit. Costs speed, mostly on GPUs. On CPUs 8, 16, … replicas then train the bits of
    # one, too, as 2 and 4 do without it.
    deterministic: bool = False
    data: Data = dataclasses.field(default_factory=Data)
    augment: Augment = dataclasses.field(default_factory=Augment)
    model: Model = dataclasses.field(default_factory=Model)
    loss: Loss = dataclasses.field(default_factory=Loss)
    optimizer: Optimizer = dataclasses.field(default_factory=Optimizer)
    train: Train = dataclasses.field(default_factory=Train)
    evaluate: Evaluate = dataclasses.field(default_factory=Evaluate)
    checkpoint: Checkpoint = dataclasses.field(default_factory=Checkpoint)
    guard: Guard = dataclasses.field(default_factory=Guard)
