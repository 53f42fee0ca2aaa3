"""The kernels: one result from every compiled variant and every splitting."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

import gilx
from gilx import ckernels

from .interface import command

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Compute = Callable[..., Any]

COMPILED = ("c-gil", "c-nogil", "cython-gil", "cython-nogil")


def in_one_call(compute: Compute, arguments: tuple[Any, ...], items: int) -> None:
    compute(*arguments, 0, items)


def in_three_parts_backwards(
    compute: Compute, arguments: tuple[Any, ...], items: int
) -> None:
    edges = [0, items // 3, items // 2, items]
    for part in (2, 1, 0):
        compute(*arguments, edges[part], edges[part + 1])


def item_by_item(compute: Compute, arguments: tuple[Any, ...], items: int) -> None:
    for item in range(items):
        compute(*arguments, item, item + 1)


def in_claimed_grains(compute: Compute, arguments: tuple[Any, ...], items: int) -> None:
    counter = ckernels.Counter(0, items, 3)
    compute(*arguments, take=counter)
    assert counter.remaining == 0


SPLITTINGS = (in_one_call, in_three_parts_backwards, item_by_item, in_claimed_grains)


def problem_of(kernel: gilx.kernels.Kernel) -> gilx.kernels.Problem:
    """Return a small problem that has enough items to be split."""
    size = max(8, kernel.python_size // 4)
    while (problem := kernel.problem(size)).items < 8:
        size *= 2
    return problem


def results(problem: gilx.kernels.Problem) -> Iterator[tuple[str, Any]]:
    """Yield the output of every compiled variant over every splitting."""
    for variant in COMPILED:
        compute = problem.kernel.function(variant)
        for split in SPLITTINGS:
            out = problem.fresh_out()
            for arguments in problem.calls(out):
                split(compute, arguments, problem.items)
            yield f"{variant} {split.__name__}", out


def test_there_are_ten_kernels(tmp_path: Path) -> None:
    names = gilx.kernels.names()
    assert len(names) == 10
    done = command("kernels", cwd=tmp_path)
    assert done.returncode == 0
    assert all(f"\n{name} " in done.stdout for name in names)


def test_kernel_has_the_same_bits_from_every_variant_and_splitting(
    kernel: gilx.kernels.Kernel,
) -> None:
    problem = problem_of(kernel)
    found = dict(results(problem))
    assert len(found) == len(COMPILED) * len(SPLITTINGS)
    first = next(iter(found.values()))
    assert first.tobytes() != problem.fresh_out().tobytes()
    for name, out in found.items():
        assert out.tobytes() == first.tobytes(), name


def test_kernel_agrees_with_its_references(kernel: gilx.kernels.Kernel) -> None:
    def value(variant: str) -> Any:
        return gilx.run(
            kernel.name, variant=variant, pool="serial", size=kernel.python_size
        ).value

    right = np.asarray(value("python"))
    margin = kernel.tolerance * np.abs(right).max()
    for variant in ("c-nogil", *kernel.variants):
        if variant == "python":
            continue
        different = np.abs(np.asarray(value(variant)) - right) > margin
        assert not different.any(), variant


def test_kernel_writes_only_the_items_that_were_asked_for(
    kernel: gilx.kernels.Kernel,
) -> None:
    problem = problem_of(kernel)
    start, stop = problem.items // 4, problem.items // 2
    for variant in COMPILED:
        out = problem.fresh_out()
        out[:] = 77
        arguments = problem.calls()[0][:-1]
        kernel.function(variant)(*arguments, out, start, stop)
        others = np.concatenate([out[:start], out[stop:]])
        assert (others == 77).all(), variant
