"""Nuclei in light microscopy: the embedded default, offline, minutes on a CPU."""

from configs.schema import Config


def get_config() -> Config:
    return Config(name="nuclei")
