"""Region losses: Dice and its relatives, functions of a few sums per image and class."""

from losses.definition import loss
from losses.reduction import absent_policy, reduce_classes
from losses.statistics import region_sums


@loss
def dice(problem, *, smooth_nr=1e-5, smooth_dr=1e-5, squared=False, soft_label=False, absent="penalty"):
    """Soft Dice loss."""
    sums = region_sums(problem, squared=squared, soft_label=soft_label)
    values = 1 - (2 * sums.intersection + smooth_nr) / (sums.prediction + sums.target + smooth_dr)
    return reduce_classes(problem, *absent_policy(problem, sums, values, absent))
