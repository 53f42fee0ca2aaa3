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

from .conftest import MS
from .interface import bounds, command, conclusive, figure, first_that, tried

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
    usage = conclusive(lambda: watched(hold_in_one_call))
    site = usage.sites[0]
    assert site.file == __file__
    assert site.line == line_of(hold_in_one_call, "ckernels.spin")
    assert site.text == "ckernels.spin(100 * MS, 0, 100 * MS)"
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
def test_sites_tell_two_calls_on_a_line_apart(second: bool) -> None:
    lengths = (0, 80 * MS) if second else (80 * MS, 0)
    usage = watched(lambda: hold_twice_on_a_line(*lengths))
    text = f"ckernels.spin(MS, 0, {'other' if second else 'one'})"
    assert usage.sites[0].text == text
    other = {"ckernels.spin(MS, 0, one)", "ckernels.spin(MS, 0, other)"} - {text}
    # The other call returns at once.
    assert sum(site.samples for site in usage.sites if site.text in other) <= 1


def slow_key(item: int) -> int:
    ckernels.spin(MS, 0, 5 * MS)
    return -item


def sort() -> None:
    assert sorted(range(16), key=slow_key)[0] == 15


def test_site_is_the_innermost_function_where_c_calls_python() -> None:
    usage = watched(sort)
    assert usage.sites[0].function == "slow_key"
    assert usage.sites[0].text == "ckernels.spin(MS, 0, 5 * MS)"


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
    usage = watched(Shapes().run)
    held = {
        site.function: site
        for site in usage.sites
        if "spin" in site.text or site.function == "Body"
    }
    names = "method", "class_method", "attribute", "generator", "coroutine"
    expected = [f"Shapes.{name}" for name in (*names, "async_generator", "__eq__")]
    callers = {"Shapes.run", "Shapes.run_async"}
    assert held.keys() - callers == {*expected, "Shapes.run.<locals>.<lambda>", "Body"}
    others = [site for site in usage.sites if site.function not in held.keys() - callers]
    assert [str(site) for site in others if site.held.low >= 0.1] == []
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

    usage = watched(lambda: collect(finish))
    found = {site.kind: site for site in usage.sites if site.kind != LINE}
    assert found["garbage collector"].samples > 0
    assert found["garbage collector"].place == "garbage collector"
    assert "finish" in functions(usage)
    [held] = [
        site.held for site in usage.sites if site.text == "ckernels.spin(MS, 0, 50 * MS)"
    ]
    assert held.high * usage.wall >= 0.05


def test_finalizer_of_a_collection_without_earlier_samples_is_its_own() -> None:
    def finish() -> None:
        ckernels.spin(MS, 0, 20 * MS)

    def collect_little() -> None:
        for _ in range(5):
            ckernels.spin(MS, 0, 5 * MS)
            Finalized(finish)
            gc.collect(0)

    usage = watched(collect_little)
    [held] = [
        site.held for site in usage.sites if site.text == "ckernels.spin(MS, 0, 20 * MS)"
    ]
    assert held.high * usage.wall >= 0.1


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

    usage = watched(wait_in_finalizer)
    [site] = [
        site for site in usage.sites if site.text == "ckernels.spin(MS, 0, 50 * MS)"
    ]
    assert site.held.high * usage.wall >= 0.04


def test_threads_that_run_while_a_finalizer_waits_are_not_the_collector() -> None:
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
    [site] = [
        site for site in usage.sites if site.text == "ckernels.spin(MS, 0, 100 * MS)"
    ]
    assert site.thread == "beside"
    # Of 0.1 s: an interval at 95 % may miss by a little.
    assert site.held.high * usage.wall >= 0.09


def test_call_that_releases_is_not_a_site_that_holds() -> None:
    def release() -> None:
        ckernels.spin(0, 100 * MS, 100 * MS)

    usage = conclusive(lambda: watched(release))
    [low] = [site.held.low for site in usage.sites if "0, 100" in site.text] or [0.0]
    assert low < 0.1


# ---- threads, interpreters, processes ----------------------------------------------------


