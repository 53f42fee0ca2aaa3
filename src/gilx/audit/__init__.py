"""Many callables at once: how much of each holds the GIL, and how it scales."""

from gilx.audit.comparison import AuditChange, compare
from gilx.audit.measurement import perform
from gilx.audit.plan import Plan, PlanEntry, read_plan
from gilx.audit.record import Audit, Line

__all__ = [
    "Audit",
    "AuditChange",
    "Line",
    "Plan",
    "PlanEntry",
    "compare",
    "perform",
    "read_plan",
]
