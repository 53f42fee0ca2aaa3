"""Checks of gilx: ``nox -s NAME`` runs one, ``nox --list`` names them all.

Tests run on an installed wheel, apart from the source tree. Words after ``--`` replace
the files that a session gives to pytest: ``nox -s tests-3.12 -- tests/unit -k scaling``.
If an interpreter or a tool is missing, the session says so and skips what needs it.
"""

from __future__ import annotations

import platform
import re
import shutil
import sys
import sysconfig
import tarfile
import tempfile
from pathlib import Path

import nox

nox.needs_version = ">=2026.10"  # -j runs sessions side by side
nox.options.default_venv_backend = "uv"
nox.options.allow_parallel = True
nox.options.download_python = "never"
nox.options.error_on_missing_interpreters = False
nox.options.sessions = ["tests-3.11", "lint"]

ROOT = Path(__file__).parent
DIST = ROOT / ".nox" / "dist"
PYTHONS = ["3.11", "3.12", "3.13", "3.14", "3.15", "3.14t"]

# The same minor version as that which runs nox, and often another micro release.
SYSTEM_PYTHON = "/usr/bin/python{}.{}".format(*sys.version_info)

UNIT = ["tests/unit"]
INTEGRATION = ["tests/integration"]
EVERYTHING: list[str] = []  # pytest takes the folders that pyproject.toml names

# Only `idle` runs tests that need an idle machine. Sessions that repeat tests leave out
# those with the mark `any_python`, which find the same on every version, and `slow` ones.
ALL = "not idle_machine"
REPEATED = f"{ALL} and not any_python and not slow"
FEATURES = "tests/integration/features"
WITHOUT_COMPILED_PARTS = "tests/integration/test_without_compiled_parts.py"
# Features that need other packages.
NEIGHBOURS = [
    f"{FEATURES}/test_{name}.py"
    for name in (
        "bindings",
        "demo",
        "notebook",
        "output",
        "pools",
        "pytest_plugin",
        "team",
    )
]


# Helpers


def only(pattern: str) -> Path:
    """Return the file of that name that the session `build` made."""
    (path,) = DIST.glob(pattern)
    return path


def empty_folder(session: nox.Session, name: str) -> Path:
    """Return the path of a folder of this session's that is not there yet."""
    path = (session.cache_dir / session.name / name).resolve()
    shutil.rmtree(path, ignore_errors=True)
    return path


def unpack(session: nox.Session) -> Path:
    """Unpack the source archive for this session and return its folder."""
    parent = empty_folder(session, "source")
    with tarfile.open(only("*.tar.gz")) as archive:
        archive.extractall(parent, filter="data")
    (folder,) = parent.iterdir()
    return folder


def build_wheel(session: nox.Session, *options: str, **env: str) -> Path:
    """Build a wheel of the source archive for this session's Python; return its path."""
    folder = empty_folder(session, "wheel")
    source = str(only("*.tar.gz"))
    session.run(
        "uv", "build", "-q", "--wheel", *options, "-o", str(folder), source, env=env
    )
    (path,) = folder.glob("*.whl")
    return path


def run_pytest(
    session: nox.Session,
    files: list[str],
    marks: str,
    *options: str,
    launcher: str = "",
    **env: str,
) -> None:
    """Run tests apart from gilx's sources, so that they meet the installed wheel."""
    folder = unpack(session)
    shutil.rmtree(folder / "src")
    command = [*launcher.split(), "python", "-m", "pytest", "-q", "-m", marks, *options]
    with session.chdir(folder):
        # CI makes Hypothesis try the same examples in each run.
        env = {"CI": "true", **env}
        session.run(
            *command, *(session.posargs or files), env=env, external=bool(launcher)
        )


def run_in_threads(session: nox.Session) -> None:
    """Run tests of what programs call from several threads in four threads at once."""
    session.install("pytest-run-parallel")
    marks = f"{REPEATED} and concurrent_callers"
    options = ["--parallel-threads=4", "--skip-thread-unsafe=True"]
    run_pytest(session, EVERYTHING, marks, *options)


