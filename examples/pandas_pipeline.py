"""Find which step of a pandas pipeline holds the lock.

    python pandas_pipeline.py [--quick]

Each step gets what the one before returned, and must not change it, since it is called
more than once. The table says where the time goes that keeps other threads waiting.
"""

import argparse
import io
from collections.abc import Callable
from typing import Any

import gilx
from gilx.errors import WatchUnavailableError

try:
    import numpy as np
    import pandas as pd
except ModuleNotFoundError:
    raise SystemExit("this example needs pandas: pip install pandas") from None


def orders(count: int) -> bytes:
    """Return a table of orders, as a file of CSV."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "customer": rng.integers(0, count // 20, count),
            "day": rng.integers(0, 365, count),
            "amount": rng.random(count).round(2),
        }
    )
    text: str = frame.to_csv(index=False)
    return text.encode()


STEPS: dict[str, Callable[[Any], Any]] = {
    "read": lambda data: pd.read_csv(io.BytesIO(data)),
    "label": lambda frame: frame.assign(
        group="g" + (frame["customer"] % 100).astype(str)
    ),
    "sort": lambda frame: frame.sort_values(["customer", "day"]),
    "rolling": lambda frame: frame.assign(smooth=frame["amount"].rolling(30).mean()),
    "group": lambda frame: frame.groupby("group")[["amount", "smooth"]].sum(),
    "write": lambda frame: frame.to_csv(),
}


def main() -> None:
    """Run the pipeline step by step, and print for how long each call holds the GIL."""
    parser = argparse.ArgumentParser(description="Which pandas call holds the lock?")
    parser.add_argument("--quick", action="store_true", help="less data")
    quick = parser.parse_args().quick
    data: Any = orders(20_000 if quick else 500_000)
    found = []
    for name, step in STEPS.items():
        try:
            usage = gilx.probe(step, data, budget=0.5 if quick else 3)
        except WatchUnavailableError as error:
            print(f"nothing to tell: {error}")
            return
        found.append((name, usage))
        data = usage.result
    print(f"{'step':<10}{'ms':>8}{'holds the GIL, ms':>20}{'95 %':>18}")
    held = {}
    for name, usage in found:
        each = usage.wall / usage.repeats * 1e3
        if usage.inconclusive_reason:
            print(f"{name:<10}{each:>8.2f}  inconclusive: {usage.inconclusive_reason}")
            continue
        held[name] = usage.held.value * each
        low, high = usage.held.interval
        print(
            f"{name:<10}{each:>8.2f}{held[name]:>20.2f}{f'{low:.0%} to {high:.0%}':>18}"
        )
    if held:
        print(
            f"Begin with {max(held, key=lambda name: held[name])!r}: it holds it longest."
        )


if __name__ == "__main__":
    main()