def python(code: str, *words: str, **options: Any) -> CompletedProcess:
    """Run a program, which has what it needs, and must end well."""
    code = textwrap.dedent(code)
    done = run_python("-W", "ignore", "-c", code, *words, timeout=60, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def test_sites_name_the_thread_that_held_the_gil_there() -> None:
    def hold_elsewhere() -> None:
        ckernels.spin(MS, 0, 80 * MS)

    thread = threading.Thread(target=hold_elsewhere, name="elsewhere")

    def run() -> None:
        thread.start()
        thread.join()

    usage = watched(run)
    assert usage.sites[0].function.endswith("hold_elsewhere")
    assert usage.sites[0].thread == "elsewhere"


@pytest.mark.slow
def test_thread_of_c_is_named_by_the_python_code_that_it_calls() -> None:
    done = python("""
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
        print(watch.usage.sites[0].function)
    """)
    assert done.stdout == "called_by_c\n"


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
    found = python("""
        import ctypes, gilx
        library = ctypes.CDLL("./hold.so")
        with gilx.watch() as watch:
            library.hold_in_a_thread()
        site = watch.usage.sites[0]
        print(site.kind, [site.function, site.file, site.text], site.line)
    """, cwd=tmp_path)  # fmt: skip
    assert found.stdout == "no Python code ['', '', ''] 0\n"


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
print(watch.usage.sites[0].function)
"""


@pytest.mark.slow
def test_interpreter_that_shares_the_gil_is_named() -> None:
    done = python(IN_A_SUBINTERPRETER.format(path=sys.path))
    assert done.stdout == "hold_in_another_interpreter\n"


@pytest.mark.slow
@needs("greenlet")
def test_greenlets_are_named() -> None:
    greenlet: Any = importlib.import_module("greenlet")
    other: Any = None

    def first() -> None:
        for _ in range(5):
            ckernels.spin(MS, 0, 20 * MS)
            other.switch()

    def second() -> None:
        while True:
            ckernels.spin(MS, 0, 10 * MS)
            one.switch()

    one = greenlet.greenlet(first)
    other = greenlet.greenlet(second)
    usage = watched(one.switch)
    names = [site.function.rpartition(".")[2] for site in usage.sites[:2]]
    assert names == ["first", "second"]


@pytest.mark.slow
def test_fork_leaves_both_processes_able_to_name_sites() -> None:
    done = python("""
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
                right = anew.usage.sites[0].function == "hold_in_the_child"
                os._exit(0 if right and "hold_in_the_parent" not in names else 1)
            status = os.waitpid(child, 0)[1]
        names = {site.function for site in watch.usage.sites}
        print(status, watch.usage.sites[0].function, "hold_in_the_child" in names)
    """)
    assert done.stdout == "0 hold_in_the_parent False\n"


@pytest.mark.slow
def test_signals_leave_sites_right() -> None:
    done = python("""
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
        names = {site.function for site in watch.usage.sites if site.held.low > 0.01}
        print(count > 20, watch.usage.sites[0].function, names - {"hold", "handle"})
    """)
    assert done.stdout == "True hold set()\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    "reader", ["memory file", "pipe", "process_vm_readv", "/proc/self/mem"]
)
def test_each_way_to_read_memory_finds_the_site(reader: str) -> None:
    done = python(
        """
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
        print(watch.usage.sites[0].function, watch.usage.sites[0].line)
        """,
        reader,
        env={**os.environ, "GILX_MEMORY": reader},
    )
    if "not permitted" in done.stdout and reader in (
        "process_vm_readv",
        "/proc/self/mem",
    ):
        pytest.skip(done.stdout.strip())
    assert done.stdout == "hold 7\n"


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
    usage = watched(lambda: run(range(1000, 1150), ckernels.spin))
    made = [site for site in usage.sites if site.function.startswith("made_")]
    assert len(made) > 20
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
    done = python("""
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
        print(watch.usage.sites[0].function)
    """)
    assert done.stdout == "hold_at_the_bottom\n"


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
    assert python(TRACED, way).stdout == "{'hold'} [9, 10]\n"


# ---- sources and names -------------------------------------------------------------------

HOLDS = "def hold(): spin(1_000_000, 0, 100_000_000)\n"


def usage_of_source(
    path: Path, source: str | bytes, before_the_end: Callable[[], object] = lambda: None
) -> Any:
    """Return the usage of a file's function `hold`, and do something before it ends."""
    data = source.encode() if isinstance(source, str) else source
    path.write_bytes(data)
    names: dict[str, Any] = {"spin": ckernels.spin}
    exec(compile(data, path, "exec"), names)

    def run() -> None:
        names["hold"]()
        before_the_end()

    return watched(run)


@pytest.mark.slow
def test_source_that_is_gone_or_changed_leaves_the_line_without_text(
    tmp_path: Path,
) -> None:
    path = tmp_path / "held.py"
    found = usage_of_source(path, HOLDS)
    assert found.sites[0].text == "spin(1_000_000, 0, 100_000_000)"

    def replace_by_directory() -> None:
        path.unlink()
        path.mkdir()

    changes: list[Callable[[], object]] = [
        lambda: path.replace(tmp_path / "elsewhere.py"),
        lambda: path.write_text("# not there\n" * 5),
        lambda: path.write_bytes(b"\xff\xfe\x00" * 100),
        lambda: path.write_text("x"),
        replace_by_directory,
    ]
    for number, change in enumerate(changes):
        path = tmp_path / f"held_{number}.py"
        site = usage_of_source(path, HOLDS, change).sites[0]
        where = site.function, site.file, site.line, site.text
        assert where == ("hold", str(path), 1, "")


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["latin-1", "utf-8", "cp1252"])
def test_text_is_right_in_any_encoding(tmp_path: Path, encoding: str) -> None:
    source = f"# coding: {encoding}\ndef hold(): é = 'äöü'; spin(1, 0, 100_000_000); é\n"
    site = usage_of_source(tmp_path / "held.py", source.encode(encoding)).sites[0]
    assert site.text == "spin(1, 0, 100_000_000)"


