"""Programs under ``gilx probe`` do what they do under ``python``."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import textwrap
import zipfile
from typing import TYPE_CHECKING

import pytest

import gilx
from gilx._compat import gil_enabled

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

pytestmark = [
    pytest.mark.skipif(
        not gil_enabled() or sys.platform != "linux", reason="there is no GIL to watch"
    ),
]

PROBE = ("-m", "gilx", "probe")


def python(
    *words: str, cwd: Path, stdin: str | None = None, flags: Sequence[str] = ()
) -> subprocess.CompletedProcess[str]:
    """Run Python with its own environment variables only, and a sanitizer's."""
    names = ("PATH", "HOME", "LD_PRELOAD", "ASAN_OPTIONS", "UBSAN_OPTIONS")
    kept = {name: os.environ[name] for name in names if name in os.environ}
    return subprocess.run(
        [sys.executable, *flags, *words],
        capture_output=True,
        text=True,
        check=False,
        input=stdin,
        cwd=cwd,
        env=kept,
        timeout=100,
    )


def assert_same(
    cwd: Path, *words: str, stdin: str | None = None, flags: Sequence[str] = ()
) -> str:
    """Compare a program with and without gilx; return the text that gilx adds."""
    alone = python(*words, cwd=cwd, stdin=stdin, flags=flags)
    watched = python(*PROBE, *words, cwd=cwd, stdin=stdin, flags=flags)
    output, text = _constant(alone.stdout), _constant(watched.stdout)
    assert _constant(watched.stderr) == _constant(alone.stderr)
    assert text[: len(output)] == output
    assert watched.returncode == alone.returncode
    return text[len(output) :]


def _constant(text: str) -> str:
    """Return a text without addresses and process numbers."""
    return re.sub("(?<=0x)[0-9a-f]+|(?<=pid=)[0-9]+", "...", text)


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(text))
    return path


def assert_one_usage(text: str, name: str = "script.py") -> None:
    """Check that the text is one usage and nothing else."""
    assert re.match(rf"({re.escape(name)} (holds|releases)|inconclusive: )", text), text
    assert text.count("  locked by anyone: ") == 1
    assert text.count("\n  sampler: ") == 1
    assert text.endswith(")\n")


SURROUNDINGS = """
    import sys

    main = sys.modules["__main__"]
    names = vars(main)
    assert names is globals()
    for name in sorted(names):
        if name.startswith("__") and name != "__builtins__":
            value = names[name]
            if name == "__loader__":
                value = type(value), getattr(value, "name", 0), getattr(value, "path", 0)
            print(name, value)
    print(__builtins__, type(main))
    print(sys.argv, sys.path, sys.flags, sys.warnoptions)
    print(sys._getframe().f_code.co_filename, sys._getframe().f_code.co_flags)
    print(sys.stdin.encoding, sys.stdout.encoding, sys.stderr.encoding)
    print(sys.stdin.read())
"""

