"""Configurations: layers, what is refused, and that a stored one is complete."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tinygen.errors import ArgumentError, ConfigError
from tinygen.models import FAMILIES, DataSpec
from tinygen.train import Config, continued, resolve
from tinygen.train.config import assignment, checked, overlay, read_layer
from tinygen.train.recipes import RECIPES

DIGITS = DataSpec("image", (8, 8, 1), 17)
POINTS = DataSpec("points", (2,), None)


def digits(*layers: dict[str, Any]) -> Config:
    return resolve("vae", "digits", DIGITS, layers)


def test_layers_override_in_order() -> None:
    assert digits().model["hidden"] == RECIPES["vae", "digits"]["model"]["hidden"]  # recipe over the model's settings
    config = digits({"batch_size": 7, "model": {"hidden": 9}}, {"batch_size": 8, "optimizer": {"lr": 0.5}})
    assert (config.batch_size, config.model["hidden"], config.optimizer["lr"]) == (8, 9, 0.5)
    assert config.model["latent"] == digits().model["latent"]


def test_the_stored_configuration_is_complete() -> None:
    config = digits()
    text = json.dumps(config.as_dict())
    assert checked(json.loads(text)) == config
    assert {"name", "lr", "betas", "eps"} <= config.optimizer.keys()


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kind", ["image", "table", "points"])
def test_every_recipe_resolves(family: str, kind: str) -> None:
    spec = {"image": DIGITS, "table": DataSpec("table", (6,), None), "points": POINTS}[kind]
    if family == "pixelcnn" and kind != "image":
        with pytest.raises(ArgumentError):
            resolve(family, "mine", spec)
    else:
        assert (family, kind) in RECIPES
        resolve(family, "mine", spec)


def test_recipes_name_what_exists() -> None:
    for family, data in RECIPES:
        if data == "digits":
            resolve(family, data, DIGITS)


def test_another_optimizer_keeps_the_learning_rate_only() -> None:
    base = {"optimizer": {"name": "adam", "lr": 0.3, "betas": [0.5, 0.9]}}
    assert overlay(base, {"optimizer": {"name": "sgd"}}) == {"optimizer": {"name": "sgd", "lr": 0.3}}
    assert digits({"optimizer": {"name": "sgd", "momentum": 0.9}}).optimizer["momentum"] == 0.9


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        ({"batchsize": 3}, "Did you mean batch_size?"),
        ({"model": {"hiden": 3}}, "Did you mean model.hidden?"),
        ({"hidden": 3}, "Did you mean model.hidden?"),
        ({"optimizer": {"beta": [0.5, 0.9]}}, "Did you mean optimizer.betas?"),
        ({"optimizer": {"name": "adm"}}, "unknown optimizer 'adm'. Did you mean adam?"),
        ({"schedule": {"name": "cosin"}}, "Did you mean cosine?"),
        ({"epochs": "many"}, "epochs: 'many' is not a whole number"),
        ({"epochs": 1.5}, "epochs: 1.5 is not a whole number"),
        ({"epochs": True}, "epochs: True is not a whole number"),
        ({"model": {"latent": "big"}}, "model.latent: 'big' is not a whole number"),
        ({"model": 3}, "model: 3 is not a table"),
        ({"batch_size": 0}, "batch_size is 0; it must be at least 1"),
        ({"ema": 1.0}, "ema is 1.0"),
        ({"precision": "half"}, "precision is 'half'; it is 'float32' or 'tf32'"),
    ],
)
def test_refusals_name_the_key(layer: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words.replace("?", r"\?")):
        digits(layer)


def test_assignments() -> None:
    assert assignment("model.hidden=[256, 128]") == {"model": {"hidden": [256, 128]}}
    assert assignment("model.decoder=gaussian") == {"model": {"decoder": "gaussian"}}
    assert assignment("steps=null") == {"steps": None}
    for wrong in ("epochs", "=3", "a.b.c=1", "train.epochs=3"):
        with pytest.raises(ConfigError, match="--set"):
            assignment(wrong)


def test_files(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text("epochs = 3\n[optimizer]\nbetas = [0.5, 0.9]\n")
    (tmp_path / "a.json").write_text('{"epochs": 3, "optimizer": {"betas": [0.5, 0.9]}}')
    assert read_layer(tmp_path / "a.toml") == read_layer(tmp_path / "a.json")
    (tmp_path / "twice.json").write_text('{"epochs": 3, "epochs": 4}')
    (tmp_path / "list.json").write_text("[]")
    (tmp_path / "bad.toml").write_text("epochs =")
    for name in ("twice.json", "list.json", "bad.toml", "absent.json", "a.yaml"):
        with pytest.raises(ConfigError, match=name):
            read_layer(tmp_path / name)


def test_a_run_may_become_longer_and_nothing_else() -> None:
    saved = digits()
    assert continued(saved, [{"epochs": 900}]).epochs == 900
    assert continued(saved, [{"seed": saved.seed}]) == saved
    for layer, words in (({"optimizer": {"lr": 0.7}}, "optimizer.lr is 0.001"), ({"seed": 5}, "seed is 0")):
        with pytest.raises(ConfigError, match=words):
            continued(saved, [layer])
