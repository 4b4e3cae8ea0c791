"""Models whose configurations have a library run something, under old and new libraries."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fetcher.verify
import pytest
from fetcher.verify.contract.consent import CodeConsent
from fetcher.verify.contract.probe_errors import ProbeError
from fetcher.verify.loaders import is_built_in
from fetcher.verify.weights import config_rules, config_scan
from fetcher.verify.weights.config_scan import refuse_code

from fetcher.models import ModelManager
from fetcher.models.model_errors import ModelError
from tests.conftest import Cli, write_project
from tests.hostile import model_folders as folders

pytestmark = pytest.mark.heavy
OLDEST = os.environ.get("FETCH_TEST_OLDEST_MODELS", "")
CHILD = Path(__file__).parent / "model_child.py"
VERIFY = Path(fetcher.verify.__file__).parent
HONEST = ("encoder", "pipeline", "adapter")


@pytest.fixture(autouse=True)
def quiet_libraries() -> Iterator[None]:
    """Libraries warn of their own future in this process."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
    ModelManager.reset()


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    for name in ("torch", "transformers", "sentence_transformers", "diffusers", "peft"):
        pytest.importorskip(name)
    folder = tmp_path_factory.mktemp("built")
    folders.build(folder)
    return folder


def spoilt(built: Path, root: Path) -> dict[str, tuple[Path, Path]]:
    """Every attack's folder, and what is there after it ran."""
    found = {}
    for number, (name, attack) in enumerate(folders.ATTACKS.items()):
        folder, marker = root / f"case{number}", root / f"marker{number}"
        folders.make(attack.kind, folder, built)
        attack.spoil(folder, f"open({str(marker)!r}, 'w').close()\n")
        found[name] = folder, marker
    return found


# Before a library reads it


def test_each_is_refused_with_file_key_and_value(built: Path, tmp_path: Path) -> None:
    """A configuration names code of its repository, a path out of it, or a switch that lets it."""
    for name, (folder, _) in spoilt(built, tmp_path).items():
        attack = folders.ATTACKS[name]
        consent = CodeConsent("a b", once="fetch verify x")
        with pytest.raises(ProbeError) as caught:
            refuse_code(folder, consent, adapter=attack.kind == "adapter", built_in=is_built_in)
        told = caught.value.reason
        assert told.startswith(f"refused: {attack.file}: {attack.key}"), (name, told)
        assert "fetch config allow code 'a b', or once: fetch verify x" in caught.value.hint
        refuse_code(folder, CodeConsent("a", given=True))


@pytest.mark.parametrize("kind", HONEST)
def test_honest_folders_pass(built: Path, kind: str) -> None:
    """The same models before anybody spoilt them."""
    refuse_code(built / kind, adapter=kind == "adapter", built_in=is_built_in)


def test_a_model_that_the_library_has_may_bring_its_code_along(built: Path, tmp_path: Path) -> None:
    """`auto_map` of a built-in model does nothing where the library is told so; else it is no."""
    folder = tmp_path / "m"
    folders.make("encoder", folder, built)
    folders.change(folder, "config.json", auto_map={"AutoModel": "evil.Evil"})
    refuse_code(folder, built_in=is_built_in)
    with pytest.raises(ProbeError, match="auto_map"):
        refuse_code(folder)
    folders.change(folder, "config.json", model_type="unheard-of")
    with pytest.raises(ProbeError, match="auto_map"):
        refuse_code(folder, built_in=is_built_in)


