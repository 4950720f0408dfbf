"""torch.nn layers that have a layer of the same meaning in Equinox (or in the prelude), as the op they are exported to.

A layer is recognised by its class and by the only op of its body, and built from that op's arguments alone: an exported
program has no module objects. Where no constructor says the same, it returns None, and the module gets a class of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from op_table.convolution import (
    DEPTHWISE,
    GROUPED,
    PADDED,
    PATCHES,
    POINTWISE,
    SCAN,
    SMALL,
    VOLUME,
    VOLUME_OF_GROUPS,
    conv_transpose_options,
    fastest,
    pads,
    per_axis,
    short,
)
from op_table.expr import Attribute, Call, Expr, eqx, key, prelude, static
from op_table.prelude import channels_last as last
from op_table.prelude import channels_last_norms as norms_last
from op_table.prelude import convolution as real
from op_table.prelude import dense_convolution as dense
from op_table.prelude import volumes
from op_table.prelude.batch_norm import BatchNorm


@dataclass(frozen=True)
class Layer:
    """How one torch.nn class, when its body is one op, is built in the emitted file.

    torch_class: the class's full name. op: its op, with the overload. constructor: takes the op's arguments and returns
    the expression that builds the layer (without its key), or None where that cannot be expressed. event_ndim: how many
    axes one example has, or a function of the op's arguments that says so; None where the layer takes batches as they are.
    input: the op's argument that the layer is called with. leaves: the op's argument -> the name of the leaf, where these
    differ. needs_key: whether the constructor takes a key. lift: gives, of the op's arguments, the function that calls the layer
    on a batch, if there is one that is faster than jax.vmap.
    """

    torch_class: str
    op: str
    constructor: Callable[..., Expr | None]
    event_ndim: int | None | Callable[..., int]
    input: str = "input"
    leaves: Mapping[str, str] = field(default_factory=dict)
    needs_key: bool = True
    lift: Callable[..., Expr | None] | None = None


_layers: dict[tuple[str, str], Layer] = {}


def layer(torch_class: str, op: str, **options: Any) -> Callable[[Callable], Callable]:
    """Register a constructor as that of torch_class exported as op. Raises ValueError if there is one already."""

    def register(constructor: Callable) -> Callable:
        if (torch_class, op) in _layers:
            raise ValueError(f"{torch_class} as {op} has a layer already")
        _layers[torch_class, op] = Layer(torch_class, op, constructor, **options)
        return constructor

    return register


def lookup(torch_class: str, op: str) -> Layer | None:
    """The layer of a torch class whose body is op alone, or None."""
    return _layers.get((torch_class, op))


def registered() -> list[Layer]:
    """All layers, sorted by class and op."""
    return [_layers[key] for key in sorted(_layers)]


def _unless(default: Any, **option: Any) -> dict[str, Any]:
    """A keyword argument, left out where it is the default."""
    ((name, value),) = option.items()
    return {} if value == default else {name: value}


def _half(x: Expr) -> bool:
    return x.dtype.itemsize < 4


@layer("torch.nn.modules.linear.Linear", "aten.linear.default", event_ndim=1)
@layer("torch.nn.modules.linear.NonDynamicallyQuantizableLinear", "aten.linear.default", event_ndim=1)
def linear(input: Expr, weight: Expr, bias: Expr | None = None) -> Expr | None:
    out_features, in_features = weight.shape
    return eqx.nn.Linear(in_features, out_features, **_unless(True, use_bias=bias is not None))


@layer("torch.nn.modules.sparse.Embedding", "aten.embedding.default", event_ndim=0, input="indices")
def embedding(weight: Expr, indices: Expr, padding_idx=-1, scale_grad_by_freq=False, sparse=False) -> Expr | None:
    return eqx.nn.Embedding(*weight.shape)


def _conv(axes: int) -> Callable[..., Expr | None]:
    def build(input: Expr, weight: Expr, bias=None, stride=1, padding: Any = 0, dilation=1, groups=1) -> Expr | None:
        out_channels, in_channels, *kernel = weight.shape
        dilation = per_axis(dilation, axes)
        around = pads(padding, kernel, dilation)
        named: Any = "SAME" if groups == 1 else around
        symmetric = all(low == high for low, high in around)
        return getattr(eqx.nn, f"Conv{axes}d")(
            in_channels * groups,
            out_channels,
            short(tuple(kernel)),
            **_unless(1, stride=short(per_axis(stride, axes))),
            **_unless(0, padding=short(tuple(low for low, _ in around)) if symmetric else named),
            **_unless(1, dilation=short(dilation)),
            **_unless(1, groups=groups),
            **_unless(True, use_bias=bias is not None),
        )

    return build


_FORMS = {
    POINTWISE: real.convolve,
    PATCHES: real.convolve_patches,
    DEPTHWISE: real.convolve_depthwise,
    GROUPED: real.convolve_groups,
    SCAN: real.convolve_scan,
    SMALL: real.convolve_any,
    PADDED: dense.convolve_padded,
    VOLUME: volumes.convolve_volume,
    VOLUME_OF_GROUPS: volumes.convolve_volume_of_groups,
}


def _conv_lift(input: Expr, weight: Expr, bias=None, stride=1, padding: Any = 0, dilation=1, groups=1) -> Expr | None:
    """What XLA runs faster than the convolution as it stands."""
    if input.ndim != weight.ndim:
        return None
    form = _form(input.aval.shape[2:], weight, stride, padding, dilation, groups)
    return None if form is None else prelude(_FORMS[form])


def _form(
    size: tuple, weight: Expr, stride: Any, padding: Any, dilation: Any, groups: int, last: bool = False
) -> str | None:
    """`fastest`, for a layer: one that pads both sides differently has no padding that these functions could be given."""
    axes = weight.ndim - 2
    stride, dilation = per_axis(stride, axes), per_axis(dilation, axes)
    around = pads(padding, weight.shape[2:], dilation)
    form = fastest(size, weight.shape, stride, around, dilation, groups, last)
    return None if form in (SMALL, PADDED, VOLUME) and any(low != high for low, high in around) else form


_LAST = {
    POINTWISE: last.convolve_last,
    PATCHES: last.convolve_patches_last,
    DEPTHWISE: last.convolve_depthwise_last,
    GROUPED: last.convolve_groups_last,
    SCAN: last.convolve_scan_last,
    SMALL: last.convolve_any_last,
    PADDED: dense.convolve_padded_last,
    VOLUME: volumes.convolve_volume_last,
    VOLUME_OF_GROUPS: volumes.convolve_volume_of_groups_last,
}


def _conv_lift_last(input: Expr, weight: Expr, bias=None, stride=1, padding: Any = 0, dilation=1, groups=1) -> Expr:
    """On channels-last arrays, a function of the prelude calls every convolution."""
    form = _form(input.aval.shape[1:-1], weight, stride, padding, dilation, groups, last=True)
    return prelude(last.convolve_last if form is None else _LAST[form])


def agrees(constructor: Expr, own: Expr | None, lift: Expr) -> bool:
    """Whether lift calls a layer as well as its own does, if it has one.

    Where a file has several kinds of layers, modules that hold any of them can then be one class.
    """
    if not isinstance(constructor, Call) or not is_convolution(constructor):
        return False
    options = dict(constructor.kwargs)
    if "groups" in options or isinstance(options.get("padding"), str):
        return False
    if own is not None:
        pairs = (real.convolve, real.convolve_any), (last.convolve_last, last.convolve_any_last)
        return any(key(own) == key(prelude(few)) and key(lift) == key(prelude(any_)) for few, any_ in pairs)
    return constructor.args[2] != 1 and key(lift) in (key(prelude(real.convolve)), key(prelude(real.convolve_any)))


def is_convolution(constructor: Call) -> bool:
    """Whether a layer keeps its bias as eqx.nn.Conv does, with an axis of length one for each that the kernel has."""
    return isinstance(constructor.function, Attribute) and constructor.function.attribute.startswith("Conv")


def _conv_transpose(weight: Expr, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1) -> Expr:
    in_channels, out_channels, *kernel = weight.shape
    options = conv_transpose_options(len(kernel), stride, padding, output_padding, groups, dilation)
    with_bias = _unless(True, use_bias=bias is not None)
    return prelude(real.ConvTranspose)(in_channels, out_channels * groups, tuple(kernel), **options, **with_bias)


def _calls(function: Callable) -> Callable[..., Expr]:
    """The lift of layers that a function of the prelude calls, whatever their arguments."""
    return lambda *args, **kwargs: prelude(function)


for _n in (1, 2, 3):
    for _overload in ("default", "padding"):
        layer(f"torch.nn.modules.conv.Conv{_n}d", f"aten.conv{_n}d.{_overload}", event_ndim=_n + 1, lift=_conv_lift)(
            _conv(_n)
        )
        layer(
            f"torch.nn.modules.conv.Conv{_n}d",
            f"channels_last.conv{_n}d.{_overload}",
            event_ndim=_n + 1,
            lift=_conv_lift_last,
        )(_conv(_n))
    _op = "aten.conv_transpose1d.default" if _n == 1 else f"aten.conv_transpose{_n}d.input"

    # An example without a batch axis has one axis less than the layer takes.
    @layer(
        f"torch.nn.modules.conv.ConvTranspose{_n}d",
        _op,
        event_ndim=None if _n < 3 else 4,
        lift=None if _n < 3 else _calls(volumes.transpose_convolve_volume),
    )
    def conv_transpose(input: Expr, weight: Expr, *args, **kwargs) -> Expr | None:
        if input.ndim != weight.ndim:
            return None
        return _conv_transpose(weight, *args, **kwargs)

    @layer(
        f"torch.nn.modules.conv.ConvTranspose{_n}d",
        _op.replace("aten", "channels_last"),
        event_ndim=_n + 1,
        lift=_calls(last.transpose_convolve_last if _n < 3 else volumes.transpose_convolve_volume_last),
    )
    def conv_transpose_last(input: Expr, weight: Expr, *args, **kwargs) -> Expr | None:
        return _conv_transpose(weight, *args, **kwargs)


@layer(
    "torch.nn.modules.normalization.LayerNorm",
    "aten.layer_norm.default",
    event_ndim=lambda input, normalized_shape, *args, **kwargs: len(normalized_shape),
    needs_key=False,
)
def layer_norm(input: Expr, normalized_shape, weight=None, bias=None, eps=1e-5, cudnn_enable=True) -> Expr | None:
    shape = _shape(normalized_shape)
    if shape is None:
        return None
    affine = _unless(True, use_weight=weight is not None) | _unless(True, use_bias=bias is not None)
    return eqx.nn.LayerNorm(shape, eps=eps, **affine)


@layer(
    "torch.nn.modules.normalization.RMSNorm",
    "aten.rms_norm.default",
    event_ndim=lambda input, normalized_shape, *args, **kwargs: len(normalized_shape),
    needs_key=False,
)
def rms_norm(input: Expr, normalized_shape, weight=None, eps=None) -> Expr | None:
    """None without an eps: torch's then depends on the dtype."""
    shape = _shape(normalized_shape)
    if shape is None or eps is None:
        return None
    return eqx.nn.RMSNorm(shape, eps=eps, **_unless(True, use_weight=weight is not None), use_bias=False)