def use_without_compiler(session: nox.Session, *chapters: str) -> None:
    """Do what a user of a wheel does first, with no compiler on PATH."""
    path = {"PATH": session.bin}
    # There is nothing to watch without a GIL. Status 3 is that the machine is too busy.
    if not str(session.python).endswith("t"):
        session.run("gilx", "selftest", "--seconds=0.3", env=path, success_codes=[0, 3])
    session.run("gilx", "demo", "--quick", *chapters, env=path, silent=True)
    session.run("gilx", "--version", env=path)


def is_missing(session: nox.Session, tool: str, consequence: str) -> bool:
    """Say what is not checked if a tool is not on PATH."""
    missing = shutil.which(tool) is None
    if missing:
        session.warn(f"no {tool} here: {consequence}")
    return missing


def ask(session: nox.Session, *command: str) -> str:
    """Return what a program from outside the session's environment prints."""
    return str(session.run(*command, external=True, silent=True, log=False)).strip()


def c_tests(
    session: nox.Session,
    name: str,
    flags: str,
    *options: str,
    launcher: str = "",
    targets: tuple[str, ...] = ("all",),
) -> set[str]:
    """Build and run the tests of the C code; return digests of all kernels' results."""
    folder = empty_folder(session, name)
    options = (f"-DCMAKE_C_FLAGS={flags}", *options)
    if launcher:
        options += (f"-DCMAKE_TEST_LAUNCHER={launcher.replace(' ', ';')}",)
    session.run(
        "cmake",
        "-G",
        "Ninja",
        "-S",
        "csrc/tests",
        "-B",
        str(folder),
        *options,
        silent=True,
    )
    session.run("cmake", "--build", str(folder), "--target", *targets, silent=True)
    if launcher and is_missing(
        session, launcher.partition(" ")[0], f"{name} was built and not run"
    ):
        return set()
    drivers = [name for name in targets if name.endswith("_driver")]
    if "all" not in targets and not drivers:
        return set()
    # CMakeLists.txt says which tests may run side by side.
    words = ["ctest", "--test-dir", str(folder), "--output-on-failure", "-j", "2"]
    if drivers:
        words += ["-R", f"^({'|'.join(drivers)})$"]
    session.run(*words)
    log = (folder / "Testing/Temporary/LastTest.log").read_text("utf-8")
    digests = set(re.findall(r"^kernels: fine, ([0-9a-f]+) ", log, re.MULTILINE))
    session.log(f"{name}: digest of all kernels' results {', '.join(digests)}")
    return digests


def python_headers(session: nox.Session) -> Path:
    """Copy the headers of the Python that runs nox, without any of the C library's."""
    headers = Path(sysconfig.get_path("include"))
    copy = empty_folder(session, "headers")
    shutil.copytree(headers, copy)
    # Debian's pyconfig.h includes another, from a folder that has glibc's headers, too.
    own = headers.parent / str(sysconfig.get_config_var("MULTIARCH")) / headers.name
    if own.is_dir():
        shutil.copy(own / "pyconfig.h", copy)
    return copy


# The package


def check_names_of_wheels(session: nox.Session) -> None:
    """Compare the wheels that a release builds with the classifiers in pyproject.toml."""
    workflow = (ROOT / ".github/workflows/release.yml").read_text("utf-8")
    versions = set(re.findall(r"cibuildwheel@[0-9a-f]+ # v([\d.]+)\n", workflow))
    if len(versions) != 1:
        session.error(f"expected one version of cibuildwheel, got {sorted(versions)}")
    session.install(f"cibuildwheel=={versions.pop()}")
    project = nox.project.load_toml("pyproject.toml")["project"]
    classifiers = "\n".join(project["classifiers"])
    minors = re.findall(
        r"^Programming .* :: Python :: 3\.(\d+)$", classifiers, re.MULTILINE
    )
    # CPython supports free-threaded builds from 3.14 on.
    pythons = [*minors, *(f"{minor}t" for minor in minors if int(minor) >= 14)]
    for system, kinds in (
        (
            "linux",
            "manylinux_x86_64 manylinux_aarch64 musllinux_x86_64 musllinux_aarch64",
        ),
        ("macos", "macosx_x86_64 macosx_arm64"),
        ("windows", "win_amd64"),
    ):
        program = f"{session.bin}/cibuildwheel"
        names = ask(session, program, "--print-build-identifiers", "--platform", system)
        expected = {f"cp3{python}-{kind}" for python in pythons for kind in kinds.split()}
        if wrong := expected ^ set(names.split()):
            session.error(f"wheels missing or unexpected on {system}: {sorted(wrong)}")
        session.log(f"{len(expected)} wheels on {system}: {' '.join(sorted(expected))}")


