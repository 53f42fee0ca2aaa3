"""Starts and stops by the thousand, many threads on one object, and ends at any moment.

``python -m tests.stress --count 10000 --ends 500 --seconds 30`` is the long form;
`tests/integration/test_stress.py` the short one.
"""
