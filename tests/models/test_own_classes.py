"""Classes that an application writes: those that load by themselves, and how they are kept."""

from __future__ import annotations

import copy
import pickle
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from fetcher.errors import UsageError
from fetcher.models import (
    BaseCompressionModel,
    BaseEmbeddingModel,
    BaseImagePipeline,
    BaseLLMModel,
    ChatReply,
    ModelError,
    ModelManager,
    ModelSpec,
    NotLoaded,
    register_model,
    unregister_model,
)
from tests.models.conftest import Place

# What such classes write is narrower than the interface, as mypy says; it runs nevertheless.
# mypy: disable-error-code="override, assignment, misc"


class Parrot(BaseLLMModel):
    """As a class is written that knows nothing but the interface."""

    says = "one"

    def load(self) -> None:
        self.mind: list[str] | None = []

    def unload(self) -> None:
        del self.mind

    def invoke(self, messages: Any) -> str:
        assert self.mind is not None
        self.mind.append("x")
        return self.says


class Second(Parrot):
    says = "two"


def test_its_life_and_its_counters_are_like_ours(manager: ModelManager) -> None:
    model: Any = Parrot()
    with pytest.raises(NotLoaded, match="Parrot is not loaded"):
        model.invoke("too early")
    assert model.load() is model and model.is_loaded and model.loaded
    assert model.invoke("x") == "one"
    assert model.load().mind == ["x"], "loaded once"
    assert model.unload().models == ("Parrot",) and not model.is_loaded
    assert model.unload().models == (), "nothing is unloaded twice"
    model = manager.get_chat_model("bird", Parrot)
    assert [model.invoke("x"), *model.batch(["x", "y"])] == ["one"] * 3
    (stats,) = manager.stats()
    assert (stats["name"], stats["kind"], stats["loaded"]) == ("bird", "chat", True)
    assert (stats["loads"], stats["calls"], stats["items"]) == (1, 3, 3)
    (listed,) = manager.list_available_models()
    assert (listed["loaded"], listed["folder"], listed["loader"]) == (True, None, "custom")
    assert manager.get_chat_model().name == "bird", "the only one there is"
    assert manager.unload_all().models == ("bird",)
    (stats,) = manager.stats()
    assert (stats["loaded"], stats["unloads"]) == (False, 1)
    assert not manager.info("bird")["loaded"]
    with pytest.raises(NotLoaded):
        model.invoke("gone")


def test_a_class_that_is_registered_again_replaces_the_first(
    manager: ModelManager, built: Path, place: Place
) -> None:
    first = manager.get_chat_model("bird", Parrot)
    second = manager.get_chat_model("bird", Second)
    assert second.invoke("x") == "two" and not first.is_loaded, "given back"
    assert manager.get_chat_model("bird") is second is manager.get_chat_model("bird", Second)
    register_model("bird", Parrot)
    assert manager.get_chat_model("bird").invoke("x") == "one"
    (stats,) = manager.stats()
    assert (stats["loads"], stats["unloads"]) == (3, 2), "the counters of the name go on"
    # A model of ours gives way too, and comes back.
    place(built / "tiny")
    ours = manager.get_chat_model("tiny")
    assert manager.get_chat_model("tiny", Parrot).invoke("x") == "one" and not ours.is_loaded
    assert len([one for one in manager.stats() if one["name"] == "tiny"]) == 1
    unregister_model("tiny")
    assert type(manager.get_chat_model("tiny")) is type(ours)
    # Functions count by themselves: the same again is no other.
    register_model("bird", lambda: Second("models/bird"))
    assert manager.get_chat_model("bird") is manager.get_chat_model("bird")
    assert manager.get_chat_model("bird").invoke("x") == "two"


def test_a_class_replaces_one_that_failed_to_load(manager: ModelManager) -> None:
    class Broken(Parrot):
        def load(self) -> None:
            super().load()
            raise OSError("no such weights")

    for _ in range(2):
        with pytest.raises(ModelError, match="bird cannot be loaded: OSError: no such weights"):
            manager.get_chat_model("bird", Broken)
    assert manager.stats()[0]["load_failures"] == 2 and not manager.info("bird")["loaded"]
    assert manager.get_chat_model("bird", Parrot).invoke("x") == "one"
    assert manager.stats()[0]["loads"] == 1

    class Sticky(Parrot):
        def unload(self) -> None:
            raise OSError("busy")

    sticky = manager.get_chat_model("bird", Sticky)
    with pytest.raises(ModelError, match="bird failed while it was unloaded: OSError: busy"):
        manager.unload("bird")
    assert not sticky.is_loaded and manager.unload("bird").models == ()
    assert manager.get_chat_model("bird", Parrot).is_loaded


