"""Every tag of TensorBoard and every key of metrics.jsonl.

A line of metrics.jsonl has "step", "kind" ("train" or "eval") and the keys below; a curve's tag is "<kind>/<key>".

train   loss                    mean over the steps since the last report, regularisers included
        loss/<term>             each term of the loss as it enters the sum; where there are several
        dice                    hard Dice of the training crops, mean over the scored classes
        gradient_norm           global norm after reduction and unscaling, before clipping
        gradient_norm/<phase>   of each phase, where there are phases
        learning_rate           at this step; learning_rate/<phase> where there are phases
        images_per_second       since the last report, evaluations and checkpoints left out
        waiting_for_data        share of that time in which the step waited for its batch, 0 to 1
        skipped                 steps left out so far because a gradient was not finite
        loss_scale              float16 alone

eval    mean_dice, mean_iou     over the scored classes
        pixel_accuracy, loss
        dice/<class>, iou/<class>
        hausdorff_95_mm/<class>, surface_dice/<class>   of volumes, each scored class and region
        <metric>                the user's, by name
        loss/<term>             of a task that is no segmentation

Besides: text "config" and "guard", images "panels/<image>", the graph of the model.
"""

from __future__ import annotations

LOSS = "loss"
DICE = "dice"
GRADIENT_NORM = "gradient_norm"
LEARNING_RATE = "learning_rate"
IMAGES_PER_SECOND = "images_per_second"
WAITING = "waiting_for_data"
SKIPPED = "skipped"
LOSS_SCALE = "loss_scale"
TRAIN, EVALUATION = "train", "eval"
GUARD_TEXT, CONFIG_TEXT = "guard", "config"
