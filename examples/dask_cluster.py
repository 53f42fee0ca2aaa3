"""Run a kernel on a Dask cluster, here one of two worker processes on this machine.

A cluster of many machines is used in the same way: give `Client` its address.
"""

import gilx

try:
    from distributed import Client, LocalCluster
except ModuleNotFoundError:
    raise SystemExit("this example needs Dask: pip install 'gilx[dask]'") from None


def main() -> None:
    """Compute the same problem here and on the cluster, and compare."""
    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address=None
        ) as cluster,
        Client(cluster) as client,
        client.get_executor() as executor,
    ):
        here = gilx.run("mandelbrot", workers=2)
        for _ in range(2):  # in the first run, the cluster's workers load gilx
            there = gilx.run("mandelbrot", workers=2, pool=executor)
    assert (here.value == there.value).all()
    print(f"threads: {here.seconds * 1e3:.0f} ms, Dask: {there.seconds * 1e3:.0f} ms")


# Dask's worker processes import this script.
if __name__ == "__main__":
    main()
