"""Faults made in each .cu file and header in turn, and whether a case notices: `python tests/cudamutants.py [share]`.

One process knows what is expected of every case and which files it launches; it forks a child for each fault, which
runs the cases of its file, those that noticed the last faults first, until one notices, by what it returns or by
crashing.  What survives is tried again by such a process under AddressSanitizer, which sees reads past an end too.
`share` takes every so many-th fault: 1/4, drawn with a fixed seed.
"""

from __future__ import annotations

import fnmatch
import os
import random
import signal
import subprocess
import sys
import traceback
from collections import Counter, deque
from collections.abc import Iterator
from pathlib import Path

from cudacases import Trial, trials
from cudafaults import Fault, faults

from tinygen.kernels._cuda import gate, host_build
from tinygen.kernels._cuda import source as texts
from tinygen.testing import emulated_cuda, laws

HERE = Path(texts.__file__).parent
HEADERS = "walk.h", "rows.h", "tile.h", "epilogue.h", "philox.h", "formulas.h"
LIMIT = 60  # seconds of one fault: a loop may not end
MALFORMED = 3  # exit code: the compiler understands no word

EQUIVALENT = {  # faults that change nothing, by patterns, and why
    "*: threadIdx.y* of *": "every thread of a column has the whole",
    "optim/optim.cu: if (threadIdx.y == 0)": "every thread of a column has the whole",
    "walk.h: if (way.n <= 0xffffffffLL)": "no case is so long",
    "tile.h: if (by_lines)": "another thread brings the entry",
    "epilogue.h: then.code[[]GATE] == 2 [?]": "the slope is 0 where there is none",
    "causal/causal.cu: return u < sigmoid_of(row[[]0])": "a draw is never just the probability",
    "causal/causal.cu: for ( k < per_entry": "the last one is always reached",
    "causal/causal.cu: if (threadIdx.x == 0)": "every thread would draw the same",
    "conv/conv.cu: if (v.phases[[]0] [*] v.phases[[]1] == 1)": "what is not live is multiplied as zeros",
    "conv/conv.cu: for ( k < stop": "one slab more, all of it zeros",
    "conv/conv.cu: n < v.taps of &&": "what is not live is multiplied as zeros",
    "conv/conv.cu: for ( n < v.taps && n [*] v.c < k + DEPTH": "what is not live is multiplied as zeros",
    "conv/conv.cu: n [*] v.c < k + DEPTH of &&": "what is not live is multiplied as zeros",
    "conv/conv.cu: tg_min(v.taps [*] v.c, start + each) as start + each": "past the last tap all is zero",
    "conv/conv.cu: tg_min(index_t(TILE), v.o - column) as v.o - column": "a line is below TILE anyway",
    "conv/conv.cu: tg_min(index_t(DEPTH), stop - k) as stop - k": "a depth is below DEPTH anyway",
    "conv/conv.cu: s < deep [?]": "it is multiplied by a zero",
    "conv/conv.cu: totals of &&": "a sum is made and not written",
    "conv/conv.cu: row == 0 of &&": "a sum is made and not written",
    "logprob/categorical.cu: for ( mask < blockDim.x": "past its warp a thread sees what is not larger",
    "matmul/matmul.cu: tg_min(index_t(TILE), p.m - row) as p.m - row": "a line is below TILE anyway",
    "matmul/matmul.cu: tg_min(index_t(TILE), p.n - column) as p.n - column": "a line is below TILE anyway",
    "matmul/matmul.cu: tg_min(index_t(DEPTH), stop - k) as stop - k": "a depth is below DEPTH anyway",
    "matmul/matmul.cu: for ( k < stop": "one slab more, all of it zeros",
    "matmul/matmul.cu: totals of &&": "a sum is made and not written",
    "matmul/matmul.cu: row == 0 of &&": "a sum is made and not written",
    "optim/optim.cu: if (start < ends[[]middle])": "from the first array on, the same one is found",
    "optim/optim.cu: tg_min(n, first + THREADS [*] EACH) as n": "other blocks write the same",
    "optim/optim.cu: if (threadIdx.x == 0)": "every thread works out the same number",
    "random/random.cu: row & 1 [?]": "one of the two is of the low bits, which one draw in 2^26 depends on",
    "random/random.cu: for ( k < count": "the last one is always reached",
    "random/words.cu: for ( first < n": "one tile more, without an entry",
    "random/words.cu: (tile[[]j] == mine && first + j < i) of ||": "no key with two equal words is known",
    "reduce/reduce.cu: b_nan of ||": "no number is larger than NaN, nor equal",
    "reduce/reduce.cu: return *i < j*": "no two entries have one place",
    "shape/scatter.cu: for ( k < count": "one tile more, without an entry",
}


