"""Names of other frameworks -> their names here, where no similarity of letters would find them."""

from __future__ import annotations

from configs.reading.encoders import ENCODERS

# Names of fields and flags. Dotted ones mean only themselves; the others hold in every section, too.
_FIELDS = {
    "epochs": "train.length",
    "num_epochs": "train.length",
    "max_epochs": "train.length",
    "steps": "train.length",
    "train_steps": "train.length",
    "max_steps": "train.length",
    "iterations": "train.length",
    "num_classes": "data.classes",
    "classes": "data.classes",
    "class_names": "data.classes",
    "ignore_index": "data.void_id",
    "ignore_label": "data.void_id",
    "dataset": "data.name",
    "data_dir": "data.path",
    "data_path": "data.path",
    "image_size": "augment.crop",
    "img_size": "augment.crop",
    "crop_size": "augment.crop",
    "patch_size": "augment.crop",
    "input_size": "augment.crop",
    "crop": "augment.crop",
    "backbone": "model.encoder",
    "filters": "model.width",
    "arch": "model.name",
    "lr": "optimizer.learning_rate",
    "bs": "train.batch_size",
    "architecture": "model.name",
    "criterion": "loss.name",
    "scheduler": "optimizer.schedule",
    "lr_schedule": "optimizer.schedule",
    "grad_clip": "optimizer.clip_norm",
    "clipnorm": "optimizer.clip_norm",
    "global_clipnorm": "optimizer.clip_norm",
    "gradient_accumulation_steps": "train.accumulate",
    "grad_accum": "train.accumulate",
    "early_stopping": "evaluate.patience",
    "monitor": "evaluate.metric",
    "fp16": "precision",
    "amp": "precision",
    "bf16": "precision",
    "mixed_precision": "precision",
    "xla": "train.jit_compile",
    "num_workers": "data.workers",
    "gpus": "strategy",
    "devices": "strategy",
    "num_gpus": "strategy",
    "distributed": "strategy",
    "pretrained": "model.encoder_weights",
    "finetune": "checkpoint.warm_start",
    "loss.alpha": "loss.options",
    "loss.beta": "loss.options",
    "loss.gamma": "loss.options",
}

_GOES_ON = (
    "nothing has to be said: training goes on by itself where the run in --workdir stopped. Give the same command again"
)
_GPUS = (
    "devices are chosen by --strategy: auto, the default, takes every GPU that it sees. Fewer: "
    "CUDA_VISIBLE_DEVICES=0,1 python main.py"
)
# Other frameworks' flags without a counterpart here: what to do instead.
_FLAGS = {
    "resume": _GOES_ON,
    "continue": _GOES_ON,
    "restore": _GOES_ON,
    "auto_resume": _GOES_ON,
    "resume_from": _GOES_ON,
    "gpus": _GPUS,
    "gpu": _GPUS,
    "devices": _GPUS,
    "num_gpus": _GPUS,
    "device": _GPUS,
    "gpu_ids": _GPUS,
    "logdir": "it is --workdir, the directory of a run",
    "log_dir": "it is --workdir, the directory of a run",
    "output_dir": "it is --workdir, the directory of a run; --output is where predict and export write",
    "save_dir": "it is --workdir, the directory of a run; --output is where predict and export write",
    "train": "write --mode=train",
    "eval": "write --mode=evaluate",
    "evaluate": "write --mode=evaluate",
    "test": "write --mode=evaluate",
    "predict": "write --mode=predict",
    "export": "write --mode=export",
    "check": "write --mode=check",
    "describe": "write --mode=describe",
    "dry_run": "write --mode=describe",
    "num_classes": "data.classes names them, and their number follows: --config.data.classes=background,road",
    "weights": "--checkpoint chooses what evaluate, predict and export take; "
    "training starts from --config.checkpoint.warm_start=…",
    "verbose": "--config.train.log_every says how often a line is written",
}

