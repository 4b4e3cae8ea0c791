"""Document 003, a model manager: its code, settings, folders and steps, run as they are printed.

Import paths aside (`app.models` is `fetcher.models`); a tiny model stands for a large one.
"""

from __future__ import annotations

import importlib
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Optional

import pytest

from fetcher.config import settings
from fetcher.models import ModelManager
from fetcher.models.base import BaseEmbeddingModel, BaseLLMModel
from tests.documents.blocks import blocks, text_of
from tests.models.conftest import Place, built, minilm, nothing_left, place, quiet_libraries

__all__ = ["built", "minilm", "nothing_left", "place", "quiet_libraries"]

STRUCTURE, STORE, CLASS, MANAGER, CHAIN, ENV, FLOW = blocks("003")
Run = Callable[..., dict[str, Any]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a block of Python in the project, and return what it defines."""
    monkeypatch.chdir(tmp_path)

    def exec_block(text: str, **names: Any) -> dict[str, Any]:
        text = text.replace("app.models", "fetcher.models")
        found = {"__name__": "sample", **names}
        exec(compile(text, "003.txt", "exec"), found)
        return found

    return exec_block


def test_these_are_all_blocks_of_the_document() -> None:
    found = [(block.heading, block.language) for block in blocks("003")]
    assert found == [
        ("• 구조", ""),
        ("• 모델 저장소 구조", ""),
        ("1. 모델 구현 예시", "python"),
        ("2. 모델 매니저 사용", "python"),
        ("3. 기존 코드와 통합", "python"),
        ("⚙️ 설정", "python"),
        ("• 모델 주입 흐름", ""),
    ]


def test_the_package_has_the_files_that_are_drawn() -> None:
    drawn = re.findall(r"── (\w+)\.py", STRUCTURE.text)
    assert drawn == ["__init__", "base", "loader", "manager"]
    for name in drawn:
        module = importlib.import_module(f"fetcher.models.{name}".removesuffix(".__init__"))
        assert module.__doc__
    for name in re.findall(r"\w*BaseLLMModel|\w*BaseEmbeddingModel", STRUCTURE.text):
        assert hasattr(importlib.import_module("fetcher.models.base"), name)
        assert hasattr(importlib.import_module("fetcher.models"), name), "the public API"


def test_folders_as_they_are_drawn_are_models(built: Path, tmp_path: Path) -> None:
    root, *lines = STORE.text.splitlines()
    names = [match[1] for line in lines if (match := re.match(r"[├└]── ([\w-]+)/", line))]
    files = [match[1] for line in lines if (match := re.match(r"│\s+├── ([\w.]+)", line))]
    assert root.startswith("models/") and names == ["model-name-1", "model-name-2"]
    assert len(files) == 5
    transformers = pytest.importorskip("transformers")
    model = transformers.AutoModelForCausalLM.from_pretrained(built / "tiny")
    for name in names:
        model.save_pretrained(tmp_path / "models" / name)  # in one file
        for file in (built / "tiny").glob("*tokenizer*"):
            shutil.copy(file, tmp_path / "models" / name)
        assert all((tmp_path / "models" / name / file).is_file() for file in files)
    manager = ModelManager(tmp_path)
    assert [one["name"] for one in manager.list_available_models("chat")] == names
    assert manager.get_chat_model(names[0]).is_loaded


@pytest.mark.heavy
def test_the_class_runs_as_it_is_printed(run: Run, built: Path, place: Place) -> None:
    langchain = pytest.importorskip("langchain_core.messages", reason="langchain-core is missing")
    folder = place(built / "tiny", "my-model")
    model_class = run(CLASS.text)["HuggingFaceLLM"]
    manager = ModelManager()
    model = manager.get_chat_model("my-model", model_class)
    assert isinstance(model, model_class) and isinstance(model, BaseLLMModel)
    assert model.is_loaded and model.model_path == folder
    told = [langchain.SystemMessage("Be brief."), langchain.HumanMessage("Hello!")]
    answer = model.invoke(told)
    assert isinstance(answer, str) and answer
    (listed,) = manager.list_available_models()
    assert (listed["name"], listed["kind"], listed["loaded"]) == ("my-model", "chat", True)
    (counted,) = manager.stats()
    assert (counted["name"], counted["loads"], counted["calls"]) == ("my-model", 1, 1)
    assert counted["load_seconds"] > 0 and counted["call_seconds"] > 0

    from langchain_core.output_parsers import StrOutputParser
    from langchain_core.prompts import ChatPromptTemplate

    prompt = ChatPromptTemplate.from_messages([("system", "Be brief."), ("human", "{text}")])
    chain = prompt | model | StrOutputParser()
    assert chain.invoke({"text": "Hello!"}) == answer
    assert list(filter(None, chain.stream({"text": "Hello!"}))) == [answer], "in one piece"
    assert "".join(model.stream(told)) == answer
    assert model.as_langchain().invoke(told).content == answer

    manager.unload_all()
    assert [model.is_loaded, model.__dict__["_model"]] == [False, None]
    assert manager.get_chat_model("my-model") is model, "loaded by its own class again"
    assert model.invoke(told) == answer

    # Without a manager, by its folder alone.
    alone = model_class(folder)
    alone.load()
    assert alone.invoke(told) == answer
    alone.unload()
    assert not alone.is_loaded


@pytest.mark.heavy
def test_the_manager_is_used_as_it_is_printed(
    run: Run, built: Path, minilm: Path, place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    place(built / "tiny", "my-model-name")
    place(minilm, "my-embedding-model")
    names = run(MANAGER.text)
    assert capsys.readouterr().out.startswith("Available models: [{'name': 'my-embedding-model'")
    assert {one["name"] for one in names["models"]} == {"my-model-name", "my-embedding-model"}
    assert isinstance(names["chat_model"], BaseLLMModel)
    assert isinstance(names["embedding_model"], BaseEmbeddingModel)
    assert not names["chat_model"].is_loaded and not names["embedding_model"].is_loaded
    assert names["manager"] is ModelManager(), "a singleton"


def test_the_chain_is_used_as_it_is_printed(run: Run, built: Path, place: Place) -> None:
    place(built / "tiny", "the-only-one")
    # The sample is a part of a file: what it uses stands above it there, and its last comment is
    # the call that is left out.
    call = "# chat_model.invoke([system_message, human_message])\n    ..."
    text = CHAIN.text.replace(call, "return " + call.partition("\n")[0].removeprefix("# "))
    assert text != CHAIN.text
    messages = {"system_message": ("system", "Be brief."), "human_message": ("human", "Hello!")}
    chat = run(text, Optional=Optional, **messages)["chat_with_ai"]
    answer = chat(None, "Hello!", 384)
    assert isinstance(answer, str) and answer

    class Other(BaseLLMModel):
        def load(self) -> None:  # type: ignore[override]
            pass

        def unload(self) -> None:  # type: ignore[override]
            pass

        def invoke(self, messages: Any) -> str:  # type: ignore[override]
            return f"{len(messages)} messages"

    other = Other()
    other.load()
    assert chat(None, "Hello!", 384, chat_model=other) == "2 messages"
    assert run(CHAIN.text, Optional=Optional)["chat_with_ai"](None, "Hello!", 384) is None


def test_the_settings_are_read_as_they_are_printed(
    tmp_path: Path, built: Path, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_text(ENV.text, encoding="utf-8")
    found = settings.load(tmp_path)
    assert found.local_models_dir == tmp_path / "models"
    assert found.text("default_chat_model") == "my-chat-model"
    assert found.text("default_embedding_model") == "my-embedding-model"
    assert (found.model_device, found.model_dtype) == ("cpu", "float32")
    place(built / "tiny", "my-chat-model")
    place(built / "tiny", "another")
    model = ModelManager(tmp_path).get_chat_model()
    assert (model.name, model.spec.device, model.spec.dtype) == ("my-chat-model", "cpu", "float32")
    for line in ENV.commands:
        name, _, comment = line.partition("#")
        name, _, value = name.strip().partition("=")
        for other in re.findall(r"\w+", comment):  # 또는 …: what may stand there as well
            if other.isascii():
                monkeypatch.setenv(name, other)
                assert getattr(settings.load(tmp_path), name.lower()) == other
        monkeypatch.setenv(name, value)


def test_a_model_is_brought_in_by_the_steps_that_are_printed(run: Run, tmp_path: Path) -> None:
    assert "models/my-model/" in FLOW.text
    (step,) = re.findall(r"manager\.get_chat_model\(.*\)", FLOW.text)
    folder = tmp_path / "models/my-model"
    folder.mkdir(parents=True)
    (folder / "weights.h5").write_bytes(b"a format of its own")

    class MyModelClass(BaseLLMModel):
        def load(self) -> None:  # type: ignore[override]
            self.weights = (self.model_path / "weights.h5").read_bytes()

        def unload(self) -> None:  # type: ignore[override]
            del self.weights

        def invoke(self, messages: Any) -> str:  # type: ignore[override]
            return self.weights.decode()

    manager = ModelManager(tmp_path)
    model = run(f"model = {step}", manager=manager, MyModelClass=MyModelClass)["model"]
    assert model.invoke("Hello!") == "a format of its own"
    (listed,) = manager.list_available_models()
    assert listed["folder"] == str(folder) and listed["size_bytes"] == 19 and listed["loaded"]


def test_each_thing_to_do_is_done_in_the_docs() -> None:
    """docs/models.md's examples are run by tests/e2e/test_models_docs.py."""
    todo = re.findall(r"- \[ \] (.+)", text_of("003"))
    page = (Path(__file__).parents[2] / "docs/models.md").read_text("utf-8")
    examples = "\n".join(re.findall(r"^```python\n(.*?)^```", page, re.M | re.S))
    shown = {
        "HuggingFace 모델 구현 예시 추가": "class HuggingFaceLLM(BaseLLMModel)",
        "모델 레지스트리 패턴 구현 (선택적)": "@register_model(",
        "모델 버전 관리": "manager.versions(",
        "모델 메타데이터 관리": "manager.info(",
        "모델 성능 모니터링": "manager.stats()",
    }
    assert set(todo) == set(shown)
    for item, code in shown.items():
        assert code in examples, item
