"""Write what follows from the kernels' descriptions in src/gilx/kernels/.

    python3 csrc/generate.py FOLDER

* FOLDER/kernel_list.h: names, signatures and docstrings, for the C code
* FOLDER/unprintable.h: characters that are not printable by this Python's str.isprintable
* src/gilx/kernel_functions.pxi: functions of gilx.cykernels, around their computations
* src/gilx/cykernels.pyi: the stub of these functions, which gilx.ckernels has as well
"""

from __future__ import annotations

import json
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parents[1] / "src"))

from gilx.kernels import get, names
from gilx.kernels.parameters import Buffer, Integer, Offsets, Output, Real

if TYPE_CHECKING:
    from gilx.kernels import Kernel

SOURCE = Path(__file__).parents[1] / "src"
KEEPS = "Keeps the GIL for the whole call (on a free-threaded build: stays attached)."
RELEASES = """\
Releases the GIL around the whole computation (on a free-threaded build:
detaches)."""
DOCSTRING = """\
{kernel.summary}.

{keeps}

Arrays are C-contiguous buffers: NumPy arrays, array.array, memoryview.

Parameters
----------
{parameters}start, stop : int
    The items to compute; an item is a {kernel.item}, stop defaults to all of them.
    Only out[start:stop] is written.
take : Counter, optional
    Claim grains from this counter, shared with other calls, until none is
    left, instead of computing all of start to stop.

Returns
-------
int
    Items computed; fewer than asked for only if `take` was cancelled.

Raises
------
TypeError, ValueError, BufferError, IndexError
    An argument is not as described; the message names it. Nothing is written.
MemoryError
    Scratch space was refused. The output is unspecified.
KeyboardInterrupt
    Ctrl-C in a call on the main thread (any exception of a signal handler);
    calls on other threads can't be interrupted. The output is unspecified.

Notes
-----
{source}"""
SIGNATURE_LINE = """\
{name}($module, {given}, start=0, stop=None, *, take=None)
--

"""
FUNCTION = """
def {name}({given}, start=0, stop=None, *, take=None):
    {docstring}
    cdef Call call = Call({index}, {released}, ({given}, start, stop, take))
    cdef gilx_argument *arguments = call.call.arguments
    cdef gilx_share *share = &call.call.share
    cdef gilx_control *control = &call.call.interrupt.control
    cdef int status
    {views}
    {block}:
        status = {kernel.name}_items({values}, share, control)
    return call.end(status)
"""
STUB_IMPORTS = """\
from typing import SupportsFloat, SupportsIndex

from typing_extensions import Buffer

from gilx.ckernels import Counter
"""
STUB = """
def {name}(
    {hints},
    start: SupportsIndex = 0,
    stop: SupportsIndex | None = None,
    *,
    take: Counter | None = None,
) -> int: ...
"""


def docstring(kernel: Kernel, keeps: str) -> str:
    """Return the docstring of a function."""
    text = ""
    for parameter in kernel.parameters:
        match parameter:
            case Integer(_, least, greatest):
                kind = f"int, {least} to {greatest}"
            case Real():
                kind = "float"
            case _:
                kind = f"{parameter.type} array, shape ({parameter.shape})"
        text += f"{parameter.name} : {kind}\n    {parameter.text}"
        text += (
            f", as offsets into {parameter.cuts}.\n"
            if isinstance(parameter, Offsets)
            else ".\n"
        )
    source = textwrap.fill(kernel.source, 80)
    return DOCSTRING.format(kernel=kernel, keeps=keeps, parameters=text, source=source)


