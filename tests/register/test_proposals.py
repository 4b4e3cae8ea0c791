"""Which probe is proposed for what is added."""

from __future__ import annotations

import pytest
from fetcher.verify.contract.built_in_probes import BUILT_IN, problems_of
from fetcher.verify.contract.built_in_probes import TASKS as PIPELINES

from fetcher.project.spellings import TASKS
from fetcher.register import proposals
from fetcher.register.draft import Draft

NO_WEIGHTS = {"type": "none", "reason": "none of its files are weights that a probe reads"}
HUB = ["config.json", "model.safetensors", "README.md"]


def proposed(task: str, files: list[str], hub: bool = True, **values: object) -> object:
    draft = Draft()
    draft.values = {"task": task, **values}
    return proposals.probe_for(draft, hub, files)


@pytest.mark.parametrize(
    ("task", "files", "hub", "probe"),
    [
        ("text-generation", HUB, True, {"type": "causal-lm"}),
        ("text-generation", ["model-q4.gguf", "README.md"], True, {"type": "gguf"}),
        ("", ["a/decoder.onnx", "a/encoder.onnx"], False, {"type": "onnx"}),
        ("text-classification", HUB, True, {"type": "transformers", "task": "text-classification"}),
        ("translation", HUB, True, {"type": "transformers", "task": "translation"}),
        ("text-classification", ["w.pth"], True, {"type": "state-dict"}),
        ("segmentation", ["w.pt", "train.py"], False, {"type": "state-dict"}),
        ("", ["train.py", "README.md"], True, NO_WEIGHTS),
        ("", ["tf_model.h5", "config.json"], True, NO_WEIGHTS),
        ("", ["data.zip"], False, NO_WEIGHTS),
        ("", [], True, {"type": "state-dict"}),
        ("", ["w.safetensors", "onnx/w.onnx"], True, {"type": "state-dict"}),
        ("", ["w.onnx", "w-q4.gguf"], True, {"type": "gguf"}),
        ("", ["stats.pkl"], False, {"type": "state-dict"}),
        ("image-compression", ["last.ckpt"], False, {"type": "state-dict"}),
    ],
)
def test_task_and_files_decide(task: str, files: list[str], hub: bool, probe: object) -> None:
    assert proposed(task, files, hub) == probe


def test_data_sets_have_probes_too() -> None:
    pictures = proposed("", ["a/1.PNG", "labels.csv"], kind="dataset")
    assert pictures == {"type": "image-dataset"}
    for files in (["train.parquet"], []):
        found = proposed("", files, kind="dataset")
        assert isinstance(found, dict) and found["type"] == "none" and found["reason"]


def test_a_codec_with_its_class_takes_it() -> None:
    found = proposed("image-compression", ["last.ckpt"], False, class_path="a.B")
    assert found == {"type": "compression", "trust": "project"}


def test_what_is_proposed_is_a_probe_and_its_options_hold() -> None:
    for task in (*TASKS, *PIPELINES):
        for files in (HUB, ["x.gguf"], ["x.onnx"], ["x.pt"], []):
            found = proposals.probe_for(_of(task), True, files)
            if found and found["type"] != "compression":
                options = {name: value for name, value in found.items() if name != "type"}
                assert found["type"] in BUILT_IN and not problems_of(found["type"], options)


def _of(task: str) -> Draft:
    draft = Draft()
    draft.values = {"task": task}
    return draft


def test_what_was_said_is_not_proposed_for() -> None:
    draft = Draft()
    draft.values = {"probe": {"type": "state-dict"}}
    assert proposals.apply(draft, True, ["x.gguf"]) == [] and draft.values["probe"]["type"]
    draft = Draft()
    draft.values = {}
    assert proposals.apply(draft, True, ["x.gguf"]) == ["proposed by its files: probe gguf"]
