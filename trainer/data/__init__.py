"""Where examples come from, and how they become batches. See `opening.open_data` and `pipeline.training_batches`."""

from trainer.data.check.check import DataCheck, check_data
from trainer.data.errors import DataError, data_error_from
from trainer.data.evaluation_examples import evaluation_batches, evaluation_example
from trainer.data.evaluation_split import open_evaluated, other_data
from trainer.data.example import Example, Feature
from trainer.data.images.decode import decode_image, read_image
from trainer.data.images.files import IMAGE_SUFFIXES
from trainer.data.masks.class_ids import decode_mask
from trainer.data.opening import open_data
from trainer.data.pipeline import training_batches
from trainer.data.source import DataSets, Source

__all__ = [
    "IMAGE_SUFFIXES",
    "DataCheck",
    "DataError",
    "DataSets",
    "Example",
    "Feature",
    "Source",
    "check_data",
    "data_error_from",
    "decode_image",
    "decode_mask",
    "evaluation_batches",
    "evaluation_example",
    "open_data",
    "open_evaluated",
    "other_data",
    "read_image",
    "training_batches",
]
