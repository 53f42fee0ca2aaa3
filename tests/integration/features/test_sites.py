"""Sites: the function, the line and the call that hold the GIL."""

from __future__ import annotations

import asyncio
import gc
import importlib
import json
import os
import re
import sys
import sysconfig
import textwrap
import threading
from typing import TYPE_CHECKING, Any

import pytest

import gilx
from gilx import ckernels
from tests.command import run_program, run_python
from tests.markers import needs, needs_c_compiler, needs_linux, needs_watch
from tests.trying import conclusive, first_that

from .conftest import MS
from .interface import bounds, command, figure

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from tests.command import CompletedProcess

pytestmark = [
    needs_watch,
    pytest.mark.skipif(
        bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
        reason="stacks are not read in free-threaded builds",
    ),
]

LINE = "line"  # kind of a site that is a line of Python code


def watched(run: Callable[[], object]) -> gilx.GilUsage:
    """Return the usage of a watch of a call."""
    with gilx.watch() as watch:
        run()
    return watch.usage


def leads(text: str) -> Callable[[Any], bool]:
    """Return a question to a usage: whether most was held where the source has a text.

    On a busy machine, other code may hold the GIL for longer, or no sample may come.
    """
    return lambda usage: [site.text for site in usage.sites[:1]] == [text]


def held_at(usage: Any, text: str) -> float:
    """Return the most seconds for which the GIL was held where the source has a text."""
    share = sum(site.held.high for site in usage.sites if site.text == text)
    return float(share * usage.wall)


def functions(usage: Any) -> set[str]:
    """Return the names of the functions that held the GIL, without what they are in."""
    return {site.function.rpartition(".")[2] for site in usage.sites if site.kind == LINE}


