"""A Hugging Face model folder as a module with its weights, and inputs made up from its configuration."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from translator.errors import TranslationError

BATCH, LENGTH = 2, 9


def load(folder: Path) -> tuple[torch.nn.Module, dict[str, Any]]:
    """The model of a transformers or diffusers folder in evaluation mode, and keyword arguments to call it with.

    Only what lies in the folder is read, and no code in it is run. Raises TranslationError where it holds no such model, its
    weights leave some parameters unset, or its inputs cannot be made up.
    """
    try:
        config = json.loads((folder / "config.json").read_text())
    except (OSError, ValueError) as error:
        raise TranslationError(f"{folder} is no model folder, its config.json cannot be read: {error}") from error
    diffusion = "_class_name" in config
    try:
        module = _diffusers_model(folder, config) if diffusion else _transformers_model(folder, config)
    except (OSError, ValueError, ImportError, RuntimeError) as error:
        raise TranslationError(f"the model in {folder} cannot be loaded: {error}") from error
    module.eval()
    return module, example_inputs(module)


def _transformers_model(folder: Path, config: dict[str, Any]) -> torch.nn.Module:
    import transformers

    names = config.get("architectures") or []
    cls = getattr(transformers, names[0], None) if names else None
    module, info = (cls or transformers.AutoModel).from_pretrained(
        str(folder), local_files_only=True, trust_remote_code=False, output_loading_info=True
    )
    _all_set(folder, info["missing_keys"])
    return module


def _diffusers_model(folder: Path, config: dict[str, Any]) -> torch.nn.Module:
    import diffusers

    cls = getattr(diffusers, config["_class_name"], None)
    if not inspect.isclass(cls) or not hasattr(cls, "from_pretrained"):
        raise TranslationError(f"diffusers has no model {config['_class_name']!r}")
    module, info = cls.from_pretrained(str(folder), local_files_only=True, output_loading_info=True)
    _all_set(folder, info["missing_keys"])
    return module


def _all_set(folder: Path, missing: Any) -> None:
    if missing:
        raise TranslationError(
            f"the weights in {folder} leave these parameters at random values: {', '.join(sorted(missing))}. "
            "Give a factory that builds the model that you want"
        )


class _Config:
    """A configuration, or the parts of a composite one: attributes are looked up in the given parts, in turn."""

    def __init__(self, config: Any, *parts: str):
        self._all = [getattr(config, part) for part in parts if getattr(config, part, None) is not None] + [config]

    def get(self, *names: str, default: Any = None) -> Any:
        for config in self._all:
            for name in names:
                value = getattr(config, name, None)
                if value is not None:
                    return value
        return default


def example_inputs(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Inputs for a model of transformers or diffusers, from the parameters of its forward and its configuration.

    Texts are int64[2, 9] with padding on the second, images float32[2, channels, height, width], sounds float32[2, 4000] samples or
    [2, bins, frames]. The same for the same model. Raises TranslationError where forward requires what is not known here.
    """
    config = module.config
    parameters = inspect.signature(module.forward).parameters
    main = getattr(module, "main_input_name", None)
    wanted = [name for name, p in parameters.items() if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD]
    wanted += [main] if main in parameters and main not in wanted else []
    if getattr(config, "vision_config", None) is not None and getattr(config, "text_config", None) is not None:
        wanted += [name for name in ("input_ids", "pixel_values") if name in parameters and name not in wanted]
    if "input_ids" in wanted and "attention_mask" in parameters:
        wanted.append("attention_mask")
    if getattr(config, "is_encoder_decoder", False) and "decoder_input_ids" in parameters:
        wanted.append("decoder_input_ids")
    unknown = [name for name in wanted if name not in _MAKERS]
    if unknown or not wanted:
        what = ", ".join(unknown) or "nothing that is required"
        raise TranslationError(
            f"no inputs can be made up for {type(module).__name__} ({what}): give a factory in place of the folder"
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return {name: _MAKERS[name](config) for name in parameters if name in wanted}


def _ids(config: Any) -> torch.Tensor:
    text = _Config(config, "text_config")
    length = min(LENGTH, text.get("max_position_embeddings", "n_positions", default=LENGTH))
    ids = torch.randint(0, text.get("vocab_size"), (BATCH, length))
    end = text.get("eos_token_id")
    if hasattr(config, "text_config") and isinstance(end, int) and end < text.get("vocab_size"):
        ids[:, -1] = end  # CLIP pools a text at its end token
    return ids


def _mask(config: Any) -> torch.Tensor:
    mask = torch.ones_like(_ids(config))
    mask[1:, -2:] = 0
    return mask


def _image(config: Any) -> torch.Tensor:
    vision = _Config(config, "vision_config")
    size = vision.get("image_size", "sample_size", default=224)
    height, width = size if isinstance(size, (list, tuple)) else (size, size)
    return torch.randn(BATCH, vision.get("num_channels", "in_channels", default=3), height, width)


def _features(config: Any) -> torch.Tensor:
    sound = _Config(config, "audio_config")
    frames = 2 * sound.get("max_source_positions", default=100)
    return torch.randn(BATCH, sound.get("num_mel_bins", default=80), frames)


def _context(config: Any) -> torch.Tensor:
    width = _Config(config).get("cross_attention_dim", "joint_attention_dim", "caption_channels")
    if not isinstance(width, int):
        raise TranslationError("the width of encoder_hidden_states is not in the configuration: give a factory")
    return torch.randn(BATCH, LENGTH, width)


def _class_labels(config: Any) -> torch.Tensor:
    return torch.arange(BATCH) % _Config(config).get("num_embeds_ada_norm", "num_class_embeds", default=BATCH)


_MAKERS: dict[str, Callable[[Any], torch.Tensor]] = {
    "input_ids": _ids,
    "decoder_input_ids": lambda config: _ids(config)[:, : LENGTH - 2],
    "attention_mask": _mask,
    "pixel_values": _image,
    "input_values": lambda config: torch.randn(BATCH, 4000),
    "input_features": _features,
    "sample": _image,
    "hidden_states": _image,
    "timestep": lambda config: torch.arange(BATCH) * 100 + 7,
    "encoder_hidden_states": _context,
    "class_labels": _class_labels,
}
