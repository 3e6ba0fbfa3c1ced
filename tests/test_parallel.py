"""The pool of threads: every unit runs exactly once, whoever launches, on however many threads, asleep or not."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import numba
import numpy as np
import pytest

import tinygen as tg
from tinygen.errors import ArgumentError
from tinygen.kernels._atomic import add
from tinygen.kernels._jobs import joined
from tinygen.kernels._numba import inlined, jit, part
from tinygen.kernels._parallel import for_units
from tinygen.kernels._pool import FINISHED, pool
from tinygen.kernels._prepared import parts, prepare, prepared
from tinygen.kernels._units import units

most = tg.get_num_threads()


@units
def _visit(unit, visits, work):
    for _ in range(work):
        visits[unit] += 1


@units
def _toil(unit, x):
    for _ in range(1000):
        x[unit] = 0.5 * x[unit] + unit


@units
def _count(unit, address):
    add(address, 1 + unit)


@units
def _at_most_of(unit, x, limit):
    x[unit] = 1
    if unit == limit[0]:
        raise ValueError("too far")


@units
def _at_most(unit, x, limit):
    x[unit] = 1
    if unit == limit:
        raise ValueError("too far")


@jit
def _inner(unit, visits):
    visits[unit] += 1


@jit
def _nested(unit, visits):
    for_units(False, visits.shape[1], _inner, (visits[unit],))


@jit
def _outer(visits):
    for_units(False, visits.shape[0], _nested, (visits,))


@numba.cfunc("void(int64, int64, int64)")
def _tally(first, last, address):
    for unit in range(first, last):
        add(address + 8 * unit, 1)


@pytest.fixture(autouse=True)
def all_threads() -> Iterator[None]:
    yield
    tg.set_num_threads(most)


def in_new_process(program: str) -> str:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stderr) == (0, ""), (done.returncode, done.stderr)
    return done.stdout


@pytest.mark.parametrize("threads", sorted({1, most // 2 or 1, most}))
@pytest.mark.parametrize("work", [1, 300])
def test_every_unit_once(threads: int, work: int) -> None:
    tg.set_num_threads(threads)
    for count in (*range(40), 63, 64, 65, 1000, 4097):
        visits = np.zeros(count, np.int64)
        _visit(False, count, visits, work)
        assert (visits == work).all(), (count, np.flatnonzero(visits != work))


def test_tiny_launches() -> None:
    total = np.zeros(1, np.int64)
    for launch in range(100_000):
        _count(False, 2 + launch % 7, total.ctypes.data)
    assert total[0] == sum(sum(range(1, 3 + launch % 7)) for launch in range(100_000))


def test_sleepers_wake() -> None:
    visits = np.zeros(64, np.int64)
    for nap in [0.01] * 20 + [0.3]:
        time.sleep(nap)  # longer than any patience
        _visit(False, visits.size, visits, 1)
    assert (visits == 21).all()


@pytest.mark.skipif(most == 1, reason="needs two threads")
def test_workers_take_part() -> None:
    x = np.zeros(64)
    for _ in range(10_000):  # one that the system gives no core for a while takes nothing
        _toil(False, x.size, x)
        if 0 < pool.block[FINISHED // 8] < x.size:
            return
    raise AssertionError("no worker ran a unit in 10,000 launches")


def keep(loop: Any, *arguments: Any) -> Any:
    """The call that is kept of loop(*arguments)."""
    (call,) = parts(prepare(prepared(lambda: loop(*arguments)), (), {}))
    return call


def test_kept_jobs_run_in_order_and_again() -> None:
    x, visits = np.zeros(8), np.zeros(8, np.int64)
    calls = [keep(_at_most, serial, 8, x, -1) for serial in (True, False)]
    calls += [
        partial(x.fill, 5.0),
        *[keep(_visit, False, 8, visits, work) for work in (1, 2)],
        keep(_at_most, True, 3, x, -1),
    ]
    assert not x.any()
    assert not visits.any()
    runs = joined(calls)
    assert len(runs) == 3, "two jobs, what is no job, three jobs"
    for turn in (1, 2):
        for run in runs:
            run()
        assert (visits == 3 * turn).all()
        np.testing.assert_array_equal(x, [1] * 3 + [5] * 5)


@pytest.mark.parametrize("serial", [True, False])
def test_jobs_after_one_that_failed_do_not_run(serial: bool) -> None:
    x, visits = np.zeros(8), np.zeros(8, np.int64)
    limit = np.full(1, 3)
    (run,) = joined([keep(_at_most_of, serial, 8, x, limit), keep(_visit, serial, 8, visits, 1)])
    with pytest.raises(RuntimeError, match="a unit of a parallel loop failed"):
        run()
    assert not visits.any()
    limit[0] = -1
    run()
    assert (visits == 1).all()


@pytest.mark.parametrize("serial", [True, False])
def test_failure_is_raised_after_all_units(serial: bool) -> None:
    x = np.zeros(100)
    with pytest.raises(RuntimeError, match="a unit of a parallel loop failed"):
        _at_most(serial, 100, x, 37)
    assert x.all()
    _at_most(serial, 100, x, 100)  # and the next launch is sound


def test_a_unit_that_launches() -> None:
    visits = np.zeros((50, 30), np.int64)
    pool.start()  # `units` see to it
    _outer(visits)
    assert (visits == 1).all()


def test_launches_from_several_threads() -> None:
    """Through ctypes, which gives up the interpreter's lock, so that launches do meet."""
    _visit(False, 2, np.zeros(2, np.int64), 1)  # starts the pool
    wrong: list[int] = []

    def launch() -> None:
        for count in range(20_000):
            visits = np.zeros(count % 50, np.int64)
            pool.launch(_tally.address, visits.ctypes.data, visits.size, pool.block.ctypes.data)
            if not (visits == 1).all():
                wrong.append(count)

    threads = [threading.Thread(target=launch) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


USE = """
import threading
import numpy as np
from tinygen.kernels import elementwise
x = np.linspace(-1, 1, 1 << 18, dtype=np.float32)
y = elementwise.exp(x)
workers = lambda: sum(thread.name.startswith("tinygen-") for thread in threading.enumerate())
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_has_workers_of_its_own() -> None:
    child = """
import os, sys
before, pid = workers(), os.fork()
if pid == 0:
    left = workers()
    same = (elementwise.exp(x) == y).all()
    print(left, same, workers() == before, flush=True)
    sys.exit()
code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
print(code, (elementwise.exp(x) == y).all(), workers() == before)
"""
    # newer Pythons warn that a process with threads forks; that it may is what is tested
    assert in_new_process("import warnings; warnings.simplefilter('ignore', DeprecationWarning)" + USE + child) == (
        "0 True True\n0 True True\n"
    )


@pytest.mark.parametrize(
    "end",
    [
        "",
        "import sys; sys.exit(0)",
        "import time; time.sleep(0.1)",
        "import os; print(end='', flush=True); os._exit(0)",
        "import atexit; atexit.register(lambda: elementwise.exp(x))",
        "threading.Thread(target=lambda: [elementwise.exp(x) for _ in range(300)], daemon=True).start()",
    ],
    ids=["awake", "exit", "asleep", "_exit", "atexit", "under way"],
)
def test_clean_exit(end: str) -> None:
    for _ in range(3):
        assert in_new_process(USE + end) == ""


def test_launch_in_atexit_before_any_other() -> None:
    program = USE.replace("y = elementwise.exp(x)", "import atexit; atexit.register(lambda: elementwise.exp(x))")
    assert in_new_process(program) == ""


def test_one_thread_has_no_workers() -> None:
    program = "import os; os.environ['NUMBA_NUM_THREADS'] = '1'" + USE + "print(workers(), y[-1])"
    assert in_new_process(program) == "0 2.7182817\n"


@pytest.mark.parametrize("kind", [inlined, part])
def test_what_only_compiled_code_calls_refuses_python(kind):
    @kind
    def twice(x):
        return x + x

    @jit
    def user(x):
        return twice(x)

    for _ in range(2):  # also once it is compiled
        with pytest.raises(TypeError, match=r"twice is for compiled code alone.*twice\.py_func"):
            twice(1.5)
        assert user(1.5) == twice.py_func(1.5) == 3.0


def test_no_other_library_of_threads_is_loaded() -> None:
    """PyTorch, loaded later, would run on an OpenMP library that Numba brought, and be slow."""
    program = USE + "import sys; print([m for m in sys.modules if m.startswith('numba.np.ufunc.') and 'pool' in m])"
    assert in_new_process(program) == "[]\n"


@pytest.mark.parametrize("n", [0, -1, most + 1])
def test_a_number_of_threads_that_cannot_be(n: int) -> None:
    with pytest.raises(ArgumentError, match=f"set_num_threads: {n} is not from 1 to {most}"):
        tg.set_num_threads(n)
    assert tg.get_num_threads() == most
