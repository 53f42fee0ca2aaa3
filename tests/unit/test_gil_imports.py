"""Watch of imports that turn the GIL on, with a GIL that is made up."""

from __future__ import annotations

import sys
import threading
import warnings
from importlib.machinery import ExtensionFileLoader, ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

from gilx.system import gil_imports
from gilx.system.gil_imports import GilImport, ImportWatch, forced_gil

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.thread_unsafe(reason="replaces the loader of extension modules")

needs_own_filters = pytest.mark.skipif(
    not getattr(sys.flags, "context_aware_warnings", False),
    reason="needs warnings filters of each thread's own",
)


class MadeUpGil:
    """GIL that is on while an extension module is loaded, and after an undeclared one."""

    def __init__(self) -> None:
        self.on = False
        self.transient = 0
        self.warns = True
        self.loads: dict[str, Callable[[], object]] = {}

    def is_enabled(self) -> bool:
        return self.on or self.transient > 0

    def create(self, _: ExtensionFileLoader, spec: ModuleSpec) -> ModuleType:
        self.transient += 1
        try:
            self.loads.get(spec.name, bool)()
            if "undeclared" in spec.name and not self.on:
                self.on = True
                if self.warns:
                    warnings.warn(
                        "The global interpreter lock (GIL) has been enabled to load module"
                        f" '{spec.name}', which has not declared that ...",
                        RuntimeWarning,
                        stacklevel=1,
                    )
        finally:
            self.transient -= 1
        return ModuleType(spec.name)


@pytest.fixture
def gil(monkeypatch: pytest.MonkeyPatch) -> MadeUpGil:
    """Put a made-up GIL in the place of this build's."""
    made_up = MadeUpGil()
    monkeypatch.setattr(gil_imports, "gil_enabled", made_up.is_enabled)
    monkeypatch.setattr(gil_imports, "noted_imports", [])

    def create_module(loader: ExtensionFileLoader, spec: ModuleSpec) -> ModuleType:
        return made_up.create(loader, spec)

    monkeypatch.setattr(ExtensionFileLoader, "create_module", create_module)
    return made_up


def load(name: str) -> None:
    spec = ModuleSpec(name, None, origin=f"/{name}.so")
    ExtensionFileLoader(name, f"/{name}.so").create_module(spec)


def found_in(work: Callable[[], object]) -> list[GilImport]:
    found: list[GilImport] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with ImportWatch(found.append):
            work()
    assert found == gil_imports.noted_imports
    return found


@pytest.mark.parametrize("warns", [True, False])
def test_module_that_turns_the_gil_on_is_found(gil: MadeUpGil, warns: bool) -> None:
    gil.warns = warns

    def work() -> None:
        for name in ("good", "a.undeclared", "b.undeclared", "good"):
            load(name)

    assert found_in(work) == [GilImport("a.undeclared", "/a.undeclared.so")]


def test_nothing_is_found_where_all_modules_declare_it(gil: MadeUpGil) -> None:
    gil.loads["outer"] = lambda: load("good")
    assert found_in(lambda: load("outer")) == []


@needs_own_filters
def test_innermost_module_is_found(gil: MadeUpGil) -> None:
    gil.loads["outer"] = lambda: load("undeclared")
    assert found_in(lambda: load("outer")) == [GilImport("undeclared", "/undeclared.so")]


def test_module_is_not_guessed_without_the_warning(gil: MadeUpGil) -> None:
    gil.warns = False
    gil.loads["outer"] = lambda: load("undeclared")
    assert found_in(lambda: load("outer")) == []


def test_module_that_is_loaded_beside_another_is_not_blamed(gil: MadeUpGil) -> None:
    gil.warns = False

    def beside() -> None:
        thread = threading.Thread(target=load, args=("good",))
        thread.start()
        thread.join()

    gil.loads["undeclared"] = beside
    assert found_in(lambda: load("undeclared")) == []


def test_failing_import_is_found_too(gil: MadeUpGil) -> None:
    def fail() -> None:
        gil.on = True
        raise ImportError("not now")

    gil.loads["bad"] = fail

    def work() -> None:
        with pytest.raises(ImportError, match="not now"):
            load("bad")

    assert found_in(work) == [GilImport("bad", "/bad.so")]


def test_warnings_are_issued_under_the_filters_of_the_program(gil: MadeUpGil) -> None:
    gil.loads["undeclared"] = lambda: warnings.warn("other", UserWarning, stacklevel=1)
    with warnings.catch_warnings(record=True) as caught, ImportWatch():
        warnings.simplefilter("always")
        load("undeclared")
    assert [one.category for one in caught] == [UserWarning, RuntimeWarning]
    gil.on = False
    with warnings.catch_warnings(), ImportWatch():
        warnings.simplefilter("ignore", UserWarning)
        warnings.simplefilter("error", RuntimeWarning)
        with pytest.raises(RuntimeWarning, match="enabled to load module 'undeclared'"):
            load("undeclared")


def test_loader_is_as_before_after_the_watch(gil: MadeUpGil) -> None:
    before = ExtensionFileLoader.create_module
    with ImportWatch() as watch:
        assert ExtensionFileLoader.create_module is not before
        assert not watch.loading
        gil.loads["good"] = lambda: loading.append(watch.loading)
        loading: list[bool] = []
        load("good")
        assert loading == [True]
    watch.stop()
    assert ExtensionFileLoader.create_module is before


def test_watch_that_ends_inside_another_leaves_it(gil: MadeUpGil) -> None:
    found: list[GilImport] = []
    first, second = ImportWatch(), ImportWatch(found.append)
    before = ExtensionFileLoader.create_module
    first.start()
    second.start()
    first.stop()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        load("undeclared")
    second.stop()
    assert [one.module for one in found] == ["undeclared"]
    ExtensionFileLoader.create_module = before  # type: ignore[method-assign]
    assert gil.on


@pytest.mark.parametrize(
    ("option", "variable", "expected"),
    [
        (None, None, ""),
        ("0", "1", "-X gil=0"),
        (None, "1", "PYTHON_GIL=1"),
        (None, "0", "PYTHON_GIL=0"),
        (None, "", ""),
    ],
)
def test_option_goes_before_variable(
    option: str | None,
    variable: str | None,
    expected: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sys._xoptions", {} if option is None else {"gil": option})
    monkeypatch.delenv("PYTHON_GIL", raising=False)
    if variable is not None:
        monkeypatch.setenv("PYTHON_GIL", variable)
    assert forced_gil() == expected
