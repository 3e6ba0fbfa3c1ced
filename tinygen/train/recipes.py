"""Training defaults by model family and data: the place to look up, and to argue about, a learning rate.

The row of a kind of data comes first, the row of a data set of that name over it.  Patience counts
validations, one an epoch.
"""

from __future__ import annotations

from typing import Any

ADAM = {"name": "adam", "lr": 1e-3}
CLIPPED = {**ADAM, "max_norm": 100.0}  # a coupling's exp(s) can send a batch far out
DCGAN = {"name": "adam", "lr": 2e-4, "betas": [0.5, 0.999]}  # Radford et al. 2016, section 4

RECIPES: dict[tuple[str, str], dict[str, Any]] = {
    ("vae", "image"): dict(optimizer=ADAM, batch_size=128, epochs=100, patience=10),
    ("vae", "table"): dict(optimizer=ADAM, batch_size=128, epochs=200, patience=20),
    ("vae", "points"): dict(optimizer=ADAM, batch_size=256, epochs=200, patience=20),
    ("vae", "digits"): dict(batch_size=64, epochs=200, patience=20, model=dict(hidden=256, latent=16)),
    ("pixelcnn", "image"): dict(optimizer=ADAM, batch_size=32, epochs=50, patience=5),
    ("pixelcnn", "digits"): dict(epochs=100, patience=10, ema=0.99, model=dict(channels=32, blocks=3)),
    ("realnvp", "image"): dict(optimizer=CLIPPED, batch_size=64, epochs=50, patience=5),
    ("realnvp", "table"): dict(optimizer={"name": "adam", "lr": 1e-4}, batch_size=100, epochs=200, patience=30),
    ("realnvp", "points"): dict(optimizer=ADAM, batch_size=256, epochs=100, patience=20),
    ("realnvp", "digits"): dict(epochs=100, patience=10, model=dict(hidden=32)),
    ("gan", "image"): dict(optimizer=DCGAN, batch_size=128, epochs=25, ema=0.999),
    ("gan", "table"): dict(optimizer=DCGAN, batch_size=256, epochs=200),
    # no more latents than dimensions, and pairs judged together: either alone loses modes of ring8 at some seed
    ("gan", "points"): dict(
        optimizer={**DCGAN, "lr": 1e-3}, batch_size=256, epochs=200, ema=0.995, model=dict(latent=2, pack=2)
    ),
    ("gan", "digits"): dict(batch_size=64, epochs=200, model=dict(hidden=32)),
}


def recipe_for(family: str, data: str, kind: str) -> dict[str, Any]:
    """The recipe of a family for a data set of this name or path and kind: a layer for `config.resolve`."""
    return {**RECIPES.get((family, kind), {}), **RECIPES.get((family, data), {})}