def _shape(normalized_shape: list) -> int | tuple[int, ...] | None:
    if not all(map(static, normalized_shape)):
        return None
    return normalized_shape[0] if len(normalized_shape) == 1 else tuple(normalized_shape)


@layer(
    "torch.nn.modules.normalization.GroupNorm",
    "channels_last.group_norm.default",
    event_ndim=lambda input, *args, **kwargs: input.ndim - 1,
    needs_key=False,
    lift=_calls(norms_last.normalise_groups_last),
)
@layer(
    "torch.nn.modules.normalization.GroupNorm",
    "aten.group_norm.default",
    event_ndim=lambda input, *args, **kwargs: input.ndim - 1,
    needs_key=False,
)
def group_norm(input: Expr, num_groups, weight=None, bias=None, eps=1e-5, cudnn_enabled=True) -> Expr | None:
    if weight is None and bias is None:
        return eqx.nn.GroupNorm(num_groups, eps=eps, channelwise_affine=False)
    if weight is None or bias is None:
        return None
    return eqx.nn.GroupNorm(num_groups, weight.shape[0], eps=eps)


def _batch_norm(cls: type) -> Callable[..., Expr | None]:
    def build(
        input: Expr, weight, bias, running_mean, running_var, training, momentum, eps, cudnn_enabled=True
    ) -> Expr | None:
        """None for what updates or has no running statistics, and in half precision, where the layer would round too often."""
        if training or running_mean is None or (weight is None) != (bias is None) or _half(input):
            return None
        return prelude(cls)(running_mean.shape[0], **_unless(1e-5, eps=eps), **_unless(True, affine=weight is not None))

    return build


for _n in (1, 2, 3):
    for _namespace, _class in (("aten", BatchNorm), ("channels_last", norms_last.BatchNormLast)):
        layer(
            f"torch.nn.modules.batchnorm.BatchNorm{_n}d",
            f"{_namespace}.batch_norm.default",
            event_ndim=None,
            needs_key=False,
        )(_batch_norm(_class))
