"""Where examples come from, a file or folder for each source: `open_splits(data)` returns the readers of its splits.

A new source is a name of data.source in `configs.schema` and a file of that name here, or in formats/, with an
`open_splits`; only a source whose function lies elsewhere has a row below. The function takes the config's data section
and returns `Splits`, or anything that `trainer.data.sources.objects` reads: an object with len() and [i], arrays, a
`tf.data.Dataset`, a mapping of them. A user's function, "package.module:name" in data.source, is called likewise.
"""

from configs.reading.fields import all_fields
from trainer.data.sources.formats import FORMATS

_ELSEWHERE = {
    "folder": "folder.contents:open_splits",
    "pairs": "folder.folder:open_pairs",
    "tfds": "tfds.tfds:open_splits",
}


def _place(name: str) -> str:
    return _ELSEWHERE.get(name) or f"{'formats.' if name in FORMATS else ''}{name}:open_splits"


SOURCES = {name: f"{__name__}.{_place(name)}" for name in all_fields()["data.source"].knob.names}
