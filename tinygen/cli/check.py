"""tinygen check"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase
from typing import Any

from ..errors import ArgumentError, TinygenError
from .common import command

EXAMPLES = """\
  tinygen check                        every op: kernels against their specification, gradients against differences
  tinygen check 'conv2d*' batch_norm   some of them
  tinygen check --device cuda          the same on a GPU
  tinygen check --mutants              put each known mistake into the source in memory, and demand that a test fails
  tinygen check --mutants 'kl*'        some of them
"""


def add_to(commands: Any) -> None:
    made = command(commands, "check", run, "check the ops on this machine, or the tests by planted mistakes", EXAMPLES)
    made.add_argument("names", nargs="*", metavar="NAME", help="names or shell patterns of ops, or of mutants")
    made.add_argument("--device", default="cpu", help="where the ops run: cpu or cuda (default: cpu)")
    made.add_argument("--mutants", action="store_true", help="run the mutation catalogue, in a checkout with its tests")
    made.add_argument("--workers", type=int, metavar="N", help="mutants at a time (default: one for each processor)")
    made.add_argument("--list", action="store_true", help="show the names and what is wrong, and run nothing")


def run(args: argparse.Namespace) -> None:
    (mutants if args.mutants else ops)(args)


def ops(args: argparse.Namespace) -> None:
    """Every chosen case: compiled against specified, and gradients to the order claimed."""
    from ..device import check_device
    from ..testing import laws
    from ..testing.cases import cases
    from ..testing.gradcheck import gradcheck

    chosen = selected(args.names, cases, "op")
    if args.list:
        print("\n".join(chosen))
        return
    check_device(args.device)
    wrong = []
    for name in chosen:
        case, begun = cases[name], time.monotonic()
        try:
            for dtype in ("float32", "float64"):
                laws.implementations_agree(case, args.device, dtype=dtype, seeds=range(1))
            if case.orders:
                inputs, params = case.draw(0)
                op = on(args.device, case.op)
                gradcheck(op, *inputs, order=case.orders, seed=0, rtol=1e-6 * case.tolerance, **params)
        except AssertionError as error:
            wrong.append(name)
            print(f"WRONG  {name}\n{error}", flush=True)
        else:
            print(f"right  {time.monotonic() - begun:5.1f} s  {name}, gradients to order {case.orders}", flush=True)
    print(f"{len(chosen) - len(wrong)} of {len(chosen)} right")
    if wrong:
        raise TinygenError(f"check: {', '.join(wrong)} computed wrong numbers on this machine. Please report it.")


def on(device: str, op: Callable[..., Any]) -> Callable[..., Any]:
    """The op computed on a device, from and to tensors of the CPU; so are its gradients."""
    from ..device import to_device
    from ..tensor import Tensor

    def moved(*tensors: Any, **params: Any) -> Any:
        made = op(*[to_device(x, device) for x in tensors], **params)
        return to_device(made, "cpu") if isinstance(made, Tensor) else tuple(to_device(y, "cpu") for y in made)

    return op if device == "cpu" else moved


def mutants(args: argparse.Namespace) -> None:
    """The mutation catalogue."""
    from ..testing.mutants import Outcome, catalogue
    from ..testing.mutants import run as try_all

    chosen = selected(args.names, catalogue, "mutant")
    if args.list:
        width = max(map(len, chosen))
        print("\n".join(f"{name:{width}}  {catalogue[name].why}" for name in chosen))
        return
    begun = time.monotonic()

    def tell(outcome: Outcome) -> None:
        verdict = "killed  " if outcome.caught_by else "SURVIVED"
        by = f": {outcome.caught_by}" if outcome.caught_by else f": no test sees {outcome.mutant.why}"
        print(f"{verdict} {outcome.seconds:5.1f} s  {outcome.mutant.name}{by}", flush=True)

    outcomes = try_all([catalogue[name] for name in chosen], workers=args.workers, done=tell)
    alive = [outcome.mutant.name for outcome in outcomes if not outcome.caught_by]
    minutes = (time.monotonic() - begun) / 60
    print(f"{len(outcomes) - len(alive)} of {len(outcomes)} killed in {minutes:.1f} minutes")
    if alive:
        raise TinygenError(f"check: no test notices {', '.join(alive)}. Write one for each.")


def selected(patterns: Iterable[str], names: Iterable[str], what: str) -> list[str]:
    """Those that match a pattern, all without patterns; ArgumentError for a pattern that none matches."""
    names, found = sorted(names) if what == "op" else list(names), []
    for pattern in patterns or ["*"]:
        matching = [name for name in names if fnmatchcase(name, pattern)]
        if not matching:
            raise ArgumentError(f"check: no {what} is called {pattern!r}. See tinygen check --list.")
        found += matching
    return list(dict.fromkeys(found))
