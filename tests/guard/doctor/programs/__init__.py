"""Programs that do not learn, each with its mended twin, and sound ones. Own code."""

import importlib

GROUPS = (
    "outputs",
    "labels_and_data",
    "layers_and_weights",
    "optimisation",
    "segmentation",
    "questions",
    "masks",
    "readings",
    "validation",
    "own_classes",
    "sound",
)


def all_programs():
    """Every program, in the order of the files."""
    from tests.guard.doctor.making import PROGRAMS

    for group in GROUPS:
        importlib.import_module(f"{__name__}.{group}")
    return list(PROGRAMS)