@nox.session
def build(session: nox.Session) -> None:
    """Build the source archive, and a wheel from it, for the sessions that follow."""
    shutil.rmtree(DIST, ignore_errors=True)
    session.run("uv", "build", "-q", "-o", str(DIST))


@nox.session(requires=["build"])
def distributions(session: nox.Session) -> None:
    """Check names, contents, size and libraries of what is published."""
    session.install("-r", "pyproject.toml", "--extra", "lint")
    check_names_of_wheels(session)
    session.run("twine", "check", "--strict", *map(str, DIST.glob("gilx-*")))
    session.run("check-wheel-contents", str(only("*.whl")))
    folder = empty_folder(session, "wheel")
    session.run(
        "auditwheel", "repair", "--plat", "auto", "-w", str(folder), str(only("*.whl"))
    )
    (wheel,) = folder.iterdir()
    session.run("auditwheel", "show", str(wheel))
    if wheel.stat().st_size > 2**20:
        session.error(f"{wheel.name} is larger than 1 MiB")
    session.install("--only-binary=:all:", str(wheel))
    # The three modules, and no library of anyone else's.
    modules = [
        path
        for path in Path(session.virtualenv.location).rglob("*.so*")
        if path.relative_to(session.virtualenv.location).parts[3].startswith("gilx")
    ]
    if len(modules) != 3:
        session.error(f"expected three modules, got {modules}")
    for module in modules:
        if ".debug_" in ask(session, "readelf", "-S", str(module)):
            session.error(f"{module} has debug information")
    use_without_compiler(session)
    check_pure_wheel(session, wheel)


def check_pure_wheel(session: nox.Session, compiled: Path) -> None:
    """Build the wheel for systems without compiled parts, and test what it installs."""
    session.install("pip", "setuptools>=77.0.3")
    # Neither a compiler nor Cython is needed.
    session.run("uv", "pip", "uninstall", "-q", "Cython")
    folder = empty_folder(session, "wheels")
    session.run(
        "python", "-m", "build", "-q", "--wheel", "--no-isolation", "-x",
        "-o", str(folder), str(unpack(session)),
        env={"GILX_PURE": "1", "PATH": session.bin},
    )  # fmt: skip
    (pure,) = folder.glob("gilx-*-py3-none-any.whl")
    session.run("twine", "check", "--strict", str(pure))
    session.run("check-wheel-contents", str(pure))
    shutil.copy(compiled, folder)
    for expected, options in [
        (compiled, []),
        (pure, ["--platform=macosx_14_0_arm64"]),
        (pure, ["--platform=win_amd64"]),
        (pure, ["--python-version=3.99"]),
    ]:
        chosen = empty_folder(session, "chosen")
        session.run(
            "pip", "download", "-q", "--no-index", "--no-deps", "--only-binary=:all:",
            "-f", str(folder), "-d", str(chosen), *options, "gilx",
        )  # fmt: skip
        if [path.name for path in chosen.iterdir()] != [expected.name]:
            session.error(f"expected {expected.name} for {options}")
    session.run("uv", "pip", "uninstall", "-q", "gilx")
    session.install("--only-binary=:all:", f"{pure}[test]")
    run_pytest(session, [WITHOUT_COMPILED_PARTS], ALL)


# Tests on the Pythons that gilx supports