BEHAVIOUR = {
    "fork": """
        import os, sys
        print("before", flush=True)
        child = os.fork()
        if child == 0:
            print("in the child")
            sys.exit(0)
        print("status", os.waitpid(child, 0)[1])
        """,
    "fork_child_exits_with_text": """
        import os, sys
        child = os.fork()
        if child == 0:
            sys.exit("the child's words")
        print("status", os.waitpid(child, 0)[1])
        sys.exit(5)
        """,
    "fork_child_falls_off_the_end": """
        import atexit, os
        atexit.register(lambda: print("exit of", "child" if child == 0 else "parent"))
        child = os.fork()
        if child:
            print("status", os.waitpid(child, 0)[1])
        """,
    "fork_child_raises": """
        import os
        def fail():
            raise ValueError("in the child")
        child = os.fork()
        if child == 0:
            fail()
        print("status", os.waitpid(child, 0)[1])
        """,
    "fork_child_ends_by_signal": """
        import os, signal
        child = os.fork()
        if child == 0:
            os.kill(os.getpid(), signal.SIGTERM)
            signal.pause()
        print("status", os.waitpid(child, 0)[1])
        """,
    "fork_child_of_child": """
        import os, sys
        child = os.fork()
        if child == 0:
            grandchild = os.fork()
            if grandchild == 0:
                print("grandchild")
                sys.exit(4)
            print("grandchild's status", os.waitpid(grandchild, 0)[1])
            sys.exit(3)
        print("status", os.waitpid(child, 0)[1])
        """,
    "fork_child_leaves_at_once": """
        import os
        child = os.fork()
        if child == 0:
            os._exit(7)
        print("status", os.waitpid(child, 0)[1])
        """,
    "fork_child_becomes_another_program": """
        import os
        child = os.fork()
        if child == 0:
            os.execvp("sh", ["sh", "-c", "echo other; exit 9"])
        print("status", os.waitpid(child, 0)[1])
        """,
    "fork_in_thread": """
        import os, sys, threading
        def work():
            child = os.fork()
            if child == 0:
                print("child", threading.current_thread().name, flush=True)
                sys.exit(6)
            print("status", os.waitpid(child, 0)[1])
        thread = threading.Thread(target=work, name="forker")
        thread.start()
        thread.join()
        """,
    "fork_beside_thread": """
        import os, re, sys, threading, warnings
        end = threading.Event()
        threading.Thread(target=end.wait).start()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            if os.fork() == 0:
                os._exit(0)
        os.wait()
        end.set()
        print([re.sub(r"\\d+", "N", str(one.message)) for one in caught])
        """,
    "fork_then_thread_in_child": """
        import os, re, sys, threading, warnings
        child = os.fork()
        if child == 0:
            end = threading.Event()
            threading.Thread(target=end.wait).start()
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                if os.fork() == 0:
                    os._exit(0)
            os.wait()
            end.set()
            print([re.sub(r"\\d+", "N", str(one.message)) for one in caught])
            sys.exit()
        os.wait()
        """,
    "daemon": """
        import os, sys
        reader, writer = os.pipe()
        if os.fork():
            os.close(writer)
            print("from the daemon:", os.read(reader, 100))
            os.wait()
            sys.exit(0)
        os.setsid()
        if os.fork():
            os._exit(0)
        null = os.open(os.devnull, os.O_RDWR)
        for number in range(3):
            os.dup2(null, number)
        os.write(writer, b"works")
        sys.exit(2)
        """,
    "multiprocessing": """
        import multiprocessing, sys
        class Point:
            def __init__(self, x): self.x = x
            def __eq__(self, other): return self.x == other.x
        def work(point):
            return Point(point.x + 1), __name__
        def fail():
            raise KeyError("in the process")
        if __name__ == "__main__":
            for method in multiprocessing.get_all_start_methods():
                context = multiprocessing.get_context(method)
                with context.Pool(2) as pool:
                    point, name = pool.apply(work, (Point(1),))
                    print(method, point == Point(2), type(point) is Point, name)
                process = context.Process(target=sys.exit, args=(11,))
                process.start()
                process.join()
                print(process.exitcode)
                if method == "fork":
                    process = context.Process(target=fail, name="failing")
                    process.start()
                    process.join()
                    print(process.exitcode)
        """,
    "process": """
        import multiprocessing
        if __name__ == "__main__":
            context = multiprocessing.get_context("fork")
            for code in range(3):
                process = context.Process(target=exit, args=(code,))
                process.start()
                process.join()
                print(process.exitcode)
        """,
    "pickle": """
        import pickle
        class Point:
            pass
        print(pickle.dumps(Point(), 0))
        print(type(pickle.loads(pickle.dumps(Point()))) is Point)
        """,
    "exit_number": "import sys; sys.exit(3)",
    "exit_large_number": "import sys; sys.exit(257)",
    "exit_negative_number": "import sys; sys.exit(-1)",
    "exit_none": "import sys; sys.exit(None)",
    "exit_true": "import sys; sys.exit(True)",
    "exit_false": "import sys; sys.exit(False)",
    "exit_text": "import sys; sys.exit('words')",
    "exit_float": "import sys; sys.exit(2.5)",
    "exit_tuple": "import sys; sys.exit((1, 2))",
    "exit_raised": "raise SystemExit",
    "exit_in_thread": """
        import sys, threading
        thread = threading.Thread(target=sys.exit, args=(4,))
        thread.start()
        thread.join()
        print("goes on")
        """,
    "exception": """
        def fail():
            raise ValueError("words")
        try:
            1 / 0
        except ZeroDivisionError:
            fail()
        """,
    "exception_group": "raise ExceptionGroup('two', [KeyError(1), ValueError(2)])",
    "exception_of_gilx": "import gilx; gilx.probe(print, repeat=0)",
    "exception_in_thread": """
        import threading
        thread = threading.Thread(target=lambda: 1 / 0, name="failing")
        thread.start()
        thread.join()
        """,
    "exception_hook": """
        import sys, traceback
        def hook(kind, value, found):
            print("hook", kind, value, sys.excepthook is hook)
            traceback.print_exception(value)
            traceback.print_tb(found)
            traceback.print_tb(sys.last_traceback)
        sys.excepthook = hook
        {}["key"]
        """,
    "exception_then_exit_functions": """
        import atexit, threading, time
        atexit.register(print, "exit function")
        threading.Thread(target=lambda: (time.sleep(0.2), print("thread"))).start()
        raise RuntimeError
        """,
    "syntax_error": "print('never'\n",
    "broken_pipe": "raise BrokenPipeError(32, 'words')",
    "missing_import": "import there_is_no_such_module",
    "interrupt": "raise KeyboardInterrupt",
    "interrupt_by_signal": """
        import atexit, os, signal, time
        atexit.register(print, "exit function")
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(10)
        """,
    "terminated": """
        import os, signal, time
        print("before", flush=True)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(10)
        """,
    "leaves_at_once": "import os; print('lost'); os._exit(8)",
    "becomes_another_program": """
        import os, sys
        os.execv(sys.executable, [sys.executable, "-c", "print('other'); exit(6)"])
        """,
    "threads_outlive_main": """
        import atexit, threading, time
        atexit.register(print, "exit function")
        def work():
            time.sleep(0.3)
            print("thread", flush=True)
        threading.Thread(target=work).start()
        threading.Thread(target=time.sleep, args=(100,), daemon=True).start()
        print("main")
        """,
    "pool_outlives_main": """
        import time
        from concurrent.futures import ThreadPoolExecutor
        pool = ThreadPoolExecutor(1)
        pool.submit(lambda: (time.sleep(0.2), print("task")))
        print("main")
        """,
    "exit_functions": """
        import atexit, os, sys
        def last():
            import pickle
            print("last", sys.argv[0][-9:], type(pickle.loads(pickle.dumps(Point()))))
        class Point:
            pass
        atexit.register(last)
        atexit.register(print, "last but one")
        os.register_at_fork(after_in_child=lambda: print("forked"))
        """,
    "exit_function_raises": """
        import atexit
        @atexit.register
        def fail():
            raise SystemExit(7)
        """,
    "warnings": """
        import warnings
        def deprecated():
            warnings.warn("old", DeprecationWarning, stacklevel=2)
        deprecated()
        warnings.warn("words")
        print(warnings.filters)
        """,
    "future": "print(__builtins__.__name__, (lambda x: int).__annotations__)\n"
    "def f(x: int): pass\nprint(f.__annotations__)",
    "output_replaced": """
        import io, sys
        print("first")
        sys.stdout = io.StringIO()
        print("kept")
        """,
    "output_wrapped": """
        import io, sys
        sys.stdout = io.TextIOWrapper(sys.stdout.buffer, "latin-1")
        print("w\\xf6rds".encode("ascii", "replace"))
        """,
    "output_not_ended": "import sys; sys.stdout.write('no line break\\n')",
    "output_and_errors": """
        import sys
        print("out")
        print("err", file=sys.stderr)
        print("out")
        """,
    "output_closed": "import sys; print('words'); sys.stdout.close()",
    "output_detached": "import sys; print('words'); sys.stdout.flush(); sys.stdout.detach()",
    "directory_changes": """
        import os
        os.mkdir("there")
        os.chdir("there")
        print(os.listdir("."))
        os.chdir("..")
        os.rmdir("there")
        os.chdir("/")
        """,
    "input": "print([line for line in open(0)], input)",
    "asyncio": """
        import asyncio
        async def main():
            print(await asyncio.to_thread(lambda: 5))
        asyncio.run(main())
        """,
    "subprocess": """
        import subprocess, sys
        print(subprocess.run([sys.executable, "-c", "exit(3)"]).returncode)
        print(subprocess.run(["true"], preexec_fn=lambda: None).returncode)
        """,
    "recursion": """
        def deeper():
            deeper()
        try:
            deeper()
        except RecursionError as error:
            print(error)
        """,
}
# These end without anything that Python calls at an exit.
UNREPORTED = {"terminated", "leaves_at_once", "becomes_another_program"}


