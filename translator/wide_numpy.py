"""numpy for an emitted file that runs in float64: its narrow constants keep their values, and are wide from there on."""

from __future__ import annotations

from typing import Any

import numpy


class _Narrow:
    """Stands for a narrow dtype: what it makes is rounded to that, and then widened."""

    def __init__(self, narrow: type, wide: type):
        self.narrow, self.wide = narrow, wide

    def __call__(self, value: Any) -> Any:
        return self.wide(self.narrow(value))


class _WideNumpy:
    float16 = _Narrow(numpy.float16, numpy.float64)
    float32 = _Narrow(numpy.float32, numpy.float64)
    complex64 = _Narrow(numpy.complex64, numpy.complex128)

    def array(self, values: Any, dtype: Any = None) -> numpy.ndarray:
        if isinstance(dtype, _Narrow):
            return numpy.array(values, dtype=dtype.narrow).astype(dtype.wide)
        return numpy.array(values, dtype=dtype)

    def __getattr__(self, name: str) -> Any:
        return getattr(numpy, name)


np = _WideNumpy()
