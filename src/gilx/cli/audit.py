"""``gilx audit``: many callables at once, and what changed since an earlier audit.

Exit status: 0 when every call was measured and, with ``--baseline``, nothing got worse;
1 when a call raised or could not be compared, or a line is worse than in the baseline; 2
when the command line, the file or the baseline can't be used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gilx.audit.comparison import compare
from gilx.audit.measurement import perform
from gilx.audit.plan import read_plan
from gilx.audit.record import Audit
from gilx.cli.file_options import add_json, check_json, print_or_save, read_record
from gilx.cli.option_types import add_options
from gilx.cli.progress import show
from gilx.cli.reserved_output import output_for
from gilx.formatting import percent, table_with_remarks, wrapped

if TYPE_CHECKING:
    import argparse

    from gilx.audit.comparison import AuditChange
    from gilx.estimate import Estimate


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("plan", metavar="AUDIT.toml", help="what to call, and how")
    parser.add_argument(
        "--only",
        metavar="WORD",
        action="append",
        help="audit only calls with this word in their names; may be given several times",
    )
    add_json(parser, "the audit", target="the audit's file")
    add_options(
        parser,
        {
            "--baseline OLD.json": "an earlier audit's JSON: list what got better or"
            " worse since",
            "--least SHARE 0.05": "the smallest change that counts (default: 0.05)",
            "--force": "compare even if the machines differ",
        },
    )


def run(options: argparse.Namespace) -> int:
    """Audit, print the tables and write the file."""
    check_json(options.json)
    output = output_for(options.json)
    plan = read_plan(options.plan)
    if options.only:
        plan = plan.only(options.only)
    baseline = (
        None
        if options.baseline is None
        else read_record(options.baseline, Audit.from_json)
    )
    audit = perform(
        plan, baseline=baseline, least=options.least, force=options.force, progress=show
    )
    text = str(audit)
    worse = False
    if baseline is not None:
        changes = compare(baseline, audit, least=options.least, force=options.force)
        worse = any(change.verdict == "worse" for change in changes)
        text += f"\n\n{comparison_text(baseline, audit, changes)}"
    print_or_save(text, audit.to_json(), options.json, output)
    return 0 if audit.complete and not worse else 1


def comparison_text(baseline: Audit, audit: Audit, changes: list[AuditChange]) -> str:
    """Return what changed from one audit to the next, as text."""
    lines = wrapped(f"compared with {baseline.environment.summary()}")
    changed = [change for change in changes if change.verdict in ("better", "worse")]
    if changed:
        rows = [
            (
                change.label,
                change.figure,
                _figure(change.before),
                _figure(change.after),
                change.verdict,
            )
            for change in changed
        ]
        head = ("call", "figure", "then", "now", "")
        lines += ["", table_with_remarks(head, rows, right=(2, 3)), ""]
    same = sum(change.verdict == "no difference" for change in changes)
    unknown = sum(change.verdict == "unknown" for change in changes)
    lines.append(
        f"{len(changed)} changed, {same} show no difference, {unknown} can't be compared"
    )
    then, now = (
        {(line.name, line.size): line.label for line in each.lines}
        for each in (baseline, audit)
    )
    for words, names in (
        ("new", [now[key] for key in now if key not in then]),
        ("not in this audit", [then[key] for key in then if key not in now]),
    ):
        if names:
            lines += wrapped(f"{words}: {', '.join(names)}", "", "  ")
    return "\n".join(lines)


def _figure(figure: Estimate) -> str:
    return figure.text(percent) if figure.known else "-"