def signature(kernel: Kernel) -> str:
    """Return the initializer of a gilx_signature."""
    # An integer parameter is the size of its own index; named sizes come after.
    sizes = [parameter.name for parameter in kernel.parameters]

    def axis(text: str) -> str:
        size, _, more = ("", "", text) if text.isdigit() else text.partition("+")
        parts = [
            part for part in size.removeprefix("ceil(").rstrip(")").split("/") if part
        ]
        sizes.extend(part for part in parts if part not in sizes)
        whole, part = [*map(sizes.index, parts), -1, -1][:2]
        return f"{{{whole}, {part}, {more or 0}}}"

    rows = ""
    for parameter in kernel.parameters:
        kind = type(parameter).__name__.upper()
        rows += f'{{.name = "{parameter.name}", .kind = GILX_{kind}, '
        match parameter:
            case Integer(_, least, greatest):
                rows += f".least = {least}, .greatest = {greatest}"
            case Buffer() | Offsets() | Output():
                axes = [axis(text) for text in parameter.shape.split(", ")]
                rows += f'.type = GILX_{parameter.type}, .shape = "{parameter.shape}", '
                rows += f".dimensions = {len(axes)}, .axes = {{{', '.join(axes)}}}"
        rows += "}, "
    head = f'.name = "{kernel.name}", .item = "{kernel.item}"'
    return f"{{{head}, .count = {len(kernel.parameters)}, .parameters = {{{rows}}}}}, "


def function(kernel: Kernel, variant: str) -> tuple[str, str, str]:
    """Return a function's docstring for C, the function in Cython, and its stub."""
    values, views, hints = [], [], []
    for i, parameter in enumerate(kernel.parameters):
        match parameter:
            case Integer():
                hint, value = "SupportsIndex", f"arguments[{i}].integer"
            case Real():
                hint, value = "SupportsFloat", f"arguments[{i}].real"
            case _:
                hint, value = "Buffer", f"{parameter.name}_view"
                const = "" if isinstance(parameter, Output) else "const "
                item = "double" if parameter.type == "float64" else f"{parameter.type}_t"
                axes = ":, " * parameter.shape.count(",") + "::1"
                views.append(f"cdef {const}{item}[{axes}] {value} = call.array({i})")
        values.append(value)
        hints.append(f"{parameter.name}: {hint}")
    keeps, block = (KEEPS, "if True") if variant == "gil" else (RELEASES, "with nogil")
    text = docstring(kernel, keeps)
    words = {
        "kernel": kernel,
        "index": names().index(kernel.name),
        "name": f"{kernel.name}_{variant}",
        "given": ", ".join(parameter.name for parameter in kernel.parameters),
        "docstring": json.dumps(text),
        "released": variant == "nogil",
        "views": "\n    ".join(views),
        "block": block,
        "values": ", ".join(values),
        "hints": ",\n    ".join(hints),
    }
    literal = json.dumps(SIGNATURE_LINE.format(**words) + text)
    return (
        f"#define GILX_DOC_{words['name']} {literal}\n",
        FUNCTION.format(**words),
        STUB.format(**words),
    )


def unprintable() -> str:
    """Return ranges of characters as C."""
    ranges: list[list[int]] = []
    for character in range(sys.maxunicode + 1):
        if not chr(character).isprintable():
            if ranges and ranges[-1][1] == character - 1:
                ranges[-1][1] = character
            else:
                ranges.append([character, character])
    rows = ", ".join(f"{{{first:#x}, {last:#x}}}" for first, last in ranges)
    return f"#define GILX_UNPRINTABLE {{{rows}}}\n"


def main(folder: Path) -> None:
    """Write the files whose text has changed."""
    kernels = [get(name) for name in names()]
    functions = [
        function(each, variant) for each in kernels for variant in ("gil", "nogil")
    ]
    docstrings, in_cython, stubs = map("".join, zip(*functions, strict=True))
    c = f"#define GILX_KERNELS(X) {' '.join(f'X({name})' for name in names())}\n"
    c += f"#define GILX_SIGNATURES {''.join(map(signature, kernels))}\n"
    bodies = "".join(f'include "kernels/{name}.pxi"\n' for name in names())
    folder.mkdir(parents=True, exist_ok=True)
    for path, text in [
        (folder / "kernel_list.h", c + docstrings),
        (folder / "unprintable.h", unprintable()),
        (SOURCE / "gilx/kernel_functions.pxi", bodies + in_cython),
        (SOURCE / "gilx/cykernels.pyi", STUB_IMPORTS + stubs),
    ]:
        if not path.exists() or path.read_text("utf-8") != text:
            path.write_text(text, "utf-8")


main(Path(sys.argv[1]))
