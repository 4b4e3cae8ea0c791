"""Language models and adapters, which the `causal-lm` probe reads.

The right ones are trained for seconds on a story, once; the wrong ones are copies, spoilt.
"""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
from fetcher.verify import ProbeRequest

from tests.verify import taskmodels, textmodels
from tests.verify.probing import request
from tests.verify.wrong import Case, Make, made_once

Spoil = Callable[[Path], object]

TEMPLATE = (
    "{% for message in messages %}<{{ message.role }}>{{ message.content }}\n{% endfor %}"
    "<assistant>"
)
DATED = "Today is {{ strftime_now('%d %b %Y') }}.\n" + TEMPLATE
PARTS = "{% for m in messages %}{% for p in m.content %}{{ p['text'] }}{% endfor %}{% endfor %}"
LAYER = "gpt_neox.layers.0.attention.query_key_value"


@cache
def trained(seed: int = 0) -> Path:
    """A GPT-NeoX that has learnt a story."""
    folder = made_once(f"trained-{seed}")
    textmodels.gpt_neox(folder, seed=seed, steps=60)
    return folder


@cache
def trained_bart() -> Path:
    """The second half of a BART, which writes without the first."""
    folder = made_once("bart")
    textmodels.bart_decoder(folder, steps=60)
    return folder


@cache
def trained_llama() -> Path:
    """A Llama of bytes: its tokenizer has no words at all."""
    folder = made_once("llama")
    textmodels.byte_llama(folder, steps=60)
    return folder


def of(folder: Path, spoil: Spoil = lambda folder: None, **options: Any) -> ProbeRequest:
    """The trained model after `spoil`."""
    shutil.copytree(trained(), folder)
    spoil(folder)
    return request("causal-lm", folder, **options)


def model(spoil: Spoil = lambda folder: None, **options: Any) -> Make:
    return partial(of, spoil=spoil, **options)


def change(folder: Path, alter: Callable[[dict[str, torch.Tensor]], object]) -> None:
    """Change the tensors of a folder, in all its shards."""
    from safetensors.torch import load_file, save_file

    for path in sorted(folder.glob("*.safetensors")):
        tensors = load_file(path)
        alter(tensors)
        path.unlink()
        save_file(tensors, path, {"format": "pt"})


def settings(file: str, **values: Any) -> Spoil:
    def spoil(folder: Path) -> None:
        path = folder / file
        path.write_text(json.dumps({**json.loads(path.read_text()), **values}))

    return spoil


def write(file: str, text: str) -> Spoil:
    return lambda folder: (folder / file).write_text(text)


def permuted_embeddings(folder: Path) -> None:
    def alter(tensors: dict[str, torch.Tensor]) -> None:
        source = torch.Generator().manual_seed(0)
        for name, one in tensors.items():
            if "embed_in" in name:
                tensors[name] = one[torch.randperm(len(one), generator=source)].clone()

    change(folder, alter)


def other_order(folder: Path) -> None:
    """The same tokens with other numbers, as another training of the tokenizer gives."""
    path = folder / "tokenizer.json"
    plain = json.loads(path.read_text())
    vocabulary = plain["model"]["vocab"]
    names = [name for name in vocabulary if name != textmodels.END]
    numbers = [vocabulary[name] for name in names]
    vocabulary.update(zip(names, numbers[7:] + numbers[:7], strict=True))
    path.write_text(json.dumps(plain))


def shard_of_another(folder: Path) -> None:
    name = "model-00001-of-00003.safetensors"
    shutil.copy(trained(3) / name, folder / name)


def later_shard(folder: Path) -> None:
    """Two trainings from one start may be near enough to make sense together."""
    name = "model-00002-of-00003.safetensors"
    shutil.copy(trained(3) / name, folder / name)


def flipped_residuals(folder: Path) -> None:
    def alter(tensors: dict[str, torch.Tensor]) -> None:
        for name, one in tensors.items():
            if name.endswith(("attention.dense.weight", "dense_4h_to_h.weight")):
                tensors[name] = -one

    change(folder, alter)