@pytest.mark.slow
def test_names_that_could_harm_a_terminal_are_escaped_and_cut() -> None:
    name, file = "\x1b[31m" + "n\n" * 5000, "<" + "f" * 10_000 + "\x1b]0;\udc80\x07>"

    def hold() -> None:
        ckernels.spin(MS, 0, 100 * MS)

    code = hold.__code__
    hold.__code__ = code.replace(co_name=name, co_qualname=name, co_filename=file)
    usage = watched(hold)
    site = usage.sites[0]
    assert site.kind == LINE
    assert site.function.startswith("\\x1b[31mn\\n")
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
    with gilx.watch() as outer:
        hold_outside()
        with gilx.watch() as inner:
            hold_inside()
    assert inner.usage.sites[0].function == "hold_inside"
    assert "hold_outside" not in functions(inner.usage)
    first = {site.function for site in outer.usage.sites[:2]}
    assert first == {"hold_inside", "hold_outside"}


def test_sites_of_added_usages_are_those_of_both() -> None:
    one, other = watched(hold_outside), watched(hold_inside)
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
        return all(
            shares[name].low <= share <= shares[name].high for name, share in true.items()
        )

    usage = tried(lambda: watched(run))
    assert [site.function.rpartition(".")[2] for site in usage.sites[:2]] == [
        "hold_longer",
        "hold_shorter",
    ]
    first_that(covers, lambda: conclusive(lambda: watched(run)))


@pytest.mark.slow
def test_probe_of_the_command_names_lines_of_a_program(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(
        "from gilx.ckernels import spin\n"
        "def hold():\n"
        "    spin(1_000_000, 0, 200_000_000)\n"
        "hold()\n"
    )
    done = command("probe", "program.py", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert re.search(r"program\.py:3\b.*spin\(1_000_000, 0, 200_000_000\)", done.stdout)


def test_longest_hold_of_a_line_has_no_lower_bound_if_samples_found_it_by_chance(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("gilx.sampling.sites.by_chance", lambda *_: True)
    usage = watched(lambda: sorted(range(2_000_000)))
    lengths = [site.longest_hold for site in usage.sites if site.longest_hold.known]
    assert lengths
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
    done = command("probe", "--json", "-", "program.py", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    usage = gilx.GilUsage.from_json(done.stdout)
    line = usage.lines()[0]
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
    done = command("probe", "--json", "-", "program.py", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    usage = gilx.GilUsage.from_json(done.stdout)
    [site] = [site for site in usage.sites if site.kind == "garbage collector"]
    assert site.callers[0].label.endswith("program.py:5 `json.loads(text)`")
    assert "program.py:5" in usage.where_held()


def test_line_of_a_file_that_changed_since_it_was_loaded_has_no_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "made_up_changing.py"
    path.write_text("def hold():\n    return sorted(range(500_000), key=str)\n")
    monkeypatch.syspath_prepend(tmp_path)
    module = importlib.import_module(path.stem)

    def line() -> gilx.Site:
        usage = watched(module.hold)
        return next(line for line in usage.lines() if line.function == "hold")

    before = line()
    assert before.label.endswith(
        "made_up_changing.py:2 `sorted(range(500_000), key=str)`"
    )
    path.write_text("def hold():\n    return sorted(range(500_000), key=abs)\n")
    after = line()
    assert after.changed
    assert after.label.endswith("made_up_changing.py:2 (changed)")