_OWN_MODEL = (
    "build it in a file of your own (keras_hub has it, for one), --config.model.name=my_models:build, or take "
    "--config.model.name=encoder_unet"
)
# Values, by the field or flag that they were given for: the value here, or a sentence.
_VALUES = {
    "mode": {
        "fit": "train",
        "training": "train",
        "resume": "train",
        "finetune": "train",
        "eval": "evaluate",
        "test": "evaluate",
        "val": "evaluate",
        "validate": "evaluate",
        "score": "evaluate",
        "infer": "predict",
        "inference": "predict",
        "segment": "predict",
        "apply": "predict",
        "save": "export",
        "convert": "export",
        "summary": "describe",
        "info": "describe",
        "show": "describe",
        "dry_run": "describe",
        "verify": "check",
        "debug": "check",
        "lint": "check",
        "audit": "check",
        "doctor": "check",
    },
    "evaluate.best": {"min": "lowest", "max": "highest", "lower": "lowest", "higher": "highest"},
    "checkpoint": {
        "last": "latest",
        "newest": "latest",
        "final": "latest",
        "recent": "latest",
        "current": "latest",
        "top": "best",
        "max": "best",
        "min": "best",
        "optimal": "best",
    },
    "strategy": {
        "gpu": "auto",
        "cpu": "one",
        "single": "one",
        "none": "one",
        "default": "one",
        "ddp": "mirrored",
        "dp": "mirrored",
        "multi_gpu": "mirrored",
        "multi_node": "multi_worker",
        "distributed": "multi_worker",
        "cluster": "multi_worker",
    },
    "precision": {
        "fp16": "mixed_float16",
        "float16": "mixed_float16",
        "16": "mixed_float16",
        "half": "mixed_float16",
        "amp": "mixed_float16",
        "mixed": "mixed_float16",
        "bf16": "mixed_bfloat16",
        "bfloat16": "mixed_bfloat16",
        "fp32": "float32",
        "32": "float32",
        "full": "float32",
        "float": "float32",
        "float64": "float32",
    },
    "model.name": {
        **dict.fromkeys(
            (
                "deeplab",
                "deeplabv3",
                "deeplabv3plus",
                "deeplabv3+",
                "segformer",
                "fpn",
                "pspnet",
                "linknet",
                "hrnet",
                "sam",
                "maskrcnn",
                "mask2former",
                "upernet",
                "fcn",
                "attentionunet",
                "unet++",
                "unetplusplus",
                "swinunet",
                "transunet",
                "nnunet",
                "segnet",
                "segresnet",
                "swinunetr",
                "unetr",
                "vnet",
                "manet",
                "pan",
                "dpt",
                "unet3+",
            ),
            _OWN_MODEL,
        ),
        "resunet": "encoder_unet",
        "u_net": "unet",
    },
    "optimizer.schedule": {"cosine_decay": "cosine", "polynomial": "poly", "fixed": "constant", "none": "constant"},
    "data.mask_encoding": {
        "rgb": "colors",
        "colours": "colors",
        "color": "colors",
        "index": "ids",
        "palette": "ids",
        "grey": "ids",
        "gray": "ids",
        "labels": "ids",
        "0/255": "binary",
    },
    "model.normalization": {"bn": "batch", "batchnorm": "batch", "gn": "group", "groupnorm": "group"},
    "model.outputs": {"binary": "sigmoid", "multiclass": "softmax"},
    "evaluate.metric": {
        "dice": "mean_dice",
        "f1": "mean_dice",
        "iou": "mean_iou",
        "miou": "mean_iou",
        "jaccard": "mean_iou",
        "accuracy": "pixel_accuracy",
        "acc": "pixel_accuracy",
    },
}


_ENCODERS = {name.lower(): name for name in ENCODERS}


def field(path: str) -> str:
    """The field meant by another framework's name, or ""; the last part of a dotted name counts, too."""
    return _FIELDS.get(_plain(path)) or _FIELDS.get(_plain(path).rpartition(".")[2], "")


def flag(name: str) -> str:
    """A clause on what to do in place of another framework's flag, or ""."""
    return _FLAGS.get(_plain(name), "")


def value(path: str, text: str, form: str = "{}") -> str:
    """` Did you mean …?`, or what to do in place of another framework's value, or "".

    Args:
      path: of the field, or the name of the flag.
      text: the value given.
      form: how a value is written in the answer.
    """
    encoder = _ENCODERS.get(_plain(text).replace("_", "")) if path == "model.name" else None
    if encoder is not None:
        return f" It is an encoder: --config.model.name=encoder_unet --config.model.encoder={encoder}."
    known = _VALUES.get(path, {})
    meant = known.get(_plain(text)) or known.get(_plain(text).replace("_", ""), "")
    if " " in meant:
        return f" {meant[:1].upper()}{meant[1:]}."
    return f" Did you mean {form.format(meant)}?" if meant else ""


def _plain(name: str) -> str:
    return name.strip().lower().replace("-", "_")
