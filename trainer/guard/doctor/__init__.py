"""Why does a model not learn? `diagnose` for what `compile` and `fit` get, `Doctor` as a Keras callback."""

from __future__ import annotations

from ..words.base import Replacement
from .callback import Doctor
from .examination import diagnose
from .finding import Diagnosis, DoesNotLearnError, Finding

__all__ = ["Diagnosis", "Doctor", "DoesNotLearnError", "Finding", "Replacement", "diagnose"]