def noise(share: float) -> Spoil:
    source = torch.Generator().manual_seed(0)

    def alter(tensors: dict[str, torch.Tensor]) -> None:
        for name, one in tensors.items():
            drawn = torch.randn(one.shape, generator=source) * float(one.float().std()) * share
            tensors[name] = (one.float() + drawn).to(one.dtype)

    return lambda folder: change(folder, alter)


def untrained(folder: Path, **options: Any) -> ProbeRequest:
    textmodels.gpt_neox(folder)
    return request("causal-lm", folder, **options)


def forgotten(folder: Path) -> None:
    shutil.rmtree(folder)
    textmodels.gpt_neox(folder)


def of_bart(folder: Path) -> ProbeRequest:
    shutil.copytree(trained_bart(), folder)
    return request("causal-lm", folder)


def of_bytes(folder: Path) -> ProbeRequest:
    shutil.copytree(trained_llama(), folder)
    return request("causal-lm", folder)


def pickled(folder: Path, same: bool) -> ProbeRequest:
    from safetensors.torch import load_file

    made = of(folder)
    tensors: dict[str, torch.Tensor] = {}
    for path in sorted(folder.glob("*.safetensors")):
        tensors.update(load_file(path))
    if not same:
        tensors[f"{LAYER}.weight"] = tensors[f"{LAYER}.weight"].flip(0)
    torch.save(tensors, folder / "pytorch_model.bin")
    return request("causal-lm", folder, _artifact=made.artifact)


# models of other kinds


def other_kind(folder: Path, name: str) -> ProbeRequest:
    import transformers

    t5 = {"vocab_size": 400, "d_model": 32, "d_kv": 8, "d_ff": 32, "num_layers": 1}
    bert = {"vocab_size": 400, "hidden_size": 32, "num_hidden_layers": 1, "intermediate_size": 32}
    how: dict[str, tuple[Any, Any]] = {
        "T5EncoderModel": (transformers.T5Config, t5),
        "BertModel": (transformers.BertConfig, {**bert, "num_attention_heads": 2}),
        "LlamaForSequenceClassification": (
            transformers.LlamaConfig,
            {**bert, "num_attention_heads": 2},
        ),
    }
    config, sizes = how[name]
    getattr(transformers, name)(config(**sizes)).save_pretrained(folder)
    textmodels.byte_tokenizer(folder)
    return request("causal-lm", folder)


def encoder_decoder(name: str, folder: Path) -> ProbeRequest:
    """One of the tasks' models, under the type of those that write alone."""
    taskmodels.make(name, folder)
    return request("causal-lm", folder)


def without_special_tokens(folder: Path) -> None:
    for file in ("config.json", "generation_config.json"):
        settings(file, eos_token_id=None, bos_token_id=None, pad_token_id=None)(folder)
    path = folder / "tokenizer_config.json"
    kept = {k: v for k, v in json.loads(path.read_text()).items() if not k.endswith("_token")}
    path.write_text(json.dumps(kept))
    (folder / "special_tokens_map.json").unlink(missing_ok=True)


def without_generation(folder: Path) -> None:
    (folder / "generation_config.json").unlink()


def other_end(folder: Path) -> None:
    without_generation(folder)
    settings("config.json", eos_token_id=317)(folder)


def zero_head(folder: Path) -> None:
    def alter(tensors: dict[str, torch.Tensor]) -> None:
        for name, one in tensors.items():
            if name.startswith(("embed_out", "lm_head")):
                tensors[name] = torch.zeros_like(one)

    change(folder, alter)


def taken_for_bfloat16(folder: Path) -> None:
    """The header says another number type of the same size."""
    for path in folder.glob("*.safetensors"):
        raw = path.read_bytes()
        size = int.from_bytes(raw[:8], "little")
        header = raw[8 : 8 + size].replace(b'"F16"', b'"BF16"')
        path.write_bytes(len(header).to_bytes(8, "little") + header + raw[8 + size :])