@pytest.mark.parametrize("name", BEHAVIOUR)
def test_script_behaves_as_without_gilx(name: str, tmp_path: Path) -> None:
    write(tmp_path / "script.py", BEHAVIOUR[name])
    text = assert_same(
        tmp_path, "script.py", "a", "--json", "-m", "--", "-h", stdin="in\n"
    )
    if name in UNREPORTED:
        assert text == ""
    else:
        assert_one_usage(text)


@pytest.mark.parametrize("name", ["fork", "process", "daemon", "subprocess"])
def test_fork_is_no_warning_that_python_alone_does_not_give(
    name: str, tmp_path: Path
) -> None:
    write(tmp_path / "script.py", BEHAVIOUR[name])
    assert_same(tmp_path, "script.py", flags=("-W", "always"))
    if name != "subprocess":
        assert_same(tmp_path, "script.py", flags=("-W", "error::DeprecationWarning"))


@pytest.mark.parametrize("flags", [(), ("-P",), ("-X", "dev"), ("-O",)], ids=str)
@pytest.mark.parametrize(
    "words",
    [
        ("script.py",),
        ("./script.py",),
        ("package/../script.py",),
        ("link.py",),
        ("no_ending",),
        ("mark.py",),
        ("latin.py",),
        ("package",),
        ("./package",),
        ("package/",),
        ("whole.zip",),
        ("-m", "package"),
        ("-m", "package.__main__"),
        ("-m", "package.module"),
        ("-m", "outer.package"),
        ("-m", "script"),
    ],
    ids=" ".join,
)
def test_program_finds_the_same_surroundings(
    words: tuple[str, ...], flags: tuple[str, ...], tmp_path: Path
) -> None:
    text = textwrap.dedent(SURROUNDINGS)
    for name in (
        "script.py",
        "no_ending",
        "package/__main__.py",
        "package/module.py",
        "outer/package/__main__.py",
    ):
        write(tmp_path / name, text)
    write(tmp_path / "package/__init__.py", "print('package', __name__)")
    write(tmp_path / "apart/script.py", text)
    (tmp_path / "link.py").symlink_to("apart/script.py")
    (tmp_path / "mark.py").write_bytes(b"\xef\xbb\xbf" + text.encode())
    latin = f"# coding: latin-1\n{text}\nprint('caf\xe9')"
    (tmp_path / "latin.py").write_bytes(latin.encode("latin-1"))
    with zipfile.ZipFile(tmp_path / "whole.zip", "w") as archive:
        archive.writestr("__main__.py", text)
    if "-P" in flags and words[0] == "-m":
        alone = python(*words, cwd=tmp_path, flags=flags)
        watched = python(*PROBE, *words, cwd=tmp_path, flags=flags)
        assert alone.returncode == 1  # modules of the current directory are not found
        assert watched.returncode == 2
        return
    assert_same(
        tmp_path, *words, "a", "--", "--html", "x", "-m", stdin="input", flags=flags
    )