def test_the_libraries_own_names_pass() -> None:
    """Every class that the installed libraries have for configurations to name."""
    auto = pytest.importorskip("transformers.models.auto")
    import transformers.models.auto.image_processing_auto as images
    import transformers.models.auto.processing_auto as processors
    import transformers.models.auto.tokenization_auto as tokenizers
    from transformers.models.auto import modeling_auto

    assert auto
    for name in dir(modeling_auto):
        if name.startswith("MODEL_") and name.endswith("_NAMES"):
            for listed in getattr(modeling_auto, name).values():
                for one in [listed] if isinstance(listed, str) else listed:
                    assert not config_rules.refusal("architectures", [one]), one
    for key, mapping in (
        ("tokenizer_class", tokenizers.TOKENIZER_MAPPING_NAMES),
        ("processor_class", processors.PROCESSOR_MAPPING_NAMES),
        ("image_processor_type", images.IMAGE_PROCESSOR_MAPPING_NAMES),
    ):
        for listed in mapping.values():
            options = listed.values() if isinstance(listed, dict) else listed or ()
            for one in [listed] if isinstance(listed, str) else filter(None, options):
                assert not config_rules.refusal(key, one), (key, one)
    for one in (
        *(
            "sentence_transformers.models.Transformer",
            "sentence_transformers.models.Pooling.Pooling",
        ),
        "sentence_transformers.sparse_encoder.models.SpladePooling",
        "sentence_transformers.base.modules.transformer.Transformer",
        "sentence_transformers.sentence_transformer.modules.pooling.Pooling",
    ):
        assert not config_rules.module_refusal(one), one
    for one in ("torch.nn.modules.activation.Tanh", "torch.nn.Identity", "gelu", "quick_gelu", 0.1):
        assert not config_rules.refusal("activation_function", one), one
    for one in ("vocab.json", "/root/.cache/none/vocab.txt", "C:\\Users\\a\\vocab.txt", None):
        assert not config_rules.refusal("vocab_file", one), one
    for one in ("eager", "sdpa", "flash_attention_2", None, {"text_config": "sdpa"}):
        assert not config_rules.refusal("attn_implementation", one), one


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("activation_function", "torch.hub.load"),
        ("activation_function", "torch.nn.init.ones_"),
        ("activation_function", "torch.nn.modules.os.system"),
        ("tokenizer_class", "sentence_transformers.util.http_get"),
        ("tokenizer_class", "os.system"),
        ("processor_class", "Evil Processor"),
        ("auto_mapping", {"parent_library": "os", "base_model_class": "system"}),
        ("subfolder", "a\\..\\..\\b"),
        ("gguf_file", "C:x.gguf"),
        ("weights_only", 0),
        ("weights_only", "True"),
        ("model_kwargs", {"pickle_module": "dill"}),
        ("processor_kwargs", ["trust_remote_code"]),
        ("vocab_file", "/etc/passwd"),
        ("slow_tokenizer_files", ["a.json", "../../../../../../../../etc/passwd", "/etc/hosts"]),
        ("some_new_class", "evil.Evil"),
        ("some_new_fn", "files/code.py"),
    ],
)
def test_near_misses(key: str, value: Any) -> None:
    """What looks like a library's own and is not."""
    assert config_rules.refusal(key, value)


@pytest.mark.parametrize(
    "kind",
    [
        "sentence_transformers.util.import_from_string",
        "sentence_transformers.models..evil.Evil",
        "sentence_transformers.models.Transformer\n",
        "sentence_transformers_evil.models.Transformer",
        "evil.sentence_transformers.models.Transformer",
        "sentence_transformers.models.os.system",
    ],
)
def test_modules_that_are_no_modules(kind: str) -> None:
    """A class of sentence-transformers that is none of its modules."""
    assert config_rules.module_refusal(kind)


@pytest.mark.parametrize("kind", ["a FIFO", "a device", "a sparse file"])
def test_configurations_that_are_no_files(built: Path, tmp_path: Path, kind: str) -> None:
    """Tries to keep who looks at a model waiting, or to fill the memory."""
    folder = tmp_path / "m"
    folders.make("encoder", folder, built)
    path = folder / "extra.json"
    if kind == "a FIFO":
        os.mkfifo(path)
    elif kind == "a device":
        path.symlink_to("/dev/zero")
    else:
        path.touch()
        os.truncate(path, 1 << 40)
    with pytest.raises(ProbeError, match=r"extra\.json"):
        refuse_code(folder)


