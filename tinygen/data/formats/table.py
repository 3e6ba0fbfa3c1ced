"""Tables of numbers as text: .csv, and the .data files of density-estimation benchmarks."""

from __future__ import annotations

import os
from array import array

import numpy as np

from ...errors import DataError, check
from ._bounds import LIMIT, unpacked

MAX_LINE = 1 << 24  # characters


def read_csv(path: str | os.PathLike[str], *, delimiter: str | None = ",") -> np.ndarray:
    """A text table (rows, columns) as float64, gzip or not; `delimiter=None` splits at blanks.

    A first line without a single number is taken as the header and left out.  Empty lines are skipped.
    Raises DataError, naming the line, for rows of unequal length, cells that are no finite numbers, bad UTF-8.
    """
    numbers = array("d")
    columns = rows = 0
    with unpacked(path) as (stream, _):
        line_number = 0
        while line := stream.readline(MAX_LINE):
            line_number += 1
            where = f"{path}, line {line_number}"
            check(len(line) < MAX_LINE, DataError, f"{where}: is longer than {MAX_LINE} characters.")
            try:
                text = line.decode("utf-8-sig" if line_number == 1 else "utf-8").strip()
            except UnicodeDecodeError as error:
                raise DataError(f"{where}: is not UTF-8 text ({error.reason}).") from error
            if not text:
                continue
            cells = text.split(delimiter)
            if rows == 0 and not columns and not any(map(_is_number, cells)):
                columns = len(cells)
                continue
            columns = columns or len(cells)
            check(len(cells) == columns, DataError, f"{where}: has {len(cells)} cells, the rows above have {columns}.")
            try:
                numbers.extend(map(float, cells))
            except ValueError:
                bad = next(cell for cell in cells if not _is_number(cell))
                raise DataError(f"{where}: {bad[:40]!r} is not a number.") from None
            check("_" not in text, DataError, f"{where}: a number has an underscore in it.")  # float() reads 1_0 as 10
            rows += 1
            check(len(numbers) * 8 <= LIMIT, DataError, f"{where}: the table grows beyond {LIMIT} bytes.")
    check(rows, DataError, f"{path}: holds no rows of numbers.")
    table = np.frombuffer(numbers, np.float64).reshape(rows, columns)
    if not np.isfinite(table).all():
        row, column = (int(i) for i in np.argwhere(~np.isfinite(table))[0])
        raise DataError(f"{path}: row {row + 1}, column {column + 1} is {table[row, column]}, not a finite number.")
    return table


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
