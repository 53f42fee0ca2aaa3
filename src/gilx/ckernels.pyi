from typing import Any, ClassVar, Literal, SupportsFloat, SupportsIndex, final

from _typeshed import structseq
from typing_extensions import Buffer

@final
class Counter:
    MEMORY_SIZE: ClassVar[int]
    def __new__(
        cls,
        start: SupportsIndex,
        stop: SupportsIndex,
        grain: SupportsIndex = 1,
        *,
        memory: Buffer | None = None,
    ) -> Counter: ...
    def take(self) -> tuple[int, int] | None: ...
    def cancel(self) -> None: ...
    @property
    def start(self) -> int: ...
    @property
    def stop(self) -> int: ...
    @property
    def grain(self) -> int: ...
    @property
    def cancelled(self) -> bool: ...
    @property
    def remaining(self) -> int: ...

@final
class NativeTeam:
    def __new__(
        cls, workers: SupportsIndex, spin_ns: SupportsIndex = 0
    ) -> NativeTeam: ...
    def compute(
        self,
        kernel: str,
        arguments: tuple[Any, ...],
        grain: SupportsIndex | None = None,
        /,
    ) -> int: ...
    def run(
        self,
        function: int,
        context: int | Buffer,
        items: SupportsIndex,
        grain: SupportsIndex | None = None,
        /,
    ) -> None: ...
    def settle(self) -> None: ...
    def close(self) -> None: ...
    @property
    def workers(self) -> int: ...

@final
class SpinResult(structseq[int], tuple[int, int, int, int, int]):
    @property
    def wall_ns(self) -> int: ...
    @property
    def held_min_ns(self) -> int: ...
    @property
    def held_max_ns(self) -> int: ...
    @property
    def waited_ns(self) -> int: ...
    @property
    def cycles(self) -> int: ...

