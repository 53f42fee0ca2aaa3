"""Run a numba function on gilx's native team: a loop in threads, without the GIL."""

import numpy as np

import gilx

try:
    import numba
    from numba import types
except ModuleNotFoundError:
    raise SystemExit("this example needs numba: pip install numba") from None

SIZE = 1_000_000


@numba.cfunc(types.void(types.CPointer(types.float64), types.int64, types.int64))
def square(context, start, stop):  # noqa: ANN001, ANN201 - numba has the types above
    """Square the numbers from start to stop, in place."""
    numbers = numba.carray(context, SIZE)
    for i in range(start, stop):
        numbers[i] *= numbers[i]


numbers = np.arange(SIZE, dtype=np.float64)
with gilx.Team() as team:
    team.run(square, numbers, SIZE, grain=10_000)
assert np.array_equal(numbers, np.arange(SIZE, dtype=np.float64) ** 2)
print(f"{SIZE} numbers squared by {team.workers} workers")
