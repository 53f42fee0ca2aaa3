"""Many callables at once: how much of each holds the GIL, and how it scales."""

from gilx.audit.comparison import Change, compare
from gilx.audit.measurement import perform
from gilx.audit.plan import Plan, Subject, read_plan
from gilx.audit.record import Audit, Line, Scaling

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
