"""Keras's optimizers by name, and the options each takes: plain Python, so that a config is checked without TensorFlow.

A test holds the table equal to the installed Keras.
"""

from __future__ import annotations

from configs.reading import fields
from configs.reading.nearest import did_you_mean
from configs.schema import Config

# The name of a class of keras.optimizers in lower case: what its constructor takes besides what the run decides.
OPTIMIZERS = {
    name: tuple(options.split())
    for name, options in {
        "adadelta": "rho epsilon weight_decay",
        "adafactor": "beta_2_decay epsilon_1 epsilon_2 clip_threshold relative_step weight_decay",
        "adagrad": "initial_accumulator_value epsilon weight_decay",
        "adam": "beta_1 beta_2 epsilon amsgrad weight_decay",
        "adamax": "beta_1 beta_2 epsilon weight_decay",
        "adamw": "weight_decay beta_1 beta_2 epsilon amsgrad",
        "ftrl": "learning_rate_power initial_accumulator_value l1_regularization_strength l2_regularization_strength "
        "l2_shrinkage_regularization_strength beta weight_decay",
        "lamb": "beta_1 beta_2 epsilon weight_decay",
        "lion": "beta_1 beta_2 weight_decay",
        "muon": "adam_beta_1 adam_beta_2 adam_weight_decay epsilon weight_decay exclude_layers exclude_embeddings "
        "muon_a muon_b muon_c adam_lr_ratio momentum ns_steps nesterov rms_rate",
        "nadam": "beta_1 beta_2 epsilon weight_decay",
        "rmsprop": "rho momentum epsilon centered weight_decay",
        "schedulefreeadamw": "beta_1 beta_2 epsilon warmup_steps weight_decay",
        "sgd": "momentum nesterov weight_decay",
    }.items()
}

# Options of Keras's optimizers that the step does after the reduction over replicas -> the field for them.
DECIDED = {
    "learning_rate": "optimizer.learning_rate",
    "clipnorm": "optimizer.clip_norm",
    "clipvalue": "optimizer.clip_norm",
    "global_clipnorm": "optimizer.clip_norm",
    "use_ema": "optimizer.ema_decay",
    "ema_momentum": "optimizer.ema_decay",
    "ema_overwrite_frequency": "optimizer.ema_decay",
    "loss_scale_factor": "precision",
    "gradient_accumulation_steps": "train.accumulate",
}


def option_problems(config: Config):
    """A rule of `validation`: options that the optimizer does not take, or that have a field."""
    name, own_fields = config.optimizer.name, _fields_of(config)
    for option in config.optimizer.options:
        if option in DECIDED:
            yield ("optimizer.options",), f"{option!r} is not set here. Write --config.{DECIDED[option]}=…"
        elif option in own_fields:
            yield ("optimizer.options",), f"{option!r} is a field for {name}. Write --config.optimizer.{option}=…"
        elif name in OPTIMIZERS and option not in OPTIMIZERS[name]:
            open_to = [known for known in OPTIMIZERS[name] if known not in own_fields]
            hint = did_you_mean(option, open_to) or f" It has {', '.join(open_to)}."
            yield ("optimizer.options", "optimizer.name"), f"{name} has no option {option!r}.{hint}"


def _fields_of(config: Config) -> set[str]:
    """Fields of the section that this optimizer reads and other optimizers do not."""
    readers = {path: field.knob.read_by.get("name", ()) for path, field in fields.all_fields().items()}
    return {
        path.removeprefix("optimizer.")
        for path, names in readers.items()
        if path.startswith("optimizer.") and config.optimizer.name in names
    }
