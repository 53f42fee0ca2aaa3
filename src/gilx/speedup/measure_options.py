"""Arguments of `gilx.measure`, checked before anything is started."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gilx import kernels
from gilx.errors import (
    MOST_CALLS,
    ArgumentError,
    above_zero,
    at_least,
    number_between,
    numbers_of_workers,
    one_of,
)
from gilx.kernels.kernel import Kernel
from gilx.pools import Pool
from gilx.pools import get as pool_class
from gilx.pools import names as pool_names
from gilx.speedup.prepared_call import PreparedCall
from gilx.speedup.targets import CallableTarget, KernelTarget, Target
from gilx.system.environment import usable_cpus


@dataclass(frozen=True)
class MeasureOptions:
    """Options of a measurement, checked."""

    precision: float
    budget: float
    blocks: int | None
    repeat: int | None
    setup: Callable[[], object] | None
    aa: bool
    progress: Callable[[str], None] | None
    seed: int


def measure_options(
    *,
    precision: float,
    budget: float,
    blocks: int | None,
    repeat: int | None,
    setup: Callable[[], object] | None,
    aa: bool,
    progress: Callable[[str], None] | None,
    seed: int,
) -> MeasureOptions:
    """Return the settings, everything about them checked."""
    if setup is not None and not callable(setup):
        raise ArgumentError(f"setup: expected something to call, got {setup!r}")
    if repeat is None and setup is not None:
        repeat = 1  # a setup restores what one call uses up
    return MeasureOptions(
        precision=number_between("precision", precision, 0.001, 0.5),
        budget=above_zero("budget", budget),
        blocks=None if blocks is None else at_least("blocks", blocks, 1),
        repeat=None if repeat is None else at_least("repeat", repeat, 1, MOST_CALLS),
        setup=setup,
        aa=aa,
        progress=progress,
        seed=at_least("seed", seed, 0),
    )


def targets_of(
    target: str | Kernel | Callable[..., object],
    args: tuple[object, ...],
    variants: Sequence[str] | None,
    size: int | None,
    settings: MeasureOptions,
) -> list[Target]:
    """Return what to measure, everything about it checked."""
    if isinstance(target, str):
        target = kernels.get(one_of("target", target, kernels.names()))
    if isinstance(target, Kernel):
        if args:
            raise ArgumentError(f"args: expected none for a kernel, got {args[0]!r}")
        names = ("c-gil", "c-nogil") if variants is None else variants
        if isinstance(names, str) or not isinstance(names, Sequence) or not names:
            raise ArgumentError(
                f"variants: expected a sequence of {', '.join(target.variants)}; got"
                f" {names!r}"
            )
        for name in names:
            target.function(one_of("variants", name, target.variants))
        sizes = {
            name: target.python_size if name == "python" and size is None else size
            for name in names
        }
        # Variants that compute the same problem share it: it is in the caches, or not,
        # for all of them.
        problems = {
            number: target.problem(number, settings.seed)
            for number in dict.fromkeys(sizes.values())
        }
        return [
            KernelTarget(problems[sizes[name]], name, settings.setup) for name in names
        ]
    if not callable(target):
        raise ArgumentError(
            f"target: expected a kernel, its name or something to call; got {target!r}"
        )
    for name, given in (("variants", variants), ("size", size)):
        if given is not None:
            raise ArgumentError(f"{name}: expected None, since target is not a kernel")
    return [CallableTarget(PreparedCall(target, args, settings.setup))]


def cases_of(
    subjects: Sequence[Target],
    pools: Sequence[str | Pool],
    workers: int | Sequence[int] | None,
    *,
    aa: bool,
    chosen: bool,
) -> list[tuple[Target, str | Pool, int]]:
    """Return what to measure where with how many workers, each a row.

    `chosen` says that the variants were: then a pool that can't run one is an error, and
    otherwise that variant is left out there.
    """
    kernel = subjects[0].variant is not None
    cases: list[tuple[Target, str | Pool, int]] = []
    places = _places(pools, workers, aa=aa, kernel=kernel)
    for subject in subjects:
        for pool, count in places:
            if subject.variant is not None:
                kind = pool_class(pool) if isinstance(pool, str) else type(pool)
                try:
                    kind.check_variant(subject.variant)
                except ArgumentError:
                    if chosen:
                        raise
                    continue
            cases.append((subject, pool, count))
    return cases


# Pools whose workers share all memory with the caller, as calls of any function need.
_FOR_CALLS = ("serial", "threads")


def _places(
    given: Sequence[str | Pool],
    workers: int | Sequence[int] | None,
    *,
    aa: bool,
    kernel: bool,
) -> list[tuple[str | Pool, int]]:
    """Return pools with numbers of workers, everything checked before one is started."""
    if aa:
        return [("serial", 1)]
    counts = [usable_cpus()] if workers is None else numbers_of_workers(workers)
    if isinstance(given, (str, Pool)) or not isinstance(given, Sequence) or not given:
        raise ArgumentError(f"pools: expected a sequence of pools, got {given!r}")
    places: list[tuple[str | Pool, int]] = []
    for pool in given:
        name = (
            pool.name if isinstance(pool, Pool) else one_of("pools", pool, pool_names())
        )
        if not kernel and name not in _FOR_CALLS:
            raise ArgumentError(
                f"pools: expected {' or '.join(_FOR_CALLS)} for a callable, got {name}:"
                " it runs kernels only"
            )
        if isinstance(pool, Pool):
            places.append((pool, pool.workers))
            continue
        pool_class(pool).check_available()
        places += [(pool, count) for count in ([1] if pool == "serial" else counts)]
    return places
