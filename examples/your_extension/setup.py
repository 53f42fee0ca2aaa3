"""The extension modules; everything else about the package is in pyproject.toml."""

from Cython.Build import cythonize
from setuptools import Extension, setup

setup(
    ext_modules=cythonize(
        [
            Extension("your_extension._mix", ["src/your_extension/_mix.c"]),
            Extension("your_extension._distance", ["src/your_extension/_distance.pyx"]),
        ]
    )
)