def test_a_replaced_model_finishes_its_calls_first(manager: ModelManager) -> None:
    begun, go = threading.Event(), threading.Event()

    class Slow(Parrot):
        def invoke(self, messages: Any) -> str:
            begun.set()
            assert go.wait(10)
            return super().invoke(messages)

    slow = manager.get_chat_model("bird", Slow)
    with ThreadPoolExecutor(2) as pool:
        call = pool.submit(slow.invoke, "x")
        assert begun.wait(10)
        replaced = pool.submit(manager.get_chat_model, "bird", Second)
        time.sleep(0.05)
        assert not replaced.done()
        go.set()
        assert call.result(10) == "one" and replaced.result(10).invoke("x") == "two"
    assert manager.stats()[0]["calls"] == 2, "super().invoke() is no call of its own"


def test_one_thread_calls_at_a_time_and_one_loads(manager: ModelManager) -> None:
    class Counts(Parrot):
        loads = inside = 0

        def load(self) -> None:
            time.sleep(0.02)
            type(self).loads += 1

        def unload(self) -> None:
            pass

        def invoke(self, messages: Any) -> str:
            self.inside += 1
            time.sleep(0.001)
            self.inside -= 1
            return str(self.inside)

    register_model("counts", Counts)
    with ThreadPoolExecutor(8) as pool:
        answers = pool.map(lambda _: manager.get_chat_model("counts").invoke("x"), range(32))
        assert set(answers) == {"0"} and Counts.loads == 1


def test_folders_of_any_format_are_found_by_their_class(
    tmp_path: Path, manager: ModelManager
) -> None:
    def put(path: str) -> None:
        file = tmp_path / "models" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"weights")

    for path in ("my-model/weights.h5", "odd/data", "team/bot/x.gguf", "many/v9/a", "many/v10/a"):
        put(path)
    (listed,) = manager.list_available_models()
    assert (listed["name"], listed["kind"], listed["loader"]) == ("my-model", "other", "")
    with pytest.raises(UsageError, match="my-model has a format that no class here") as caught:
        manager.get_chat_model("my-model")
    assert "get_chat_model('my-model', MyModel)" in caught.value.hint

    class Reads(Parrot):
        def load(self) -> None:
            self.seen = sorted(path.name for path in self.model_path.iterdir())

        def unload(self) -> None:
            pass

        def invoke(self, messages: Any) -> str:
            return f"{self.spec.key}: {self.seen}"

    for name, told in (
        ("my-model", "my-model: ['weights.h5']"),
        ("odd", "odd: ['data']"),
        ("team/bot", "team/bot: ['x.gguf']"),
        ("many", "many@v10: ['a']"),
        ("many@v9", "many@v9: ['a']"),
    ):
        assert manager.get_chat_model(name, Reads).invoke("x") == told
    assert manager.versions("many") == ["v9", "v10"]
    names = [one["name"] for one in manager.list_available_models("chat")]
    assert sorted(names) == ["many", "many", "my-model", "odd", "team/bot"]
    for outside in ("..", "../models", "/etc", ".hidden", "odd/../my-model"):
        with pytest.raises(ModelError, match=r"has no folder"):
            manager.get_chat_model(outside, Reads)


def test_what_a_class_lacks_is_said_in_a_sentence(manager: ModelManager) -> None:
    class NoLoad(BaseLLMModel):
        def invoke(self, messages: Any) -> str:
            return ""

    class NoUnload(NoLoad):
        def load(self) -> None:
            pass

    class NoInvoke(BaseLLMModel):
        def load(self) -> None:
            pass

        def unload(self) -> None:
            pass

    class NoEmbed(BaseEmbeddingModel):
        def _load(self) -> object:
            return object()

    class NoDraw(BaseImagePipeline):
        def _load(self) -> object:
            return object()

    get: Any
    for get, wrong, told in (
        (manager.get_chat_model, NoLoad, r"NoLoad \(tests\..*\) has no method load"),
        (manager.get_chat_model, NoUnload, "has a method load, and none that undoes it"),
        (manager.get_chat_model, NoInvoke, "has no method invoke"),
        (manager.get_embedding_model, NoEmbed, "has no method embed_documents"),
    ):
        with pytest.raises(ModelError, match=told) as caught:
            get("x", wrong)
        assert caught.value.hint.startswith("def ")
    register_model("painter", NoDraw)
    with pytest.raises(Exception, match=r"NoDraw .* has no method generate"):
        manager.get_image_pipeline("painter")
    with pytest.raises(ModelError, match=r"NoLoad .* has no method load"):
        NoLoad().load()
    assert manager.list_available_models("chat") == [], "what cannot be used is not registered"

    class Wants(Parrot):
        def __init__(self, key: str, more: int = 1) -> None:
            self.key = key
            self.more = more

    def wants(*, key: str) -> Parrot:
        return Wants(key)

    with pytest.raises(UsageError, match="wants wants key, which fetch does not know") as hint:
        manager.get_chat_model("x", wants)
    assert "lambda spec: wants(…)" in hint.value.hint
    for none in (5, "text", None):
        with pytest.raises(UsageError, match=r"expected a BaseLLMModel|is no BaseLLMModel"):
            manager.get_chat_model("x", lambda _: none)  # type: ignore[arg-type, return-value]  # noqa: B023
    with pytest.raises(UsageError, match="this is a Parrot, not its class"):
        register_model("x", Parrot())
    with pytest.raises(UsageError, match="no name is given for 'Parrot'"):
        manager.get_chat_model(None, Parrot)


