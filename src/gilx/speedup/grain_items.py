"""Items for the grain finder: those of a kernel's region, or of a callable."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

from gilx import kernels
from gilx.callable_lookup import check_call
from gilx.errors import ArgumentError, at_least
from gilx.formatting import name_of
from gilx.kernels.kernel import Kernel, Variant
from gilx.pools.pool import Region

if TYPE_CHECKING:
    from collections.abc import Callable

    from gilx.kernels.kernel import Problem
    from gilx.pools.pool import Pool

# For so long items are computed to know what one takes, at so many places.
_ITEM_SECONDS = 2e-3
_PLACES = 8


def items_of(fn: Callable[..., object]) -> Variant:
    """Return a callable that computes items as a variant that pools can run."""
    return Variant(name_of(fn), "python", fn, claims_grains=False)


class GrainWork:
    """Items to compute, grains of them at any place.

    Items may take different times, and those that are next to each other similar ones:
    the rows at the edge of a mandelbrot are done at once. So grains are not all taken
    from the same place.
    """

    def __init__(self, whole: Region, problem: Problem | None) -> None:
        self.whole = whole
        self.problem = problem

    def placed(self, pool: Pool) -> GrainWork:
        """Return the same with its arrays where the pool's workers can reach them."""
        if self.problem is None:
            return self
        problem = pool.place(self.problem)
        return GrainWork(_whole(problem, self.whole.variant), problem)

    def region(self, items: int, place: float) -> Region:
        """Return the region of so many items, an equal block for each worker.

        Parameters
        ----------
        items : int
            How many, at most all.
        place : float
            Their place: 0 is the start, 1 the end.

        """
        whole = self.whole
        first = round(place * (whole.items - items))
        return Region(whole.variant, whole.arguments, items, "static", first=first)

    def item_seconds(self, alone: Pool) -> float:
        """Return about how long an item takes, on average over all places, above 0."""
        # Whatever happens at the first call only is not to count.
        seconds = alone.run(self.region(1, 0.5))
        if seconds >= _ITEM_SECONDS * _PLACES:
            return alone.run(self.region(1, 0.5))
        items = 1
        while True:
            # The less of two: something else may have been running.
            seconds = sum(
                min(alone.run(region) for _ in range(2))
                for region in (
                    self.region(items, (number + 0.5) / _PLACES)
                    for number in range(_PLACES)
                )
            )
            if seconds >= _ITEM_SECONDS or items == self.whole.items:
                return max(seconds, 1e-9) / (items * _PLACES)
            items = min(self.whole.items, 2 * items)


def _whole(problem: Problem, variant: Variant) -> Region:
    return Region(variant, problem.calls()[0], problem.items)


def work_of(
    target: str | Kernel | Callable[..., object],
    args: tuple[object, ...],
    variant: str | None,
    size: int | None,
    items: int | None,
    seed: int,
) -> GrainWork:
    """Return what `gilx.grain` was asked to compute, everything about it checked."""
    if isinstance(target, (str, Kernel)):
        kernel = kernels.get(target) if isinstance(target, str) else target
        if args:
            raise ArgumentError(f"args: expected none for a kernel, got {args[0]!r}")
        if items is not None:
            raise ArgumentError(
                "items: expected None for a kernel, since its size sets the number of"
                f" items; got {items!r}"
            )
        variant = "c-nogil" if variant is None else variant
        resolved = kernel.variant(variant)
        problem = kernel.problem(size, seed)
        return GrainWork(_whole(problem, resolved), problem)
    if not callable(target):
        raise ArgumentError(
            "target: expected a kernel, its name, or a callable that takes start and"
            f" stop; got {target!r}"
        )
    check_call(target, "target")
    for name, given in (("variant", variant), ("size", size)):
        if given is not None:
            raise ArgumentError(f"{name}: expected None for a callable, got {given!r}")
    if items is None:
        raise ArgumentError("items: expected the callable's number of items, got None")
    _check_parameters(target, args)
    return GrainWork(Region(items_of(target), args, at_least("items", items, 1)), None)


def _check_parameters(target: Callable[..., object], args: tuple[object, ...]) -> None:
    """Check that a callable takes its arguments and then start and stop."""
    try:
        # What a decorator wraps may take other arguments than the decorator's function.
        signature = inspect.signature(target, follow_wrapped=False)
    except (TypeError, ValueError):
        return  # compiled callables may have none
    try:
        signature.bind(*args, 0, 1)
    except TypeError as error:
        raise ArgumentError(
            "target: expected a callable that takes start and stop, after its other"
            f" arguments; got {name_of(target)}, which can't be called with them: {error}"
        ) from None