def line_of(function: Any, text: str) -> int:
    """Return the number of the line of this file that has a text, within a function."""
    first: int = function.__code__.co_firstlineno
    with open(__file__, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            if number > first and text in line:
                return number
    raise AssertionError(text)


# ---- known calls -------------------------------------------------------------------------


def hold_in_one_call() -> None:
    ckernels.spin(100 * MS, 0, 100 * MS)


def test_site_has_file_line_text_and_function_of_the_call_that_holds() -> None:
    text = "ckernels.spin(100 * MS, 0, 100 * MS)"
    usage = first_that(leads(text), lambda: conclusive(lambda: watched(hold_in_one_call)))
    site = usage.sites[0]
    assert site.file == __file__
    assert site.line == line_of(hold_in_one_call, "ckernels.spin")
    assert site.text == text
    assert site.function == "hold_in_one_call"
    assert site.thread == "MainThread"
    assert site.samples > 0
    low, high = bounds(site, "held")
    assert 0 < low <= figure(site, "held") <= high <= 1
    assert figure(site, "held") > figure(usage, "held") / 2
    # A site is unknown for as long as its call lasted if it had no second sample.
    assert site.longest_hold.low <= 0.1 + usage.wall
    words = " ".join(str(usage).split())  # lines are wrapped
    assert f"{site.line} `{site.text}`" in words


def hold_twice_on_a_line(one: int, other: int) -> None:
    _ = ckernels.spin(MS, 0, one), ckernels.spin(MS, 0, other)


@pytest.mark.parametrize("second", [False, True])
def test_sites_distinguish_two_calls_on_a_line(second: bool) -> None:
    lengths = (0, 80 * MS) if second else (80 * MS, 0)
    texts = ["ckernels.spin(MS, 0, one)", "ckernels.spin(MS, 0, other)"]
    text, other = reversed(texts) if second else texts

    def distinguishes(usage: gilx.GilUsage) -> bool:
        # The other call returns at once, unless its thread loses its CPU.
        samples = sum(site.samples for site in usage.sites if site.text == other)
        return leads(text)(usage) and samples <= 1

    first_that(distinguishes, lambda: watched(lambda: hold_twice_on_a_line(*lengths)))


def slow_key(item: int) -> int:
    ckernels.spin(MS, 0, 5 * MS)
    return -item


def sort() -> None:
    assert sorted(range(16), key=slow_key)[0] == 15


def test_site_is_the_innermost_function_where_c_calls_python() -> None:
    usage = first_that(leads("ckernels.spin(MS, 0, 5 * MS)"), lambda: watched(sort))
    assert usage.sites[0].function == "slow_key"


class Shapes:
    """Calls that hold the GIL in code of each kind."""

    length = 30 * MS

    def method(self) -> None:
        ckernels.spin(MS, 0, self.length)

    @classmethod
    def class_method(cls) -> None:
        ckernels.spin(MS, 0, cls.length)

    @property
    def attribute(self) -> ckernels.SpinResult:
        return ckernels.spin(MS, 0, self.length)

    def generator(self) -> Iterator[int]:
        ckernels.spin(MS, 0, self.length)
        yield 1

    async def coroutine(self) -> None:
        await asyncio.sleep(0)
        ckernels.spin(MS, 0, self.length)

    async def async_generator(self) -> AsyncIterator[int]:
        yield 1
        ckernels.spin(MS, 0, self.length)

    def __eq__(self, other: object) -> bool:
        return bool(ckernels.spin(MS, 0, self.length))

    __hash__ = None  # type: ignore[assignment]

    def run(self) -> None:
        self.method()
        self.class_method()
        assert self.attribute
        list(self.generator())
        asyncio.run(self.run_async())
        assert [self] == [Shapes()]
        list(map(lambda length: ckernels.spin(MS, 0, length), [self.length]))  # noqa: C417
        local: dict[str, Any] = {"spin": ckernels.spin, "length": self.length}
        exec("class Body:\n    spin(1, 0, length)", local)

    async def run_async(self) -> None:
        await self.coroutine()
        async for _ in self.async_generator():
            pass


def test_each_kind_of_code_is_named() -> None:
    names = "method", "class_method", "attribute", "generator", "coroutine"
    expected = [f"Shapes.{name}" for name in (*names, "async_generator", "__eq__")]
    every = {*expected, "Shapes.run.<locals>.<lambda>", "Body"}
    callers = {"Shapes.run", "Shapes.run_async"}

    def spinning(usage: gilx.GilUsage) -> dict[str, gilx.Site]:
        return {
            site.function: site
            for site in usage.sites
            if "spin" in site.text or site.function == "Body"
        }

    def names_each(usage: gilx.GilUsage) -> bool:
        others = [site for site in usage.sites if site.function not in every]
        return (
            spinning(usage).keys() - callers == every
            and max((site.held.low for site in others), default=0) < 0.1
        )

    held = spinning(first_that(names_each, lambda: watched(Shapes().run)))
    assert (held["Body"].file, held["Body"].line, held["Body"].text) == (
        "<string>",
        2,
        "",
    )
    texts = {held[name].text for name in expected}
    assert all("ckernels.spin(MS, 0, " in text for text in texts)


class Finalized:
    """An object that only the garbage collector can free, and takes its time."""

    def __init__(self, finish: Callable[[], object]) -> None:
        self.me, self.finish = self, finish

    def __del__(self) -> None:
        self.finish()


def collect(finish: Callable[[], object]) -> None:
    many: list[list[object]] = [[] for _ in range(200_000)]
    for _ in range(5):
        gc.collect()
    del many
    Finalized(finish)
    gc.collect()


def test_garbage_collector_is_a_site_and_finalizers_are_their_own() -> None:
    def finish() -> None:
        ckernels.spin(MS, 0, 50 * MS)

    def names_both(usage: gilx.GilUsage) -> bool:
        # Half of the truth, which an interval at 95 % may miss.
        held = held_at(usage, "ckernels.spin(MS, 0, 50 * MS)")
        return held >= 0.025 and "garbage collector" in {one.kind for one in usage.sites}

    usage = first_that(names_both, lambda: watched(lambda: collect(finish)))
    found = {site.kind: site for site in usage.sites if site.kind != LINE}
    assert found["garbage collector"].samples > 0
    assert found["garbage collector"].place == "garbage collector"
    assert "finish" in functions(usage)


def test_finalizer_of_a_collection_without_earlier_samples_is_its_own() -> None:
    def finish() -> None:
        ckernels.spin(MS, 0, 20 * MS)

    def collect_little() -> None:
        for _ in range(5):
            ckernels.spin(MS, 0, 5 * MS)
            Finalized(finish)
            gc.collect(0)

    # It held for 0.1 s: half of that is its own, or nothing.
    first_that(
        lambda usage: held_at(usage, "ckernels.spin(MS, 0, 20 * MS)") >= 0.05,
        lambda: watched(collect_little),
    )


def test_thread_is_not_the_collector_if_it_runs_only_while_a_finalizer_waits() -> None:
    def run_beside(begin: threading.Event, end: threading.Event) -> None:
        begin.wait()
        ckernels.spin(MS, 0, 50 * MS)
        end.set()

    def wait_in_finalizer() -> None:
        begin, end = threading.Event(), threading.Event()
        thread = threading.Thread(target=run_beside, args=(begin, end))
        thread.start()

        def finish() -> None:
            begin.set()
            end.wait()

        Finalized(finish)
        gc.collect(0)
        thread.join()

    first_that(
        lambda usage: held_at(usage, "ckernels.spin(MS, 0, 50 * MS)") >= 0.025,
        lambda: watched(wait_in_finalizer),
    )


def test_threads_that_run_while_a_finalizer_waits_are_not_the_collector() -> None:
    def collected() -> gilx.GilUsage:
        stop = threading.Event()
        waits = threading.Event()

        def run_beside() -> None:
            waits.wait()
            ckernels.spin(MS, 0, 100 * MS)
            stop.set()

        def finish() -> None:
            waits.set()
            stop.wait()

        thread = threading.Thread(target=run_beside, name="beside")
        thread.start()
        usage = watched(lambda: collect(finish))
        thread.join()
        return usage

    text = "ckernels.spin(MS, 0, 100 * MS)"
    usage = first_that(lambda usage: held_at(usage, text) >= 0.05, collected)
    [site] = [site for site in usage.sites if site.text == text]
    assert site.thread == "beside"


def test_call_that_releases_is_not_a_site_that_holds() -> None:
    def release() -> None:
        ckernels.spin(0, 100 * MS, 100 * MS)

    def holds_nothing(usage: gilx.GilUsage) -> bool:
        # A thread that loses its CPU at the call's end holds the GIL there.
        [low] = [one.held.low for one in usage.sites if "0, 100" in one.text] or [0.0]
        return low < 0.1

    first_that(holds_nothing, lambda: conclusive(lambda: watched(release)))


# ---- threads, interpreters, processes ----------------------------------------------------


def python(code: str, *words: str, **options: Any) -> CompletedProcess:
    """Run a program, which has what it needs, and must end well."""
    code = textwrap.dedent(code)
    done = run_python("-W", "ignore", "-c", code, *words, timeout=60, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def prints(expected: str, code: str, *words: str, **options: Any) -> None:
    """Run a program until it prints what it should: on a busy machine, others come first."""
    first_that(
        lambda done: done.stdout == expected, lambda: python(code, *words, **options)
    )


def test_sites_name_the_thread_that_held_the_gil_there() -> None:
    def hold_elsewhere() -> None:
        ckernels.spin(MS, 0, 80 * MS)

    kept: list[threading.Thread] = []

    def run() -> None:
        # It has its name for as long as there is this object.
        kept.append(threading.Thread(target=hold_elsewhere, name="elsewhere"))
        kept[-1].start()
        kept[-1].join()

    usage = first_that(leads("ckernels.spin(MS, 0, 80 * MS)"), lambda: watched(run))
    assert usage.sites[0].function.endswith("hold_elsewhere")
    assert usage.sites[0].thread == "elsewhere"


@pytest.mark.slow
def test_thread_of_c_is_named_by_the_python_code_that_it_calls() -> None:
    code = """
        import ctypes, gilx
        from gilx import ckernels

        def called_by_c(_):
            ckernels.spin(1_000_000, 0, 200_000_000)
            return 0

        start = ctypes.CFUNCTYPE(ctypes.c_size_t, ctypes.c_void_p)(called_by_c)
        c = ctypes.CDLL(None)
        thread = ctypes.c_ulong()
        with gilx.watch() as watch:
            assert c.pthread_create(ctypes.byref(thread), None, start, None) == 0
            assert c.pthread_join(thread, None) == 0
        print(*[site.function for site in watch.usage.sites[:1]])
    """
    prints("called_by_c\n", code)


@pytest.mark.slow
@needs_linux
@needs_c_compiler
def test_thread_without_python_code_is_a_site_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "hold.c").write_text("""
        #include <pthread.h>
        #include <time.h>
        extern int PyGILState_Ensure(void);
        extern void PyGILState_Release(int);
        static void *hold(void *nothing) {
            int state = PyGILState_Ensure();
            struct timespec fifth = {0, 200000000};
            nanosleep(&fifth, 0);
            PyGILState_Release(state);
            return nothing;
        }
        void hold_in_a_thread(void) {
            pthread_t thread;
            if (pthread_create(&thread, 0, hold, 0) == 0) pthread_join(thread, 0);
        }
    """)
    words = "-shared", "-fPIC", "-o", "hold.so", "hold.c", "-lpthread"
    run_program("cc", *words, cwd=tmp_path, check=True)
    code = """
        import ctypes, gilx
        library = ctypes.CDLL("./hold.so")
        with gilx.watch() as watch:
            library.hold_in_a_thread()
        for site in watch.usage.sites[:1]:
            print(site.kind, [site.function, site.file, site.text], site.line)
    """
    prints("no Python code ['', '', ''] 0\n", code, cwd=tmp_path)


IN_A_SUBINTERPRETER = """
import sys, gilx
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
new_names = sys.version_info >= (3, 13)
new = interpreters.create("legacy") if new_names else interpreters.create(isolated=False)
code = '''
import sys
sys.path[:] = {path!r}
from gilx import ckernels
def hold_in_another_interpreter():
    ckernels.spin(1_000_000, 0, 300_000_000)
hold_in_another_interpreter()
'''
with gilx.watch() as watch:
    (interpreters.exec if new_names else interpreters.run_string)(new, code)
interpreters.destroy(new)
print(*[site.function for site in watch.usage.sites[:1]])
"""


@pytest.mark.slow
def test_interpreter_that_shares_the_gil_is_named() -> None:
    code = IN_A_SUBINTERPRETER.format(path=sys.path)
    prints("hold_in_another_interpreter\n", code)


@pytest.mark.slow
@needs("greenlet")
def test_greenlets_are_named() -> None:
    greenlet: Any = importlib.import_module("greenlet")
    one: Any = None
    other: Any = None

    def first() -> None:
        for _ in range(5):
            ckernels.spin(MS, 0, 20 * MS)
            other.switch()

    def second() -> None:
        while True:
            ckernels.spin(MS, 0, 10 * MS)
            one.switch()

    def watched_anew() -> gilx.GilUsage:
        nonlocal one, other
        one, other = greenlet.greenlet(first), greenlet.greenlet(second)
        return watched(one.switch)

    def names_both(usage: gilx.GilUsage) -> bool:
        names = [site.function.rpartition(".")[2] for site in usage.sites[:2]]
        return names == ["first", "second"]

    first_that(names_both, watched_anew)


@pytest.mark.slow
def test_fork_leaves_both_processes_able_to_name_sites() -> None:
    code = """
        import os, sys, gilx
        from gilx import ckernels

        def hold_in_the_parent():
            ckernels.spin(1_000_000, 0, 100_000_000)

        def hold_in_the_child():
            ckernels.spin(1_000_000, 0, 100_000_000)

        with gilx.watch() as watch:
            hold_in_the_parent()
            child = os.fork()
            if child == 0:
                with gilx.watch() as anew:
                    hold_in_the_child()
                names = {site.function for site in anew.usage.sites}
                right = [site.function for site in anew.usage.sites[:1]] == ["hold_in_the_child"]
                os._exit(0 if right and "hold_in_the_parent" not in names else 1)
            status = os.waitpid(child, 0)[1]
        names = [site.function for site in watch.usage.sites]
        print(status, names[:1], "hold_in_the_child" in names)
    """
    prints("0 ['hold_in_the_parent'] False\n", code)


@pytest.mark.slow
def test_signals_leave_sites_right() -> None:
    code = """
        import signal, time, gilx
        from gilx import ckernels
        count = 0

        def handle(*_):
            global count
            count += 1

        def hold():
            for _ in range(100):
                ckernels.spin(3_000_000, 0, 3_000_000)

        signal.signal(signal.SIGALRM, handle)
        signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
        with gilx.watch() as watch:
            hold()
        signal.setitimer(signal.ITIMER_REAL, 0)
        sites = watch.usage.sites
        names = {site.function for site in sites if site.held.low > 0.01}
        print(count > 20, [one.function for one in sites[:1]], names - {"hold", "handle"})
    """
    prints("True ['hold'] set()\n", code)


@pytest.mark.slow
@pytest.mark.parametrize(
    "reader", ["memory file", "pipe", "process_vm_readv", "/proc/self/mem"]
)
def test_each_way_to_read_memory_finds_the_site(reader: str) -> None:
    code = """
        import sys, gilx
        from gilx import ckernels
        from gilx.errors import WatchUnavailableError

        def hold():
            ckernels.spin(1_000_000, 0, 200_000_000)

        try:
            with gilx.watch() as watch:
                hold()
        except WatchUnavailableError as error:
            print(f"not permitted here: {error}")
            sys.exit()
        print(*[(site.function, site.line) for site in watch.usage.sites[:1]])
        """
    may_be_forbidden = reader in ("process_vm_readv", "/proc/self/mem")

    def is_right(done: CompletedProcess) -> bool:
        if "not permitted" in done.stdout and may_be_forbidden:
            pytest.skip(done.stdout.strip())
        return done.stdout == "('hold', 7)\n"

    environment = {**os.environ, "GILX_MEMORY": reader}
    first_that(is_right, lambda: python(code, reader, env=environment))


# ---- code that comes and goes ------------------------------------------------------------


@pytest.mark.slow
def test_code_that_dies_is_never_taken_for_other_code() -> None:
    source = "\n" * 50 + "def made_{0}():\n{1}    spin(1_000_000, 0, 2_000_000)\n"

    def run(numbers: range, spin: Callable[..., object]) -> None:
        for number in numbers:
            names: dict[str, Any] = {"spin": spin}
            text = source.format(number, "\n" * (number % 40))
            exec(compile(text, f"<made {number}>", "exec"), names)
            names[f"made_{number}"]()

    run(range(1000), lambda *_: None)

    def made_in(usage: gilx.GilUsage) -> list[gilx.Site]:
        return [site for site in usage.sites if site.function.startswith("made_")]

    usage = first_that(
        lambda usage: len(made_in(usage)) > 20,
        lambda: watched(lambda: run(range(1000, 1150), ckernels.spin)),
    )
    made = made_in(usage)
    for site in made:
        number = int(site.function.removeprefix("made_"))
        assert 1000 <= number < 1150
        assert (site.file, site.first_line) == (f"<made {number}>", 51)
        assert site.line in (51, 52 + number % 40)
        assert site.text == ""
    assert functions(usage) - {site.function for site in made} <= {
        *("run", "<module>", "<lambda>", "watched", "__enter__", "__exit__", "stop"),
        *("_stop", "update", "start"),
    }


@pytest.mark.slow
def test_deep_recursion_is_named_by_its_innermost_call() -> None:
    code = """
        import sys, threading, gilx
        from gilx import ckernels

        def descend(depth):
            if depth == 0:
                return hold_at_the_bottom()
            return descend(depth - 1)

        def hold_at_the_bottom():
            return ckernels.spin(1_000_000, 0, 300_000_000)

        sys.setrecursionlimit(20_000)
        threading.stack_size(512 << 20)
        with gilx.watch() as watch:
            thread = threading.Thread(target=descend, args=(10_000,))
            thread.start()
            thread.join()
        print(*[site.function for site in watch.usage.sites[:1]])
    """
    prints("hold_at_the_bottom\n", code)


TRACED = """
import sys, gilx
from gilx import ckernels

def trace(*_):
    return trace

def hold():
    one = ckernels.spin(1_000_000, 0, 100_000_000)
    two = ckernels.spin(1_000_000, 0, 100_000_000)

way, monitoring = sys.argv[1], getattr(sys, "monitoring", None)
if way == "monitoring" and monitoring:
    monitoring.use_tool_id(3, "test")
    names = "CALL", "LINE", "INSTRUCTION", "PY_START"
    events = [getattr(monitoring.events, name) for name in names]
    for event in events:
        monitoring.register_callback(3, event, lambda *_: None)
with gilx.watch() as watch:
    if way != "monitoring":
        getattr(sys, way)(trace)
    elif monitoring:
        monitoring.set_events(3, sum(events))
    hold()
    if way != "monitoring":
        getattr(sys, way)(None)
    elif monitoring:
        monitoring.set_events(3, 0)
sites = watch.usage.sites[:2]
print({site.function for site in sites}, sorted(site.line for site in sites))
"""


@pytest.mark.slow
@pytest.mark.parametrize("way", ["settrace", "setprofile", "monitoring"])
def test_tracing_leaves_sites_right(way: str) -> None:
    prints("{'hold'} [9, 10]\n", TRACED, way)


# ---- sources and names -------------------------------------------------------------------

HOLDS = b"def hold(): spin(1_000_000, 0, 100_000_000)\n"


def site_in_source(
    folder: Path, source: bytes, change: Callable[[Path], object] = lambda _: None
) -> gilx.Site:
    """Return the site of the function `hold` of a new file that changes during the watch."""

    def run(path: Path) -> None:
        names: dict[str, Any] = {"spin": ckernels.spin}
        exec(compile(source, path, "exec"), names)
        names["hold"]()
        change(path)

    def site_if_sampled() -> gilx.Site | None:
        path = folder / f"held_{len(list(folder.iterdir()))}.py"
        path.write_bytes(source)
        usage = watched(lambda: run(path))
        sites = {(site.function, site.file): site for site in usage.sites}
        return sites.get(("hold", str(path)))

    site = first_that(bool, site_if_sampled)
    assert site is not None
    return site


@pytest.mark.slow
def test_source_that_is_gone_or_changed_leaves_the_line_without_text(
    tmp_path: Path,
) -> None:
    assert site_in_source(tmp_path, HOLDS).text == "spin(1_000_000, 0, 100_000_000)"

    def replace_by_directory(path: Path) -> None:
        path.unlink()
        path.mkdir()

    changes: list[Callable[[Path], object]] = [
        lambda path: path.replace(tmp_path / f"{path.stem}_elsewhere.py"),
        lambda path: path.write_text("# not there\n" * 5),
        lambda path: path.write_bytes(b"\xff\xfe\x00" * 100),
        lambda path: path.write_text("x"),
        replace_by_directory,
    ]
    for change in changes:
        site = site_in_source(tmp_path, HOLDS, change)
        assert (site.line, site.text) == (1, "")


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["latin-1", "utf-8", "cp1252"])
def test_text_is_right_in_any_encoding(tmp_path: Path, encoding: str) -> None:
    source = f"# coding: {encoding}\ndef hold(): é = 'äöü'; spin(1, 0, 100_000_000); é\n"
    site = site_in_source(tmp_path, source.encode(encoding))
    assert site.text == "spin(1, 0, 100_000_000)"


