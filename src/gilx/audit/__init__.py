"""Many callables at once: how much of each holds the GIL, and how it scales."""

from gilx.audit.changes import Change, compare
from gilx.audit.perform import perform
from gilx.audit.plan import Plan, Subject, read_plan
from gilx.audit.result import Audit, Line, Scaling

__all__ = [
    "Audit",
    "Change",
    "Line",
    "Plan",
    "Scaling",
    "Subject",
    "compare",
    "perform",
    "read_plan",
]
