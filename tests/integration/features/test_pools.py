"""The pools: the same result from every way to run a kernel's items."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Any

import pytest

import gilx
from tests.integration.test_every_pool import EXECUTORS

from .interface import command

if TYPE_CHECKING:
    from pathlib import Path

# A reduction, and a kernel that needs the last sweep's results from all workers.
KERNELS = ("histogram", "heat")


@pytest.fixture(scope="module")
def serial() -> dict[str, bytes]:
    """Return the bits of each kernel's result from one worker."""
    return {
        name: gilx.run(name, pool="serial", size=size(name)).value.tobytes()
        for name in KERNELS
    }


def size(name: str) -> int:
    return gilx.kernels.get(name).python_size


def assert_same_bits(serial: dict[str, bytes], **options: Any) -> gilx.RunResult:
    for name in KERNELS:
        for schedule in ("static", "dynamic"):
            result = gilx.run(name, size=size(name), schedule=schedule, **options)
            assert result.value.tobytes() == serial[name], (name, schedule)
            result.problem.check(result.problem.out)
    assert result.seconds > 0
    return result


@pytest.mark.parametrize(
    "pool", ["serial", "threads", "processes", "interpreters", "native"]
)
def test_pool_computes_what_one_worker_does(serial: dict[str, bytes], pool: str) -> None:
    assert pool in gilx.pools.names()
    if pool == "interpreters" and sys.version_info < (3, 14):
        pytest.skip("interpreters need Python 3.14")
    workers = 1 if pool == "serial" else 2
    result = assert_same_bits(serial, pool=pool, workers=workers)
    assert (result.pool, result.workers) == (pool, workers)
    assert result.start_seconds >= 0


@pytest.mark.parametrize("kind", EXECUTORS)
def test_executor_computes_what_one_worker_does_and_stays_open(
    serial: dict[str, bytes], kind: str
) -> None:
    with EXECUTORS[kind]() as executor:
        result = assert_same_bits(serial, pool=executor, workers=2)
        assert result.pool == type(executor).__name__
        assert executor.submit(len, "abc").result(60) == 3


def test_command_runs_a_kernel_and_checks_its_result(tmp_path: Path) -> None:
    done = command("run", "primes", "--pool", "threads", "--size", "5000", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert re.match(r"\d workers computed primes in \d", done.stdout)
    assert "the result is right." in done.stdout
