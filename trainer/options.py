"""What one call of the program is asked beyond its config: where to read and write, and what may be overridden.

The config says what a run is; the options say what to do with it now. They are not saved and change no weights.
"""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    # Directory of the run: config.json, checkpoints, metrics.jsonl, TensorBoard's event files.
    workdir: str
    # The recipe's file as the user named it, for the commands that are printed; "" for the default.
    recipe: str = ""
    # predict: files, folders and glob patterns of the images.
    inputs: tuple[str, ...] = ()
    # predict, export: directory written to; "" takes a folder inside the workdir (predictions/, export/).
    output: str = ""
    # export: any of "saved_model", "litert", "onnx".
    formats: tuple[str, ...] = ("saved_model", "litert")
    # evaluate, predict, export: "best" (the latest where no best was kept), "latest", or a checkpoint's folder.
    checkpoint: str = "best"
    # train: go on in the workdir although the config changed in fields that make it another run.
    force_config: bool = False
