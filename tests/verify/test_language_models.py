"""What the `causal-lm` probe warns of, skips, and advises; what it fails stands in `wrong/`."""

from __future__ import annotations

import json
import shutil
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fetcher.verify import ProbeResult
from fetcher.verify.contract.built_in_probes import problems_of

from .probing import golden_differences, named, request, run_in_this_process

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("peft")

from fetcher.verify.loaders import language_loss  # noqa: E402
from fetcher.verify.loaders.causal_lm import pad_id  # noqa: E402
from fetcher.verify.loaders.language_loss import Loss  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402

from .wrong import causal_lm as made  # noqa: E402


def run(folder: Path, **options: Any) -> ProbeResult:
    return run_in_this_process(request("causal-lm", folder, **options))


def warnings_of(result: ProbeResult) -> dict[str, str]:
    return {check.name: check.detail for check in result.checks if check.warning}


def test_pickles_beside_safetensors_are_compared(tmp_path: Path) -> None:
    same = run_in_this_process(made.pickled(tmp_path / "same", same=True))
    assert not warnings_of(same)
    assert named(same)["weights are whole"].detail.endswith("compared in 28 tensors")
    other = run_in_this_process(made.pickled(tmp_path / "other", same=False))
    told = warnings_of(other)["weights beside the safetensors"]
    assert told.startswith(
        f"pytorch_model.bin holds others: 1 of 28 tensors differ, such as {made.LAYER}"
    )


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_another_number_type_is_no_other_value(tmp_path: Path, dtype: Any) -> None:
    made.pickled(tmp_path / "m", same=True)
    path = tmp_path / "m/pytorch_model.bin"
    torch.save({k: v.to(dtype) for k, v in torch.load(path).items()}, path)
    assert not warnings_of(run(tmp_path / "m"))


def test_a_pickle_that_is_never_read_may_be_anything(tmp_path: Path) -> None:
    made.of(tmp_path / "m")
    (tmp_path / "m/pytorch_model.bin").write_bytes(b"\x80\x02garbage")
    found = run(tmp_path / "m")
    assert found.state == "passed"
    assert "was not compared" in warnings_of(found)["weights beside the safetensors"]


