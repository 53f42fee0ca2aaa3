"""The GILs of the workers of a Dask cluster: watched for a while, or monitored.

`watch` reports how the workers' GILs were used while a ``with`` statement ran;
`MonitorPlugin` runs a `gilx.Monitor` in each worker for as long as it lives. gilx must be
installed on the workers, and Dask here: the extra ``dask`` has it.
"""

from __future__ import annotations

import importlib

from gilx.errors import MissingExtraError


def _check_dask() -> None:
    try:
        importlib.import_module("distributed")
    except ImportError as error:
        raise MissingExtraError("no Dask: pip install 'gilx[dask]'") from error


_check_dask()  # before the modules that need it

from gilx.dask.cluster_watch import ClusterWatch, watch  # noqa: E402
from gilx.dask.monitor_plugin import MonitorPlugin  # noqa: E402

__all__ = ["ClusterWatch", "MonitorPlugin", "watch"]