def name_of(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"


def every_fault() -> Iterator[tuple[str, Fault]]:
    """(the file, the fault) that are not known to be equivalent; `used` collects what is."""
    for path in [*(HERE / name for name in HEADERS), *sorted({source.path for source in gate.every_source()})]:
        file = path.name if path.parent == HERE else name_of(path)
        for fault in faults(path.read_text("utf-8")):
            yield file, fault


def plant(file: str, text: str) -> None:
    """Let every source read this text in place of the file."""
    read = texts._header
    if file in HEADERS:
        texts._header = lambda name: text if name == file else read(name)
    for source in gate.every_source():
        if file in HEADERS or name_of(source.path) == file:
            source.__dict__.pop("_body", None)
            source._texts.clear()
        if name_of(source.path) == file:
            source.__dict__["_body"] = source.expanded(text)


def notices(trial: Trial) -> bool:
    """Whether it returns something else, or cannot run, in three orders of threads."""
    for order in (0, -1, 1):
        try:
            with emulated_cuda(order):
                got = trial.run("cuda")
            for a, b in zip(got, trial.expected, strict=True):
                laws.close(a, b, factor=trial.tolerance)
        except RuntimeError as error:
            if "g++ refuses" in str(error) and "-Werror" not in str(error):
                os._exit(MALFORMED)
            return True
        except Exception:  # whatever a test would show red for; what is overwritten may be Python's own
            return True
    return False


def run_child(file: str, text: str, order: list[int], known: list[Trial], tell: int) -> None:
    """In a process of its own: run trials until one notices and exit with code 1, or 0."""
    signal.alarm(LIMIT)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # what sanitizers say of it
    code = MALFORMED
    try:
        plant(file, text)
        code = 0
        for k in order:
            os.write(tell, k.to_bytes(4, "little"))  # before: it may crash
            if notices(known[k]):
                code = 1
                break
    except BaseException:
        traceback.print_exc(file=sys.stdout)
        code = MALFORMED
    os._exit(code)


def survivors(asked: list[tuple[str, Fault]], workers: int) -> tuple[list[int], list[int]]:
    """Numbers of the faults that no trial notices, and of those that are malformed."""
    known = list(trials())
    kills: Counter[tuple[str, int]] = Counter()
    waiting, running = deque(range(len(asked))), {}
    survived, malformed = [], []
    while waiting or running:
        while waiting and len(running) < workers:
            number = waiting.popleft()
            file, fault = asked[number]
            mine = [k for k, trial in enumerate(known) if file in trial.files]
            mine.sort(key=lambda k: (-kills[file, k], known[k].seconds))
            read, write = os.pipe()
            process = os.fork()
            if not process:
                run_child(file, fault.text, mine, known, write)
            os.close(write)
            running[process] = number, read
        process, status = os.wait()
        number, read = running.pop(process)
        said = b""
        while part := os.read(read, 1 << 16):
            said += part
        os.close(read)
        if status == 0:
            survived.append(number)
        elif os.waitstatus_to_exitcode(status) == MALFORMED:
            malformed.append(number)
        else:
            kills[asked[number][0], int.from_bytes(said[-4:], "little")] += 1
    return sorted(survived), sorted(malformed)


def under_address_sanitizer(numbers: list[int]) -> list[int]:
    """Those of them that survive there too."""
    before, environment = host_build.watched("address")
    command = [*before, sys.executable, __file__, "--numbers", *map(str, numbers)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env={**os.environ, **environment})
    return [int(number) for number in done.stdout.split()]


def main(arguments: list[str]) -> int:
    """Try all, or a share; returns what is wrong, in number."""
    workers = len(os.sched_getaffinity(0))
    everything = list(every_fault())
    if arguments[:1] == ["--numbers"]:
        numbers = [int(number) for number in arguments[1:]]
        survived, _ = survivors([everything[number] for number in numbers], workers)
        print(*(numbers[k] for k in survived))
        return 0
    keys = [f"{file}: {fault.what}" for file, fault in everything]
    equal = {pattern: fnmatch.filter(keys, pattern) for pattern in EQUIVALENT}
    stale = [pattern for pattern, found in equal.items() if not found]
    asked = [number for number, key in enumerate(keys) if not any(key in found for found in equal.values())]
    if arguments:
        part, of = map(int, arguments[0].split("/"))
        asked = sorted(random.Random(0).sample(asked, len(asked) * part // of))
    left, malformed = survivors([everything[number] for number in asked], workers)
    left = under_address_sanitizer([asked[k] for k in left]) if left else []
    for number in left:
        print(f"survived: {everything[number][0]} line {everything[number][1].line}: {everything[number][1].what}")
    for k in malformed:
        print(f"malformed: {keys[asked[k]]}")
    for key in stale:
        print(f"called equivalent, and no fault: {key}")
    print(f"{len(asked) - len(left) - len(malformed)} of {len(asked)} killed")
    return len(left) + len(malformed) + len(stale)


if __name__ == "__main__":
    sys.exit(bool(main(sys.argv[1:])))
