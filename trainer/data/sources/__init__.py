"""Where examples come from, one source a file: `open_splits(data)` gives the readers of its splits.

A new source is a file here and a row below. Its function takes the config's data section and returns `Splits`, or
anything that `trainer.data.sources.objects` reads: an object with len() and [i], arrays, a `tf.data.Dataset`, a mapping
of them. A function of the user's, "package.module:name" in data.source, is called in the same way.
"""

SOURCES = {
    "coco": "trainer.data.sources.coco:open_splits",
    "folder": "trainer.data.sources.folder:open_splits",
    "labelme": "trainer.data.sources.labelme:open_splits",
    "nuclei": "trainer.data.sources.nuclei:open_splits",
    "tfds": "trainer.data.sources.tfds:open_splits",
    "volumes": "trainer.data.sources.volumes:open_splits",
}
