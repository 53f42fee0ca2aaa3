"""The GILs of the workers of a Dask cluster: watched for a while, or monitored.

`watch` reports how the workers' GILs were used while a ``with`` statement ran;
`MonitorPlugin` runs a `gilx.Monitor` in each worker for as long as it lives. gilx must be
installed on the workers, and Dask here: the extra ``dask`` has it.
"""

from __future__ import annotations

from gilx.errors import MissingExtraError

try:
    import distributed as _distributed  # noqa: F401 - everything here needs it
except ImportError as error:
    raise MissingExtraError("no Dask: pip install 'gilx[dask]'") from error

from gilx.dask.cluster_watch import ClusterWatch, watch
from gilx.dask.monitor_plugin import MonitorPlugin

__all__ = ["ClusterWatch", "MonitorPlugin", "watch"]
