"""What every test runs under."""

from __future__ import annotations

from tests.compiling import quickly

quickly()
