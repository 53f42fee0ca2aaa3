"""nbody: square roots and divisions, the same for every body."""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING, Any, ClassVar

from gilx.kernels.kernel import Kernel, Problem
from gilx.kernels.parameters import Buffer, Output, Parameters, Real

if TYPE_CHECKING:
    import numpy as np

    from gilx.kernels.kernel import Array

SOFTENING = 0.05


class NBody(Kernel):
    """Gravitational accelerations of bodies by all others."""

    name = "nbody"
    summary = "Gravitational accelerations, all pairs"
    bottleneck = "square root and division, even"
    item = "body"
    unit = "interactions"
    default_size = 9000
    python_size = 500
    tolerance: ClassVar[float] = 1e-12
    # Order of operations: over all j in ascending order, with d = r[j] - r[i] and
    # q = ((dx*dx + dy*dy) + dz*dz) + softening*softening, each component adds
    # d * (q > 0 ? mass[j] / (q * sqrt(q)) : 0) to a sum that starts from 0.
    parameters: ClassVar[Parameters] = (
        Buffer("x", "float64", "bodies", "positions, first coordinate"),
        Buffer("y", "float64", "bodies", "positions, second coordinate"),
        Buffer("z", "float64", "bodies", "positions, third coordinate"),
        Buffer("mass", "float64", "bodies", "masses, in units in which G is 1"),
        Real("softening", "length added to every distance, as a right angle's"),
        Output(
            "float64",
            "bodies, 3",
            "accelerations; bodies at distance 0 do not attract one another",
        ),
    )
    source = (
        "Direct summation with Plummer softening: Aarseth, Gravitational N-Body "
        "Simulations, Cambridge (2003), section 1.2."
    )

    @staticmethod
    def python(
        x: Array,
        y: Array,
        z: Array,
        mass: Array,
        softening: float,
        out: Array,
        start: int,
        stop: int,
    ) -> None:
        """Compute in pure Python, a pair at a time."""
        bodies = list(zip(x.tolist(), y.tolist(), z.tolist(), mass.tolist(), strict=True))
        for i in range(start, stop):
            xi, yi, zi, _ = bodies[i]
            ax = ay = az = 0.0
            for xj, yj, zj, m in bodies:
                dx, dy, dz = xj - xi, yj - yi, zj - zi
                q = dx * dx + dy * dy + dz * dz + softening * softening
                if q > 0.0:
                    w = m / (q * sqrt(q))
                    ax += dx * w
                    ay += dy * w
                    az += dz * w
            out[i] = ax, ay, az

    @staticmethod
    def numpy(
        x: Array,
        y: Array,
        z: Array,
        mass: Array,
        softening: float,
        out: Array,
        start: int,
        stop: int,
    ) -> None:
        """Compute with NumPy, one body's pairs at a time."""
        import numpy as np  # noqa: PLC0415 - see Kernel

        for i in range(start, stop):
            dx, dy, dz = x - x[i], y - y[i], z - z[i]
            q = dx * dx + dy * dy + dz * dz + softening * softening
            with np.errstate(divide="ignore"):
                w = np.where(q > 0.0, mass / (q * np.sqrt(q)), 0.0)
            out[i] = (dx * w).sum(), (dy * w).sum(), (dz * w).sum()

    def make(self, size: int, rng: np.random.Generator) -> tuple[tuple[Any, ...], Array]:
        """Return a cluster of bodies of different masses."""
        import numpy as np  # noqa: PLC0415 - see Kernel

        x, y, z = rng.standard_normal((3, size))
        mass = rng.uniform(0.5, 1.5, size) / size
        return (x, y, z, mass, SOFTENING), np.zeros((size, 3))

    def units(self, problem: Problem) -> int:
        """Return the number of ordered pairs, a body with itself included."""
        return problem.size**2


KERNEL = NBody()
