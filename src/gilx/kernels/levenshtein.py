"""levenshtein: dynamic programming on integers, pairs of very different cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from gilx.kernels.kernel import Kernel, Problem
from gilx.kernels.parameters import Buffer, Offsets, Output, Parameters

if TYPE_CHECKING:
    import numpy as np

    from gilx.kernels.kernel import Array

LONGEST = 320


class Levenshtein(Kernel):
    """Edit distances of pairs of byte strings."""

    name = "levenshtein"
    summary = "Edit distances of pairs of byte strings"
    bottleneck = "dynamic programming, pairs of uneven cost"
    item = "pair"
    unit = "cells"
    default_size = 52_000
    python_size = 10
    # Item i compares a[a_offsets[i]:a_offsets[i+1]] with the i-th string of b.
    parameters: ClassVar[Parameters] = (
        Buffer("a", "uint8", "a_size", "the first strings of all pairs, end to end"),
        Offsets(
            "a_offsets", "pairs+1", "a", "where each first string starts, and the end"
        ),
        Buffer("b", "uint8", "b_size", "the second strings of all pairs, end to end"),
        Offsets(
            "b_offsets", "pairs+1", "b", "where each second string starts, and the end"
        ),
        Output("int32", "pairs", "the edit distance of each pair, in bytes"),
    )
    source = (
        "The recurrence of Wagner and Fischer, The String-to-String Correction Problem, "
        "J. ACM 21 (1974): insertion, deletion and substitution cost 1 each. Computed a "
        "word of bits at a time: Myers, A fast bit-vector algorithm for approximate "
        "string matching based on dynamic programming, J. ACM 46 (1999)."
    )

    @staticmethod
    def python(
        a: Array,
        a_offsets: Array,
        b: Array,
        b_offsets: Array,
        out: Array,
        start: int,
        stop: int,
    ) -> None:
        """Compute in pure Python, a row of the table at a time."""
        for pair in range(start, stop):
            first = a[a_offsets[pair] : a_offsets[pair + 1]].tolist()
            second = b[b_offsets[pair] : b_offsets[pair + 1]].tolist()
            above = list(range(len(second) + 1))
            for i, letter in enumerate(first, 1):
                row = [i]
                for j, other in enumerate(second, 1):
                    row.append(
                        min(
                            above[j] + 1, row[j - 1] + 1, above[j - 1] + (letter != other)
                        )
                    )
                above = row
            out[pair] = above[-1]

    def make(self, size: int, rng: np.random.Generator) -> tuple[tuple[Any, ...], Array]:
        """Return pairs that grow longer, as in a sorted list; half are near-copies."""
        import numpy as np  # noqa: PLC0415 - see Kernel

        lengths = np.linspace(8, LONGEST, size) * rng.uniform(0.8, 1.2, (2, size))
        lengths = np.maximum(1, lengths.astype(np.int64))
        a_offsets = np.concatenate(([0], np.cumsum(lengths[0]))).astype(np.int64)
        b_offsets = np.concatenate(([0], np.cumsum(lengths[1]))).astype(np.int64)
        letters = np.frombuffer(b"acgt", np.uint8)
        a = letters[rng.integers(0, 4, a_offsets[-1])]
        b = letters[rng.integers(0, 4, b_offsets[-1])]
        for pair in range(0, size, 2):
            common = int(lengths[:, pair].min())
            copied = a[a_offsets[pair] : a_offsets[pair] + common].copy()
            changed = rng.random(common) < 0.1
            copied[changed] = letters[rng.integers(0, 4, int(changed.sum()))]
            b[b_offsets[pair] : b_offsets[pair] + common] = copied
        return (a, a_offsets, b, b_offsets), np.zeros(size, np.int32)

    def units(self, problem: Problem) -> int:
        """Return the cells of all tables: the product of each pair's lengths, summed."""
        import numpy as np  # noqa: PLC0415 - see Kernel

        _, a_offsets, _, b_offsets = problem.inputs
        return int((np.diff(a_offsets) * np.diff(b_offsets)).sum())


KERNEL = Levenshtein()
