"""The extension modules; everything else about the package is in pyproject.toml.

``GILX_PURE=1``, an environment variable, leaves them all out: the wheel is then one for
every system (``py3-none-any``), and neither a compiler nor Cython is needed.

Three others are for those who work on gilx itself:

* ``GILX_SANITIZE=address,undefined``: build with these sanitizers (gcc, clang);
* ``GILX_WERROR=1``: treat compiler warnings in gilx's own C as errors;
* ``GILX_COVERAGE=1``: count how often each line of C and Cython runs, for gcov.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

PURE = os.environ.get("GILX_PURE", "") == "1"
SANITIZE = os.environ.get("GILX_SANITIZE", "")
COVERAGE = os.environ.get("GILX_COVERAGE", "") == "1"
WERROR = os.environ.get("GILX_WERROR", "") == "1"

# Needed by both modules: the checks of calls, and the tables that these follow from.
BINDINGS = [
    "csrc/python/buffers.c",
    "csrc/python/kernel_call.c",
    "csrc/python/integer_argument.c",
    "csrc/python/signals.c",
    "csrc/python/real_argument.c",
    "csrc/python/signatures.c",
    "csrc/platform/forks.c",
]
# What follows from the kernels' descriptions, and which characters are printable.
GENERATED = "build/generated"
subprocess.run([sys.executable, "csrc/generate.py", GENERATED], check=True)  # noqa: S603
HEADERS = sorted(
    str(path) for folder in ("csrc", GENERATED) for path in Path(folder).rglob("*.h")
)


def flags() -> tuple[list[str], list[str]]:
    """Return the options for the compiler and for the linker."""
    # No fused multiply-add, so that every variant gives the same bits. Errors of math
    # functions are never looked at, which lets them be vectorised.
    compile_args = [
        "-std=c11",
        "-O3",
        "-ffp-contract=off",
        "-fno-math-errno",
        "-fno-trapping-math",
    ]
    if sys.platform == "win32":
        return [f"/clang:{option}" for option in compile_args], ["synchronization.lib"]
    link_args = ["-pthread", "-lm"]
    if SANITIZE:
        sanitize = [f"-fsanitize={SANITIZE}", "-fno-sanitize-recover=all"]
        compile_args += ["-g", "-O1", "-fno-omit-frame-pointer", *sanitize]
        link_args += sanitize
    elif COVERAGE:
        compile_args += ["-g", "-O1", "--coverage", "-fprofile-update=atomic"]
        link_args += ["--coverage"]
    else:
        compile_args += ["-g0"]
        if sys.platform == "linux":
            link_args += ["-Wl,--strip-debug"]
    return compile_args, link_args


COMPILE, LINK = flags()


class ClangBuild(build_ext):
    """Build with clang where setuptools would take a compiler without vector types."""

    def build_extensions(self) -> None:
        """Build all, on Windows by clang's stand-in for Microsoft's compiler."""
        if sys.platform == "win32":
            clang = shutil.which("clang-cl")
            if clang is None:
                raise SystemExit(
                    "gilx is built by clang-cl on Windows: none is on PATH; GILX_PURE=1"
                    " leaves out what is compiled"
                )
            self.compiler.initialize()
            self.compiler.cc = clang
        super().build_extensions()


# Code that Cython generates is not ours to keep free of warnings.
WARN = [] if sys.platform == "win32" else ["-Wall", "-Wextra", "-Wconversion"]
if WERROR:
    WARN += ["-Werror"]


def extensions() -> list[Extension]:
    """Return the modules to compile."""
    from Cython.Build import cythonize  # noqa: PLC0415 - not needed for a pure wheel

    modules = [
        Extension(
            "gilx.ckernels",
            sources=[
                "csrc/python/ckernels_module.c",
                "csrc/python/counter_type.c",
                "csrc/python/increment_functions.c",
                "csrc/python/instruction_set.c",
                "csrc/python/spin_functions.c",
                "csrc/python/test_functions.c",
                "csrc/python/team_type.c",
                *BINDINGS,
                *sorted(str(path) for path in Path("csrc/kernels").glob("*.c")),
                *sorted(str(path) for path in Path("csrc/team").glob("*.c")),
            ],
            depends=HEADERS,
            include_dirs=[GENERATED],
            extra_compile_args=COMPILE + WARN,
            extra_link_args=LINK,
        ),
        Extension(
            "gilx.cykernels",
            sources=["src/gilx/cykernels.pyx", *BINDINGS],
            depends=[*HEADERS, *sorted(str(p) for p in Path("src").rglob("*.pxi"))],
            include_dirs=["csrc/python", GENERATED],
            extra_compile_args=COMPILE,
            extra_link_args=LINK,
        ),
    ]
    if sys.platform == "linux":
        # The watch reads the GIL's state in ways that were tried on Linux only.
        modules.append(
            Extension(
                "gilx.sampling._sampler",
                sources=[
                    "csrc/python/sampler_module.c",
                    "csrc/python/event_loops.c",
                    "csrc/python/free_thread_objects.c",
                    "csrc/python/integer_argument.c",
                    "csrc/python/monitor_objects.c",
                    "csrc/python/own_interpreter.c",
                    "csrc/python/process_objects.c",
                    "csrc/python/real_argument.c",
                    "csrc/python/stack_objects.c",
                    "csrc/python/thread_objects.c",
                    *sorted(str(path) for path in Path("csrc/sampler").glob("*.c")),
                ],
                depends=HEADERS,
                include_dirs=[GENERATED],
                extra_compile_args=COMPILE + WARN,
                extra_link_args=LINK,
            )
        )
    compiled: list[Extension] = cythonize(  # type: ignore[no-untyped-call] # untyped
        modules,
        build_dir="build",
        emit_linenums=COVERAGE,  # so that counts are of lines of Cython
        force=COVERAGE,  # what was made without them would do, to its eyes
    )
    return compiled


setup(
    ext_modules=[] if PURE else extensions(),
    cmdclass={"build_ext": ClangBuild},
)
