"""An example of a TensorFlow Datasets record: image and mask, decoded as files are.

Only the image's and the mask's bytes are taken from a record and decoded by `decode.py`, so that palette and 16-bit
masks, CMYK and GIF files named .jpg mean the same here. EXIF orientation is not applied: TFDS's own decoder does not
apply it, and the masks of its sets fit the unturned pixels.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

import numpy as np

from configs.schema import Data
from trainer.data.errors import DataError, shown
from trainer.data.example import Example
from trainer.data.images.decode import decode_image
from trainer.data.masks.class_ids import decode_mask, label_from
from trainer.data.masks.values import MaskValues, decode_values
from trainer.data.sources.agreement import read_both


class TfdsExamples:
    """Reads the examples of one split, by index."""

    def __init__(self, names: Sequence[str], record: Callable[[int], bytes], features, data: Data):
        import tensorflow_datasets as tfds

        self.names = tuple(names)
        self._record = record
        self._data = data
        wanted = {key: features[key] for key in (data.image_key, data.mask_key)}
        self._features = tfds.features.FeaturesDict(wanted)
        self._encoded = {key for key, feature in wanted.items() if isinstance(feature, tfds.features.Image)}
        self._decoders = {key: tfds.decode.SkipDecoding() for key in self._encoded}
        # The set's own name for an example, for messages.
        self._titles = [
            tfds.features.FeaturesDict({key: features[key]})
            for key in ("file_name", "filename", "image/filename", "id", "name")
            if key in features and isinstance(features[key], tfds.features.Text)
        ]

    def reading(self, data: Data) -> TfdsExamples:
        """The same examples, read with another data section."""
        made = copy.copy(self)
        made._data = data
        return made

    def __call__(self, index: int) -> Example:
        data, content = self._data, self._record(index)
        name = self.names[index] + self._title(content)
        try:
            values = self._features.deserialize_example_np(content, decoders=self._decoders)
        except MemoryError:
            raise
        except Exception as error:  # A damaged record can make the parser raise anything.
            raise DataError(f"{name}: the record cannot be parsed: {error}.") from error
        image, mask = values[data.image_key], values[data.mask_key]
        image_name, mask_name = f"{name}, {data.image_key}", f"{name}, {data.mask_key}"

        def decoded_image() -> np.ndarray:
            if data.image_key in self._encoded:
                return decode_image(image, data.channels, data.max_pixels, name=image_name, upright=False)
            return _image_from(np.asarray(image), data.channels, image_name)

        def decoded_label() -> np.ndarray:
            if data.mask_key in self._encoded:
                return decode_mask(mask, data, name=mask_name, upright=False)
            return label_from(MaskValues(_flat(np.asarray(mask), mask_name), None, "array"), data, mask_name)

        return read_both(self.names[index], image_name, decoded_image, mask_name, decoded_label)

    def mask_values(self, index: int) -> MaskValues:
        """The values in an example's mask, before any encoding."""
        name = self.names[index]
        try:
            values = self._features.deserialize_example_np(self._record(index), decoders=self._decoders)
        except MemoryError:
            raise
        except Exception as error:  # As above.
            raise DataError(f"{name}: the record cannot be parsed: {error}.") from error
        mask = values[self._data.mask_key]
        if self._data.mask_key in self._encoded:
            return decode_values(mask, self._data.max_pixels, name=name, upright=False)
        return MaskValues(_flat(np.asarray(mask), name), None, "array")

    def _title(self, content: bytes) -> str:
        for features in self._titles:
            try:
                (value,) = features.deserialize_example_np(content).values()
            except Exception:  # Only for messages; the record itself is parsed next, with its own errors.
                return ""
            return f" ({shown(value)})"
        return ""


def _image_from(image: np.ndarray, channels: int, name: str) -> np.ndarray:
    image = image[:, :, None] if image.ndim == 2 else image
    if image.dtype != np.uint8:
        raise DataError(f"{name}: is an array of {image.dtype}; which value is white is not known. 8 bits are read.")
    if image.shape[2] not in (1, 3, 4):
        raise DataError(f"{name}: has {image.shape[2]} channels; 1, 3 or 4 are read.")
    if image.shape[2] == 4:
        image = image[:, :, :3]
    if image.shape[2] == 3 and channels == 1:
        luma = image @ np.array([299, 587, 114])
        return ((luma + 500) // 1000).astype(np.uint8)[:, :, None]
    return np.repeat(image, channels, axis=2) if image.shape[2] < channels else image


def _flat(mask: np.ndarray, name: str) -> np.ndarray:
    if mask.ndim == 3 and mask.shape[2] == 1:
        mask = mask[:, :, 0]
    if mask.ndim == 3 and mask.shape[2] != 3:
        raise DataError(f"{name}: has {mask.shape[2]} channels; a mask has 1, or 3 that tell a colour.")
    return mask.astype(np.uint8) if mask.dtype == np.bool_ else mask
