"""Run the same computation in one thread and in two, holding the GIL and releasing it."""

import gilx

for variant in ("c-gil", "c-nogil"):
    alone = gilx.run("mandelbrot", workers=1, variant=variant)
    together = gilx.run("mandelbrot", workers=2, variant=variant)
    assert (alone.value == together.value).all()
    print(
        f"{variant}: {alone.seconds / together.seconds:.2f} times as fast with 2 threads"
    )
