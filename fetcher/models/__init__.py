"""Loads models for applications, from a laid-out tree or a plain folder `models/<name>/`.

Importing this package imports neither torch nor any other framework: a model's libraries are
imported when it is loaded.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fetcher.models.base import BaseModel, Freed, ModelError, NotLoaded
    from fetcher.models.chat import BaseLLMModel
    from fetcher.models.compression import BaseCompressionModel
    from fetcher.models.embedding import BaseEmbeddingModel
    from fetcher.models.image_generation import BaseImagePipeline
    from fetcher.models.manager import ModelManager
    from fetcher.models.registry import register_model
    from fetcher.models.reply import ChatReply
    from fetcher.models.spec import ModelSpec
    from fetcher.models.stats import ModelStats, prometheus_text

__all__ = [
    "BaseCompressionModel",
    "BaseEmbeddingModel",
    "BaseImagePipeline",
    "BaseLLMModel",
    "BaseModel",
    "ChatReply",
    "Freed",
    "ModelError",
    "ModelManager",
    "ModelSpec",
    "ModelStats",
    "NotLoaded",
    "prometheus_text",
    "register_model",
]

_HOMES = {
    "BaseCompressionModel": "compression",
    "BaseEmbeddingModel": "embedding",
    "BaseImagePipeline": "image_generation",
    "BaseLLMModel": "chat",
    "BaseModel": "base",
    "ChatReply": "reply",
    "Freed": "base",
    "ModelError": "base",
    "ModelManager": "manager",
    "ModelSpec": "spec",
    "ModelStats": "stats",
    "NotLoaded": "base",
    "prometheus_text": "stats",
    "register_model": "registry",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