@nox.session(python=PYTHONS, requires=["build"])
def tests(session: nox.Session) -> None:
    """Run the tests on one Python."""
    session.install("--only-binary=:all:", f"{build_wheel(session)}[test]", "pip")
    if session.python == PYTHONS[0]:
        run_pytest(session, EVERYTHING, ALL)
    else:
        # Whole features are tried on the oldest Python and the newest stable one, parts
        # that don't read the interpreter on these and the newest one.
        options = [] if session.python == "3.14" else [f"--ignore={FEATURES}"]
        unit = [] if session.python in {"3.12", "3.13"} else UNIT
        run_pytest(session, [*unit, *INTEGRATION], REPEATED, *options)
    # The session `distributions` shows all chapters.
    use_without_compiler(session, "--chapter=6,7,8")
    if str(session.python).endswith("t"):
        run_in_threads(session)


# A wheel has the GIL's places compiled in, which serve all releases of a minor version.
@nox.session(python=SYSTEM_PYTHON, requires=["build"])
def micro_release(session: nox.Session) -> None:
    """Test the watch of a wheel on another micro release than it was built on."""
    version = ask(
        session, "python", "-c", "import platform as p; print(p.python_version())"
    )
    if version == platform.python_version():
        session.skip(f"it is {version} that the wheel was built on")
    session.install("--only-binary=:all:", f"{only('*.whl')}[test]")
    names = ("watch", "watch_anywhere", "watch_faults", "watch_threads")
    files = [f"tests/integration/test_{name}.py" for name in names]
    run_pytest(session, files, ALL)


@nox.session(python=PYTHONS[0], requires=["build"])
def oldest(session: nox.Session) -> None:
    """Run the unit tests with the oldest versions that pyproject.toml allows."""
    # The unit tests use what gilx uses of NumPy; `pytest_versions` has the oldest pytest,
    # and `one_cpu` and `tests-3.11` run the rest on this Python.
    session.install(
        "--resolution=lowest-direct", "-r", "pyproject.toml", "--extra", "test"
    )
    session.install("--no-deps", str(build_wheel(session, "--no-build-isolation")))
    run_pytest(session, UNIT, REPEATED)


@nox.session(requires=["build"])
def one_cpu(session: nox.Session) -> None:
    """Run the tests on one CPU."""
    session.install(f"{only('*.whl')}[test]", "pip")
    options = [f"--ignore={FEATURES}"]
    run_pytest(session, INTEGRATION, REPEATED, *options, launcher="taskset -c 0")


@nox.session(requires=["build"])
def threads(session: nox.Session) -> None:
    """Run each test in several threads at once, with the GIL."""
    session.install(f"{only('*.whl')}[test]")
    run_in_threads(session)


@nox.session(requires=["build"])
def slow(session: nox.Session) -> None:
    """Run the tests that a plain ``pytest`` leaves out because they take long."""
    session.install(f"{only('*.whl')}[test]", "pip")
    files = [*UNIT, *INTEGRATION, "benchmarks/tests"]
    # `neighbours` runs the first with more packages, `distributions` the last.
    elsewhere = [*NEIGHBOURS, WITHOUT_COMPILED_PARTS]
    rest = [f"--ignore={path}" for path in elsewhere]
    run_pytest(session, files, f"{ALL} and slow", *rest)


@nox.session(requires=["build"], allow_parallel=False)
def idle(session: nox.Session) -> None:
    """Run the tests that want a machine with little else to do."""
    session.install(f"{only('*.whl')}[test]", "pip")
    run_pytest(session, EVERYTHING, "idle_machine")


# Other packages and programs


@nox.session(requires=["build"])
def neighbours(session: nox.Session) -> None:
    """Test what works with packages that are not installed with the rest."""
    session.install(
        f"{only('*.whl')}[test,dask,html,plot,prometheus,top]", "pip", "cffi", "gevent",
        "ipykernel", "loky", "nanobind", "nbclient", "numba", "opentelemetry-sdk",
        "pandas", "pybind11", "pytest-benchmark", "pytest-cov", "pytest-run-parallel",
        "pytest-xdist", "scipy", "threadpoolctl", "uvicorn", "uvloop",
    )  # fmt: skip
    files = ["tests/docs", *NEIGHBOURS]
    run_pytest(session, files, ALL)
    if not session.posargs:
        rest = [f"--ignore={path}" for path in files]
        others = [*UNIT, *INTEGRATION, "benchmarks/tests"]
        run_pytest(session, others, f"{ALL} and needs", *rest)


