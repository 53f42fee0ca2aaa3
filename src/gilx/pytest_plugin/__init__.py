"""The pytest plugin ``gilx``: a fixture, two markers, and a summary of their verdicts.

pytest loads this file in every run when gilx is installed, whatever pytest's version is
and whether gilx is used or not. So neither this file nor anything it imports loads a
module that pytest has not loaded already, and `unsupported` and `declarations` use only
what every pytest has.
"""

from __future__ import annotations

import pytest

# Older versions lack hook wrappers that may raise, and the oldest lack version_tuple.
if getattr(pytest, "version_tuple", (0,)) >= (8,):
    from gilx.pytest_plugin.hooks import *  # noqa: F403 - pytest looks for hooks here
else:
    from gilx.pytest_plugin.unsupported_pytest import *  # noqa: F403 - likewise
