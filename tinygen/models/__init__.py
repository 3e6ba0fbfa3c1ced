"""Whole models: one paper, one file."""

from __future__ import annotations

from typing import Any

from ..errors import ArgumentError
from ..random import Key
from .gan import GAN
from .model import DataSpec, Model, Objective
from .pixelcnn import PixelCNN
from .realnvp import RealNVP
from .vae import VAE

FAMILIES: dict[str, type[Model]] = {"vae": VAE, "pixelcnn": PixelCNN, "realnvp": RealNVP, "gan": GAN}


def build(family: str, settings: dict[str, Any], *, key: Key) -> Model:
    """The model of a family with these constructor arguments (see `settings_for`)."""
    if family not in FAMILIES:
        raise ArgumentError(f"build: unknown model {family!r}; known: {', '.join(FAMILIES)}.")
    try:
        return FAMILIES[family](**settings, key=key)
    except TypeError as error:
        raise ArgumentError(f"build: {family} does not take these settings: {error}.") from None


__all__ = ["FAMILIES", "GAN", "VAE", "DataSpec", "Model", "Objective", "PixelCNN", "RealNVP", "build"]
