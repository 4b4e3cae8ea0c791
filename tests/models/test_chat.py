"""Chat models: what is invoked, how it is written, and what bad input says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fetcher.errors import UsageError
from fetcher.models import ModelError, ModelManager, NotLoaded
from fetcher.models.chat_messages import normalised, prompt_of
from fetcher.models.generation import cut
from tests.models.conftest import Place


@pytest.mark.parametrize(
    "given",
    [
        "hi",
        ["hi"],
        {"role": "user", "content": "hi"},
        [("human", "hi")],
        [{"role": "User", "content": [{"type": "text", "text": "h"}, "i"]}],
    ],
)
def test_messages_are_taken_as_people_write_them(given: Any) -> None:
    assert normalised(given) == [{"role": "user", "content": "hi"}]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (None, "messages are a NoneType"),
        (b"hi", "messages are a bytes"),
        ([], "there are no messages"),
        ([5], "a message is a int"),
        ([("queen", "hi")], "the role 'queen'"),
        ([{"content": "hi"}], "the role 'none'"),
        ([{"role": "user", "content": 5}], "content is a int"),
        ([{"role": "user", "content": [{"type": "image_url"}]}], "of type 'image_url'"),
    ],
)
def test_what_is_no_message_is_said(given: Any, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        normalised(given)


def test_stop_texts_cut() -> None:
    assert cut("one two three", ("two", "three")) == ("one ", True)
    assert cut("one", ("two",)) == ("one", False)


class Tokenizer:
    chat_template = None


def test_a_model_without_template_reads_a_transcript() -> None:
    assert prompt_of(Tokenizer(), normalised("hi"), {}) == ("hi", False)
    several = normalised([("system", "Be kind."), ("user", "hi")])
    told = "System: Be kind.\nUser: hi\nAssistant:"
    assert prompt_of(Tokenizer(), several, {}) == (told, False)


def test_a_reply_is_that_of_transformers_itself(
    built: Path, place: Place, manager: ModelManager
) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = manager.get_chat_model(place(built / "tiny").name)
    reply = model.invoke([("user", "hello")], max_new_tokens=6, temperature=0)
    tokenizer = AutoTokenizer.from_pretrained(built / "tiny")
    plain = AutoModelForCausalLM.from_pretrained(built / "tiny").eval()
    ids = tokenizer("<user>hello\n<assistant>", return_tensors="pt")
    ids.pop("token_type_ids", None)
    with torch.inference_mode():
        found = plain.generate(**ids, max_new_tokens=6, do_sample=False)
    count = ids["input_ids"].shape[1]
    expected = tokenizer.decode(found[0][count:], skip_special_tokens=True)
    assert str(reply) == reply.content == expected and expected
    assert (reply.input_tokens, reply.output_tokens) == (count, 6)
    assert reply.finish_reason == "length"


def test_how_a_reply_is_written(built: Path, place: Place, manager: ModelManager) -> None:
    place(built / "tiny")
    model = manager.get_chat_model()
    greedy = {"max_new_tokens": 12, "temperature": 0}
    whole = model.invoke("hello", **greedy).content
    pieces = list(model.stream("hello", **greedy))
    assert "".join(pieces) == whole and len(pieces) > 1
    stop = whole[3:5]
    short = model.invoke("hello", stop=[stop], **greedy)
    assert short.content == whole[: whole.index(stop)] and short.finish_reason == "stop"
    assert short.output_tokens < 12, "it ends as soon as the text is there"
    assert "".join(model.stream("hello", stop=stop, **greedy)) == short.content
    one = model.invoke("hello", max_new_tokens=12, temperature=5.0, seed=1).content
    assert one == model.invoke("hello", max_new_tokens=12, temperature=5.0, seed=1).content
    assert one != model.invoke("hello", max_new_tokens=12, temperature=5.0, seed=2).content
    # Its template refuses system messages: they come in front of the first user's.
    joined = model.invoke([("user", "Be kind.\n\nhello")], **greedy)
    assert model.invoke([("system", "Be kind."), ("user", "hello")], **greedy).content == (
        joined.content
    )
    replies = model.batch(["hello", "hello"], **greedy)
    assert [str(one) for one in replies] == [whole, whole]


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ({"max_new_tokens": 0}, "max_new_tokens is 0"),
        ({"temperature": -1}, "temperature is -1"),
        ({"top_p": 2}, "top_p is 2"),
        ({"tempreature": 1}, "'tempreature' is no option"),
    ],
)
def test_wrong_options_are_said(
    built: Path, place: Place, manager: ModelManager, how: dict[str, Any], told: str
) -> None:
    place(built / "tiny")
    with pytest.raises(UsageError, match=told):
        manager.get_chat_model().invoke("hi", **how)


def test_too_long_a_conversation_is_an_error_of_the_caller(
    built: Path, place: Place, manager: ModelManager
) -> None:
    place(built / "tiny")
    with pytest.raises(UsageError, match="the model reads 256"):
        manager.get_chat_model().invoke("x" * 2000)
    long = manager.get_chat_model().invoke("x" * 230, max_new_tokens=500, temperature=0)
    assert long.input_tokens + long.output_tokens <= 256


def test_a_stream_ends_when_it_is_closed_or_the_model_unloaded(
    built: Path, place: Place, manager: ModelManager
) -> None:
    place(built / "tiny")
    model = manager.get_chat_model()
    stream = model.stream("hello", max_new_tokens=200, temperature=0)
    next(stream)
    stream.close()  # type: ignore[attr-defined]
    assert model.invoke("hello", max_new_tokens=1).output_tokens == 1
    stream = model.stream("hello", max_new_tokens=230, temperature=0)
    next(stream)
    manager.unload("tiny")
    with pytest.raises(NotLoaded):
        list(stream)
        model.invoke("the stream was done before")


def test_an_adapter_acts_on_its_base(built: Path, place: Place, manager: ModelManager) -> None:
    place(built / "lora")
    with pytest.raises(ModelError, match=r"its base 'C:/models/tiny' is not there"):
        manager.get_chat_model("lora")
    place(built / "tiny")
    greedy = {"max_new_tokens": 12, "temperature": 0}
    adapted = manager.get_chat_model("lora")
    assert adapted.spec.base is not None and adapted.spec.base.name == "tiny"
    plain = manager.get_chat_model("tiny")
    assert adapted.invoke("hello", **greedy).content != plain.invoke("hello", **greedy).content


def test_what_cannot_be_loaded_says_why(built: Path, place: Place, manager: ModelManager) -> None:
    folder = place(built / "tiny")
    for file in folder.glob("tokenizer*"):
        file.unlink()
    with pytest.raises(ModelError, match="tiny: no tokenizer is laid out") as caught:
        manager.get_chat_model("tiny")
    assert caught.value.hint and caught.value.problems()[0].code == "probe"
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "hidden_size": 32}))
    with pytest.raises(ModelError, match="do not fit its configuration"):
        manager.get_chat_model("tiny")
    stats = manager.stats()[0]
    assert (stats["loads"], stats["load_failures"], stats["loaded"]) == (0, 2, False)