def test_syntax_error_in_a_zip_file_is_the_program_s(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "whole.zip", "w") as archive:
        archive.writestr("__main__.py", "x = (")
    assert_same(tmp_path, "whole.zip")


def test_absolute_path_and_compiled_script(tmp_path: Path) -> None:
    import py_compile

    script = write(tmp_path / "there" / "script.py", SURROUNDINGS)
    compiled = py_compile.compile(str(script), cfile=str(tmp_path / "script.pyc"))
    assert compiled is not None
    assert_same(tmp_path, str(script), "a")
    assert_same(tmp_path, "script.pyc", "a")


def test_script_may_come_from_a_pipe(tmp_path: Path) -> None:
    assert_same(tmp_path, "/dev/stdin", "a", stdin="import sys\nprint(sys.argv)\n")


@pytest.mark.parametrize("words", [("script.py",), ("-m", "script")], ids=str)
def test_failing_program_shows_its_own_frames_only(
    words: tuple[str, ...], tmp_path: Path
) -> None:
    write(tmp_path / "script.py", BEHAVIOUR["exception"])
    assert_same(tmp_path, *words)


def test_installed_module_runs(tmp_path: Path) -> None:
    assert_same(tmp_path, "-m", "json.tool", stdin='{"a": 1}')
    assert_same(tmp_path, "-m", "this")
    assert_same(tmp_path, "-m", "json.tool", "--help")


