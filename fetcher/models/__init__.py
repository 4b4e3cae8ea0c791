"""Loads models for applications, from a laid-out tree or a plain folder `models/<name>/`.

Importing this package imports neither torch nor any other framework: a model's libraries are
imported when it is loaded.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fetcher.catalog.prompts import PromptContext, register_optimizer, register_translator
    from fetcher.models.base import BaseEmbeddingModel, BaseLLMModel
    from fetcher.models.compression import BaseCompressionModel
    from fetcher.models.image_generation import BaseImagePipeline
    from fetcher.models.lifecycle import Freed
    from fetcher.models.manager import ModelManager
    from fetcher.models.model import BaseModel
    from fetcher.models.model_errors import ModelError, NotLoaded
    from fetcher.models.registry import register_model, unregister_model
    from fetcher.models.reply import ChatReply
    from fetcher.models.spec import ModelRecord, ModelSpec
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
    "ModelRecord",
    "ModelSpec",
    "ModelStats",
    "NotLoaded",
    "PromptContext",
    "prometheus_text",
    "register_model",
    "register_optimizer",
    "register_translator",
    "unregister_model",
]

_HOMES = {
    "BaseCompressionModel": "models.compression",
    "BaseEmbeddingModel": "models.base",
    "BaseImagePipeline": "models.image_generation",
    "BaseLLMModel": "models.base",
    "BaseModel": "models.model",
    "ChatReply": "models.reply",
    "Freed": "models.lifecycle",
    "ModelError": "models.model_errors",
    "ModelManager": "models.manager",
    "ModelRecord": "models.spec",
    "ModelSpec": "models.spec",
    "ModelStats": "models.stats",
    "NotLoaded": "models.model_errors",
    "PromptContext": "catalog.prompts",
    "prometheus_text": "models.stats",
    "register_model": "models.registry",
    "register_optimizer": "catalog.prompts",
    "register_translator": "catalog.prompts",
    "unregister_model": "models.registry",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"fetcher.{_HOMES[name]}"), name)
