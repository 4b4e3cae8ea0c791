"""Chat models: messages in, a reply out; causal language models through transformers."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fetcher.errors import UsageError
from fetcher.models import chat_messages as texts
from fetcher.models.base import BaseModel, ModelError, NotLoaded, require
from fetcher.models.reply import ChatReply, Generation
from fetcher.verify.loaders import first_line

if TYPE_CHECKING:
    from fetcher.models.langchain import FetchChatModel


class BaseLLMModel(BaseModel):
    """A chat model. Subclasses have `_load` and `_reply`, or override load, unload and invoke."""

    kind = "chat"

    def invoke(self, messages: Any, **how: Any) -> ChatReply:
        """Answer messages: a text, or a list of texts, of (role, text), of mappings with `role` and
        `content`, or of LangChain's messages. `how` are the fields of Generation.

        Raises UsageError for messages that are none, NotLoaded, ModelError.
        """
        return self._reply(texts.normalised(messages), _generation(how), None)

    def batch(self, conversations: Sequence[Any], **how: Any) -> list[ChatReply]:
        """Answer several conversations, one after the other."""
        return [self.invoke(messages, **how) for messages in conversations]

    def stream(self, messages: Any, **how: Any) -> Iterator[str]:
        """Answer in pieces, as they are written.

        The reply is written by a thread of its own, which ends when the iterator is closed. Where
        the model is unloaded meanwhile, NotLoaded is raised after the last piece.
        """
        wanted, generation = texts.normalised(messages), _generation(how)
        return _pieces(lambda told: self._reply(wanted, generation, told))

    def as_langchain(self, **how: Any) -> FetchChatModel:
        """This model as LangChain's BaseChatModel; needs langchain-core (extra `langchain`)."""
        from fetcher.models.langchain import FetchChatModel

        return FetchChatModel(model=self, generation=how)

    def _reply(
        self,
        messages: list[texts.Message],
        generation: Generation,
        told: Callable[[str], bool] | None,
    ) -> ChatReply:
        """Answer; `told` takes each piece of text, and says whether to go on."""
        raise NotImplementedError(f"{type(self).__name__} has neither invoke nor _reply")


def _generation(how: Mapping[str, Any]) -> Generation:
    unknown = sorted(set(how) - set(Generation.__dataclass_fields__))
    if unknown:
        known = ", ".join(Generation.__dataclass_fields__)
        raise UsageError(f"{unknown[0]!r} is no option of a reply", f"there are {known}")
    return Generation(**how)


def _pieces(run: Callable[[Callable[[str], bool]], Any]) -> Iterator[str]:
    """Yield what `run` tells, from a thread of its own."""
    told: queue.SimpleQueue[tuple[str, BaseException | None] | None] = queue.SimpleQueue()
    wanted = threading.Event()
    wanted.set()

    def tell(piece: str) -> bool:
        if piece:
            told.put((piece, None))
        return wanted.is_set()

    def work() -> None:
        try:
            run(tell)
        except BaseException as error:
            told.put(("", error))
        finally:
            told.put(None)

    threading.Thread(target=work, name="fetch-stream", daemon=True).start()
    try:
        while (found := told.get()) is not None:
            piece, error = found
            if error is not None:
                raise error
            yield piece
    finally:
        wanted.clear()


class TransformersChatModel(BaseLLMModel):
    """A causal language model of transformers, with its chat template and its PEFT adapter."""

    libraries = (
        ("torch", "torch", "sentence-transformer"),
        ("transformers", "transformers", "sentence-transformer"),
    )

    def _load(self) -> Any:
        from fetcher.verify.loaders import causal_lm

        folder, adapter = self.spec.folder, None
        if self.spec.base is not None:
            require("peft", "peft", "verify")
            folder, adapter = self.spec.base.folder, self.spec.folder
        if folder is None:
            raise ModelError(f"{self.name}: its files are not together in one folder")
        self._halt = threading.Event()
        return causal_lm.load(
            folder, adapter=adapter, device=self._device(), dtype=self._dtype("auto")
        )

    def _stop(self) -> None:
        self._halt.set()

    def _go_on(self) -> None:
        self._halt.clear()

    def _reply(
        self,
        messages: list[texts.Message],
        generation: Generation,
        told: Callable[[str], bool] | None,
    ) -> ChatReply:
        from fetcher.models.generation import write

        begun = time.perf_counter()
        with self.in_use() as (loaded, call):
            # A reply that nobody reads piece by piece is finished; a stream ends at once.
            halted = self._halt.is_set if told is not None else lambda: False
            try:
                written = write(loaded, messages, generation, told, halted)
            except (UsageError, ModelError):
                raise
            except Exception as error:
                raise ModelError(f"{self.name} failed: {first_line(error)}") from error
            call.items = 1
            call.input_tokens, call.output_tokens = written.input_tokens, written.output_tokens
            del loaded
        if told is not None and halted():
            raise NotLoaded(f"{self.name} was unloaded while it wrote")
        return ChatReply(
            written.text,
            written.finish_reason,
            written.input_tokens,
            written.output_tokens,
            time.perf_counter() - begun,
        )
