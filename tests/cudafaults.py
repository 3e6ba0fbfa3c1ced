"""Faults to make in a .cu file or a header of kernels/_cuda: a barrier that is gone, a check that always holds.

A check is the condition of an `if` or a `? :`, each part of an `&&` or `||`, a `<` that ends a loop, a tg_min of ends.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

OPENING, CLOSING = "([{", ")]}"
# bounds that the compiler knows: of arrays in registers
CONSTANT = re.compile(r"[A-Z0-9_]+( / \d+)?|each|\d+ \* [A-Z]+")


class Fault(NamedTuple):
    """What stands there, with its line; and the text with the fault."""

    line: int
    what: str
    text: str


def faults(text: str) -> Iterator[Fault]:
    """Every fault of a file, in its order."""
    bare = re.sub(r"//[^\n]*|^#(el)?if.*", lambda match: " " * len(match[0]), text, flags=re.MULTILINE)
    found = [*_barriers(bare), *_ifs(bare), *_choices(bare), *_parts(bare), *_loops(bare), *_ends(bare)]
    for start, end, instead, what in sorted(set(found)):
        yield Fault(text.count("\n", 0, start) + 1, " ".join(what.split()), text[:start] + instead + text[end:])


Edit = tuple[int, int, str, str]  # from, to, what stands there instead, how it is called


def _barriers(bare: str) -> Iterator[Edit]:
    for match in re.finditer(r"__syncthreads\(\);", bare):
        yield *match.span(), "", match[0]


def _ifs(bare: str) -> Iterator[Edit]:
    for match in re.finditer(r"\bif \(", bare):
        start, end = match.end(), _closing(bare, match.end())
        if not _split(bare[start:end]):  # else its parts are faults of their own
            yield start, end, _instead(bare, end), f"if ({bare[start:end]})"


def _choices(bare: str) -> Iterator[Edit]:
    for match in re.finditer(r" \? ", bare):
        start, end = _beginning(bare, match.start()), match.start()
        if not _split(bare[start:end]):
            yield start, end, "true", f"{bare[start:end]} ?"


def _parts(bare: str) -> Iterator[Edit]:
    """Each operand of && always holds, and of || never; where a function is left early, the other way about."""
    for match in re.finditer(r" (&&|\|\|) |\s(&&|\|\|)\n", bare):
        operator = match[1] or match[2]
        start, end = _beginning(bare, match.start(), also=("&&", "||")), _ending(bare, match.end())
        for a, b in ((start, match.start()), (match.end(), end)):
            operand = bare[a:b]
            left, right = len(operand) - len(operand.lstrip()), len(operand.rstrip())
            instead = "true" if operator == "&&" else "false"
            yield a + left, a + right, instead, f"{operand.strip()} of {operator}"


def _loops(bare: str) -> Iterator[Edit]:
    for match in re.finditer(r"\b(for|while) \(|\breturn (?=[^;?]* < [^;?]*;)", bare):
        start = match.end()
        end = bare.index(";", start) if match[0].startswith("return") else _closing(bare, start)
        if match[1] == "for":
            start = bare.index(";", start) + 1
            end = bare.index(";", start)
        for less in re.finditer(r" < ([^;&|]+)", bare[start:end]):
            if not CONSTANT.fullmatch(less[1].strip()):
                at = start + less.start() + 1
                yield at, at + 1, "<=", f"{match[0].strip()} {bare[start:end].strip()}"


def _ends(bare: str) -> Iterator[Edit]:
    for match in re.finditer(r"\btg_min\((?!V)", bare):
        start, end = match.end(), _closing(bare, match.end())
        comma = _ending(bare, start)
        for kept in (bare[start:comma], bare[comma + 1 : end]):
            yield match.start(), end + 1, f"({kept.strip()})", f"{bare[match.start() : end + 1]} as {kept.strip()}"


# -- reading C ---------------------------------------------------------------------------------------------------------


def _closing(text: str, at: int) -> int:
    """Where the bracket closes that was open before `at`."""
    depth = 1
    while depth:
        depth += (text[at] in OPENING) - (text[at] in CLOSING)
        at += 1
    return at - 1


def _ending(text: str, at: int) -> int:
    """Where an operand that begins at `at` ends: at an operator that binds less, or a closing bracket."""
    depth = 0
    while depth or not (text[at] in CLOSING or text[at] in ",;?:" or text.startswith((" && ", " || "), at)):
        depth += (text[at] in OPENING) - (text[at] in CLOSING)
        at += 1
    return at - (text[at] in "?:" and text[at - 1] == " ")


def _beginning(text: str, at: int, also: tuple[str, ...] = ()) -> int:
    """Where an operand that ends at `at` begins."""
    depth, end = 0, at
    while True:
        before = text[:at]
        if not depth and (
            text[at - 1] in OPENING
            or text[at - 1] in ",;?:"
            or (text[at] != "=" and re.search(r"(^|[^=<>!])=$|\breturn$", before[-8:]))
            or before.endswith(also or ("\0",))
        ):
            break
        depth += (text[at - 1] in CLOSING) - (text[at - 1] in OPENING)
        at -= 1
    return at + len(text[at:end]) - len(text[at:end].lstrip())


def _split(condition: str) -> bool:
    return bool(re.search(r"&&|\|\|", condition))


def _instead(text: str, end: int) -> str:
    """What makes a check useless: it holds, or where a thread would leave, it does not."""
    return "false" if re.match(r"\)\s*(return|continue)\b", text[end:]) else "true"
