"""With the real langchain-core: chains, streams, batches, message types, embeddings."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from fetcher.errors import UsageError
from fetcher.models import ModelManager
from tests.models.conftest import Place

pytest.importorskip("langchain_core", reason="langchain-core is not installed")


def test_a_chat_model_passes_as_langchain_s(
    built: Path, place: Place, manager: ModelManager
) -> None:
    from langchain_core.language_models import BaseChatModel
    from langchain_core.messages import (
        AIMessage,
        AIMessageChunk,
        HumanMessage,
        SystemMessage,
    )
    from langchain_core.output_parsers import StrOutputParser
    from langchain_core.prompts import ChatPromptTemplate

    place(built / "tiny")
    model = manager.get_chat_model("tiny")
    chat = model.as_langchain(max_new_tokens=8, temperature=0)
    assert isinstance(chat, BaseChatModel)
    told = [
        SystemMessage("Be brief."),
        HumanMessage("hello"),
        AIMessage("yes?"),
        HumanMessage([{"type": "text", "text": "again"}]),
    ]
    reply = chat.invoke(told)
    plain = model.invoke(told, max_new_tokens=8, temperature=0)
    assert isinstance(reply, AIMessage) and reply.content == plain.content != ""
    assert reply.usage_metadata is not None
    assert reply.usage_metadata["output_tokens"] == plain.output_tokens == 8
    assert reply.response_metadata["finish_reason"] == "length"

    batch = chat.batch(["hello", [("user", "hello")]])
    assert batch[0].content == batch[1].content
    pieces = list(chat.stream("hello"))
    assert all(isinstance(piece, AIMessageChunk) for piece in pieces) and len(pieces) > 1
    assert "".join(str(piece.content) for piece in pieces) == batch[0].content
    assert asyncio.run(chat.ainvoke("hello")).content == batch[0].content

    prompt = ChatPromptTemplate.from_messages([("system", "You are {who}."), ("human", "{text}")])
    chain = prompt | chat | StrOutputParser()
    expected = model.invoke(
        [("system", "You are Oh-Rora."), ("user", "hi")], max_new_tokens=8, temperature=0
    )
    assert chain.invoke({"who": "Oh-Rora", "text": "hi"}) == str(expected)
    usage = chat.bind(max_tokens=2).invoke("hello").usage_metadata
    assert usage is not None and usage["output_tokens"] == 2
    text = str(batch[0].content)
    assert chat.invoke("hello", stop=[text[2:4]]).content == text[: text.index(text[2:4])]
    with pytest.raises(UsageError, match="image_url"):
        chat.invoke([HumanMessage([{"type": "image_url", "image_url": "x"}])])


def test_embeddings_pass_as_langchain_s(minilm: Path, place: Place, manager: ModelManager) -> None:
    from langchain_core.embeddings import Embeddings
    from langchain_core.vectorstores import InMemoryVectorStore

    place(minilm, "minilm")
    embeddings = manager.get_embedding_model("minilm").as_langchain()
    assert isinstance(embeddings, Embeddings)
    assert len(embeddings.embed_query("hello")) == 384
    assert len(asyncio.run(embeddings.aembed_documents(["a", "b"]))) == 2
    store = InMemoryVectorStore.from_texts(
        ["Someone plays a guitar.", "The stock market fell sharply.", "Penguins live far south."],
        embeddings,
    )
    (found,) = store.similarity_search("music with strings", k=1)
    assert found.page_content == "Someone plays a guitar."
