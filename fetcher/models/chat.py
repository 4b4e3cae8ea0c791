"""Causal language models through transformers."""

from __future__ import annotations

import time
from typing import Any

from fetcher.errors import UsageError
from fetcher.i18n import t
from fetcher.models.base import BaseLLMModel
from fetcher.models.chat_messages import Message
from fetcher.models.model import require
from fetcher.models.model_errors import ModelError, NotLoaded
from fetcher.models.reply import ChatReply, Generation
from fetcher.models.reply_stream import Tell
from fetcher.verify.loaders import first_line


class TransformersChatModel(BaseLLMModel):
    """A causal language model of transformers, with its chat template and its PEFT adapter."""

    libraries = (
        ("torch", "torch", "sentence-transformer"),
        ("transformers", "transformers", "sentence-transformer"),
    )

    def _load(self) -> Any:
        from fetcher.verify.loaders import causal_lm

        folder, adapter, own = self.spec.folder, None, self._consent()
        consent = own
        if self.spec.base is not None:
            require("peft", "peft", "verify")
            folder, adapter = self.spec.base.folder, self.spec.folder
            consent = self.spec.base.consent
        if folder is None:
            raise ModelError(t("{name}: its files are not together in one folder", name=self.name))
        return causal_lm.load(
            folder,
            adapter=adapter,
            device=self._device(),
            dtype=self._dtype("auto"),
            consent=consent,
            adapter_consent=own,
        )

    def _reply(
        self, messages: list[Message], generation: Generation, told: Tell | None
    ) -> ChatReply:
        from fetcher.models.generation import write

        begun, halted = time.perf_counter(), False

        def closing() -> bool:
            # A reply that nobody reads piece by piece is finished; a stream ends at once.
            nonlocal halted
            halted = halted or (told is not None and self._life.closing)
            return halted

        with self.in_use() as (loaded, call):
            try:
                written = write(loaded, messages, generation, told, closing)
            except (UsageError, ModelError):
                raise
            except Exception as error:
                raise ModelError(
                    t("{name} failed: {error}", name=self.name, error=first_line(error))
                ) from error
            call.items = 1
            call.input_tokens, call.output_tokens = written.input_tokens, written.output_tokens
            del loaded
        if halted:
            raise NotLoaded(t("{name} was unloaded while it wrote", name=self.name))
        return ChatReply(
            written.text,
            written.finish_reason,
            written.input_tokens,
            written.output_tokens,
            time.perf_counter() - begun,
        )