@pytest.mark.slow
def test_names_that_could_harm_a_terminal_are_escaped_and_cut() -> None:
    name, file = "\x1b[31m" + "n\n" * 5000, "<" + "f" * 10_000 + "\x1b]0;\udc80\x07>"

    def hold() -> None:
        ckernels.spin(MS, 0, 100 * MS)

    code = hold.__code__
    hold.__code__ = code.replace(co_name=name, co_qualname=name, co_filename=file)
    escaped = "\\x1b[31mn\\n"
    usage = first_that(
        lambda usage: (
            [one.function.startswith(escaped) for one in usage.sites[:1]] == [True]
        ),
        lambda: watched(hold),
    )
    site = usage.sites[0]
    assert site.kind == LINE
    assert site.file.endswith("fff\\x1b]0;\\udc80\\x07>")
    for text in (str(usage), repr(usage), site.function, site.file):
        assert "\x1b" not in text
        assert "\x07" not in text
    assert len(str(usage)) < 10_000
    assert gilx.GilUsage.from_json(usage.to_json()).sites == usage.sites


# ---- watches together --------------------------------------------------------------------


def hold_outside() -> None:
    ckernels.spin(MS, 0, 100 * MS)


def hold_inside() -> None:
    ckernels.spin(MS, 0, 100 * MS)


