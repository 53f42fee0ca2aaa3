"""Clusters of Dask's on this machine, and workers that are not as their client is."""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["client_of_workers", "started_worker"]

_MAIN = """\
import sys
{before}
sys.argv = ["dask-worker", *{words!r}]
from distributed.cli.dask_worker import main
main()
"""


@contextmanager
def client_of_workers(count: int, *, processes: bool = True) -> Iterator[Any]:
    """Start a cluster with so many workers of one thread; return its client."""
    module = pytest.importorskip("distributed")
    with (
        module.LocalCluster(
            n_workers=count,
            threads_per_worker=1,
            processes=processes,
            host="127.0.0.1" if processes else None,
            dashboard_address=":0",  # any port that is free
        ) as cluster,
        module.Client(cluster) as client,
    ):
        yield client


@contextmanager
def started_worker(
    client: Any, name: str, directory: Path, before: str = ""
) -> Iterator[subprocess.Popen[bytes]]:
    """Start a worker without a nanny; Python code may run before Dask is loaded."""
    words = [
        *(client.cluster.scheduler_address, "--no-nanny", "--nthreads=1"),
        *("--host=127.0.0.1", "--no-dashboard", f"--name={name}"),
        f"--local-directory={directory / name}",
    ]
    with (
        (directory / f"{name}.log").open("wb") as log,
        subprocess.Popen(
            [sys.executable, "-c", _MAIN.format(before=before, words=words)],
            stdout=log,
            stderr=log,
        ) as child,
    ):
        try:
            yield child
        finally:
            child.kill()
