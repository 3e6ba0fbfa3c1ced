"""A pool of threads for units of work: workers that are awake when the next launch comes, and never in the way.

A launch wants function(first, last, data) run for the units 0 .. count.  Each thread owns one word of a block of
memory, its *share*: the number of this job and how many units of the thread's part are left.  Launching fills in the
job, sets the shares, and goes to work like the others: a thread takes units from its own share, by exchanging the word
for one with fewer left, and then from the shares of others, so that a thread which the system holds up or wakes late
takes less and nobody waits for it.  The launching thread returns when as many units are finished as there were.  Which
thread runs a unit is chance, but a unit writes what it alone owns: the bits are always the same.

A share protects the job: whoever takes units has read the job before, and the exchange only succeeds if the word is
still the one seen before reading.  Then units were left all the time, the launch cannot have returned, and what was
read was its job.  The job's number in the word keeps a later job with equally much left from being mistaken for it.

A thread that waits, a worker for work or the launching one for the others, spins as long as patience lasts, then sleeps
on a lock of Python's.  Waking costs a system call and 20 us and more until the other runs; a launch that finds the
workers spinning costs half of one.  But a spinning thread wears out the share of the core that the system grants it:
where others compute too it is soon held up, in the middle of its next unit, and everybody waits for milliseconds.  So
patience grows a little with every launch, and is lost when the clock shows that some thread was held up.  Until it has
grown again, a launch begins alone, and wakes who sleeps only if it lasts: where others compute, to wake a thread and to
wait for it costs more than it does of a short launch.

Numba's own layers of threads are never loaded: one of them brings the system's OpenMP library with it, and PyTorch,
loaded later, would run on that in place of its own and take several times as long.

Threads of one process launch one at a time; another, and a unit that launches, runs its units itself.  A forked child
starts workers of its own at its first parallel launch.  At exit the workers are asked to leave.
"""

from __future__ import annotations

import atexit
import ctypes
import os
import sys
import threading
import time
import warnings
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from llvmlite import binding
from numba import types
from numba.core.ccallback import CFunc

from ._atomic import add, call, exchanged, fence, load, pause, store, swap
from ._cache import KernelCache
from ._numba import inlined

LINE = 128  # bytes: two lines of the cache, which x86 fetches in pairs

# The block: fields of the launch, then of the threads, of which number 0 is the one that launches.
BUSY = 0  # whether a launch is under way
JOB = LINE  # its number, and below: the function, its data, the count of units, and the threads that share them
FUNCTION, DATA, COUNT, THREADS = JOB + 8, JOB + 16, JOB + 24, JOB + 32
WORKERS, ALLOWED = JOB + 40, JOB + 48  # how many workers there are, and how many threads may share a job
FINISHED = 2 * LINE  # units that workers have finished
SLEEPERS = 3 * LINE  # threads asleep or about to be
PATIENCE = 4 * LINE  # how long a wait spins, in ns
OWN = 5 * LINE  # the first line of thread 0; that of thread k is k lines on:
SHARE = OWN  # the number of a job << 32 | units left; LEAVE sends the worker home
ASLEEP, LOCK, CLOCK = OWN + 8, OWN + 16, OWN + 24  # whether it sleeps, and on which lock; two words for `_now`

NUMBER = (1 << 31) - 1  # numbers of jobs start anew above this
LEFT = (1 << 32) - 1  # the bits of a share that count the units left
LEAVE = -1
PART = 8  # of what is left in a share one part of 8 is taken at once: few exchanges, and an even end

MOST, GAIN, HELD_UP = 200_000, 500, 200_000  # ns: of patience, its growth in a launch, and what tells of others
FIRM, ALONE = 100_000, 100_000  # ns: of less patience sleepers are not woken until a launch has lasted so long
PAUSES = 16  # from one look to the next

# A job that was kept (`_parallel`): its worker, the count of its units, whether it is serial, and its data, of which
# the first word tells whether a unit failed.
COUNT_OF_JOB, SERIAL_OF_JOB, DATA_OF_JOB = 8, 16, 24

WINDOWS = sys.platform == "win32"
MONOTONIC = 0 if WINDOWS else time.CLOCK_MONOTONIC

_release = types.ExternalFunction("PyThread_release_lock", types.void(types.int64))
_acquire = types.ExternalFunction("PyThread_acquire_lock", types.int32(types.int64, types.int32))
_clock = types.ExternalFunction("tinygen_clock", types.int32(types.int64, types.int64))
_launch_one = types.ExternalFunction("tinygen_launch", types.void(*[types.int64] * 4))


