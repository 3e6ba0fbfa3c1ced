"""Results of benchmarks, made by hand."""

from __future__ import annotations

from typing import Any

MACHINE = {
    "cpu": "a machine", "threads": 2, "torch": "2.13.0", "jax": None, "numba": "0.68.1", "python": "3.11.7",
    "fma_gflops": {"one": 100.0, "all": 200.0},
    "bandwidth": [
        {"level": "L2", "bytes": 1 << 20, "read": 100.0, "write": 80.0, "copy": 90.0, "triad": 90.0},
        {"level": "memory", "bytes": 1 << 27, "read": 20.0, "write": 15.0, "copy": 18.0, "triad": 25.0},
    ],
}  # fmt: skip


def row(name: str, ratio: float, low: float, high: float, group: str = "step", **more: Any) -> dict[str, Any]:
    return {
        "name": name, "group": group, "what": f"about {name}", "ours_ms": 10.0, "spread": [9.0, 11.0],
        "peers": {"torch": 10.0 * ratio, "slow": 99.0}, "peers_spread": {"torch": [1.0, 2.0], "slow": [98.0, 99.5]},
        "fastest": "torch", "ratio": ratio, "ratio_spread": [low, high], **more,
    }  # fmt: skip


def results(*rows: dict[str, Any]) -> dict[str, Any]:
    return {"machine": MACHINE, "results": list(rows)}
