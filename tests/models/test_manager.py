"""The manager: names, versions, settings, threads, unloading, registration."""

from __future__ import annotations

import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from fetcher.errors import UsageError
from fetcher.models import (
    BaseEmbeddingModel,
    BaseLLMModel,
    ChatReply,
    Freed,
    ModelError,
    ModelManager,
    ModelSpec,
    NotLoaded,
    prometheus_text,
    register_model,
)
from fetcher.models.chat import TransformersChatModel
from fetcher.models.stats import saved_text
from tests.conftest import Cli, write_project
from tests.models.conftest import Place


def test_there_is_one_manager_for_a_process(tmp_path: Path, manager: ModelManager) -> None:
    assert ModelManager() is manager and ModelManager(str(tmp_path)) is manager
    other = tmp_path / "other"
    other.mkdir()
    assert ModelManager(other) is not manager and ModelManager() is manager
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda _: ModelManager(), range(32))) == {manager}
    manager.close()
    assert ModelManager(tmp_path) is not manager
    with pytest.raises(UsageError, match="is no folder"):
        ModelManager(tmp_path / "nowhere")


def test_an_empty_project_says_what_to_do(tmp_path: Path, manager: ModelManager) -> None:
    assert manager.list_available_models() == []
    with pytest.raises(UsageError, match="no chat model is named") as caught:
        manager.get_chat_model()
    assert "DEFAULT_CHAT_MODEL" in caught.value.hint
    with pytest.raises(UsageError, match="no embedding model 'x'"):
        manager.get_embedding_model("x")
    with pytest.raises(UsageError, match=r"vision-language/qwen3-0\.6b is not in") as caught:
        manager.get_chat_model("Qwen/Qwen3-0.6B")
    assert caught.value.hint == "fetch all qwen3-0.6b"
    for wrong in (5, tmp_path):
        with pytest.raises(UsageError, match="a model's name is a text"):
            manager.get_chat_model(wrong)  # type: ignore[arg-type]
    (tmp_path / "fetch.yaml").write_text("model_dtype: int4\njobs: x\n")
    with pytest.raises(UsageError, match=r"fetch\.yaml:1:14: found 'int4'.*and 1 more"):
        manager.get_chat_model("x")
    (tmp_path / "fetch.yaml").unlink()
    assert manager.unload_all() == Freed() and manager.unload("x") == Freed()


def test_kinds_are_told_by_the_files(tmp_path: Path, manager: ModelManager) -> None:
    def put(name: str, *files: str, config: str = "{}") -> None:
        for file in files:
            path = tmp_path / "models" / name / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(config)

    put("llm", "config.json", config='{"architectures": ["LlamaForCausalLM"]}')
    put("bert", "config.json", "model.safetensors", config='{"model_type": "bert"}')
    put("head", "config.json", config='{"model_type": "bert", "architectures": ["BertForQA"]}')
    put("sbert", "modules.json", "model.safetensors")
    put("light", "modules.json", "onnx/model.onnx")
    put("painter", "model_index.json")
    put("lora", "adapter_config.json")
    put("owner/name", "modules.json", "pytorch_model.bin")
    put("many/v9", "modules.json")
    put("many/v10", "modules.json")
    put("models--o--cached/snapshots/aaaaaaaa1", "modules.json")
    put("models--o--cached/snapshots/bbbbbbbb2", "modules.json")
    (tmp_path / "models/models--o--cached/refs").mkdir()
    (tmp_path / "models/models--o--cached/refs/main").write_text("aaaaaaaa1")
    put("nothing", "README.md")
    put("broken", "config.json", config="{")
    (tmp_path / "models/loop").symlink_to(tmp_path / "models")
    found = {
        (one["name"], one["version"]): (one["kind"], one["loader"])
        for one in manager.list_available_models()
    }
    st = ("embedding", "sentence-transformers")
    assert found == {
        ("llm", ""): ("chat", "transformers"),
        ("lora", ""): ("chat", "transformers"),
        ("bert", ""): st,
        ("sbert", ""): st,
        ("light", ""): ("embedding", "onnx"),
        ("painter", ""): ("image", "diffusers"),
        ("head", ""): ("other", ""),
        ("broken", ""): ("other", ""),
        ("owner/name", ""): st,
        ("many", "v9"): st,
        ("many", "v10"): st,
        ("o/cached", "aaaaaaaa1"): st,
        ("o/cached", "bbbbbbbb2"): st,
    }
    assert manager.versions("many") == ["v9", "v10"]
    assert manager.info("name")["name"] == "owner/name"
    assert manager.info("o/cached")["version"] == "aaaaaaaa1", "what its main refers to"
    assert manager.info("cached@bbbb")["version"] == "bbbbbbbb2"
    with pytest.raises(UsageError, match="painter is no chat model, but of kind image"):
        manager.get_chat_model("painter")
    with pytest.raises(UsageError, match="no chat model 'lm'") as caught:
        manager.get_chat_model("lm")
    assert "did you mean 'llm'?" in caught.value.hint
    for wrong in ("../models/llm", "/etc", "llm@", "@", "many@v1"):
        with pytest.raises(UsageError):
            manager.get_chat_model(wrong)


