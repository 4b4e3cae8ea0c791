"""The interfaces of chat and embedding models: what applications call, what a class may write."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from fetcher.errors import UsageError
from fetcher.i18n import t
from fetcher.models import chat_messages
from fetcher.models.chat_messages import Message
from fetcher.models.model import BaseModel, check_options
from fetcher.models.model_errors import ModelError, NotLoaded
from fetcher.models.reply import ChatReply, Generation, reply_of
from fetcher.models.reply_stream import Tell, pieces
from fetcher.models.stats import Call
from fetcher.verify.loaders import first_line

if TYPE_CHECKING:
    from fetcher.models.langchain import FetchChatModel, FetchEmbeddings

__all__ = ["BaseEmbeddingModel", "BaseLLMModel", "BaseModel"]


class BaseLLMModel(BaseModel):
    """A chat model. A class has `load`, `unload` and `invoke`, or `_load` and `_reply`."""

    kind = "chat"
    calls = ("invoke", "stream")
    needs = ("invoke", "_reply", "stream")

    def invoke(self, messages: Any, **how: Any) -> Any:
        """Answer messages: a text, or a list of texts, of (role, text), of mappings with `role` and
        `content`, or of LangChain's messages. `how` are the fields of Generation.

        Returns a ChatReply, which is a str; a class's own invoke what it likes. Raises UsageError
        for messages that are none, NotLoaded, ModelError.
        """
        if type(self)._reply is BaseLLMModel._reply and self._streams:
            with self.in_use():
                return ChatReply("".join(self.stream(messages, **how)))
        return self._reply(chat_messages.normalised(messages), Generation.of(how), None)

    def batch(self, conversations: Sequence[Any], **how: Any) -> list[Any]:
        """Answer several conversations, one after the other."""
        return [self.invoke(messages, **how) for messages in conversations]

    def stream(self, messages: Any, **how: Any) -> Iterator[str]:
        """Answer in pieces, as they are written; in one, where a class has nothing but `invoke`.

        The reply is written by a thread of its own, which ends when the iterator is closed. Where
        the model is unloaded meanwhile, NotLoaded is raised after the last piece.
        """
        if type(self)._reply is BaseLLMModel._reply:
            return self._whole(messages, how)
        wanted, generation = chat_messages.normalised(messages), Generation.of(how)
        return self._pieces(lambda tell: self._reply(wanted, generation, tell))

    def as_langchain(self, **how: Any) -> FetchChatModel:
        """This model as LangChain's BaseChatModel; needs langchain-core (extra `langchain`)."""
        from fetcher.models.langchain import FetchChatModel

        return FetchChatModel(model=self, generation=how)

    def __call__(self, messages: Any, config: Any = None, **how: Any) -> Any:
        """The same as invoke. In a pipe of LangChain, which gives its `config`, it is the model as
        LangChain's: `prompt | model` needs no `as_langchain`.
        """
        return self.invoke(messages, **how) if config is None else self.as_langchain(**how)

    # For subclasses

    def _format_messages(self, messages: Any) -> str:
        """The text that a model continues after messages: by the chat template of the tokenizer in
        `self._tokenizer` if there is one, else as a transcript. Raises UsageError.
        """
        tokenizer = getattr(self, "_tokenizer", None)
        return chat_messages.text_of(tokenizer, chat_messages.normalised(messages))

    def _reply(
        self, messages: list[Message], generation: Generation, told: Tell | None
    ) -> ChatReply:
        """Answer; `told` takes each piece of text, and says whether to go on."""
        raise self._absent("invoke")

    @property
    def _streams(self) -> bool:
        return type(self).stream is not BaseLLMModel.stream

    def _pieces(self, write: Callable[[Tell], Any]) -> Iterator[str]:
        """What `write` tells, piece by piece; all at once within a call, which has the turn."""
        if not self._life.in_call:
            return pieces(write)
        told: list[str] = []

        def keep(piece: str) -> bool:
            told.append(piece)
            return True

        write(keep)
        return iter(told)

    def _whole(self, messages: Any, how: dict[str, Any]) -> Iterator[str]:
        yield str(reply_of(self.invoke(messages, **how), f"{type(self).__name__}.invoke"))

    def _count(self, call: Call, given: tuple[Any, ...], answer: Any) -> None:
        try:
            reply = reply_of(answer, "")
        except ModelError:  # of a kind of its own: the caller knows it
            reply = ChatReply("")
        call.items = call.items or 1
        call.input_tokens = call.input_tokens or reply.input_tokens
        call.output_tokens = call.output_tokens or reply.output_tokens

    @classmethod
    def _kept(cls, name: str, written: Callable[..., Any]) -> Callable[..., Any]:
        if name != "stream":
            return super()._kept(name, written)

        @functools.wraps(written)
        def stream(self: BaseLLMModel, *given: Any, **options: Any) -> Iterator[Any]:
            check_options(self, name, written, options)

            whole = self._life.in_call  # part of a call, which is finished

            def write(tell: Tell) -> None:
                with self.in_use() as (_, call):
                    for piece in written(self, *given, **options):
                        call.items = 1
                        if self._life.closing and not whole:
                            raise NotLoaded(t("{name} was unloaded while it wrote", name=self.name))
                        if not tell(str(reply_of(piece, f"{type(self).__name__}.stream"))):
                            return

            return self._pieces(write)

        return stream