def mandelbrot_gil(
    re: Buffer,
    im: Buffer,
    max_iter: SupportsIndex,
    out: Buffer,
    start: SupportsIndex = 0,
    stop: SupportsIndex | None = None,
    *,
    take: Counter | None = None,
) -> int: ...
def mandelbrot_nogil(
    re: Buffer,
    im: Buffer,
    max_iter: SupportsIndex,
    out: Buffer,
    start: SupportsIndex = 0,
    stop: SupportsIndex | None = None,
    *,
    take: Counter | None = None,
) -> int: ...
def nbody_gil(
    x: Buffer,
    y: Buffer,
    z: Buffer,
    mass: Buffer,
    softening: SupportsFloat,
    out: Buffer,
    start: SupportsIndex = 0,
    stop: SupportsIndex | None = None,
    *,
    take: Counter | None = None,
) -> int: ...
def nbody_nogil(
    x: Buffer,
    y: Buffer,
    z: Buffer,
    mass: Buffer,
    softening: SupportsFloat,
    out: Buffer,
    start: SupportsIndex = 0,
    stop: SupportsIndex | None = None,
    *,
    take: Counter | None = None,
) -> int: ...
def matmul_gil(
    a: Buffer,
    b: Buffer,
    out: Buffer,
    start: SupportsIndex = 0,
    stop: SupportsIndex | None = None,
    *,
    take: Counter | None = None,
) -> int: ...
def matmul_nogil(
    a: Buffer,
    b: Buffer,
    out: Buffer,
    start: SupportsIndex = 0,
    stop: SupportsIndex | None = None,
    *,
    take: Counter | None = None,
) -> int: ...
def collatz_gil(
    first: SupportsIndex,
    out: Buffer,
    start: SupportsIndex = 0,
    stop: SupportsIndex | None = None,
    *,
    take: Counter | None = None,
) -> int: ...
def collatz_nogil(
    first: SupportsIndex,
    out: Buffer,
    start: SupportsIndex = 0,
    stop: SupportsIndex | None = None,
    *,
    take: Counter | None = None,
) -> int: ...
def primes_gil(
    limit: SupportsIndex,
    segment: SupportsIndex,
    out: Buffer,
    start: SupportsIndex = 0,
    stop: SupportsIndex | None = None,
    *,
    take: Counter | None = None,
) -> int: ...
def primes_nogil(
    limit: SupportsIndex,
    segment: SupportsIndex,
    out: Buffer,
    start: SupportsIndex = 0,
    stop: SupportsIndex | None = None,
    *,
    take: Counter | None = None,
) -> int: ...
def montecarlo_gil(
    spot: SupportsFloat,
    strike: SupportsFloat,
    rate: SupportsFloat,
    volatility: SupportsFloat,
    years: SupportsFloat,
    paths: SupportsIndex,
    block: SupportsIndex,
    seed: SupportsIndex,
    out: Buffer,
    start: SupportsIndex = 0,
    stop: SupportsIndex | None = None,
    *,
    take: Counter | None = None,
) -> int: ...
def montecarlo_nogil(
    spot: SupportsFloat,
    strike: SupportsFloat,
    rate: SupportsFloat,
    volatility: SupportsFloat,
    years: SupportsFloat,
    paths: SupportsIndex,
    block: SupportsIndex,
    seed: SupportsIndex,
    out: Buffer,
    start: SupportsIndex = 0,
    stop: SupportsIndex | None = None,
    *,
    take: Counter | None = None,
) -> int: ...
def histogram_gil(
    data: Buffer,
    block: SupportsIndex,
    out: Buffer,
    start: SupportsIndex = 0,
    stop: SupportsIndex | None = None,
    *,
    take: Counter | None = None,
) -> int: ...
def histogram_nogil(
    data: Buffer,
    block: SupportsIndex,
    out: Buffer,
    start: SupportsIndex = 0,
    stop: SupportsIndex | None = None,
    *,
    take: Counter | None = None,
) -> int: ...
def triad_gil(
    b: Buffer,
    c: Buffer,
    scalar: SupportsFloat,
    out: Buffer,
    start: SupportsIndex = 0,
    stop: SupportsIndex | None = None,
    *,
    take: Counter | None = None,
) -> int: ...
def triad_nogil(
    b: Buffer,
    c: Buffer,
    scalar: SupportsFloat,
    out: Buffer,
    start: SupportsIndex = 0,
    stop: SupportsIndex | None = None,
    *,
    take: Counter | None = None,
) -> int: ...
def heat_gil(
    u: Buffer,
    rate: SupportsFloat,
    out: Buffer,
    start: SupportsIndex = 0,
    stop: SupportsIndex | None = None,
    *,
    take: Counter | None = None,
) -> int: ...
def heat_nogil(
    u: Buffer,
    rate: SupportsFloat,
    out: Buffer,
    start: SupportsIndex = 0,
    stop: SupportsIndex | None = None,
    *,
    take: Counter | None = None,
) -> int: ...
def levenshtein_gil(
    a: Buffer,
    a_offsets: Buffer,
    b: Buffer,
    b_offsets: Buffer,
    out: Buffer,
    start: SupportsIndex = 0,
    stop: SupportsIndex | None = None,
    *,
    take: Counter | None = None,
) -> int: ...
def levenshtein_nogil(
    a: Buffer,
    a_offsets: Buffer,
    b: Buffer,
    b_offsets: Buffer,
    out: Buffer,
    start: SupportsIndex = 0,
    stop: SupportsIndex | None = None,
    *,
    take: Counter | None = None,
) -> int: ...
def spin(
    hold_ns: SupportsIndex,
    release_ns: SupportsIndex,
    total_ns: SupportsIndex,
    *,
    rhythm: Literal["fixed", "exponential"] = "fixed",
    released: Literal["spin", "sleep"] = "spin",
    seed: SupportsIndex = 0,
) -> SpinResult: ...
def rendezvous_gil(parties: SupportsIndex, timeout_ns: SupportsIndex) -> int: ...
def rendezvous_nogil(parties: SupportsIndex, timeout_ns: SupportsIndex) -> int: ...
def _instruction_set(name: str | None = None, /) -> str: ...
def _instruction_sets() -> list[str]: ...
def increment_gil(cell: Buffer, times: SupportsIndex) -> int: ...
def increment_nogil(cell: Buffer, times: SupportsIndex) -> int: ...
def increment_atomic(cell: Buffer, times: SupportsIndex) -> int: ...