def pickled_shards(folder: Path, lost: bool = False) -> ProbeRequest:
    from safetensors.torch import load_file

    made = of(folder)
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    for path in sorted(folder.glob("*.safetensors")):
        torch.save(load_file(path), folder / _pickled(path.name))
        path.unlink()
    (folder / "model.safetensors.index.json").unlink()
    index["weight_map"] = {name: _pickled(file) for name, file in index["weight_map"].items()}
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    if lost:
        (folder / "pytorch_model-00002-of-00003.bin").unlink()
    return request("causal-lm", folder, _artifact=made.artifact)


def _pickled(name: str) -> str:
    return name.replace("model-", "pytorch_model-").replace(".safetensors", ".bin")


# adapters

_LORA = {"r": 4, "lora_alpha": 8, "target_modules": ["query_key_value"]}


@cache
def adapter(method: str = "LoraConfig", **how: Any) -> Path:
    """An adapter of the trained model, all of whose tensors were moved a little."""
    import peft
    from transformers import AutoModelForCausalLM

    folder = made_once(f"adapter-{abs(hash((method, *sorted(how.items()))))}")
    torch.manual_seed(1)
    base = AutoModelForCausalLM.from_pretrained(trained(), **textmodels.in_float32())
    given = {key: list(value) if isinstance(value, tuple) else value for key, value in how.items()}
    if method == "LoraConfig":
        given = {**_LORA, **given}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = peft.get_peft_model(base, getattr(peft, method)(task_type="CAUSAL_LM", **given))
    for parameter in made.parameters():
        if parameter.requires_grad:
            spread = 0.05 if parameter.dim() > 1 else 0.02
            parameter.data += torch.randn(parameter.shape) * spread
    made.save_pretrained(folder)
    if how.get("bias"):
        _with_biases(folder, made)
    return folder


def _with_biases(folder: Path, made: Any) -> None:
    """Have the biases saved: releases of PEFT before 0.15 do not, but read them."""

    def alter(tensors: dict[str, torch.Tensor]) -> None:
        for name, one in made.named_parameters():
            if one.requires_grad and name.endswith(".bias"):
                tensors[name] = one.detach().clone()

    change(folder, alter)


def on_base(
    folder: Path, made: Path, spoil: Spoil = lambda folder: None, base: Spoil = lambda folder: None
) -> ProbeRequest:
    """An adapter after `spoil` on the trained model after `base`."""
    shutil.copytree(made, folder / "adapter")
    shutil.copytree(trained(), folder / "base")
    spoil(folder / "adapter")
    base(folder / "base")
    files = {
        path.relative_to(folder / "base").as_posix(): path for path in (folder / "base").iterdir()
    }
    return request("causal-lm", folder / "adapter", base="base", _related={"base": files})


def lora(spoil: Spoil = lambda folder: None, base: Spoil = lambda folder: None, **how: Any) -> Make:
    return lambda folder: on_base(folder, adapter(**how), spoil, base)


def method(name: str, **how: Any) -> Make:
    return lambda folder: on_base(folder, adapter(name, **how))


def in_float32(make: Make) -> Make:
    """For what older releases of PEFT cannot compute in float16."""
    return lambda folder: replace(make(folder), dtype="float32")


def without(part: str) -> Spoil:
    def alter(tensors: dict[str, torch.Tensor]) -> None:
        for name in [name for name in tensors if part in name]:
            del tensors[name]

    return lambda folder: change(folder, alter)


def weaker(times: float) -> Spoil:
    """An adapter with so small a part of its change."""

    def alter(tensors: dict[str, torch.Tensor]) -> None:
        for name, one in tensors.items():
            if "lora_B" in name:
                tensors[name] = one * times

    return lambda folder: change(folder, alter)