@nox.session(requires=["build"])
def pytest_versions(session: nox.Session) -> None:
    """Compare runs of old and new versions of pytest with and without gilx installed."""
    session.install("pip")
    session.run("python", "-m", "tests.pytest_versions", str(only("*.whl")))


@nox.session(requires=["build"])
def pages(session: nox.Session) -> None:
    """Open pages in a browser, with the style and the script that are in the wheel."""
    if not shutil.which("google-chrome"):
        is_missing(session, "chromium", "the pages were not opened")
    session.install(f"{only('*.whl')}[test,html]", "playwright")
    files = [
        "tests/unit/test_pages.py",
        "tests/integration/test_page_commands.py",
        "tests/integration/test_pages_in_browser.py",
    ]
    run_pytest(session, files, ALL)


# Sanitizers and compilers


@nox.session(requires=["build"])
def asan(session: nox.Session) -> None:
    """Run the tests of compiled code under AddressSanitizer and UBSan."""
    session.install("cmake", "ninja")
    options = [
        "-DGILX_SANITIZE=address,undefined",
        "-DGILX_PLACEMENTS=1000000",
        "-DGILX_SAMPLES=500",
    ]
    c_tests(session, "c", "-O1 -fno-omit-frame-pointer", *options)
    wheel = build_wheel(session, GILX_WERROR="1", GILX_SANITIZE="address,undefined")
    session.install(f"{wheel}[test]")
    libraries = [
        ask(session, "gcc", f"-print-file-name={name}")
        for name in ("libasan.so", "libubsan.so")
    ]
    run_pytest(
        session,
        [*UNIT, *INTEGRATION],
        REPEATED,
        # They use compiled code as other tests do.
        f"--ignore={FEATURES}",
        "--ignore=tests/integration/probe_program",
        "--ignore=tests/integration/pytest_plugin",
        # Python itself leaks at exit by design, so leaks are not looked for.
        ASAN_OPTIONS="detect_leaks=0:handle_segv=0",
        UBSAN_OPTIONS="print_stacktrace=1",
        LD_PRELOAD=" ".join(libraries),
    )


@nox.session
def references(session: nox.Session) -> None:
    """Count references under a debug build of Python, and find seeded faults."""
    if not any(shutil.which(f"python3.{minor}-dbg") for minor in range(11, 20)):
        session.skip("no debug build of Python here, such as Debian's python3.11-dbg")
    session.install("setuptools>=77.0.3", "Cython>=3.1")
    # The cases read the names of the kernels; nothing compiled is needed for that.
    session.env["PYTHONPATH"] = str(ROOT / "src")
    session.run("python", "-m", "tests.references", *session.posargs)


@nox.session
def tsan(session: nox.Session) -> None:
    """Run the tests of the C code under ThreadSanitizer."""
    session.install("cmake", "ninja")
    # The sanitizer's memory map and Linux's random one may not go together.
    c_tests(session, "tsan", "-O1", "-DGILX_SANITIZE=thread", launcher="setarch -R")


@nox.session
def valgrind(session: nox.Session) -> None:
    """Look for memory errors and leaks in the tests of the C code with valgrind."""
    if shutil.which("valgrind") is None:
        session.skip("no valgrind here")
    session.install("cmake", "ninja")
    known = empty_folder(session, "suppressions")
    known.parent.mkdir(parents=True, exist_ok=True)
    text = (ROOT / "csrc/tests/valgrind.supp").read_text("utf-8")
    most = 256  # as GILX_MOST_RANGES
    known.write_text(
        "".join(text.replace("vector[0]", f"vector[{number}]") for number in range(most)),
        "utf-8",
    )
    launcher = f"valgrind -q --error-exitcode=1 --leak-check=full --suppressions={known}"
    flags = "-O1 -DGILX_SERIALIZED"
    c_tests(session, "valgrind", flags, "-DGILX_SAMPLES=100", launcher=launcher)


