"""Models that cannot be exported, and why."""

from __future__ import annotations

from collections.abc import Sequence

from trainer.errors import EXIT_FAILED, UserError


class ExportError(UserError):
    """A model that could not be exported, and why."""

    exit_code = EXIT_FAILED


def differs(name: str, what: str) -> ExportError:
    return ExportError(
        f"The exported {name} is not the model: loaded again, it differs in {what}. It was not kept.\n"
        "  Layers that behave otherwise outside training, or custom operations, are the usual reason."
    )


def not_converted(name: str, layers: Sequence, error: Exception) -> ExportError:
    """Why a model cannot be converted to a format, in words."""
    half = sorted({layer.compute_dtype for layer in layers} - {"float32"})
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    reason = next((line for line in lines if "ops:" in line), lines[0] if lines else type(error).__name__)
    advice = (
        f"Its layers compute in {' and '.join(half)}: export it from a float32 model with the same weights, "
        "--precision=float32."
        if half
        else "An operation that the format lacks is the usual reason; saved_model takes every operation."
    )
    return ExportError(f"The model cannot be converted to {name}: {reason[:300]}\n  {advice}")
