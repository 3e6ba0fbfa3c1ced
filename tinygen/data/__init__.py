"""Data sets, readers of data files, and pictures.

digits = data.digits()                       # or data.load("mnist"), data.load("table.csv"), data.load("faces/")
for x, key in digits.train.batches(64, epochs=20, key=tg.Key(1)): ...
data.save_grid("digits.png", digits.test.x[:64], levels=digits.levels)
"""

from . import fetch, formats
from .catalogue import digits, listing, load, names
from .dataset import Dataset, Split
from .pictures import save_curves, save_grid, save_scatter
from .toys import checkerboard, moons, ring8, ring8_modes, rings, spirals

__all__ = [
    "Dataset", "Split", "checkerboard", "digits", "fetch", "formats", "listing", "load", "moons", "names", "ring8",
    "ring8_modes", "rings", "save_curves", "save_grid", "save_scatter", "spirals",
]  # fmt: skip
