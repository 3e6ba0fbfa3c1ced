"""tinygen doctor"""

from __future__ import annotations

import argparse
import platform
import re
from importlib import metadata
from typing import Any

from .. import __version__
from .common import command


def add_to(commands: Any) -> None:
    command(commands, "doctor", run, "show versions, threads, caches, and what is missing")


def run(args: argparse.Namespace) -> None:
    from ..device import check_device, cpu_facts
    from ..errors import DeviceError

    rows = {"tinygen": __version__, "python": f"{platform.python_version()} on {platform.platform()}"}
    rows.update({name: metadata.version(name) for name in ("numpy", "numba", "scipy")})
    rows.update(cpu_facts())
    try:
        check_device("cuda")
        rows["cuda"] = "ready"
    except DeviceError as error:
        rows["cuda"] = str(error)
    for extra, missing in missing_extras().items():
        need = f"missing {', '.join(missing)}: pip install 'tinygen[{extra}]'" if missing else "installed"
        rows[f"extra {extra}"] = need
    for name, value in rows.items():
        print(f"{name:16}{value}")


def missing_extras() -> dict[str, list[str]]:
    """extra -> the distributions of it that are not installed, from tinygen's own metadata."""
    found: dict[str, list[str]] = {}
    for line in metadata.requires("tinygen") or []:
        matched = re.fullmatch(r"""([\w.-]+)[^;]*;.*\bextra == ['"](\w+)['"]""", line)
        if matched and matched[2] != "all":
            found.setdefault(matched[2], []).extend([] if _installed(matched[1]) else [matched[1]])
    return found


def _installed(distribution: str) -> bool:
    try:
        metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return False
    return True