def test_package_that_sets_its_path_is_asked_for_its_modules(tmp_path: Path) -> None:
    write(tmp_path / "package/__init__.py", "__path__ = ['elsewhere']")
    write(tmp_path / "elsewhere/__main__.py", "print(__file__)")
    assert_same(tmp_path, "-m", "package")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("nope.py",), "target: expected a script that exists, got 'nope.py'"),
        (("nope",), "target: expected module:callable, -m module, or a script,"),
        (("empty",), "target: expected a script, or a directory or zip file with a"),
        (("empty.zip",), "target: expected a script, or a directory or zip file with a"),
        (("broken.zip",), "target: expected a valid zip file, got 'broken.zip'"),
        (("broken",), "target: expected a valid zip file, got 'broken'"),
        (("damaged.zip",), "target: can't read __main__ in 'damaged.zip': "),
        (("-m", "nope"), "-m: there is no module 'nope'"),
        (("-m", "nope.nope"), "-m: there is no module 'nope'"),
        (("-m", "script.py"), "-m: 'script' is not a package"),
        (
            ("-m", "nope.py"),
            "-m: there is no module 'nope'; scripts are given without -m",
        ),
        (("-m", "package"), "-m: package 'package' has no __main__ module"),
        (("-m", "package.nope"), "-m: there is no module 'package.nope'"),
        (("-m", "names"), "-m: package 'names' has no __main__ module"),
        (("-m", "math"), "-m: 'math' has no Python code that could be run"),
        (("-m", "sys"), "-m: 'sys' has no Python code that could be run"),
        (("-m", ""), "-m: expected the name of a module, got ''"),
        (("-m", ".script"), "-m: expected the name of a module, got '.script'"),
        (
            ("-m", "package..nope"),
            "-m: expected the name of a module, got 'package..nope'",
        ),
        (("--repeat", "2", "script.py"), "repeat: expected only with module:callable"),
        (("--budget", "2", "script.py"), "budget: expected only with module:callable"),
        (("--timeline", "no/x", "script.py"), "timeline: can't write 'no/x': No such"),
        (("--html", "empty", "script.py"), "html: expected the name of a file, got"),
        (("--plot", "", "script.py"), "plot: expected the name of a file, got ''"),
    ],
    ids=str,
)
def test_bad_target_is_one_line_and_runs_nothing(
    words: tuple[str, ...], expected: str, tmp_path: Path
) -> None:
    write(tmp_path / "script.py", "print('script')")
    write(tmp_path / "package/__init__.py", "print('package')")
    write(tmp_path / "names/module.py", "print('module')")
    (tmp_path / "empty").mkdir()
    with zipfile.ZipFile(tmp_path / "empty.zip", "w") as archive:
        archive.writestr("module.py", "print('module')")
    with zipfile.ZipFile(tmp_path / "damaged.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("__main__.py", "print('__main__')\n" * 50)
    data = bytearray((tmp_path / "damaged.zip").read_bytes())
    data[45:55] = 10 * b"\xff"
    (tmp_path / "damaged.zip").write_bytes(data)
    (tmp_path / "broken.zip").write_bytes(b"no zip file")
    (tmp_path / "broken").write_bytes(b"PK\x03\x04 and no more")
    done = python(*PROBE, *words, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert done.stderr.startswith(f"gilx probe: {expected}")
    assert done.stderr.count("\n") == 1


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_script_that_cannot_be_read(tmp_path: Path) -> None:
    write(tmp_path / "script.py", "print()").chmod(0)
    done = python(*PROBE, "script.py", cwd=tmp_path)
    assert done.returncode == 2
    assert (
        done.stderr == "gilx probe: target: can't read 'script.py': Permission denied\n"
    )


THREADS = """
    import threading, time
    def spin():
        end = time.monotonic() + 0.5
        while time.monotonic() < end:
            pass
    def later():
        time.sleep(0.2)
        spin()
    threads = [threading.Thread(target=later, name=f"worker-{i}") for i in range(2)]
    for thread in threads:
        thread.start()
"""


def test_usage_of_program_leads_with_all_threads(tmp_path: Path) -> None:
    write(tmp_path / "script.py", THREADS)
    usage = gilx.GilUsage.from_json(
        assert_same(tmp_path, "script.py") and _json(tmp_path)
    )
    assert usage.program == "script.py"
    assert usage.wall > 0.5  # the main thread is at its end at once
    main, *others = usage.by_thread
    assert main.name == "MainThread"
    assert {share.name for share in others[:2]} == {"worker-0", "worker-1"}
    assert usage.locked.value > max(share.held for share in others)
    assert usage.doubt or "the thread that holds it most is worker-" in usage.sentence()


def _json(directory: Path) -> str:
    return python(*PROBE, "--json=-", "script.py", cwd=directory).stdout


def test_files_are_written_where_the_command_was_started(tmp_path: Path) -> None:
    write(tmp_path / "script.py", "import os; os.chdir('/')")
    words = ("--timeline", "trace.json", "script.py")
    done = python(*PROBE, *words, cwd=tmp_path)
    assert done.stderr == ""
    assert json.loads((tmp_path / "trace.json").read_text())["traceEvents"]


def test_page_and_picture_lead_with_the_program(tmp_path: Path) -> None:
    pytest.importorskip("vl_convert")
    pytest.importorskip("matplotlib")
    write(tmp_path / "script.py", "import time; time.sleep(0.5)")
    words = ("--html", "x.html", "--plot", "x.svg", "script.py")
    done = python(*PROBE, *words, cwd=tmp_path)
    assert done.stderr == ""
    sentence = done.stdout.partition("\n")[0]
    assert f"<p>{sentence}. " in (tmp_path / "x.html").read_text()
    assert (tmp_path / "x.svg").read_text().startswith("<?xml")


def test_program_that_fails_keeps_its_status_if_a_file_cannot_be_written(
    tmp_path: Path,
) -> None:
    text = "import os, sys; os.rmdir('there'); sys.exit(5)"
    write(tmp_path / "script.py", text)
    (tmp_path / "there").mkdir()
    done = python(*PROBE, "--timeline", "there/x.json", "script.py", cwd=tmp_path)
    assert done.returncode == 5
    assert done.stderr.startswith("gilx probe: timeline: can't write ")
    assert done.stderr.count("\n") == 1
    assert_one_usage(done.stdout)


@pytest.mark.parametrize(
    "change",
    ["os.close(1)", "os.close(1); kept = open('data', 'w+')", "os.dup2(log.fileno(), 1)"],
)
def test_usage_is_not_written_to_files_of_the_program(
    change: str, tmp_path: Path
) -> None:
    write(
        tmp_path / "script.py",
        f"import os, sys\nlog = open('log', 'w')\n{change}\nsys.stdout = None",
    )
    done = python(*PROBE, "script.py", cwd=tmp_path)
    assert done.stdout == ""
    assert_one_usage(done.stderr)
    for name in ("log", "data"):
        assert not (tmp_path / name).exists() or (tmp_path / name).read_text() == ""


def test_reader_of_the_usage_may_leave(tmp_path: Path) -> None:
    write(tmp_path / "script.py", "import sys; sys.exit(4)")
    shell = f"{sys.executable} -m gilx probe script.py | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", shell], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert (done.stdout, done.stderr) == ("4\n", "")