def test_a_class_gets_what_its_parameters_are_named_after(
    tmp_path: Path, manager: ModelManager
) -> None:
    (tmp_path / "models/bird").mkdir(parents=True)

    class ByPath(Parrot):
        def __init__(self, model_path: str, device: str = "?") -> None:
            self.model_path = Path(model_path)
            self.on = device
            self._is_loaded = False

    class BySpec(Parrot):
        def __init__(self, described: ModelSpec) -> None:
            super().__init__(described)

    def a_bird() -> Parrot:
        return Parrot()

    for made in (ByPath, BySpec, Parrot, a_bird):
        model = manager.get_chat_model("bird", made)
        assert model.model_path == tmp_path / "models/bird" and model.is_loaded
        assert model.name == "bird" and model.invoke("x") == "one"
    assert manager.get_chat_model("bird", ByPath).__dict__["on"] == "auto"
    assert manager.get_chat_model("bird") is manager.get_chat_model("bird")


class Letters(BaseEmbeddingModel):
    def load(self) -> None:
        self.size = 1

    def unload(self) -> None:
        del self.size


def test_embedding_models_need_one_method(manager: ModelManager) -> None:
    class Many(Letters):
        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            return [[float(len(text))] for text in texts]

    class One(Letters):
        def embed_query(self, text: str) -> list[float]:
            return [float(len(text))]

    for name, made in (("many", Many), ("one", One)):
        model = manager.get_embedding_model(name, made)
        assert model.embed_documents(["a", "bc"]) == [[1.0], [2.0]]
        assert model.embed_query("abc") == [3.0]
        (stats,) = (one for one in manager.stats() if one["name"] == name)
        assert (stats["calls"], stats["items"]) == (2, 3)
    # One name may be a model of each kind.
    assert manager.get_chat_model("many", Parrot).invoke("x") == "one"
    assert isinstance(manager.get_embedding_model("many"), Many)
    assert [one["kind"] for one in manager.list_available_models()].count("chat") == 1


def test_streams_of_own_classes(manager: ModelManager) -> None:
    class Streams(Parrot):
        pauses = False

        def stream(self, messages: Any, **options: Any) -> Iterator[str]:
            for piece in ("a", "b", "", "c"):
                yield piece
                while self.pauses:
                    yield "."
                    time.sleep(0.001)

        def invoke(self, messages: Any) -> str:
            return "".join(self.stream(messages))

    model = manager.get_chat_model("bird", Streams)
    assert isinstance(model, Streams)
    assert list(model.stream("x", seed=5)) == ["a", "b", "c"]
    assert model.invoke("x") == "abc", "a stream within a call waits for nobody"
    assert (manager.stats()[0]["calls"], manager.stats()[0]["items"]) == (2, 2)
    model.pauses = True
    stream = model.stream("x")
    assert next(stream) == "a"
    manager.unload_all()
    with pytest.raises(NotLoaded, match="was unloaded while it wrote"):
        list(stream)

    class OnlyStream(BaseLLMModel):
        load, unload = Parrot.load, Parrot.unload

        def stream(self, messages: Any) -> Iterator[str]:
            yield from ("x", "y")

    assert manager.get_chat_model("stream", OnlyStream).invoke("x") == "xy"
    parrot = manager.get_chat_model("parrot", Parrot)
    assert list(parrot.stream("x")) == ["one"], "in one piece"
    with pytest.raises(UsageError, match=r"Parrot\.invoke takes no option 'temperature'") as caught:
        parrot.invoke("x", temperature=0)
    assert "add temperature (or **options)" in caught.value.hint