@nox.session
def cross(session: nox.Session) -> None:
    """Check that other compilers and processors give the same bits."""
    session.install("cmake", "ninja")
    session.env.update(WINEDEBUG="-all", WINEPREFIX=str(empty_folder(session, "wine")))
    digests = set()
    for name, compiler, flags, system, launcher in [
        ("gcc", "gcc", "", "", ""),
        ("clang", "clang", "", "", ""),
        # The emulator can't follow a fork of a process with threads.
        (
            "aarch64",
            "aarch64-linux-gnu-gcc",
            "-static -DGILX_EMULATED",
            "Linux",
            "qemu-aarch64",
        ),
        ("windows", "x86_64-w64-mingw32-gcc", "-static", "Windows", "wine"),
    ]:
        if is_missing(session, compiler, f"{name} was not tried"):
            continue
        options = [f"-DCMAKE_C_COMPILER={compiler}"]
        if system:
            options.append(f"-DCMAKE_SYSTEM_NAME={system}")
        digests |= c_tests(session, name, f"-O3 {flags}", *options, launcher=launcher)
    if len(digests) != 1:
        session.error(f"expected the same digest everywhere, got {sorted(digests)}")


@nox.session
def musl(session: nox.Session) -> None:
    """Compile all C with musl, which Alpine Linux uses, and test the C code with it.

    PyPI has no CPython that uses musl, so gilx's modules are compiled only, with headers
    of a CPython that uses glibc: they differ in pyconfig.h, which gilx does not use.
    """
    session.install("cmake", "cython>=3.1", "ninja", "ziglang==0.17.1")
    cache = str(empty_folder(session, "zig"))
    session.env.update(ZIG_GLOBAL_CACHE_DIR=cache, ZIG_LOCAL_CACHE_DIR=cache)
    headers = python_headers(session)
    cython = str(headers.with_name("cykernels.c"))
    generated = str(headers.with_name("generated"))
    session.run("python", "csrc/generate.py", generated)
    session.run("cython", "-3", "src/gilx/cykernels.pyx", "-o", cython)
    # What is compared with; `cross` runs the other drivers with glibc.
    digests = c_tests(session, "glibc", "-O3", targets=("kernels_driver",))
    # What processors can do is asked of gcc's library, as on Alpine: zig's says nothing.
    libgcc = ask(session, "gcc", "-print-libgcc-file-name")
    for machine, flags, option, launcher in [
        ("x86_64", "", f"-DCMAKE_C_STANDARD_LIBRARIES={libgcc}", ""),
        ("aarch64", "-DGILX_EMULATED", "", "qemu-aarch64"),
    ]:
        target = f"-target {machine}-linux-musl"
        digests |= c_tests(
            session,
            machine,
            f"{target} -O3 -static {flags}",
            f"-DCMAKE_C_COMPILER={session.bin}/python-zig;cc",
            "-DCMAKE_SYSTEM_NAME=Linux",
            "-DCMAKE_C_LINKER_DEPFILE_SUPPORTED=FALSE",  # zig's linker does not
            f"-DGILX_PYTHON_INCLUDE={headers}",
            *([option] if option else []),
            launcher=launcher,
            targets=("all", "modules"),
        )
        session.run(
            "python-zig", "cc", *target.split(), "-std=c11", "-O3", "-fPIC", "-isystem",
            str(headers), "-Icsrc/python", f"-I{generated}", "-c", cython,
            "-o", f"{cython}.o",
        )  # fmt: skip
    if len(digests) != 1:
        session.error(f"expected the same digest everywhere, got {sorted(digests)}")


# Sources and documents