@pytest.mark.slow
def test_nested_watches_have_sites_of_their_own() -> None:
    def nested() -> tuple[gilx.GilUsage, gilx.GilUsage]:
        with gilx.watch() as outer:
            hold_outside()
            with gilx.watch() as inner:
                hold_inside()
        assert "hold_outside" not in functions(inner.usage)
        return outer.usage, inner.usage

    def names_theirs(usages: tuple[gilx.GilUsage, gilx.GilUsage]) -> bool:
        first, only = (
            {site.function for site in usage.sites[:most]}
            for usage, most in zip(usages, (2, 1), strict=True)
        )
        return first == {"hold_inside", "hold_outside"} and only == {"hold_inside"}

    first_that(names_theirs, nested)


def test_sites_of_added_usages_are_those_of_both() -> None:
    one = first_that(lambda usage: usage.sites, lambda: watched(hold_outside))
    other = first_that(lambda usage: usage.sites, lambda: watched(hold_inside))
    usage: Any = one + other
    assert functions(usage) == functions(one) | functions(other)
    samples = [sum(site.samples for site in each.sites) for each in (one, other, usage)]
    assert samples[0] + samples[1] == samples[2]
    for each in (one, other, usage):
        held = sum(figure(site, "held") for site in each.sites)
        assert 0 < held <= 1.0001
        read = gilx.GilUsage.from_json(each.to_json())
        assert read.sites == each.sites
        assert json.loads(read.to_json()) == json.loads(each.to_json())