def test_codecs_and_pipelines_of_own_classes(manager: ModelManager) -> None:
    class Codec(BaseCompressionModel):
        def load(self) -> None:
            self.factor = 2

        def unload(self) -> None:
            del self.factor

        def reconstruct(self, pictures: Any) -> Any:
            return pictures * self.factor

    class Painter(BaseImagePipeline):
        def load(self) -> None:
            pass

        def unload(self) -> None:
            pass

        def generate(self, prompt: str, **how: Any) -> str:
            return f"a picture of {prompt}"

    assert manager.get_compression_model("codec", Codec).reconstruct(4) == 8
    manager.register("painter", Painter)
    assert manager.get_image_pipeline("painter").generate("a cat") == "a picture of a cat"
    assert [one["calls"] for one in manager.stats()] == [1, 1]


def test_classes_inherit_and_mix(manager: ModelManager) -> None:
    class Mixin:
        def invoke(self, messages: Any) -> str:
            return "mixed"

    class Mixed(Mixin, BaseLLMModel):
        load, unload = Parrot.load, Parrot.unload

    class Extends(BaseLLMModel):
        """Ours loads, and this one adds to it."""

        def _load(self) -> str:
            return "engine"

        def load(self) -> Extends:
            super().load()
            self.more = "more"
            return self

        def unload(self) -> None:
            super().unload()
            del self.more

        def _reply(self, messages: Any, generation: Any, told: Any) -> ChatReply:
            with self.in_use() as (engine, _):
                return ChatReply(f"{engine} and {self.more}")

    assert manager.get_chat_model("mixed", Mixed).invoke("x") == "mixed"
    assert manager.get_chat_model("extends", Extends).invoke("x") == "engine and more"
    assert [one["calls"] for one in manager.stats()] == [1, 1]
    assert sorted(manager.unload_all().models) == ["extends", "mixed"]


def test_classes_register_by_decoration(manager: ModelManager) -> None:
    @register_model("decorated")
    class Decorated(Parrot):
        says = "decorated"

    assert isinstance(Decorated, type)
    assert manager.get_chat_model("decorated").invoke("x") == "decorated"
    manager.unregister("decorated")
    with pytest.raises(UsageError, match="no chat model 'decorated'"):
        manager.get_chat_model("decorated")


