"""A folder of PNG or JPEG pictures, all of one size."""

from __future__ import annotations

import math
import os
import struct
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import DataError, MissingExtra, check
from ._bounds import LIMIT

SUFFIXES = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}
CHANNELS = {"L": 1, "RGB": 3}


def read_images(folder: str | os.PathLike[str]) -> np.ndarray:
    """The pictures of a folder in the order of their names, (n, H, W, C) uint8; C = 1 for grey, 3 for RGB.

    Hidden files are left out.  Raises DataError for anything that is not a PNG or JPEG picture, for pictures of another
    size or mode than the first (alpha, palettes and 16 bits included: convert them first), and for more pixels than the
    limit; MissingExtra without Pillow.
    """
    try:
        paths = sorted(path for path in Path(folder).iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise DataError(f"{folder}: cannot be listed ({error.strerror}).") from error
    check(paths, DataError, f"{folder}: holds no pictures.")
    shape = _shape(paths[0])
    size = len(paths) * math.prod(shape)
    check(size <= LIMIT, DataError, f"{folder}: {len(paths)} pictures of {shape}, more than {LIMIT} bytes.")
    images = np.empty((len(paths), *shape), np.uint8)
    for path, image in zip(paths, images):
        check(_shape(path) == shape, DataError, f"{path}: is {_shape(path)}, the first picture {shape}.")
        image[...] = _pixels(path).reshape(shape)
    return images


def _shape(path: Path) -> tuple[int, int, int]:
    with _picture(path) as picture:
        check(picture.mode in CHANNELS, DataError, f"{path}: has mode {picture.mode}. Convert it to grey or RGB.")
        return picture.height, picture.width, CHANNELS[picture.mode]


def _picture(path: Path) -> Any:
    """The opened picture; its pixels are not decoded yet."""
    try:
        from PIL import Image
    except ImportError:
        raise MissingExtra("Pillow", "plots", "data.load of a folder of pictures") from None
    check(path.suffix.lower() in SUFFIXES and path.is_file(), DataError, f"{path}: is not a .png, .jpg or .jpeg file.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)  # a refusal here, not a remark
            return Image.open(path, formats=[SUFFIXES[path.suffix.lower()]])
    # what Pillow lets escape on damaged files
    except (OSError, ValueError, SyntaxError, struct.error, Image.DecompressionBombError, Warning) as error:
        raise DataError(f"{path}: is not a readable picture ({error}).") from error


def _pixels(path: Path) -> np.ndarray:
    with _picture(path) as picture:
        try:
            return np.asarray(picture)
        except (OSError, ValueError, SyntaxError, EOFError, struct.error, zlib.error) as error:
            raise DataError(f"{path}: is damaged ({error}).") from error