def test_settings_choose_the_models(
    built: Path, tmp_path: Path, place: Place, monkeypatch: pytest.MonkeyPatch, cli: Cli
) -> None:
    place(built / "tiny")
    place(built / "plain")
    (tmp_path / "models").rename(tmp_path / "elsewhere")
    manager = ModelManager(tmp_path)
    env = tmp_path / ".env"
    env.write_text("LOCAL_MODELS_DIR=elsewhere\nDEFAULT_CHAT_MODEL=plain\nMODEL_DTYPE=bfloat16\n")
    model = manager.get_chat_model()
    assert model.name == "plain" and manager.get_chat_model() is model
    with model.in_use() as (engine, _):
        assert str(engine.model.dtype) == "torch.bfloat16"
    shown = cli("config").out
    assert "elsewhere" in shown and "default_chat_model" in shown
    monkeypatch.setenv("DEFAULT_CHAT_MODEL", "tiny")
    monkeypatch.setenv("MODEL_DTYPE", "float32")
    assert manager.get_chat_model().name == "tiny", "the environment wins over .env"
    for name, value in (("MODEL_DEVICE", "cuda:9"), ("MODEL_DEVICE", "tpu"), ("MODEL_DTYPE", "x")):
        with monkeypatch.context() as patch:
            patch.setenv(name, value)
            told = "device cuda:9 is not there" if value == "cuda:9" else name
            with pytest.raises((UsageError, ModelError), match=told):
                manager.get_chat_model()
            if value != "cuda:9":
                assert cli("access").code == 2, "every command that uses settings says so"


def test_versions_stand_side_by_side(built: Path, place: Place, manager: ModelManager) -> None:
    place(built / "tiny", "bot/v1")
    place(built / "plain", "bot/v2")
    first, second = manager.get_chat_model("bot@v1"), manager.get_chat_model("bot")
    assert (first.spec.version, second.spec.version) == ("v1", "v2")
    greedy = {"max_new_tokens": 8, "temperature": 0}
    assert first.invoke("hi", **greedy).content != second.invoke("hi", **greedy).content
    freed = manager.unload("bot@v1")
    assert freed.models == ("bot@v1",) and not first.loaded and second.loaded
    assert manager.unload("bot").models == ("bot@v2",)


