"""tinygen data list, tinygen data get NAME"""

from __future__ import annotations

import argparse
from typing import Any

from .common import command

EXAMPLES = """\
  tinygen data list
  tinygen data get mnist
"""


def add_to(commands: Any) -> None:
    made = command(commands, "data", list_, "show the data sets, or fetch one", EXAMPLES)
    what = made.add_subparsers(metavar="WHAT", required=True)
    command(what, "list", list_, "show every named data set, and where its files are")
    fetch = command(what, "get", get, "download the files of a data set")
    fetch.add_argument("name", metavar="NAME")


def list_(args: argparse.Namespace) -> None:
    from ..data import listing

    print(f"{'name':18}{'kind':8}{'shape':14}{'levels':>6}{'train':>9}{'valid':>8}{'test':>8}  place")
    for row in listing():
        place = row.place or (f"tinygen data get {row.name}" if row.fetchable else "missing; put it into $TINYGEN_DATA")
        shape = "x".join(map(str, row.shape))
        train, valid, test = (f"{n:,}" for n in row.sizes)
        print(f"{row.name:18}{row.kind:8}{shape:14}{row.levels or '-':>6}{train:>9}{valid:>8}{test:>8}  {place}")


def get(args: argparse.Namespace) -> None:
    from ..data import fetch

    folder = fetch.get(args.name)
    print(f"{args.name} needs no files." if folder is None else folder)
