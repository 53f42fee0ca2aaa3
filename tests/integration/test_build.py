"""Building and loading of the modules."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

import gilx
from tests.command import run_program, run_python
from tests.markers import needs_gcc, needs_linux

CSRC = Path(__file__).parents[2] / "csrc"
WITHOUT_PYTHON = [
    *sorted(CSRC.glob("kernels/*.c")),
    *sorted(CSRC.glob("sampler/*.c")),
]


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of generated headers."""
    folder = tmp_path_factory.mktemp("generated")
    run_python(CSRC / "generate.py", folder, check=True)
    return folder


@needs_gcc
@pytest.mark.any_python
@pytest.mark.parametrize("source", WITHOUT_PYTHON, ids=lambda path: path.stem)
def test_kernels_and_sampler_do_not_use_python(
    source: Path, generated: Path, tmp_path: Path
) -> None:
    compiled = tmp_path / "compiled.o"
    words = ("-std=c11", "-O0", "-Wall", "-Wextra", "-Wconversion", "-Werror", "-c")
    run_program("gcc", *words, f"-I{generated}", source, "-o", compiled, check=True)
    names = run_program("nm", compiled, check=True).stdout.split()
    assert any(name.startswith("gilx_") for name in names)
    assert not [name for name in names if name.lstrip("_").startswith("Py")]


@needs_gcc
@needs_linux
def test_sampler_does_not_walk_thread_states_with_the_api() -> None:
    """CPython walks that list with a lock, which native threads take to register."""
    spec = importlib.util.find_spec("gilx.sampling._sampler")
    assert spec is not None
    done = run_program("nm", "-D", "--undefined-only", spec.origin or "", check=True)
    used = {name for name in done.stdout.split() if name.startswith("Py")}
    assert "PyModuleDef_Init" in used
    assert not used & {"PyInterpreterState_ThreadHead", "PyThreadState_Next"}


def test_every_kernel_has_a_source_file() -> None:
    sources = {path.stem for path in CSRC.glob("kernels/*.c")}
    assert sources - {"instruction_sets"} == set(gilx.kernels.names())


def test_importing_gilx_loads_nothing_heavy() -> None:
    done = run_python(
        "-c",
        "import sys, gilx; print(sorted(m for m in sys.modules"
        " if m.partition('.')[0] in ('numpy', 'concurrent', 'argparse', 'threading', 'typing')"
        " or m.startswith('gilx.')))",
    )
    assert done.stdout.strip() == "[]", done.stderr


def test_every_public_name_can_be_had() -> None:
    for name in vars(gilx)["__all__"]:
        assert getattr(gilx, name) is not None
        assert name in dir(gilx)
    with pytest.raises(AttributeError, match="no attribute 'nope'"):
        gilx.nope  # type: ignore[attr-defined] # noqa: B018


IN_A_SUBINTERPRETER = """
import sys
import gilx.{module}
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
if sys.version_info >= (3, 13):
    new = interpreters.create("isolated")
else:
    new = interpreters.create(isolated=True)
code = '''
import sys
sys.path[:] = {path!r}
{code}
'''
if sys.version_info >= (3, 13):
    failed = interpreters.exec(new, code)
    print("FAILED " + failed.formatted if failed else "fine")
else:
    try:
        interpreters.run_string(new, code)
        print("fine")
    except interpreters.RunFailedError as error:
        print("FAILED", error)
"""

needs_own_gil = pytest.mark.skipif(
    sys.version_info < (3, 12), reason="sub-interpreters share the GIL before 3.12"
)


@needs_own_gil
def test_ckernels_works_in_a_subinterpreter() -> None:
    code = (
        "from gilx.ckernels import histogram_nogil, Counter\n"
        "out = memoryview(bytearray(2048)).cast('B').cast('q', (1, 256))\n"
        "assert histogram_nogil(b'aab', 3, out, take=Counter(0, 1)) == 1\n"
        "assert out[0, 97] == 2"
    )
    done = run_python(
        "-c", IN_A_SUBINTERPRETER.format(module="ckernels", path=sys.path, code=code)
    )
    assert done.stdout.strip() == "fine", done.stdout + done.stderr


@needs_own_gil
def test_cykernels_refuses_a_subinterpreter() -> None:
    done = run_python(
        "-c",
        IN_A_SUBINTERPRETER.format(
            module="ckernels", path=sys.path, code="import gilx.cykernels"
        ),
    )
    assert done.stdout.startswith("FAILED"), done.stdout + done.stderr
    assert "ImportError" in done.stdout
    assert "does not support loading in subinterpreters" in done.stdout


@pytest.mark.skipif(
    not hasattr(sys, "_is_gil_enabled"), reason="needs Python 3.13 or newer"
)
def test_the_gil_stays_as_it_was() -> None:
    done = run_python(
        "-c",
        "import sys; before = sys._is_gil_enabled();"
        "import gilx.ckernels, gilx.cykernels;"
        "import gilx.sampling.watch, gilx.sampling._sampler;"
        "print(before == sys._is_gil_enabled())",
    )
    assert done.stdout.strip() == "True", done.stderr


def test_both_modules_are_compiled() -> None:
    for name in ("gilx.ckernels", "gilx.cykernels"):
        spec = importlib.util.find_spec(name)
        assert spec is not None
        assert (spec.origin or "").endswith((".so", ".pyd"))
