"""Many callables at once: how much of each holds the GIL, and how it scales."""

from gilx.audit.claim import Claim
from gilx.audit.comparison import AuditChange, compare
from gilx.audit.measurement import perform
from gilx.audit.plan import Plan, PlanEntry, read_plan
from gilx.audit.record import Audit, Line, size_words

__all__ = [
    "Audit",
    "AuditChange",
    "Claim",
    "Line",
    "Plan",
    "PlanEntry",
    "compare",
    "perform",
    "read_plan",
    "size_words",
]
