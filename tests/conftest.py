"""What every test runs under."""

from __future__ import annotations

import gc

from tests.compiling import quickly

quickly()

# torch, JAX and what they cache are a million objects, which the collector would walk over and over.
gc.set_threshold(20_000, 20, 20)


def pytest_collection_finish() -> None:
    """What importing the tests made stays to the end."""
    gc.freeze()
