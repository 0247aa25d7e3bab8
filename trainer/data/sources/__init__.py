"""Where examples come from, one source a file or folder: `open_splits(data)` gives the readers of its splits.

A new source is a file here and a row below. Its function takes the config's data section and returns `Splits`, or
anything that `trainer.data.sources.objects` reads: an object with len() and [i], arrays, a `tf.data.Dataset`, a
mapping of them. A function of the user's, "package.module:name" in data.source, is called in the same way.
"""

from trainer.data.sources.formats import FORMATS

SOURCES = {
    "folder": "trainer.data.sources.folder.contents:open_splits",
    "nuclei": "trainer.data.sources.nuclei:open_splits",
    "pairs": "trainer.data.sources.folder.folder:open_pairs",
    "tfds": "trainer.data.sources.tfds.tfds:open_splits",
    "volumes": "trainer.data.sources.volumes:open_splits",
    **{name: f"{module}:open_splits" for name, module in FORMATS.items()},
}