def merged(folder: Path) -> None:
    """The base with the adapter's change in its weights already."""
    from safetensors.torch import load_file

    held = load_file(adapter() / "adapter_model.safetensors")

    def alter(tensors: dict[str, torch.Tensor]) -> None:
        for name, one in tensors.items():
            half = f"base_model.model.{name.removesuffix('.weight')}.lora_"
            if f"{half}A.weight" in held:
                step = 2 * held[f"{half}B.weight"] @ held[f"{half}A.weight"]
                tensors[name] = (one.float() + step).to(one.dtype)

    change(folder, alter)


def own_tokenizer(folder: Path) -> None:
    for path in trained().glob("*token*.json"):
        shutil.copy(path, folder / path.name)
    settings("tokenizer_config.json", auto_map={"AutoTokenizer": ["tok.Tok", None]})(folder)


_RIGHT = model()
_ADAPTED = lora()
_TEMPLATE = model(write("chat_template.jinja", TEMPLATE))
_AUTO = {"AutoConfig": "own.Config", "AutoModelForCausalLM": "own.Model"}
_NO_SENSE = "it foretells text"
_NEOX = ("query_key_value",)
_PEFT = ("peft", "0.15")  # older ones crash with GPT-NeoX's cache


def _sense() -> list[Case]:
    """Whether it foretells text."""
    return [
        Case("causal-lm", "a small trained GPT-NeoX", _RIGHT),
        Case("causal-lm", "a Llama of bytes", of_bytes),
        Case("causal-lm", "the decoder of a BART", of_bart),
        Case("causal-lm", "no training", untrained, _RIGHT, _NO_SENSE),
        Case("causal-lm", "permuted embeddings", model(permuted_embeddings), _RIGHT, _NO_SENSE),
        Case("causal-lm", "another tokenizer's order", model(other_order), _RIGHT, _NO_SENSE),
        Case(
            "causal-lm", "a shard of another training", model(shard_of_another), _RIGHT, _NO_SENSE
        ),
        Case("causal-lm", "a later shard of another training", model(later_shard), _RIGHT),
        Case("causal-lm", "flipped residuals", model(flipped_residuals), _RIGHT, _NO_SENSE),
        Case("causal-lm", "an output layer of zeros", model(zero_head), _RIGHT, "all are equal"),
        Case(
            "causal-lm", "float16 taken for bfloat16", model(taken_for_bfloat16), _RIGHT, "logits"
        ),
        Case(
            "causal-lm",
            "fewer layers in config.json",
            model(settings("config.json", num_hidden_layers=1)),
            _RIGHT,
            "config.json describes fewer layers than the files have: gpt_neox.layers.1",
        ),
        Case("causal-lm", "3 % noise on every weight", model(noise(0.03)), _RIGHT),
        Case(
            "causal-lm", "more loss than `max_loss`", model(max_loss=0.001), says="0.00 is the most"
        ),
        Case(
            "causal-lm",
            "a model without training, `max_loss: false`",
            partial(untrained, max_loss=False),
        ),
    ]


