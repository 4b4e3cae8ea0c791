"""Models as LangChain's own types. Importing this needs langchain-core (extra `langchain`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from fetcher.i18n import t

try:
    from langchain_core.callbacks import CallbackManagerForLLMRun
    from langchain_core.embeddings import Embeddings
    from langchain_core.language_models import BaseChatModel
    from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
    from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
except ImportError as error:
    from fetcher.installation.commands import install
    from fetcher.models.model_errors import ModelError

    raise ModelError(
        t("langchain-core is not installed"),
        t("install it: {command}", command=install("langchain-core")),
    ) from error

from fetcher.models.model import BaseModel
from fetcher.models.reply import ChatReply, Generation, reply_of


class _ChatModel(Protocol):
    def invoke(self, messages: Any, **how: Any) -> Any: ...
    def stream(self, messages: Any, **how: Any) -> Iterator[str]: ...


class _EmbeddingModel(Protocol):
    def embed_documents(self, texts: Sequence[str]) -> list[list[float]]: ...
    def embed_query(self, text: str) -> list[float]: ...


class FetchChatModel(BaseChatModel):
    """A chat model of `fetcher.models`. `generation` are the fields of Generation to use."""

    model: Any
    generation: dict[str, Any] = {}  # noqa: RUF012 (a field of pydantic, which copies it)

    @property
    def _llm_type(self) -> str:
        return "fetch"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        spec = self.model.spec if isinstance(self.model, BaseModel) else None
        return {
            "model": spec.name if spec else type(self.model).__name__,
            "version": spec.version if spec else "",
            **self.generation,
        }

    def _how(self, stop: list[str] | None, given: dict[str, Any]) -> dict[str, Any]:
        known = {key: given[key] for key in Generation.__dataclass_fields__ if key in given}
        if "max_tokens" in given:  # LangChain's usual name
            known["max_new_tokens"] = given["max_tokens"]
        if stop:
            known["stop"] = stop
        return {**self.generation, **known}

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        model: _ChatModel = self.model
        answer = model.invoke(messages, **self._how(stop, kwargs))
        if not isinstance(answer, AIMessage):
            answer = self._message(reply_of(answer, f"{type(self.model).__name__}.invoke"))
        return ChatResult(generations=[ChatGeneration(message=answer)])

    def _message(self, reply: ChatReply) -> AIMessage:
        message = AIMessage(
            content=str(reply),
            response_metadata={
                "model_name": self._identifying_params["model"],
                "finish_reason": reply.finish_reason,
            },
        )
        if reply.input_tokens or reply.output_tokens:  # a class's own invoke may not count
            usage: Any = {
                "input_tokens": reply.input_tokens,
                "output_tokens": reply.output_tokens,
                "total_tokens": reply.input_tokens + reply.output_tokens,
            }
            message.usage_metadata = usage
        return message

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        model: _ChatModel = self.model
        for piece in model.stream(messages, **self._how(stop, kwargs)):
            chunk = ChatGenerationChunk(message=AIMessageChunk(content=piece))
            if run_manager is not None:
                run_manager.on_llm_new_token(piece, chunk=chunk)
            yield chunk


class FetchEmbeddings(Embeddings):
    """An embedding model of `fetcher.models`."""

    def __init__(self, model: _EmbeddingModel) -> None:
        self.model = model

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """The vectors of texts."""
        return self.model.embed_documents(texts)

    def embed_query(self, text: str) -> list[float]:
        """The vector of a question."""
        return self.model.embed_query(text)