def test_what_no_configuration_is_like(built: Path, tmp_path: Path, monkeypatch: Any) -> None:
    """A file too large or too deep to be looked at, in which something may hide."""
    folder = tmp_path / "m"
    folders.make("encoder", folder, built)
    folders.put(folder, "generation_config.json", '{"a":' * 5000 + "1" + "}" * 5000)
    with pytest.raises(ProbeError, match="generation_config"):
        refuse_code(folder, built_in=is_built_in)
    folders.put(folder, "generation_config.json", {"a": 1})
    monkeypatch.setattr(config_scan, "_LIMIT", 300)
    with pytest.raises(ProbeError, match="its size"):
        refuse_code(folder, built_in=is_built_in)
    folders.put(folder, "generation_config.json", "no JSON: no library can read it")
    monkeypatch.undo()
    refuse_code(folder, built_in=is_built_in)


# With the libraries themselves


def loaded(python: str, root: Path) -> list[dict[str, tuple[bool, str]]]:
    """Whether code of each case ran, and how it ended: with our loaders, then without them."""
    environ = {"PATH": os.environ["PATH"], "HOME": str(root), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [python, str(CHILD), str(VERIFY), str(root)],
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
        env=environ,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    told = [json.loads((root / f"{mode}.json").read_text("utf-8")) for mode in ("ours", "raw")]
    return [{name: (ran, end) for name, (ran, end) in one.items()} for one in told]


@pytest.mark.parametrize("release", ["oldest", "newest"])
def test_nothing_runs_when_they_are_loaded(built: Path, tmp_path: Path, release: str) -> None:
    """The attacks against the libraries: those that work there run nothing through our loaders."""
    python = sys.executable if release == "newest" else f"{OLDEST}/bin/python"
    if release == "oldest" and not OLDEST:
        pytest.skip("FETCH_TEST_OLDEST_MODELS is not set: `make test` sets it")
    shutil.copytree(built, tmp_path / "built")
    cases = spoilt(built, tmp_path)
    evil = f"open({str(tmp_path / 'path-marker')!r}, 'w').close()\n"
    folders.put(tmp_path, f"path/{folders.EVIL}.py", evil + "class Evil: pass\ndef run(): pass\n")
    lines = [
        (name, folders.ATTACKS[name].kind, folder.name, str(marker))
        for name, (folder, marker) in cases.items()
    ]
    lines += [(kind, kind, f"built/{kind}", str(tmp_path / "none")) for kind in HONEST]
    (tmp_path / "cases.json").write_text(json.dumps(lines))
    found, trusting = loaded(python, tmp_path)
    for name, (ran, end) in found.items():
        assert not ran, (name, end)
        assert end.startswith("loaded" if name in HONEST else "LoadError: "), (name, end)
        assert name in HONEST or "refused: " in end, (name, end)
    for name, attack in folders.ATTACKS.items():
        works = attack.old if release == "oldest" else attack.new
        assert trusting[name][0] or not works, f"{name} no longer shows anything: {trusting[name]}"


# Through the commands


SCALE = """
import torch
open({marker!r}, "w").close()
class Scale(torch.nn.Module):
    def forward(self, features):
        features["sentence_embedding"] = features["sentence_embedding"] * 1
        return features
    def save(self, path, *args, **more):
        pass
    @staticmethod
    def load(path, *args, **more):
        return Scale()
"""


@pytest.fixture
def clone(built: Path, tmp_path: Path) -> Path:
    """A project whose model has a module of its own, honest or not."""
    up = tmp_path / "up"
    folders.make("encoder", up, built)
    own = {"idx": 3, "name": "3", "path": "3_Scale", "type": "scale.Scale"}
    folders.put(up, "modules.json", [*folders.MODULES, own])
    folders.put(up, "3_Scale/config.json", {})
    folders.put(up, "scale.py", SCALE.format(marker=str(tmp_path / "marker")))
    probe = "{type: sentence-transformer, pairs: false, trust: project}"
    write_project(
        tmp_path,
        "p",
        f"artifacts:\n  model:\n    source: local:up\n    probe: {probe}\n",
        "tree: {models/model/: model}\n",
    )
    return tmp_path


def test_verify_refuses_and_the_hint_lets_it(clone: Path, cli: Cli) -> None:
    """A model's modules.json names a class in its repository; the manifest says it is trusted."""
    flags = ("verify", "--json", "--python", sys.executable)
    assert cli("all").code == 0
    refused = cli(*flags)
    (error,) = refused.json["errors"]
    assert refused.code == 8
    assert 'modules.json: [3].type is "scale.Scale"' in error["message"]
    assert not (clone / "marker").exists()
    assert cli(*flags, "--trust-project-code").code == 2, "a whole project is never meant"
    assert "fetch verify model --trust-project-code" in error["hint"]
    once = cli(*flags, "model", "--trust-project-code")
    assert once.code == 0, once.out
    assert (clone / "marker").exists()
    (clone / "marker").unlink()
    assert "fetch config allow code model" in error["hint"]
    (clone / "fetch.yaml").write_text(f"allow: {{code: {{{clone}: [model]}}}}\n")
    assert cli(*flags).code == 2, "a project's settings allow nothing"
    (clone / "fetch.yaml").unlink()
    assert cli("config", "allow", "code", "other").code == 0
    assert cli(*flags).code == 8, "once is once, and that was another artifact"
    assert not (clone / "marker").exists()
    assert cli("config", "allow", "code", "model").code == 0
    assert cli(*flags).code == 0 and (clone / "marker").exists()


def test_models_in_python_refuse_and_the_hint_lets_it(clone: Path, cli: Cli) -> None:
    """The same through `fetcher.models`, where the library runs beside the person's token."""
    assert cli("all").code == 0
    with pytest.raises(ModelError, match=r"modules.json: \[3\].type") as caught:
        ModelManager(clone).get_embedding_model("model")
    assert not (clone / "marker").exists()
    assert "fetch config allow code model" in str(caught.value.hint)
    assert cli("config", "allow", "code", "model").code == 0
    ModelManager.reset()
    assert ModelManager(clone).get_embedding_model("model").embed_query("w1")
    assert (clone / "marker").exists()


def test_a_pipelines_class_is_the_persons_choice(tmp_path: Path, built: Path) -> None:
    """A manifest or fetch.yaml names a module of the clone as the class that loads a pipeline."""
    models = tmp_path / "models"
    folders.make("pipeline", models / "mine", built)
    folders.put(tmp_path, "evil_pipeline.py", f"open({str(tmp_path / 'marker')!r}, 'w')\n")
    folders.put(
        tmp_path,
        "fetch.yaml",
        "runtime: {primary_model: mine, pipelines: {auto: evil_pipeline.Pipe}}\n",
    )
    sys.path.insert(0, str(tmp_path))
    try:
        with pytest.raises(Exception, match=r"evil_pipeline\.Pipe.*code of its own") as caught:
            ModelManager(tmp_path).get_image_pipeline()
    finally:
        sys.path.remove(str(tmp_path))
    assert "fetch config allow code mine" in str(getattr(caught.value, "hint", ""))
    assert not (tmp_path / "marker").exists()


def test_the_childs_environment_loosens_nothing(tmp_path: Path) -> None:
    """Variables by which libraries run code that they are told not to, and every token."""
    from fetcher.verify.host.environment import child_environment

    given = {"TRUST_REMOTE_CODE": "1", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1", "HF_TOKEN": "hf_x"}
    given |= {"GITHUB_TOKEN": "x", "OPENAI_API_KEY": "x", "USE_HUB_KERNELS": "1", "A": "b"}
    child = child_environment(tmp_path, 0, None, given)
    assert child["A"] == "b" and child["USE_HUB_KERNELS"] == "0"
    assert not {"TRUST_REMOTE_CODE", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "HF_TOKEN"} & child.keys()
    assert not {"GITHUB_TOKEN", "OPENAI_API_KEY"} & child.keys()
