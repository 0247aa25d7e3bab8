"""Models by name: the U-Net, a U-Net on a keras.applications encoder, or any function of the user's."""

from trainer.models.build import build_model, size_multiple

__all__ = ["build_model", "size_multiple"]
