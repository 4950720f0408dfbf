"""Operator schemas that torchvision expects of its C++ extension, so that it imports where only its Python part is installed.

There is no CPU build of torchvision for this torch. Importing this module before torchvision defines the schemas of
its operators, without kernels: models that call none of them run as usual. It also lets torchvision be found: `make venv`
puts it beside the environment's own packages, where transformers would find it, import it without schemas and fail.
"""

import importlib.util
import sys
from pathlib import Path

import torch

_ROI = "Tensor input, Tensor rois, float spatial_scale, SymInt pooled_height, SymInt pooled_width"
_ROI_BACKWARD = (
    "SymInt pooled_height, SymInt pooled_width, SymInt batch_size, SymInt channels, SymInt height, SymInt width"
)
_DEFORM = (
    "Tensor input, Tensor weight, Tensor offset, Tensor mask, Tensor bias, SymInt stride_h, SymInt stride_w, "
    "SymInt pad_h, SymInt pad_w, SymInt dilation_h, SymInt dilation_w, SymInt groups, SymInt offset_groups, bool use_mask"
)

SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    f"roi_align({_ROI}, int sampling_ratio, bool aligned) -> Tensor",
    f"qroi_align({_ROI}, int sampling_ratio, bool aligned) -> Tensor",
    f"roi_pool({_ROI}) -> (Tensor, Tensor)",
    f"ps_roi_align({_ROI}, int sampling_ratio) -> (Tensor, Tensor)",
    f"ps_roi_pool({_ROI}) -> (Tensor, Tensor)",
    f"deform_conv2d({_DEFORM}) -> Tensor",
    f"_roi_align_backward(Tensor grad, Tensor rois, float spatial_scale, {_ROI_BACKWARD}, "
    "int sampling_ratio, bool aligned) -> Tensor",
    f"_roi_pool_backward(Tensor grad, Tensor rois, Tensor argmax, float spatial_scale, {_ROI_BACKWARD}) -> Tensor",
    f"_ps_roi_align_backward(Tensor grad, Tensor rois, Tensor channel_mapping, float spatial_scale, {_ROI_BACKWARD}, "
    "int sampling_ratio) -> Tensor",
    f"_ps_roi_pool_backward(Tensor grad, Tensor rois, Tensor channel_mapping, float spatial_scale, {_ROI_BACKWARD}) -> Tensor",
    f"_deform_conv2d_backward(Tensor grad, {_DEFORM}) -> (Tensor, Tensor, Tensor, Tensor, Tensor)",
)

_LIBRARY = torch.library.Library("torchvision", "FRAGMENT")

for _schema in SCHEMAS:
    if not hasattr(torch.ops.torchvision, _schema.split("(")[0]):
        _LIBRARY.define(_schema)

if importlib.util.find_spec("torchvision") is None:
    sys.path.append(str(Path(sys.prefix) / "torchvision"))