def test_a_wrong_name_is_told_what_there_is(
    manager: ModelManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    register_model("parrot", Parrot)
    register_model("pigeon", Parrot)
    for ask in (manager.get_chat_model, manager.info, manager.versions):
        with pytest.raises(UsageError, match=r"no (chat )?model 'parot'") as caught:
            ask("parot")
        assert caught.value.hint == "did you mean 'parrot'? there are: parrot, pigeon"
    with pytest.raises(UsageError, match="no chat model is named") as caught:
        manager.get_chat_model()
    assert caught.value.hint == "set DEFAULT_CHAT_MODEL; there are: parrot, pigeon"
    monkeypatch.setenv("DEFAULT_CHAT_MODEL", "pigoen")
    with pytest.raises(UsageError, match="DEFAULT_CHAT_MODEL: no chat model 'pigoen'") as caught:
        manager.get_chat_model()
    assert "did you mean 'pigeon'?" in caught.value.hint


def test_the_manager_is_one_and_can_be_reset(tmp_path: Path, manager: ModelManager) -> None:
    model = manager.get_chat_model("bird", Parrot)
    with pytest.raises(UsageError, match=f"has its models in {tmp_path}, not in"):
        ModelManager(tmp_path, tmp_path / "other")
    with pytest.raises(UsageError, match="has its models in"):
        ModelManager(tree=tmp_path / "other")
    assert ModelManager(tmp_path, tmp_path) is manager is ModelManager()
    ModelManager.reset()
    assert not model.is_loaded
    assert ModelManager(tmp_path) is not manager
    assert ModelManager().list_available_models() == []


def test_a_reply_is_a_text(manager: ModelManager) -> None:
    reply = ChatReply("hello", "length", 3, 4, 0.5)
    assert isinstance(reply, str) and reply == "hello" == reply.content == str(reply)
    for other in (copy.copy(reply), pickle.loads(pickle.dumps(reply))):
        assert (other, other.finish_reason, other.output_tokens) == ("hello", "length", 4)


def test_langchain_takes_what_a_class_returns(manager: ModelManager) -> None:
    messages = pytest.importorskip("langchain_core.messages", reason="langchain-core is missing")
    from langchain_core.output_parsers import StrOutputParser
    from langchain_core.prompts import ChatPromptTemplate

    prompt = ChatPromptTemplate.from_messages([("human", "{text}")])
    given = {"text": "Hello!"}

    class Answers(Parrot):
        answer: Any = None

        def invoke(self, messages: Any, stop: Any = None) -> Any:
            self.asked = messages, stop
            return self.answer

    model = manager.get_chat_model("bird", Answers)
    assert isinstance(model, Answers)
    usage = {"input_tokens": 2, "output_tokens": 3, "total_tokens": 5}
    for answer in (
        "text",
        ChatReply("text", input_tokens=2, output_tokens=3),
        messages.AIMessage("text", usage_metadata=usage),
    ):
        model.answer = answer
        found = model.as_langchain().invoke("Hello!")
        assert found.content == "text"
        assert found.usage_metadata == (usage if hasattr(answer, "content") else None)
        assert (prompt | model | StrOutputParser()).invoke(given) == "text"
    assert isinstance((prompt | model).invoke(given), messages.AIMessage)
    assert (model | StrOutputParser()).invoke("Hello!") == "text"
    model.as_langchain(stop=["x"]).invoke([messages.HumanMessage("Hello!")])
    assert model.asked == ([messages.HumanMessage("Hello!")], ["x"]), "as LangChain has them"
    assert manager.stats()[0]["output_tokens"] > 0
    model.answer = {"text": "x"}
    with pytest.raises(ModelError, match=r"Answers\.invoke returned a dict, which is no reply"):
        model.as_langchain().invoke("Hello!")

    class Streams(Parrot):
        def stream(self, messages: Any) -> Iterator[str]:
            yield from ("a", "b")

    streams = prompt | manager.get_chat_model("bird", Streams) | StrOutputParser()
    assert [piece for piece in streams.stream(given) if piece] == ["a", "b"]
    embeddings = manager.get_embedding_model("e", _Embeds).as_langchain()
    assert embeddings.embed_query("abc") == [3.0]


class _Embeds(Letters):
    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [[float(len(text))] for text in texts]


def test_messages_become_a_text(built: Path) -> None:
    from transformers import AutoTokenizer

    model: Any = Parrot()
    assert model._format_messages("Hello!") == "Hello!"
    told = [("system", "Be brief."), ("user", "Hello!")]
    assert model._format_messages(told) == "System: Be brief.\nUser: Hello!\nAssistant:"
    with pytest.raises(UsageError, match="messages are a int"):
        model._format_messages(5)
    model._tokenizer = AutoTokenizer.from_pretrained(built / "tiny")
    assert model._format_messages(told) == "<user>Be brief.\n\nHello!\n<assistant>"

    class Begins:
        """A tokenizer that puts a token in front of every text, as its template does."""

        chat_template, bos_token, bos_token_id = "x", "<s>", 1

        def __call__(self, text: str) -> dict[str, list[int]]:
            return {"input_ids": [1, *range(2, 2 + len(text))]}

        def apply_chat_template(self, messages: Any, **how: Any) -> str:
            return "<s>[INST] Hello! [/INST]"

    model._tokenizer = Begins()
    assert model._format_messages(told) == "[INST] Hello! [/INST]", "not twice"


def test_a_keras_model_is_loaded_by_a_class(tmp_path: Path, manager: ModelManager) -> None:
    """As docs/models.md says of TensorFlow; with whatever backend keras finds."""
    keras = pytest.importorskip("keras", reason="keras is not installed")
    import numpy

    layers = [keras.Input((4,)), keras.layers.Dense(3, use_bias=False)]
    network = keras.Sequential(layers)
    folder = tmp_path / "models/my-model"
    folder.mkdir(parents=True)
    network.save(folder / "model.keras")
    network.save_weights(folder / "model.weights.h5")
    assert manager.list_available_models()[0]["kind"] == "other", "its files do not tell"

    class Whole(BaseEmbeddingModel):
        def load(self) -> None:
            self.network = keras.saving.load_model(self.model_path / "model.keras")

        def unload(self) -> None:
            self.network = None

        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            counts = [[float(text.count(letter)) for letter in "abcd"] for text in texts]
            found = self.network(numpy.array(counts, "float32"))
            return [list(map(float, row)) for row in keras.ops.convert_to_numpy(found)]

    class Weights(Whole):
        def load(self) -> None:
            self.network = keras.Sequential(list(layers))
            self.network.load_weights(self.model_path / "model.weights.h5")

    whole = manager.get_embedding_model("my-model", Whole).embed_documents(["abba", "d"])
    assert [len(row) for row in whole] == [3, 3] and whole[0] != whole[1]
    assert manager.get_embedding_model("my-model", Weights).embed_query("d") == whole[1]