def _read() -> list[Case]:
    """What it reads and writes by."""
    ends = {"eos_token_id": list(range(512))}
    one = {"suppress_tokens": list(range(511))}
    bias = [[[token], -1e9] for token in range(1, 511)]
    return [
        Case("causal-lm", "a chat template", _TEMPLATE),
        Case(
            "causal-lm",
            "a chat template with today's date",
            model(write("chat_template.jinja", DATED)),
        ),
        Case(
            "causal-lm",
            "a chat template for lists of parts",
            model(write("chat_template.jinja", PARTS)),
        ),
        Case(
            "causal-lm",
            "a chat template that does not render",
            model(write("chat_template.jinja", "{% for m in messages %}{{ m.content")),
            _TEMPLATE,
            "chat template: TemplateSyntaxError",
        ),
        Case(
            "causal-lm",
            "a chat template without the message",
            model(write("chat_template.jinja", "<assistant>")),
            _TEMPLATE,
            "what the user says is not in",
        ),
        Case(
            "causal-lm",
            "another chat template",
            model(write("chat_template.jinja", TEMPLATE.replace("<", "["))),
            _TEMPLATE,
        ),
        *(
            Case(
                "causal-lm",
                f"{file} that is no JSON",
                model(write(file, '{"eos_token_id": ')),
                _RIGHT,
                f"{file} is not valid JSON",
            )
            for file in ("generation_config.json", "special_tokens_map.json", "added_tokens.json")
        ),
        Case(
            "causal-lm",
            "every token ends the text",
            model(settings("generation_config.json", **ends)),
            _RIGHT,
            "512 of 512 tokens end a text",
        ),
        Case(
            "causal-lm",
            "all but one token suppressed",
            model(settings("generation_config.json", **one)),
            _RIGHT,
            "1 of 512 tokens may be written",
        ),
        Case(
            "causal-lm",
            "a bias against all but one token",
            model(settings("generation_config.json", sequence_bias=bias)),
            _RIGHT,
            "2 of 512 tokens may be written",
        ),
        Case("causal-lm", "no special tokens", model(without_special_tokens)),
        Case(
            "causal-lm",
            "another end of the text, in config.json alone",
            model(other_end),
            model(without_generation),
        ),
        Case(
            "causal-lm",
            "padding on the other side",
            model(settings("tokenizer_config.json", padding_side="left")),
            _RIGHT,
        ),
        Case(
            "causal-lm",
            "another end of the text",
            model(settings("generation_config.json", eos_token_id=[0, 317])),
            _RIGHT,
        ),
        Case(
            "causal-lm",
            "a repetition penalty",
            model(settings("generation_config.json", repetition_penalty=3.0)),
            _RIGHT,
        ),
    ]


def _files() -> list[Case]:
    """What lies in the folder."""
    other = "which is no causal language model"
    return [
        Case(
            "causal-lm",
            "config.json with auto_map of a built-in model",
            model(settings("config.json", auto_map=_AUTO)),
        ),
        Case(
            "causal-lm",
            "a tokenizer with auto_map",
            model(
                settings(
                    "tokenizer_config.json",
                    auto_map={"AutoTokenizer": ["tok.Tok", None]},
                    tokenizer_class="OwnTokenizer",
                )
            ),
        ),
        Case("causal-lm", "an encoder-decoder (T5)", partial(encoder_decoder, "seq2seq")),
        Case("causal-lm", "an encoder-decoder (BART)", partial(encoder_decoder, "bart")),
        Case(
            "causal-lm",
            "an encoder-decoder without training",
            partial(encoder_decoder, "untrained-seq2seq"),
            says="it knows what a trained model knows",
        ),
        Case("causal-lm", "shards in torch files", pickled_shards),
        Case(
            "causal-lm",
            "a shard in a torch file is missing",
            partial(pickled_shards, lost=True),
            says="pytorch_model-00002-of-00003.bin",
        ),
        Case("causal-lm", "the same pytorch_model.bin beside it", partial(pickled, same=True)),
        Case("causal-lm", "another pytorch_model.bin beside it", partial(pickled, same=False)),
        *(
            Case("causal-lm", f"a {name}", partial(other_kind, name=name), says=other)
            for name in (*("BertModel", "LlamaForSequenceClassification", "T5EncoderModel"),)
        ),
    ]


