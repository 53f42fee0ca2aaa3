"""Memory that workers share: arrays, handles that are sent in their place, counters."""

from __future__ import annotations

import os
from dataclasses import dataclass
from io import FileIO
from mmap import mmap
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gilx.kernels.kernel import Array

# Item types that a memoryview can have. It saves workers from loading NumPy, which takes
# longer than the rest of their start, except for reference implementations.
_PLAIN = "Bilqd"

_CLOSE_ON_EXEC = 1  # MFD_CLOEXEC, see memfd_create(2)


@dataclass(frozen=True)
class Handle:
    """Location of an array, sent in place of the array."""

    segment: int
    """Number that the pool gave the piece of shared memory."""
    offset: int
    size: int
    """Bytes."""
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    type: str
    """NumPy's name of the item type and byte order."""
    code: str | None
    """The struct module's item code; None if only NumPy can describe the array."""
    writable: bool

    def open(self, memory: mmap, *, as_array: bool) -> Any:  # noqa: ANN401 - either kind
        """Return the array, or a memoryview of it if that is enough."""
        if as_array or self.code is None:
            import numpy as np  # noqa: PLC0415 - see _PLAIN

            array = np.ndarray(
                self.shape, np.dtype(self.type), memory, self.offset, self.strides
            )
            array.flags.writeable = self.writable
            return array
        view = memoryview(memory)[self.offset : self.offset + self.size]
        if not self.writable:
            view = view.toreadonly()
        return view.cast(self.code, self.shape)  # type: ignore[call-overload] # any code


def anonymous_file(size: int) -> FileIO:
    """Return a new file of zeros, in memory, that has no name.

    The file vanishes with the last process that has it open or mapped, however that ends;
    a named segment of `multiprocessing.shared_memory` does not. Nor is the file limited
    by the size of /dev/shm, which containers keep small.

    Raises
    ------
    MemoryError
        There is not that much memory to share.

    """
    if create := getattr(os, "memfd_create", None):
        file = _opened(create)
    else:
        file = _opened_by_c_library()
    try:
        # Allocate all of it now: a page that the system can't find later kills the
        # process that touches it.
        os.posix_fallocate(file.fileno(), 0, max(1, size))
    except OSError as error:
        file.close()
        raise MemoryError(f"no {size} bytes of memory to share: {error}") from error
    except BaseException:
        file.close()
        raise
    return file


def _opened(create: Callable[[bytes, int], int]) -> FileIO:
    # In one step of C code, so that no Ctrl-C comes while there is only a descriptor.
    return next(map(FileIO, map(create, (b"gilx",), (_CLOSE_ON_EXEC,)), ("r+",)))


def _opened_by_c_library() -> FileIO:
    """Return a file in memory from a CPython that was built without `os.memfd_create`.

    Builds that run with old C libraries lack it, among them python-build-standalone's,
    which uv installs.
    """
    import ctypes  # noqa: PLC0415 - most builds do without

    try:
        return _opened(ctypes.CDLL(None, use_errno=True).memfd_create)
    except ValueError:  # it returned -1
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error)) from None


def counter_slots(descriptor: int, workers: int) -> list[memoryview]:
    """Return memory for each worker's counter, the same wherever the file is mapped.

    The descriptor may be -1, for memory that only this process sees.
    """
    from gilx.ckernels import Counter  # noqa: PLC0415 - not in every installation

    memory = memoryview(mmap(descriptor, workers * Counter.MEMORY_SIZE))
    return [
        memory[worker * Counter.MEMORY_SIZE :][: Counter.MEMORY_SIZE]
        for worker in range(workers)
    ]


def copy_into(memory: mmap, array: Array) -> Array:
    """Return a C-contiguous copy of an array, in memory that the copy keeps alive."""
    import numpy as np  # noqa: PLC0415 - loaded with the array

    copy = np.ndarray(array.shape, array.dtype, memory)
    copy[...] = array
    return copy


def find(array: Array, segments: Mapping[int, mmap]) -> Handle | None:
    """Return the handle of an array that lies in one of these segments, else None."""
    import numpy as np  # noqa: PLC0415 - loaded with the array

    low, high = np.lib.array_utils.byte_bounds(array)
    for number, memory in list(segments.items()):
        begin, end = np.lib.array_utils.byte_bounds(np.frombuffer(memory, np.uint8))
        if begin <= low and high <= end:
            plain = (
                array.dtype.char in _PLAIN
                and array.dtype.isnative
                and array.flags.c_contiguous
                and array.ndim > 0
                and array.size > 0
            )
            return Handle(
                segment=number,
                offset=array.__array_interface__["data"][0] - begin,
                size=array.nbytes,
                shape=array.shape,
                strides=array.strides,
                type=array.dtype.str,
                code=array.dtype.char if plain else None,
                writable=bool(array.flags.writeable),
            )
    return None
