"""Programs behave under `gilx probe` as under `python`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.integration.probe_program.program_runs import (
    assert_one_usage,
    assert_same,
    write,
)
from tests.markers import needs_watch

if TYPE_CHECKING:
    from pathlib import Path


pytestmark = [
    needs_watch,
]


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
    "files_closed": """
        import os, time
        os.closerange(3, 256)
        files = [open(str(number), "w+b", buffering=0) for number in range(20)]
        for file in files:
            file.write(b"of the program")
        time.sleep(0.2)
        for file in files:
            file.seek(0)
            print(file.read())
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


@pytest.mark.parametrize("words", [("script.py",), ("-m", "script")], ids=str)
def test_program_gets_all_words_after_its_name(
    words: tuple[str, ...], tmp_path: Path
) -> None:
    write(tmp_path / "script.py", "import sys; print(sys.argv)")
    own = ("--", "--p", "--json=x:y", "--budget", "x", "-m", "--", "-mx", "--p=1", "-1")
    assert_one_usage(assert_same(tmp_path, *words, *own), words[-1])


@pytest.mark.parametrize("name", ["fork", "process", "daemon", "subprocess"])
def test_fork_gives_no_warning_that_python_alone_does_not_give(
    name: str, tmp_path: Path
) -> None:
    write(tmp_path / "script.py", BEHAVIOUR[name])
    assert_same(tmp_path, "script.py", flags=("-W", "always"))
    if name != "subprocess":
        assert_same(tmp_path, "script.py", flags=("-W", "error::DeprecationWarning"))


@pytest.mark.parametrize("words", [("script.py",), ("-m", "script")], ids=str)
def test_failing_program_shows_its_own_frames_only(
    words: tuple[str, ...], tmp_path: Path
) -> None:
    write(tmp_path / "script.py", BEHAVIOUR["exception"])
    assert_same(tmp_path, *words)