def _adapters() -> list[Case]:
    """Adapters of PEFT."""
    effectless, lacking = "have no effect", "has no tensors for"
    config = "adapter_config.json"
    two = ("query_key_value", "dense_h_to_4h")
    return [
        Case("causal-lm", "a LoRA", _ADAPTED),
        Case("causal-lm", "a LoRA of one layer", lora(layers_to_transform=(0,))),
        Case("causal-lm", "a LoRA with biases", lora(bias="lora_only")),
        Case(
            "causal-lm", "a LoRA with modules_to_save", lora(modules_to_save=("final_layer_norm",))
        ),
        Case("causal-lm", "a DoRA", lora(use_dora=True)),
        Case(
            "causal-lm", "an IA³", method("IA3Config", target_modules=_NEOX, feedforward_modules=())
        ),
        *(
            Case("causal-lm", f"PEFT's {name}", method(f"{name}Config", target_modules=_NEOX))
            for name in ("LoHa", "LoKr", "Vera")
        ),
        Case("causal-lm", "PEFT's OFT", in_float32(method("OFTConfig", target_modules=_NEOX))),
        Case(
            "causal-lm", "an AdaLoRA", method("AdaLoraConfig", target_modules=_NEOX, total_step=10)
        ),
        Case("causal-lm", "prompt tuning", method("PromptTuningConfig", num_virtual_tokens=4)),
        Case(
            "causal-lm",
            "prefix tuning",
            method("PrefixTuningConfig", num_virtual_tokens=4),
            needs=_PEFT,
        ),
        Case(
            "causal-lm",
            "p-tuning",
            method("PromptEncoderConfig", num_virtual_tokens=4, encoder_hidden_size=16),
        ),
        Case("causal-lm", "an adapter's tokenizer with auto_map", lora(own_tokenizer)),
        Case(
            "causal-lm",
            "a LoRA that acts on fewer target_modules than it has",
            lora(settings(config, target_modules=["query_key_value"]), target_modules=two),
            says=effectless,
        ),
        Case(
            "causal-lm",
            "a LoRA that acts on more target_modules than it has",
            lora(settings(config, target_modules=["query_key_value", "dense_h_to_4h"])),
            says=lacking,
        ),
        Case(
            "causal-lm",
            "a LoRA with other layers_to_transform",
            lora(settings(config, layers_to_transform=[1])),
            says=effectless,
        ),
        Case(
            "causal-lm",
            "a LoRA without its biases",
            lora(without(".bias"), bias="lora_only"),
            says="biases were trained",
        ),
        Case(
            "causal-lm",
            "a LoRA without its modules_to_save",
            lora(without("final_layer_norm"), modules_to_save=("final_layer_norm",)),
            says="lacks" if textmodels.peft_is_strict() else lacking,
        ),
        Case(
            "causal-lm",
            "a LoRA whose modules_to_save are not asked for",
            lora(settings(config, modules_to_save=None), modules_to_save=("final_layer_norm",)),
            lora(modules_to_save=("final_layer_norm",)),
        ),
        Case(
            "causal-lm",
            "a DoRA without its magnitudes",
            lora(without("magnitude"), use_dora=True),
            says=lacking,
        ),
        Case(
            "causal-lm",
            "a DoRA that is taken for a LoRA",
            lora(settings(config, use_dora=False), use_dora=True),
            says=effectless,
        ),
        Case(
            "causal-lm",
            "an IA³ without a layer",
            lambda folder: on_base(
                folder,
                adapter("IA3Config", target_modules=_NEOX, feedforward_modules=()),
                without("layers.1."),
            ),
            says=lacking,
        ),
        Case(
            "causal-lm",
            "a LoRA with next to no effect",
            lora(weaker(1e-5)),
            says="the adapter acts",
        ),
        Case(
            "causal-lm",
            "a LoRA whose effect is that of rounding",
            lora(weaker(1e-3)),
            says="the adapter acts",
        ),
        Case("causal-lm", "a LoRA of a few steps", lora(weaker(0.03))),
        Case(
            "causal-lm", "a LoRA that spoils its base", lora(noise(300.0)), says="with the adapter"
        ),
        Case("causal-lm", "a LoRA on its base with noise", lora(base=noise(0.05)), _ADAPTED),
        Case("causal-lm", "a LoRA on its base with it merged", lora(base=merged), _ADAPTED),
        Case(
            "causal-lm",
            "a LoRA with another lora_alpha",
            lora(settings(config, lora_alpha=16)),
            _ADAPTED,
        ),
        Case(
            "causal-lm",
            "a LoRA on a base without training",
            lora(base=forgotten),
            says=_NO_SENSE,
        ),
    ]


CASES = [*_sense(), *_read(), *_files(), *_adapters()]