@pytest.mark.slow
def test_shares_of_sites_are_those_of_a_known_program() -> None:
    def run() -> None:
        for _ in range(40):
            hold_longer()
            hold_shorter()
            ckernels.spin(0, 4 * MS, 4 * MS)

    def hold_longer() -> None:
        ckernels.spin(MS, 0, 9 * MS)

    def hold_shorter() -> None:
        ckernels.spin(MS, 0, 3 * MS)

    def covers(usage: Any) -> bool:
        shares = {site.function.rpartition(".")[2]: site.held for site in usage.sites}
        true = {"hold_longer": 0.36 / usage.wall, "hold_shorter": 0.12 / usage.wall}
        return [*shares][:2] == [*true] and all(
            shares[name].low <= share <= shares[name].high for name, share in true.items()
        )

    first_that(covers, lambda: conclusive(lambda: watched(run)))


@pytest.mark.slow
def test_probe_of_the_command_names_lines_of_a_program(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(
        "from gilx.ckernels import spin\n"
        "def hold():\n"
        "    spin(1_000_000, 0, 200_000_000)\n"
        "hold()\n"
    )

    def probed() -> str:
        done = command("probe", "program.py", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        return done.stdout

    line = r"program\.py:3\b.*spin\(1_000_000, 0, 200_000_000\)"
    first_that(lambda text: re.search(line, text), probed)


def probed_program(folder: Path) -> gilx.GilUsage:
    """Return the usage of the program in a folder that the command watched."""
    done = command("probe", "--json", "-", "program.py", cwd=folder)
    assert done.returncode == 0, done.stderr
    return gilx.GilUsage.from_json(done.stdout)


def test_longest_hold_of_a_line_has_no_lower_bound_if_samples_found_it_by_chance(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("gilx.sampling.sites.by_chance", lambda *_: True)

    def lengths_of_holds() -> list[gilx.Estimate]:
        usage = watched(lambda: sorted(range(2_000_000)))
        return [site.longest_hold for site in usage.sites if site.longest_hold.known]

    lengths = first_that(bool, lengths_of_holds)
    assert {length.low for length in lengths} == {0.0}


@pytest.mark.slow
def test_line_of_a_program_that_calls_a_library_is_named(tmp_path: Path) -> None:
    package = tmp_path / "site-packages/lib"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(
        "from gilx.ckernels import spin\n"
        "def outer(length):\n"
        "    inner(length)\n"
        "def inner(length):\n"
        "    spin(1_000_000, 0, length)\n"
    )
    (tmp_path / "program.py").write_text(
        "import sys\n"
        "sys.path.append('site-packages')\n"
        "from lib import outer\n"
        "def run():\n"
        "    outer(300_000_000)\n"
        "run()\n"
    )

    def lines() -> list[gilx.Site]:
        usage = probed_program(tmp_path)
        return [line for line in usage.lines() if line.function == "inner"]

    [line] = first_that(bool, lines)
    assert line.label == "lib/__init__.py:5 `spin(1_000_000, 0, length)`"
    assert line.callers[0].label.endswith("program.py:5 `outer(300_000_000)`")


@pytest.mark.slow
def test_line_of_a_program_below_which_garbage_is_collected_is_named(
    tmp_path: Path,
) -> None:
    (tmp_path / "program.py").write_text(
        "import gc, json\n"
        "text = json.dumps([[] for _ in range(300_000)])\n"
        "gc.set_threshold(700, 1, 1)\n"
        "def run():\n"
        "    json.loads(text)\n"
        "for _ in range(5): run()\n"
    )

    def names_the_line(usage: gilx.GilUsage) -> bool:
        sites = [site for site in usage.sites if site.kind == "garbage collector"]
        callers = [caller.label for site in sites for caller in site.callers[:1]]
        return (
            len(sites) == len(callers) == 1
            and callers[0].endswith("program.py:5 `json.loads(text)`")
            and "program.py:5" in usage.where_held()
        )

    first_that(names_the_line, lambda: probed_program(tmp_path))


def test_line_of_a_file_that_changed_since_it_was_loaded_has_no_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "made_up_changing.py"
    path.write_text("def hold():\n    return sorted(range(500_000), key=str)\n")
    monkeypatch.syspath_prepend(tmp_path)
    module = importlib.import_module(path.stem)

    def lines() -> list[gilx.Site]:
        usage = watched(module.hold)
        return [line for line in usage.lines() if line.function == "hold"]

    [before] = first_that(bool, lines)
    assert before.label.endswith(
        "made_up_changing.py:2 `sorted(range(500_000), key=str)`"
    )
    path.write_text("def hold():\n    return sorted(range(500_000), key=abs)\n")
    [after] = first_that(bool, lines)
    assert after.changed
    assert after.label.endswith("made_up_changing.py:2 (changed)")
