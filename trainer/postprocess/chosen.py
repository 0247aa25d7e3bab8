"""The post-processing in a run's workdir, for masks made with the run's weights."""

from __future__ import annotations

import os

from configs.reading.folders import folds_of
from configs.reading.levels import rank_of
from trainer.prediction.postprocessing import FILE, PostProcessing, load
from trainer.stepping.segmentation import Segmentation


def chosen_for(run) -> PostProcessing | None:
    """As `Run.postprocessing`."""
    data = run.config.data
    if not isinstance(run.task, Segmentation):
        return None
    found = load(run.workdir, data.classes, multi_label=data.multi_label, rank=rank_of(run.config))
    if found is None:
        return None
    path = os.path.join(run.workdir, FILE)
    own = {os.path.realpath(folder) for folder in folds_of(run.workdir)}
    used = {os.path.realpath(saved.folder).rpartition(f"{os.sep}checkpoints{os.sep}")[0] for saved in run.members}
    if run.members and used != own:
        run.log(f"  note: {path} was chosen with other networks than this ensemble, and is not used.")
        return None
    run.log(f"Post-processing ({path}): {found}")
    taken = [os.path.basename(saved.folder) for saved in run.members or filter(None, [run.taken])]
    before = [os.path.basename(folder) for folder in found.chosen.get("checkpoints", ())]
    if taken and sorted(taken) != sorted(before):
        run.log(
            f"  note: it was chosen with {', '.join(before)}, and this is {', '.join(taken)}. Choose it anew: "
            f"--mode=postprocess --workdir={run.workdir}"
        )
    return found
