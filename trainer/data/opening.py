"""Config -> the two splits, checked as far as is cheap: names, lists, headers; every problem in one message."""

from __future__ import annotations

import os
from collections.abc import Sequence

from configs.schema import Config, Data
from trainer.data.decode import decode_image, exif_orientation, open_image
from trainer.data.errors import DataError, listed
from trainer.data.masks import decode_mask
from trainer.data.source import DataSets, Example, MemoryCache, Source
from trainer.data.sources.agreement import read_both
from trainer.data.sources.folder import list_folder
from trainer.data.sources.headers import check_headers
from trainer.data.sources.pairs import Listing, Pair

_ADVICE = "\n--config.data.bad_files=skip leaves such files out; --mode=check looks into every file."

# The embedded set.
NUCLEI = os.path.join(os.path.dirname(os.path.abspath(__file__)), "sources", "nuclei")


def open_data(config: Config) -> DataSets:
    """The splits that a config names: files are listed and their headers read, or TFRecords indexed; nothing decoded.

    Raises:
      DataError: nothing to train on or to evaluate, or, unless data.bad_files is "skip", any file that is missing,
        empty, unreadable or of another size than its partner. The message names all of them.
    """
    data = config.data
    if data.source == "tfds":
        # TensorFlow Datasets takes a second to import, and only this source needs it.
        from trainer.data.sources import tfds as tfds_set

        train, validation, notes = tfds_set.open_splits(data)
        return data_sets(data, train, validation, notes=notes)
    listing, root = list_pairs(data)
    problems = [*listing.fatal, *listing.problems]
    if not listing.fatal:
        problems += check_headers(root, [*listing.train, *listing.validation], data)
    if listing.fatal or (problems and data.bad_files == "stop"):
        where = "the embedded nuclei" if data.source == "nuclei" else f"data.path={data.path!r}"
        advice = "" if listing.fatal else _ADVICE
        count = f"{len(problems)} problems" if len(problems) > 1 else "a problem"
        raise DataError(f"The data has {count} ({where}):\n{listed(problems)}{advice}")
    readers = (FilePairs(root, pairs, data) for pairs in (listing.train, listing.validation))
    return data_sets(data, *readers, notes=listing.notes, problems=problems)


def list_pairs(data: Data) -> tuple[Listing, str]:
    """The pairs of a folder, or of the embedded nuclei, and the folder."""
    if data.source != "nuclei":
        root = os.path.expanduser(data.path)
        return list_folder(root, data), root
    if data.mask_encoding != "binary" or len(data.classes) != 2:
        wrong = f"mask_encoding={data.mask_encoding!r} and {len(data.classes)} classes {data.classes!r}"
        return Listing(
            fatal=(
                f"The embedded nuclei have masks of 0 and 255 and two classes. Received: {wrong}.\n"
                "  Write mask_encoding='binary' and two names, or data of your own: --config.data.source=folder "
                "--config.data.path=DIRECTORY",
            )
        ), NUCLEI
    return list_folder(NUCLEI, data), NUCLEI


class FilePairs:
    """Reads the pairs of a folder, by index."""

    def __init__(self, root: str, pairs: Sequence[Pair], data: Data):
        self.root = root
        self.pairs = pairs
        self.names = tuple(pair.name for pair in pairs)
        self._data = data

    def __call__(self, index: int) -> Example:
        pair, data = self.pairs[index], self._data
        image_path, mask_path = os.path.join(self.root, pair.image), os.path.join(self.root, pair.mask)
        return read_both(
            pair.name,
            image_path,
            lambda: decode_image(image_path, data.channels, data.max_pixels),
            mask_path,
            lambda: decode_mask(mask_path, data),
            lambda: exif_orientation(open_image(image_path, data.max_pixels), whole=True),
        )


def data_sets(
    data: Data, train, validation, *, notes: Sequence[str] = (), problems: Sequence[str] = ()
) -> DataSets:
    """Two readers (`names`, and a call by index) as the splits of a data set with one cache."""
    cache = MemoryCache(data.cache_mib)
    common = {"classes": data.classes, "void_id": data.void_id, "channels": data.channels, "cache": cache}
    return DataSets(
        train=Source("train", train.names, train, **common),
        validation=Source("validation", validation.names, validation, **common),
        classes=tuple(data.classes),
        void_id=data.void_id,
        channels=data.channels,
        notes=tuple(notes),
        problems=tuple(problems),
    )
