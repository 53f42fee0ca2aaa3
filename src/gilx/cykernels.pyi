from typing import SupportsIndex

from typing_extensions import Buffer

from gilx.ckernels import Counter

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
