"""Magics ``%gilx`` and ``%%gilx`` of IPython and Jupyter.

``%load_ext gilx`` adds them. IPython is imported only then.
"""

from __future__ import annotations

import ast
import importlib
import re
from typing import TYPE_CHECKING, Any, NoReturn

from gilx.errors import ArgumentError, WatchUnavailableError
from gilx.sampling.known_stacks import reason_against_stacks
from gilx.sampling.watch import COST, watch_with_callers

if TYPE_CHECKING:
    from types import CodeType

    from gilx.sampling.watch import Watch

_OPTION = re.compile(r"\s*--(cost|watch)(?:\s+|=)(\S+)(?!\S)")


def load_ipython_extension(shell: Any) -> None:  # noqa: ANN401 - may be missing
    """Add the magics to a shell of IPython, as ``%load_ext gilx`` does.

    Parameters
    ----------
    shell : IPython.core.interactiveshell.InteractiveShell
        The shell.

    """

    def gilx(line: str, cell: str | None = None) -> object:
        """Run a line or a cell, and show how much of its time holds the GIL, and where.

        Usage, in line mode::

            %gilx [--cost SHARE] [--watch NAME] statement

        and in cell mode::

            %%gilx [--cost SHARE] [--watch NAME]
            statements

        --cost SHARE: the share of one CPU that the sampler may take (default: 0.03).

        --watch NAME: keep the watch, with whole stacks, as a variable of that name:
        NAME.usage, NAME.timeline, NAME.stacks, NAME.to_html().

        The value is that of the last expression. Names are those of the notebook. After
        an exception or an interrupt, too, the usage until then is shown. There is no
        ``await`` outside functions.
        """
        __tracebackhide__ = "__ipython_bottom__"
        return _run(shell, line, cell)

    shell.register_magic_function(gilx, "line_cell")


def _run(shell: Any, line: str, cell: str | None) -> object:  # noqa: ANN401 - see above
    # IPython shows tracebacks from the frame after the last one with this name.
    __tracebackhide__ = "__ipython_bottom__"
    options, rest = _options(line)
    if cell is not None and rest:
        _refuse(f"expected nothing after the options of %%gilx, got {rest!r}")
    if cell is None and not rest:
        _refuse("expected a statement after %gilx")
    codes = _compiled(shell, rest if cell is None else cell, shifted=cell is not None)
    watching = _started(options)
    value: object = None
    try:
        for code in codes:
            value = eval(code, shell.user_ns)  # noqa: S307 - the user's own
    finally:
        watching.stop()
        if "watch" in options:
            shell.user_ns[options["watch"]] = watching
        if watching.ended:  # it has not in the child of a fork
            _show(watching, "The line" if cell is None else "The cell")
    return value


def _options(line: str) -> tuple[dict[str, str], str]:
    """Return the options at the start of a line, and the rest of it."""
    options: dict[str, str] = {}
    at = 0
    while found := _OPTION.match(line, at):
        options[found[1]] = found[2]
        at = found.end()
    rest = line[at:].strip()
    if rest.startswith("--"):
        _refuse(f"expected --cost SHARE or --watch NAME, got {rest!r}")
    if not options.get("watch", "name").isidentifier():
        _refuse(f"--watch: expected the name of a variable, got {options['watch']!r}")
    return options, rest


def _compiled(shell: Any, text: str, *, shifted: bool) -> list[CodeType]:  # noqa: ANN401
    """Return code for statements, and for the expression at their end, if there is one.

    As that of any cell, its source text is kept by the module ``linecache``. If it is
    `shifted`, its lines are counted from the one above, as those of the whole cell are.
    """
    source = "\n" * shifted + shell.transform_cell(text)
    name = shell.compile.cache(source, shell.displayhook.prompt_count)
    tree = shell.transform_ast(shell.compile.ast_parse(source, name))
    last = tree.body[-1:]
    if not last or not isinstance(last[0], ast.Expr):
        return [shell.compile(tree, name, "exec")]
    body = ast.Module(tree.body[:-1], [])
    return [
        shell.compile(body, name, "exec"),
        shell.compile(ast.Expression(last[0].value), name, "eval"),
    ]


def _started(options: dict[str, str]) -> Watch:
    try:
        cost = float(options.get("cost", COST))
    except ValueError:
        _refuse(f"--cost: expected a number, got {options['cost']!r}")
    try:
        stacks = "watch" in options and not reason_against_stacks()
        return watch_with_callers(cost=cost, stacks=stacks).__enter__()
    except (ArgumentError, WatchUnavailableError) as error:
        _refuse(str(error))


def _show(watching: Watch, name: str) -> None:
    usage = watching.usage_of_program(name)
    data = {"text/plain": str(usage), "text/html": usage._repr_html_()}
    importlib.import_module("IPython.display").display(data, raw=True)


def _refuse(words: str) -> NoReturn:
    """Raise the exception that IPython shows as one line."""
    error: type[Exception] = importlib.import_module("IPython.core.error").UsageError
    raise error(words)