def test_settings_of_a_newer_release_say_what_to_upgrade(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import peft
    import transformers

    def unknown(*given: Any, **more: Any) -> None:
        raise TypeError("LoraConfig.__init__() got an unexpected keyword argument 'new'")

    def without_class(*given: Any, **more: Any) -> None:
        raise ValueError("Tokenizer class NewTokenizer does not exist or is not imported.")

    with monkeypatch.context() as patched:
        patched.setattr(peft.PeftModel, "from_pretrained", unknown)
        found = run_in_this_process(made.lora()(tmp_path / "a"))
    assert "does not know all of the adapter's settings" in found.reason
    assert "upgrade peft" in found.hint
    made.of(tmp_path / "m")
    monkeypatch.setattr(transformers.AutoTokenizer, "from_pretrained", without_class)
    found = run(tmp_path / "m")
    assert "NewTokenizer" in found.reason
    assert "upgrade transformers" in found.hint


def test_code_of_a_repository_is_told_of(tmp_path: Path) -> None:
    made.of(tmp_path / "m", made.settings("config.json", auto_map={"AutoModel": "own.Model"}))
    (tmp_path / "m/own.py").write_text("raise SystemExit('it ran')")
    found = run(tmp_path / "m")
    assert found.state == "passed"
    told = warnings_of(found)["code of the repository"]
    assert told.startswith("config.json names code of its own for AutoModel (auto_map)")
    assert "GPTNeoXForCausalLM was used" in told


@pytest.mark.parametrize(
    "name, wanted",
    [
        ("T5EncoderModel", "{type: transformers, task: feature-extraction}"),
        ("BertModel", "{type: transformers, task: feature-extraction}"),
        ("LlamaForSequenceClassification", "{type: transformers, task: text-classification}"),
    ],
)
def test_another_kind_of_model_has_another_probe(tmp_path: Path, name: str, wanted: str) -> None:
    found = run_in_this_process(made.other_kind(tmp_path / "m", name))
    assert found.reason.startswith(f"config.json is of a {name}")
    assert wanted in found.hint and "upgrade" not in found.hint


def test_an_encoder_decoder_passes_with_the_type_to_write(tmp_path: Path) -> None:
    found = run_in_this_process(made.encoder_decoder("seq2seq", tmp_path / "m"))
    assert found.state == "passed"
    told = warnings_of(found)["type of the probe"]
    assert told.endswith("write `probe: {type: transformers, task: text2text-generation}`")
    assert found.metrics["task"] == "text2text-generation"
    untrained = made.encoder_decoder("untrained-seq2seq", tmp_path / "u")
    assert run(untrained.root, max_loss=False).state == "passed"


def test_a_model_whose_config_names_no_padding() -> None:
    nothing = SimpleNamespace(pad_token_id=None, eos_token_id=None)
    model = SimpleNamespace(config=SimpleNamespace(), generation_config=SimpleNamespace())
    assert pad_id(nothing, model) is None


def test_a_template_that_refuses_is_not_broken(tmp_path: Path) -> None:
    text = "{{ raise_exception('a system message comes first') }}"
    found = run_in_this_process(made.of(tmp_path / "m", made.write("chat_template.jinja", text)))
    assert found.state == "passed"
    assert "a system message comes first" in warnings_of(found)["chat template"]


def test_what_is_read_is_kept(tmp_path: Path) -> None:
    found = run_in_this_process(
        made.of(tmp_path / "m", made.write("chat_template.jinja", made.TEMPLATE))
    )
    kept = {fact.name: fact.value for fact in found.facts}
    assert kept.keys() == {
        *("prompt tokens", "special tokens", "generation_config.json", "chat prompt"),
        *("ends in config.json", "tokenizer_config.json", "lengths in config.json"),
        *("settings of layers", "settings of the tokenizer", "vocabulary"),
        "rules of the tokenizer",
    }
    assert json.loads(kept["prompt tokens"])[:3] == [261, 317, 311]
    assert kept["special tokens"] == '{"bos": 0, "eos": 0, "unk": 0}'


def test_a_text_of_the_manifest_stands_alone(tmp_path: Path) -> None:
    own = "We took bread, cheese and a bottle of water, and we sat under an old tree."
    shutil.copytree(made.trained(), tmp_path / "m")
    fine, odd = run(tmp_path / "m", text=own), run(tmp_path / "m", text="0x" + "9f3b 77c1 " * 9)
    assert "of the probe's text" in named(fine)["it foretells text"].detail
    assert fine.state == "passed" and odd.state == "failed"
    assert run(tmp_path / "m", text="0x" + "9f3b 77c1 " * 9, max_loss=20).state == "passed"
    assert [str(p) for p in problems_of("causal-lm", {"max_loss": True})]
    assert not problems_of("causal-lm", {"max_loss": False})


def test_few_texts_are_read_to_their_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    whole = language_loss.logits_of

    def counted(loaded: Any, text: str, *most: int) -> tuple[Any, Any]:
        read.append(text)
        return whole(loaded, text, *most)

    monkeypatch.setattr(language_loss, "logits_of", counted)
    assert run_in_this_process(made.untrained(tmp_path / "m")).state == "failed"
    assert 2 <= len(read) <= 4, "the prompt, and three texts at most"
    assert set(read[1:]) <= set(language_loss.TEXTS.values())


def test_how_much_is_convincing() -> None:
    loss = partial(Loss, "a text", tokens=40, guessing=10.0)
    assert loss(nats=4.9).convincing and not loss(nats=7.6).convincing
    # Between the two the order of the tokens has to matter.
    assert loss(nats=7.0, shuffled=8.1).convincing and not loss(nats=7.0, shuffled=7.9).convincing
    assert not loss(nats=1.0, tokens=7).convincing


# quantised models

_CONFIG = {"quant_method": "gptq", "bits": 4, "group_size": 32, "desc_act": False, "sym": True}


def gptq(folder: Path, **config: Any) -> None:
    """The trained Llama with one layer as GPTQ packs it: zeros, as only headers are looked at."""
    shutil.copytree(made.trained_llama(), folder)
    made.settings("config.json", quantization_config={**_CONFIG, **config})(folder)

    def alter(tensors: dict[str, Any]) -> None:
        name = "model.layers.0.mlp.up_proj"
        outer, inner = tensors.pop(f"{name}.weight").shape
        tensors[f"{name}.qweight"] = torch.zeros(inner // 8, outer, dtype=torch.int32)
        tensors[f"{name}.qzeros"] = torch.zeros(inner // 32, outer // 8, dtype=torch.int32)
        tensors[f"{name}.scales"] = torch.zeros(inner // 32, outer)
        tensors[f"{name}.g_idx"] = torch.zeros(inner, dtype=torch.int32)

    made.change(folder, alter)


def test_a_quantised_model_without_its_library_is_skipped(tmp_path: Path) -> None:
    gptq(tmp_path / "m")
    found = run(tmp_path / "m")
    assert found.state == "skipped"
    assert found.reason.startswith("it is quantised (gptq, 4 bits in groups of 32), and gptqmodel")
    assert found.hint.endswith("pip install gptqmodel")
    assert named(found)["quantised layers"].detail == "1 layers, gptq, 4 bits in groups of 32"


@pytest.mark.parametrize(
    "config, part, says",
    [
        ({"group_size": 16}, "", "scales is [2, 128], its codes and config.json give [4, 128]"),
        ({"bits": 8}, "", "scales is [2, 128], its codes and config.json give [1, 128]"),
        ({}, "qzeros", "model.layers.0.mlp.up_proj: no qzeros"),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, "", "no layer has weight of"),
    ],
)
def test_quantised_layers_are_as_their_configuration_says(
    tmp_path: Path, config: dict[str, Any], part: str, says: str
) -> None:
    gptq(tmp_path / "m", **config)
    if part:
        made.without(part)(tmp_path / "m")
    found = run(tmp_path / "m")
    assert found.state == "failed"
    assert says in found.reason


@pytest.mark.parametrize("bits", [4, 8])
def test_bitsandbytes_runs_on_a_cpu(tmp_path: Path, bits: int) -> None:
    pytest.importorskip("bitsandbytes")
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    how = BitsAndBytesConfig(**{f"load_in_{bits}bit": True})
    where = {"": "cpu"}
    model = AutoModelForCausalLM.from_pretrained(
        made.trained_llama(), quantization_config=how, device_map=where
    )
    model.save_pretrained(tmp_path / "m")
    for path in made.trained_llama().glob("tok*"):
        shutil.copy(path, tmp_path / "m")
    found = run(tmp_path / "m")
    assert found.state == "passed", found.reason
    assert found.metrics["dtype"] == f"bitsandbytes, {bits} bits"
    tensors = load_file(tmp_path / "m/model.safetensors")
    codes = tensors["model.layers.1.mlp.up_proj.weight"].view(torch.uint8)
    codes.view(-1)[::50] ^= 1
    save_file(tensors, tmp_path / "m/model.safetensors", {"format": "pt"})
    assert "files: bits of integers" in golden_differences(found, run(tmp_path / "m"))
    held = {"model.layers.0.mlp.up_proj.weight": torch.zeros(2)}
    save_file(held, tmp_path / "m/model.safetensors", {"format": "pt"})
    assert "no layer has weight of" in run(tmp_path / "m").reason
