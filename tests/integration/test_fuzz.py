"""The fuzzer's short form; `python -m tests.fuzz` is the long one."""

from __future__ import annotations

import pytest

from tests.fuzz import compiled, run


@pytest.mark.slow
@pytest.mark.thread_unsafe(reason="takes signals")
@pytest.mark.parametrize(
    ("subject", "calls"), [("compiled", 3000), ("files", 300), ("commands", 10)]
)
def test_nothing_is_found(subject: str, calls: int) -> None:
    found = run.rounds([subject], seed=0, calls=calls)
    assert not found.findings, found.findings[0][1]
    assert found.calls[subject] >= calls


def test_every_compiled_kernel_is_fuzzed() -> None:
    import gilx

    names = {point.__name__ for point in compiled.entry_points()}
    for kernel in gilx.kernels.names():
        assert {f"{kernel}_gil", f"{kernel}_nogil"} <= names
    assert {
        "Counter",
        "NativeTeam",
        "spin",
        "rendezvous_gil",
        "rendezvous_nogil",
    } <= names
