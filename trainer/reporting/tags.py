"""Every tag of TensorBoard and every key of metrics.jsonl.

A line of metrics.jsonl has "step", "kind" ("train" or "eval") and the keys below; a curve's tag is "<kind>/<key>".

train   loss                    mean over the steps since the last report, regularisers included
        loss/<term>             each term of the loss as it enters the sum, if there are several
        dice                    hard Dice of the training crops, mean over the scored classes
        gradient_norm           global norm after reduction and unscaling, before clipping
        gradient_norm/<phase>   that of each phase, if there are phases
        learning_rate           at this step; learning_rate/<phase> if there are phases
        images_per_second       since the last report, without evaluations and checkpoints
        waiting_for_data        share of that time in which the step waited for its batch, 0 to 1
        epoch                   how often the training images have been seen; unknown for a stream of unknown length
        memory/host             GiB, the process's peak so far; memory/GPU:0 … likewise, if there are GPUs
        skipped                 steps left out so far because a gradient was not finite
        loss_scale              only with float16

eval    mean_dice, mean_iou     over the scored classes
        pixel_accuracy, loss
        dice/<class>, iou/<class>
        hausdorff_95_mm/<class>, surface_dice/<class>   for volumes, each scored class and region
        <metric>                the user's, by name
        loss/<term>             for a task other than segmentation

Only in TensorBoard:

images        panels/worst_1 … image, label, prediction and difference of the images with the lowest Dice, the lowest
                               first; panels/median_1, panels/best_1 … likewise. The image's name is in the picture.
              confusion        the confusion matrix, each row in per cent of the label's pixels
              training_crops   crops as training sees them, with their labels
histograms    gradient_norm_by_layer/<layer>   norms of the layer's gradient at the last steps before each point
PR curves     precision_recall/<class>         pixel by pixel
custom        charts of several curves in one: training and validation loss, Dice, scores by class, time and memory
text          config, guard
HParams       the config's fields and the last scores: tensorboard --logdir runs shows all runs in one table
graph         the first model, at inference
profile       of the steps that config.train.profile names
"""

from __future__ import annotations

LOSS = "loss"
DICE = "dice"
GRADIENT_NORM = "gradient_norm"
LEARNING_RATE = "learning_rate"
IMAGES_PER_SECOND = "images_per_second"
WAITING = "waiting_for_data"
EPOCH = "epoch"
MEMORY = "memory"
SKIPPED = "skipped"
LOSS_SCALE = "loss_scale"
TRAIN, EVALUATION = "train", "eval"
GUARD_TEXT, CONFIG_TEXT = "guard", "config"
PANELS, CONFUSION, CROPS = "panels", "confusion", "training_crops"
LAYER_NORMS, PRECISION_RECALL = "gradient_norm_by_layer", "precision_recall"


def is_of_the_machine(key: str) -> bool:
    """Whether a number in a training report depends on the machine, so that the same run differs in it."""
    return key in (IMAGES_PER_SECOND, WAITING) or key.startswith(f"{MEMORY}/")