def test_sixteen_threads_load_a_model_once(
    built: Path, place: Place, manager: ModelManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    place(built / "tiny")
    begun, real = [], TransformersChatModel._load

    def slow(self: TransformersChatModel) -> Any:
        begun.append(1)
        time.sleep(0.1)  # long enough for all others to come
        return real(self)

    monkeypatch.setattr(TransformersChatModel, "_load", slow)
    barrier = threading.Barrier(16)

    def ask(_: int) -> BaseLLMModel:
        barrier.wait()
        return manager.get_chat_model("tiny")

    with ThreadPoolExecutor(16) as pool:
        assert len(set(pool.map(ask, range(16)))) == 1
        assert len(begun) == 1
        model = manager.get_chat_model("tiny")
        replies = pool.map(
            lambda _: str(model.invoke("hello", max_new_tokens=6, temperature=0)), range(16)
        )
        assert len(set(replies)) == 1
    assert manager.stats()[0]["calls"] == 16 and manager.stats()[0]["loads"] == 1


class Slow(BaseLLMModel):
    """A model whose calls last until they are let go."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__(spec)
        self.begun, self.go = threading.Event(), threading.Event()

    def _load(self) -> object:
        return object()

    def _reply(self, messages: Any, generation: Any, told: Any) -> ChatReply:
        with self.in_use():
            self.begun.set()
            assert self.go.wait(10)
            return ChatReply(messages[0]["content"])


def test_unloading_waits_for_calls_that_have_begun(manager: ModelManager) -> None:
    register_model("slow", Slow)
    model = manager.get_chat_model("slow")
    assert isinstance(model, Slow)
    with ThreadPoolExecutor(2) as pool:
        call = pool.submit(model.invoke, "answer")
        assert model.begun.wait(10)
        with pytest.raises(ModelError, match=r"still in use after 0\.01"):
            manager.unload("slow", timeout=0.01)
        assert model.loaded, "nothing has happened to it"
        unloading = pool.submit(manager.unload_all)
        while not model._life.closing:
            time.sleep(0.001)
        with pytest.raises(NotLoaded, match="slow is not loaded"):
            model.invoke("too late")
        assert not unloading.done()
        model.go.set()
        assert str(call.result(10)) == "answer"
        assert unloading.result(10).models == ("slow",)
    with pytest.raises(NotLoaded):
        model.invoke("gone")
    assert manager.get_chat_model("slow").loaded


def test_nothing_of_a_model_is_left(built: Path, place: Place, manager: ModelManager) -> None:
    place(built / "tiny")
    model = manager.get_chat_model()
    with model.in_use() as (engine, _):
        inner = weakref.ref(engine.model)
        del engine
    model.invoke("hello", max_new_tokens=2)
    stream = model.stream("hello", max_new_tokens=200)
    next(stream)
    manager.unload("tiny")
    assert inner() is None, "though the stream has not been read to its end"
    stream.close()  # type: ignore[attr-defined]


def test_threads_that_get_use_and_unload_at_random_never_see_a_half(manager: ModelManager) -> None:
    register_model("quick", Quick)
    stop = time.monotonic() + 0.5
    answers: list[str] = []

    def use() -> None:
        while time.monotonic() < stop:
            try:
                answers.append(str(manager.get_chat_model("quick").invoke("x")))
            except NotLoaded:
                answers.append("not loaded")

    def unload() -> None:
        while time.monotonic() < stop:
            manager.unload("quick")

    threads = [threading.Thread(target=work) for work in [use] * 6 + [unload]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()
    assert set(answers) <= {"whole", "not loaded"} and "whole" in answers


class Quick(BaseLLMModel):
    def _load(self) -> dict[str, str]:
        return {"answer": "whole"}

    def _reply(self, messages: Any, generation: Any, told: Any) -> ChatReply:
        with self.in_use() as (engine, _):
            return ChatReply(engine["answer"])

    def _unload(self, engine: dict[str, str]) -> None:
        engine["answer"] = "half"


class Own:
    """In the style of an application's own class: nothing of ours is called."""


class Letters(BaseEmbeddingModel):
    def __init__(self) -> None:
        self.alive = False

    def load(self) -> Letters:
        self.alive = True
        return self

    def unload(self) -> None:  # type: ignore[override]
        self.alive = False

    def embed_documents(self, texts: Any) -> list[list[float]]:
        return [[float(len(text))] for text in texts]


def test_own_classes_register_by_name(built: Path, place: Place, manager: ModelManager) -> None:
    manager.register("letters", Letters)
    model = manager.get_embedding_model("letters")
    assert isinstance(model, Letters) and model.alive and model.embed_documents(["abc"]) == [[3.0]]
    assert manager.get_embedding_model("letters") is model
    assert manager.unload("letters").models == ("letters",)
    assert model.__dict__["alive"] is False
    with pytest.raises(UsageError, match="is no chat model, but of kind embedding"):
        manager.get_chat_model("letters")
    with pytest.raises(UsageError, match="a Letters, which is no BaseLLMModel"):
        manager.get_chat_model("letters", Letters)  # type: ignore[arg-type]
    place(built / "tiny")
    seen: list[ModelSpec] = []

    def make(spec: ModelSpec) -> BaseLLMModel:
        seen.append(spec)
        return Quick(spec)

    register_model("tiny", make)
    assert str(manager.get_chat_model("tiny").invoke("x")) == "whole"
    assert seen[0].folder is not None and seen[0].folder.name == "tiny"
    listed = {one["name"]: one for one in manager.list_available_models()}
    assert listed["letters"]["origin"] == "registered" and listed["tiny"]["loaded"]
    wrong: Any
    for name, wrong in (("a@b", Quick), ("", Quick), ("x", 5)):
        with pytest.raises(UsageError):
            register_model(name, wrong)
    wrong = Own
    register_model("own", wrong)
    with pytest.raises(UsageError, match="registered as a Own"):
        manager.get_chat_model("own")


def test_what_it_costs_is_told(built: Path, place: Place, manager: ModelManager) -> None:
    assert manager.metrics_text() == "" == prometheus_text()
    place(built / "tiny", 'o/t"1')
    model = manager.get_chat_model()
    reply = model.invoke("hello", max_new_tokens=5, temperature=0)
    with pytest.raises(UsageError):
        model.invoke("x" * 2000)
    (found,) = manager.stats()
    assert found["loads"] == 1 and found["load_seconds"] > 0 and found["device"] == "cpu"
    assert (found["calls"], found["call_failures"]) == (2, 1)
    assert (found["input_tokens"], found["output_tokens"]) == (reply.input_tokens, 5)
    assert found["tokens_per_second"] > 0 and found["peak_resident_bytes"] > 0
    text = prometheus_text()
    assert text == manager.metrics_text()
    labels = 'model="o/t\\"1",kind="chat",version=""'
    assert f"fetch_model_output_tokens_total{{{labels}}} 5\n" in text
    assert f"fetch_model_loaded{{{labels}}} 1\n" in text
    assert text.count("# TYPE fetch_model_loaded gauge") == 1 and text.endswith("\n")
    assert saved_text(manager.root) == ""
    manager.save_stats()
    assert saved_text(manager.root) == text, "as another process reads it"
    report = manager.root / ".fetch/reports/models.json"
    report.write_text(report.read_text().replace('"calls": 2', '"calls": "<x>"'))
    assert "<x>" not in saved_text(manager.root)
    manager.unload_all()
    assert f"fetch_model_loaded{{{labels}}} 0\n" in prometheus_text()


def test_laid_out_models_are_found_by_id_alias_and_repository(
    built: Path, tmp_path: Path, manager: ModelManager, cli: Cli
) -> None:
    write_project(
        tmp_path,
        "bots",
        "artifacts:\n"
        f"  base: {{source: 'local:{built / 'tiny'}', aliases: [Grandfather],\n"
        "    license: MIT, probe: {type: causal-lm}}\n"
        f"  speaks: {{source: 'local:{built / 'lora'}', probe: {{type: causal-lm, base: base}}}}\n"
        f"  absent: {{source: 'local:{built / 'plain'}', optional: true, task: text-generation}}\n",
        "root: deep\ntree:\n  a/models:\n    polyglot/: base\n    tuned/: speaks\n    x/: absent\n",
    )
    assert cli("all").code == 0
    listed = {one["name"]: one for one in manager.list_available_models("chat")}
    assert set(listed) == {"base", "speaks"}
    assert listed["base"]["license"] == "MIT" and listed["base"]["origin"] == "tree"
    assert listed["base"]["folder"] == str(tmp_path / "deep/a/models/polyglot")
    assert listed["base"]["size_bytes"] > 100_000
    model = manager.get_chat_model("Grandfather")
    assert manager.get_chat_model("base") is model is manager.get_chat_model("bots/base")
    adapted = manager.get_chat_model("speaks")
    greedy = {"max_new_tokens": 8, "temperature": 0}
    assert adapted.invoke("hi", **greedy).content != model.invoke("hi", **greedy).content
    with pytest.raises(UsageError, match="bots/absent is not in the tree"):
        manager.get_chat_model("absent")
    assert cli("all", "--only", "absent").code == 0
    assert manager.get_chat_model("absent").loaded, "found without a new manager"
