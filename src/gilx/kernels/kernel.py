"""Base class of kernels, and problems for them."""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar

from gilx.errors import (
    ArgumentError,
    NotCompiledError,
    WrongResultError,
    at_least,
    one_of,
    shown,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import numpy as np
    from numpy.typing import NDArray

    from gilx.kernels.parameters import Parameters

    Array = NDArray[Any]

__all__ = ["Kernel", "Problem", "Variant", "agree", "split_evenly"]

_MOST = 2**62  # the C code counts in 64 bits
_COMPILED = {
    "c-gil": ("gilx.ckernels", "gil"),
    "c-nogil": ("gilx.ckernels", "nogil"),
    "cython-gil": ("gilx.cykernels", "gil"),
    "cython-nogil": ("gilx.cykernels", "nogil"),
}


@dataclass(frozen=True, eq=False)
class Variant:
    """A function that computes items, looked up before anything is timed.

    It is a variant of a kernel (`Kernel.variant`), or a callable of the user's.
    """

    target: str
    """Name of the kernel or callable."""
    name: str
    """Such as c-nogil; a callable has ``python`` or ``call``."""
    function: Callable[..., Any]
    """Takes the inputs and the output, then either start and stop, or ``take=``."""
    claims_grains: bool
    """True if the function is called once, with a counter as ``take=``, and claims its
    grains from that; otherwise it is called once for each grain."""
    kernel: Kernel | None = None
    """The kernel; None for a callable, which workers elsewhere do not know by name."""


class Kernel(ABC):
    """One piece of CPU-heavy work that stands for one bottleneck.

    A kernel fills the items ``[start, stop)`` of an output array from its inputs. It has
    compiled variants in C and Cython, each holding the GIL or releasing it, which agree
    bit for bit, and references in pure Python and, where it has a natural form, NumPy.

    NumPy is imported by the methods that make and check problems, not by the references'
    module, so that the names and descriptions can be listed without it.
    """

    name: ClassVar[str]
    """Name for ``gilx.kernels.get``; functions have it before ``_gil`` and ``_nogil``."""
    summary: ClassVar[str]
    """The computation, in a few words."""
    bottleneck: ClassVar[str]
    """The resource that limits its speed."""
    item: ClassVar[str]
    """Description of one item."""
    unit: ClassVar[str]
    """Name of the unit of work, in the plural."""
    default_size: ClassVar[int]
    """A size that takes the C variant 50 to 100 ms on one core with wide vectors."""
    python_size: ClassVar[int]
    """A size that takes the pure-Python reference about as long."""
    tolerance: ClassVar[float] = 0.0
    """Largest difference between references and compiled variants, relative to the
    largest number of an item; 0 for integers."""
    sweeps: ClassVar[int] = 1
    """Number of times that a run computes all items, each time from the last output."""
    least_grain: ClassVar[int] = 1
    """Number of items that a claim should have at least, if there are as many: if each
    call prepares something, fewer would not be worth it."""
    parameters: ClassVar[Parameters]
    """Parameters of a call before start and stop."""
    source: ClassVar[str]
    """Where the algorithm comes from."""

    @staticmethod
    @abstractmethod
    def python(*arguments: Any) -> None:  # noqa: ANN401 - each kernel has its own
        """Compute in pure Python, with the arguments of the compiled variants."""

    numpy: ClassVar[Callable[..., None] | None] = None
    """The same in NumPy; None if NumPy has no natural way to compute it."""

    @abstractmethod
    def make(self, size: int, rng: np.random.Generator) -> tuple[tuple[Any, ...], Array]:
        """Return the inputs of a problem and an output array of the right shape."""

    @abstractmethod
    def units(self, problem: Problem) -> int:
        """Return how many units of work a problem takes."""

    def merge(self, problem: Problem, out: Array) -> Array:
        """Return the result of a full output: the output itself, unless reduced."""
        del problem
        return out

    def next_inputs(self, inputs: tuple[Any, ...], out: Array) -> tuple[Any, ...]:
        """Return the inputs of the next sweep, for kernels that take more than one."""
        raise NotImplementedError(f"{self.name} takes one sweep")

    def reference(self, problem: Problem, item: int) -> Array:
        """Return the right value of an item after all sweeps, from pure Python."""
        out = problem.fresh_out()
        self.python(*problem.inputs, out, item, item + 1)
        right: Array = out[item]
        return right

    def _computed(self, problem: Problem) -> Array:
        """Return another output, computed by the quickest variant that is installed."""
        out = problem.fresh_out()
        try:
            function = self.function("c-nogil")
        except NotCompiledError:
            function = self.numpy or self.python
        function(*problem.inputs, out, 0, problem.items)
        return out

    @property
    def variants(self) -> tuple[str, ...]:
        """The names of its variants, references first.

        Compiled ones are included even if they are not installed.
        """
        return ("python", *(("numpy",) if self.numpy else ()), *_COMPILED)

    def function(self, variant: str) -> Callable[..., Any]:
        """Return the function of a variant.

        Parameters
        ----------
        variant : str
            One of `variants`.

        Returns
        -------
        callable
            Takes the inputs, the output, start and stop; compiled variants also take
            ``take=``, a counter to claim grains from.

        Raises
        ------
        ArgumentError
            This kernel has no such variant; the message lists those it has.
        NotCompiledError
            The variant is compiled, and gilx was installed without its compiled parts.

        """
        one_of("variant", variant, self.variants)
        if variant == "python":
            return self.python
        if variant == "numpy":
            assert self.numpy is not None  # or it would not be among the variants
            return self.numpy
        module, suffix = _COMPILED[variant]
        function: Callable[..., Any] = getattr(
            importlib.import_module(module), f"{self.name}_{suffix}"
        )
        return function

    def variant(self, name: str) -> Variant:
        """Return a variant, ready to run.

        Parameters
        ----------
        name : str
            One of `variants`.

        Raises
        ------
        ArgumentError
            This kernel has no such variant; the message lists those it has.
        NotCompiledError
            The variant is compiled, and gilx was installed without its compiled parts.

        """
        return Variant(self.name, name, self.function(name), name in _COMPILED, self)

    def problem(self, size: int | None = None, seed: int = 0) -> Problem:
        """Return a problem of that size; the same size and seed give the same problem.

        Parameters
        ----------
        size : int, optional
            Amount of work, as the kernel counts it; at least 1. By default work that
            takes C some 50 to 100 ms on one core.
        seed : int
            Seed of the inputs' random part, at least 0.

        Raises
        ------
        ArgumentError
            The size or the seed is out of range, or the arrays do not fit into memory.

        """
        import numpy as np  # noqa: PLC0415 - see the class docstring

        size = self.default_size if size is None else at_least("size", size, 1, _MOST)
        seed = at_least("seed", seed, 0)
        try:
            inputs, out = self.make(size, np.random.default_rng(seed))
        except (MemoryError, OverflowError, ValueError) as error:  # NumPy's
            raise ArgumentError(
                f"size: expected one whose arrays fit into memory, got {shown(size)}"
            ) from error
        return Problem(self, size, seed, inputs, out)

    def __repr__(self) -> str:
        return f"<gilx kernel {self.name}>"


@dataclass(frozen=True, eq=False)
class Problem:
    """Inputs and an output for a kernel, and their properties."""

    kernel: Kernel
    size: int
    seed: int
    inputs: tuple[Any, ...]
    """The arguments before the output."""
    out: Array
    """An output array, not yet computed. Its first axis counts the items."""

    @property
    def items(self) -> int:
        """The number of items."""
        return int(self.out.shape[0])

    @property
    def sweeps(self) -> int:
        """Number of times that a run computes all items."""
        return self.kernel.sweeps

    @cached_property
    def _spare(self) -> Array:
        """Output of sweeps that only the next sweep reads."""
        return self.fresh_out()

    def calls(self, out: Array | None = None) -> list[tuple[Any, ...]]:
        """Return the arguments of the calls that a run takes, one for each sweep.

        Parameters
        ----------
        out : array, optional
            Output of the last sweep; by default the problem's own.

        Returns
        -------
        list of tuples
            Inputs and output, to be computed in this order, each completely before the
            next. The problem's own inputs are not among the outputs, so that a run can
            be repeated.

        """
        target = self.out if out is None else out
        inputs, calls = self.inputs, []
        for sweep in range(self.sweeps):
            last = (self.sweeps - 1 - sweep) % 2 == 0
            calls.append((*inputs, target if last else self._spare))
            if sweep + 1 < self.sweeps:
                inputs = self.kernel.next_inputs(inputs, calls[-1][-1])
        return calls

    @cached_property
    def units(self) -> int:
        """Units of work to compute all items, as ``kernel.unit`` counts them.

        If this depends on the result (``mandelbrot``), reading it computes the result.
        """
        return self.kernel.units(self)

    def fresh_out(self) -> Array:
        """Return another output array, so that a problem can be computed twice."""
        import numpy as np  # noqa: PLC0415 - loaded with the problem

        return np.zeros_like(self.out)

    def moved(self, move: Callable[[Array], Array]) -> Problem:
        """Return the same problem with its arrays, the sweeps' spare one too, moved.

        Parameters
        ----------
        move : callable
            Returns a copy of an array, at its new place.

        """
        import numpy as np  # noqa: PLC0415 - loaded with the problem

        other = replace(
            self,
            inputs=tuple(
                move(x) if isinstance(x, np.ndarray) else x for x in self.inputs
            ),
            out=move(self.out),
        )
        if self.sweeps > 1:
            other.__dict__["_spare"] = move(self._spare)  # as cached_property keeps it
        return other

    def split(self, parts: int) -> list[tuple[int, int]]:
        """Return `parts` ranges of items, as equal as can be, that cover all of them."""
        return split_evenly(self.items, parts)

    def merge(self, out: Array) -> Array:
        """Return the result that a computed output stands for."""
        return self.kernel.merge(self, out)

    def check(self, out: Array, items: Iterable[int] | None = None) -> None:
        """Compare a computed output with the pure-Python reference.

        Parameters
        ----------
        out : array
            The output of a run, all of whose items and sweeps were computed.
        items : iterable of int, optional
            Which items to compare; by default eight, spread over all of them, since the
            reference is slow.

        Raises
        ------
        WrongResultError
            An item differs by more than the kernel's tolerance (none for integers).

        """
        if items is None:
            items = sorted(
                {i * (self.items - 1) // 7 for i in range(8)} & {*range(self.items)}
            )
        for item in items:
            right = self.kernel.reference(self, item)
            if not agree(out[item], right, self.kernel.tolerance):
                raise WrongResultError(
                    f"{self.kernel.name}: {self.kernel.item} {item} of problem "
                    f"size {self.size}, seed {self.seed}: expected {right}, "
                    f"got {out[item]}"
                )


def agree(result: Array, expected: Array, tolerance: float) -> bool:
    """Return whether two arrays are equal, up to a share of the largest number."""
    import numpy as np  # noqa: PLC0415 - loaded with the problem

    if tolerance == 0:
        return np.array_equal(result, expected, equal_nan=True)
    scale = np.abs(expected).max(initial=0)
    return np.allclose(result, expected, rtol=0, atol=tolerance * scale, equal_nan=True)


def split_evenly(items: int, parts: int) -> list[tuple[int, int]]:
    """Return `parts` ranges that cover the items 0 to `items`, differing by at most 1."""
    parts = at_least("parts", parts, 1)
    edges = [items * part // parts for part in range(parts + 1)]
    return list(pairwise(edges))
