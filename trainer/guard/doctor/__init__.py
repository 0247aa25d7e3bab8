"""Why does a model not learn? `diagnose` takes what `compile` and `fit` take; `Doctor` is a Keras callback."""

from __future__ import annotations

from ..words.base import Replacement
from .callback import Doctor
from .examination import diagnose
from .finding import Diagnosis, DoesNotLearnError, Finding

__all__ = ["Diagnosis", "Doctor", "DoesNotLearnError", "Finding", "Replacement", "diagnose"]
