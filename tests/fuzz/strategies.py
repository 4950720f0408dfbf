"""Random programs as a hypothesis strategy."""

from __future__ import annotations

from hypothesis import strategies

from tests.fuzz.draw import program

programs = strategies.randoms(use_true_random=False).map(program)