@inlined
def _take(block, me, number, threads, until):
    """Run units of this job until none is left to take, or the clock is past `until` (0: never); returns how many."""
    done = 0
    for turn in range(threads):
        owner = (me + turn) % threads
        share = block + SHARE + LINE * owner
        word = load(share)
        while word >> 32 == number and word & LEFT > 0:
            function, data, count = load(block + FUNCTION), load(block + DATA), load(block + COUNT)
            left = word & LEFT
            taken = max(left // PART, 1)
            if exchanged(share, word, word - taken):
                first = (owner + 1) * count // threads - left
                call(function, first, first + taken, data)
                done += taken
                if until and _now(block + CLOCK + LINE * me) > until:
                    return done
            word = load(share)
    return done


@inlined
def _now(at):
    """Nanoseconds of a steady clock; the system writes them to the two words at this address."""
    if WINDOWS:
        _clock(at, 0)  # QueryPerformanceCounter: ticks of 100 ns
        return load(at) * 100
    _clock(MONOTONIC, at)
    return load(at) * 1_000_000_000 + load(at + 8)


@inlined
def _wake(block, k):
    """Wake thread k if it sleeps.  Who clears `asleep` owes the lock exactly one release."""
    if load(block + ASLEEP + LINE * k) and swap(block + ASLEEP + LINE * k, 0):
        add(block + SLEEPERS, -1)
        _release(load(block + LOCK + LINE * k))


@inlined
def _sleep(block, me, at, seen):
    """Sleep until woken; return at once if the word has changed already.

    Others change the word, fence and look for sleepers; this stores `asleep`, fences and looks at the word: one of them
    sees the other's store.  If both do, whoever clears `asleep` decides whether a release is to be waited for.
    """
    asleep = block + ASLEEP + LINE * me
    add(block + SLEEPERS, 1)
    store(asleep, 1)
    fence()
    if load(at) != seen and swap(asleep, 0):
        add(block + SLEEPERS, -1)
    else:
        _acquire(load(block + LOCK + LINE * me), 1)


@inlined
def _wait(block, me, at, seen):
    """Wait until the word at an address is no longer the one seen, or for a while: thread `me` may be woken early."""
    clock = block + CLOCK + LINE * me
    start = last = _now(clock)
    while load(at) == seen:
        if last - start > load(block + PATIENCE):
            _sleep(block, me, at, seen)
            break
        for _ in range(PAUSES):
            pause()
        now = _now(clock)
        if now - last > HELD_UP:
            store(block + PATIENCE, 0)
        last = now


def _launch(function, data, count, block):
    threads = min(load(block + ALLOWED), load(block + WORKERS) + 1, count)
    if threads < 2 or count > NUMBER or not exchanged(block + BUSY, 0, 1):
        call(function, 0, count, data)
        return
    begun = _now(block + CLOCK)
    number = (load(block + JOB) + 1) & NUMBER
    store(block + JOB, number)
    store(block + FUNCTION, function)
    store(block + DATA, data)
    store(block + COUNT, count)
    store(block + THREADS, threads)
    store(block + FINISHED, 0)
    for k in range(threads):
        part = (k + 1) * count // threads - k * count // threads
        store(block + SHARE + LINE * k, number << 32 | part)
    fence()
    patience, done = load(block + PATIENCE), 0
    if patience < FIRM and load(block + SLEEPERS):
        done = _take(block, 0, number, threads, begun + ALONE)
    if done < count:
        if load(block + SLEEPERS):
            for k in range(1, threads):
                _wake(block, k)
        done += _take(block, 0, number, threads, 0)
    others = count - done
    finished, held_up = load(block + FINISHED), False
    if finished != others:
        ready = _now(block + CLOCK)
        while finished != others:
            _wait(block, 0, block + FINISHED, finished)
            finished = load(block + FINISHED)
        waited = _now(block + CLOCK) - ready
        held_up = waited > HELD_UP and waited > ready - begun  # others are, in the middle of a unit
    patience = load(block + PATIENCE)
    if held_up:
        store(block + PATIENCE, 0)
    elif patience < MOST:
        store(block + PATIENCE, patience + GAIN)
    store(block + BUSY, 0)


def _launch_jobs(table, count, block):
    """The kept jobs at the addresses in a table, in order up to one that fails; how many ran, in the word after."""
    done = 0
    while done < count:
        job = load(table + 8 * done)
        data = job + DATA_OF_JOB
        if load(job + SERIAL_OF_JOB):
            call(load(job), 0, load(job + COUNT_OF_JOB), data)
        else:
            _launch_one(load(job), data, load(job + COUNT_OF_JOB), block)
        if load(data):
            break
        done += 1
    store(table + 8 * count, done)


def _serve(block, me):
    share = block + SHARE + LINE * me
    seen = 0
    while True:
        word = load(share)
        if word == LEAVE:
            return
        if word == seen:
            _wait(block, me, share, seen)
            continue
        number = word >> 32
        # if the job has changed since, its number does not fit the shares that `threads` leads to
        done = _take(block, me, number, load(block + THREADS), 0)
        if done:
            add(block + FINISHED, done)
            _wake(block, 0)
        seen = number << 32  # none left


def _dismiss(block):
    while not exchanged(block + BUSY, 0, 1):  # and never given back: no job after this one
        pause()
    for k in range(1, load(block + WORKERS) + 1):
        store(block + SHARE + LINE * k, LEAVE)
        fence()
        _wake(block, k)


def _entry(function: Callable[..., None], words: int) -> Any:
    """The function compiled, or read from the cache, as a C function of so many words; through ctypes it runs without
    the interpreter's lock."""
    entry: Any = CFunc(function, ((types.int64,) * words, types.void), {}, {"error_model": "numpy"})
    entry._cache = KernelCache(function)
    entry.compile()
    return entry.ctypes


class Pool:
    """The block of a process, its workers, and the symbols by which compiled code finds them."""

    def __init__(self) -> None:
        self.linked = self.started = False
        self.workers: list[threading.Thread] = []

    def link(self) -> None:
        """Define what compiled loops are linked to: `tinygen_launch` and the block, `tinygen_pool`."""
        if self.linked:
            return
        self.threads = numba.config.NUMBA_NUM_THREADS
        lines = OWN // LINE + self.threads
        raw = np.zeros((lines + 1) * LINE, np.uint8)
        self.block = raw[-raw.ctypes.data % LINE :][: lines * LINE].view(np.int64)
        self.block[ALLOWED // 8] = self.threads
        for name in ("PyThread_acquire_lock", "PyThread_release_lock"):
            _define(name, getattr(ctypes.pythonapi, name))
        if sys.platform == "win32":
            _define("tinygen_clock", ctypes.windll.kernel32.QueryPerformanceCounter)
        else:
            _define("tinygen_clock", ctypes.CDLL(None).clock_gettime)
        binding.add_symbol("tinygen_pool", self.block.ctypes.data)
        self.launch, self.serve, self.dismiss = _entry(_launch, 4), _entry(_serve, 2), _entry(_dismiss, 1)
        _define("tinygen_launch", self.launch)
        self.launch_jobs = _entry(_launch_jobs, 3)  # calls the one before
        atexit.register(self.stop)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._forget)
        self.linked = True

    def start(self) -> None:
        """Have the workers run, one less than Numba's most threads.  RuntimeWarning where the system allows fewer."""
        if self.started:
            return
        self.link()
        self.started = True
        new_lock, acquire = ctypes.pythonapi.PyThread_allocate_lock, ctypes.pythonapi.PyThread_acquire_lock
        new_lock.restype, acquire.argtypes = ctypes.c_void_p, [ctypes.c_void_p, ctypes.c_int]
        address = self.block.ctypes.data
        for k in range(self.threads):
            lock = new_lock()
            acquire(lock, 1)  # so that a thread waits for a release
            self.block[(LOCK + LINE * k) // 8] = lock
        self.block[PATIENCE // 8] = MOST
        for k in range(1, self.threads):
            worker = threading.Thread(target=self.serve, args=(address, k), name=f"tinygen-{k}", daemon=True)
            try:
                worker.start()
            except RuntimeError as error:
                warnings.warn(f"kernels run on {k} of {self.threads} threads: {error}", RuntimeWarning, stacklevel=2)
                break
            self.workers.append(worker)
        self.block[WORKERS // 8] = len(self.workers)

    def stop(self) -> None:
        """Send the workers home and wait until they left.  What is launched later runs on the launching thread."""
        if self.workers:
            self.dismiss(self.block.ctypes.data)
            for worker in self.workers:
                worker.join()
            self.workers.clear()

    def _forget(self) -> None:
        """In a forked child: the workers stayed behind, and the thread that launched perhaps too."""
        allowed = self.block[ALLOWED // 8]
        self.block[:] = 0
        self.block[ALLOWED // 8] = allowed
        self.workers.clear()
        self.started = False


def _define(name: str, function: Any) -> None:
    address = ctypes.cast(function, ctypes.c_void_p).value
    assert address is not None
    binding.add_symbol(name, address)


pool = Pool()


def get_num_threads() -> int:
    """How many threads share a launch, the launching one included."""
    pool.link()
    return int(pool.block[ALLOWED // 8])


def set_num_threads(n: int) -> None:
    """Let n threads share a launch, from 1 to the number there are.  ValueError for others."""
    pool.link()
    if not 1 <= n <= pool.threads:
        raise ValueError(f"set_num_threads: {n} is not from 1 to {pool.threads}, the threads of this process.")
    pool.block[ALLOWED // 8] = n