@nox.session(requires=["build"])
def lint(session: nox.Session) -> None:
    """Check style, wording, types, stubs, dead code, workflows; analyze the C code."""
    session.install(f"{only('*.whl')}[test,lint]", "cmake", "ninja")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("python", "-m", "tests.wording")
    session.run("mypy")
    session.run(
        "stubtest", "gilx", "--allowlist", ".stubtest-allow", "--ignore-unused-allowlist"
    )
    # What users see is typed, every name of it; the sources are not to be met here.
    with tempfile.TemporaryDirectory() as empty, session.chdir(empty):
        session.run("pyright", "--ignoreexternal", "--verifytypes", "gilx", silent=True)
    session.run("vulture")
    session.run("zizmor", "--offline", "-q", ".github")
    sources = map(str, sorted(ROOT.glob("csrc/**/*.[ch]")))
    session.run("clang-format", "--dry-run", "--Werror", *sources, log=False)
    cython = map(
        str, [ROOT / "src/gilx/cykernels.pyx", *ROOT.glob("src/gilx/kernels/*.pxi")]
    )
    session.run("cython-lint", "--no-pycodestyle", "--max-line-length", "90", *cython)
    # The analyzer believes that a loop which fills an array in steps may leave parts of
    # it unset, and counts vectors as bits. Valgrind finds values that are not set, and
    # UBSan shifts that are too far.
    c_tests(
        session,
        "analyzer",
        "-O2 -fanalyzer -Wno-analyzer-use-of-uninitialized-value"
        " -Wno-analyzer-shift-count-overflow",
        "-DCMAKE_C_COMPILER=gcc",
        f"-DGILX_PYTHON_INCLUDE={sysconfig.get_path('include')}",
        targets=("modules",),
    )


@nox.session(requires=["build"])
def docs(session: nox.Session) -> None:
    """Build the documentation site; a link that leads nowhere is an error."""
    session.install(f"{only('*.whl')}[docs,dask]")
    folder = str(empty_folder(session, "site"))
    session.run(
        "sphinx-build", "-W", "-n", "--keep-going", "-q", "-c", "docs", ".", folder
    )


@nox.session(requires=["build"], allow_parallel=False)
def atlas(session: nox.Session) -> None:
    """Measure what releases the GIL, in the newest versions of all libraries or of some.

    It is a measurement, not a check, and wants a machine with nothing else to do: fifteen
    minutes for all libraries.
    """
    known = sorted(path.stem for path in ROOT.glob("atlas/plans/*.toml"))
    chosen = session.posargs or known
    packages = [name for name in chosen if name in known and name != "python"]
    session.install("--upgrade", str(only("*.whl")), *packages)
    session.run("python", "-m", "atlas", *chosen)


@nox.session(requires=["build"])
def coverage(session: nox.Session) -> None:
    """Print the lines of Python, Cython and C that no test reaches.

    The tests run twice: for C and Cython with counters that the compiler puts in, and for
    Python under a tracer, with which gilx's verdicts are inconclusive and tests fail.
    Processes that end by os._exit count no lines.
    """
    tests = session.posargs or ["-m", ALL]
    with session.chdir(unpack(session)):
        session.install("setuptools>=77.0.3", "Cython>=3.1", "pip")
        session.install("--no-build-isolation", "-e", ".[test,coverage]")
        # Once more, since the installer throws away what the compiler noted.
        session.run(
            "python", "setup.py", "-q", "build_ext", "--inplace", "--force",
            env={"GILX_COVERAGE": "1"},
        )  # fmt: skip
        session.run("python", "-m", "pytest", "-q", *tests)
        # The notes say that Cython's files lie beside their source; they lie under build.
        session.run(
            "gcovr", "--root", ".", "--filter", "csrc/", "--filter", "src/gilx/", "--txt",
            "--gcov-ignore-errors=all", "--gcov-ignore-parse-errors=all",
            "--txt-metric", "line", "build",
        )  # fmt: skip
        # Some tests fail under a tracer, which is status 1.
        session.run("coverage", "run", "-m", "pytest", "-q", *tests, success_codes=[0, 1])
        session.run("coverage", "combine", "-q")
        session.run("coverage", "report", "--show-missing", "--skip-covered")
