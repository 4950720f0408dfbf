"""Translates any PyTorch module into a readable, standalone, verified Equinox source file."""

from translator.api import translate
from translator.binding import state_dict
from translator.checkpoint import CheckpointError
from translator.errors import BindingError, CaptureError, TranslationError, UnsupportedOps
from translator.translation import Translation
from translator.verification import Verification

__all__ = [
    "BindingError",
    "CaptureError",
    "CheckpointError",
    "Translation",
    "TranslationError",
    "UnsupportedOps",
    "Verification",
    "state_dict",
    "translate",
]
