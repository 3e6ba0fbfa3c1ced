"""The fused multiply-add as a Numba function: a * b + c, rounded once.

Half the instructions of a polynomial, and half the steps that wait for one another.  LLVM contracts nothing by itself,
so who asks for it gets it everywhere, in vectors and in the rest of a loop: the same bits on every machine.  One
without the instruction (x86 before 2013) takes the C library's, which is slow.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils
from numba.extending import intrinsic


@intrinsic
def fma(typing: Any, a: Any, b: Any, c: Any) -> Any:
    """a * b + c of three floats of one type, rounded once."""
    assert a == b == c, f"fma: one type is wanted, not {a}, {b} and {c}"

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = arguments[0].type
        function = ir.FunctionType(kind, [kind] * 3)
        name = f"llvm.fma.f{signature.return_type.bitwidth}"
        return builder.call(cgutils.get_or_insert_function(builder.module, function, name), arguments)

    return a(a, b, c), emit