class BaseEmbeddingModel(BaseModel):
    """An embedding model. A class has `load`, `unload` and `embed_documents` or `embed_query`, or
    `_load` and `_embed`.
    """

    kind = "embedding"
    calls = ("embed_documents", "embed_query")
    needs = ("embed_documents", "_embed", "embed_query")

    def embed_documents(self, texts: Sequence[str]) -> list[list[float]]:
        """The vectors of texts, each of the model's dimension. Raises UsageError, NotLoaded."""
        if type(self)._embed is BaseEmbeddingModel._embed and self._writes("embed_query"):
            with self.in_use() as (_, call):
                found = [self.embed_query(text) for text in _checked(texts)]
                call.items = len(found)
            return found
        return self._vectors(texts, "document")

    def embed_query(self, text: str) -> list[float]:
        """The vector of a question; models that have a prompt for questions use it."""
        if not isinstance(text, str):
            raise UsageError(t("a query is a {kind}, expected a text", kind=type(text).__name__))
        if type(self)._embed is BaseEmbeddingModel._embed and self._writes("embed_documents"):
            return self.embed_documents([text])[0]
        return self._vectors([text], "query")[0]

    def as_langchain(self) -> FetchEmbeddings:
        """This model as LangChain's Embeddings; needs langchain-core (extra `langchain`)."""
        from fetcher.models.langchain import FetchEmbeddings

        return FetchEmbeddings(self)

    def _vectors(self, texts: Sequence[str], prompt: str) -> list[list[float]]:
        _checked(texts)
        with self.in_use() as (engine, call):
            try:
                found = self._embed(engine, texts, prompt) if texts else []
            except ModelError:
                raise
            except Exception as error:
                raise ModelError(
                    t("{name} failed: {error}", name=self.name, error=first_line(error))
                ) from error
            call.items = len(texts)
            del engine
        return found

    def _embed(self, engine: Any, texts: Sequence[str], prompt: str) -> list[list[float]]:
        """The vectors of texts; `prompt` says what they are: `document` or `query`."""
        raise self._absent("embed_documents")

    def _writes(self, name: str) -> bool:
        return getattr(type(self), name) is not getattr(BaseEmbeddingModel, name)

    def _count(self, call: Call, given: tuple[Any, ...], answer: Any) -> None:
        many = given and not isinstance(given[0], str) and hasattr(given[0], "__len__")
        call.items = call.items or (len(given[0]) if many else 1)


def _checked(texts: Sequence[str]) -> Sequence[str]:
    if isinstance(texts, str) or not all(isinstance(text, str) for text in texts):
        raise UsageError(
            t("embed_documents takes a list of texts"), t("embed_query takes one text")
        )
    return texts
