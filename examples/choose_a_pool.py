"""Threads or processes for your function? Measured, with what moving its data costs.

    python choose_a_pool.py [--quick]

Put your own calls into CALLS. They have to come from a module that can be imported, as
those here do: what is defined in the main script can't be sent to other processes.
"""

import argparse
import json
import pickle
import time
import zlib
from functools import partial
from typing import Any

import gilx
from gilx import ReportRow

WORKERS = 2
RECORDS = [{"name": str(i), "value": i / 7} for i in range(5_000)]
CALLS: dict[str, partial[Any]] = {
    "compress 1 MB": partial(zlib.compress, bytes(range(250)) * 4_000),
    "write JSON": partial(json.dumps, RECORDS),
}
PAYS = 1.2  # a gain below this is not worth the trouble


def moving_seconds(call: partial[Any]) -> float:
    """Return what it takes to pickle and unpickle a call and its result, at best."""
    result, times = call(), []
    for _ in range(5):
        began = time.perf_counter()
        pickle.loads(pickle.dumps(call))
        pickle.loads(pickle.dumps(result))
        times.append(time.perf_counter() - began)
    return min(times)


def advice(row: ReportRow, moving: float) -> str:
    """Return what to use, as far as the intervals tell."""
    call = (row.comparison.part_seconds or 0.0) / row.repeat
    if row.ceiling.interval[0] <= PAYS:
        return "inconclusive: fewer than two CPUs were free meanwhile"
    if row.speedup.interval[0] > PAYS and row.ceiling_fraction.interval[1] > 0.8:
        return "threads: about as fast as processes, and nothing has to be moved"
    if row.speedup.interval[1] < row.ceiling.interval[0]:
        saved = call * (1 - 1 / row.ceiling.value)
        if moving >= saved:
            return (
                f"neither: processes save {saved * 1e3:.2f} ms a call, and moving its"
                f" data takes {moving * 1e3:.2f} ms; send what makes the data, or more"
                " work at once"
            )
        return (
            f"processes: they save {saved * 1e3:.2f} ms a call, and moving its data takes"
            f" {moving * 1e3:.2f} ms"
        )
    return "inconclusive: increase the budget"


def main() -> None:
    """Measure each call in threads and in processes, and say which to take."""
    parser = argparse.ArgumentParser(description="Threads or processes?")
    parser.add_argument("--quick", action="store_true", help="a second for each call")
    budget = 1.0 if parser.parse_args().quick else 8.0
    for name, call in CALLS.items():
        row = gilx.measure(call, workers=WORKERS, budget=budget).rows[0]
        print(f"{name}:")
        print(f"  {WORKERS} threads {row.speedup:.2f}x as fast as one, {row.reading}")
        print(f"  {WORKERS} processes {row.ceiling:.2f}x, without moving data")
        print(f"  {advice(row, moving_seconds(call))}")


if __name__ == "__main__":
    main()
