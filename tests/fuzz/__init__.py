"""Random and hostile input for everything that reads input.

``python -m tests.fuzz --calls 1000000 --seed 1`` fuzzes for as long as one likes, best
with modules that were built with sanitizers; `tests/integration/test_fuzz.py` is the short form. What
is called is found by looking at the modules, so that what is added is fuzzed too.
"""
