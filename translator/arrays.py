"""torch tensors as numpy arrays and back, bit for bit, in every dtype that both have."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from op_table.dtypes import to_numpy, to_torch

# numpy has no such types of its own (ml_dtypes adds them), so torch hands their bits over as integers of the same width.
_BITS = {torch.bfloat16: torch.int16, torch.float8_e4m3fn: torch.uint8, torch.float8_e5m2: torch.uint8}


def to_array(tensor: torch.Tensor) -> np.ndarray:
    """A copy of tensor's values in numpy; later writes to the tensor do not show in it.

    Raises TypeError for a tensor that numpy cannot hold: quantized, sparse, or on the meta device, without values.
    """
    if tensor.is_meta:
        raise TypeError("it is on the meta device and has no values: load the module's weights first")
    if tensor.layout is not torch.strided or tensor.is_quantized:
        raise TypeError(f"JAX has no arrays of layout {tensor.layout} and dtype {tensor.dtype}")
    dtype = to_numpy(tensor.dtype)
    tensor = tensor.detach().cpu().resolve_conj().resolve_neg().contiguous()
    if tensor.dtype in _BITS:
        return tensor.view(_BITS[tensor.dtype]).numpy().view(dtype).copy()
    return tensor.numpy().copy()


def to_tensor(array: Any) -> torch.Tensor:
    """A copy of an array of JAX or numpy as a tensor of torch's dtype of the same name."""
    array = np.array(array, order="C")
    dtype = to_torch(array.dtype)
    if dtype in _BITS:
        return torch.from_numpy(array.view(np.dtype(str(_BITS[dtype]).removeprefix("torch.")))).view(dtype)
    return torch.from_numpy(array)


def memory_of(value: Any) -> int | None:
    """What identifies the memory that a strided tensor lies in; None for anything else."""
    strided = isinstance(value, torch.Tensor) and value.layout == torch.strided
    if strided and torch._C._functorch.is_functorch_wrapped_tensor(
        value
    ):  # within vmap and the like, where none has its own
        return None
    return value.untyped_storage()._cdata if strided else None
