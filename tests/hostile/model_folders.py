"""Folders of models: honest ones, and those that have a library run their code when it loads them.

Used by the tests, and by `model_child.py` under other interpreters.
"""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

EVIL = "evil_module"
_MODELS = "sentence_transformers.models."
BERT: dict[str, Any] = {
    "model_type": "bert",
    "architectures": ["BertModel"],
    "hidden_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "vocab_size": 40,
    "max_position_embeddings": 64,
    "hidden_act": "gelu",
    "_name_or_path": "/home/somebody/elsewhere",
    "_commit_hash": "0" * 40,
}
MODULES = [
    {"idx": 0, "name": "0", "path": "", "type": f"{_MODELS}Transformer"},
    {"idx": 1, "name": "1", "path": "1_Pooling", "type": f"{_MODELS}Pooling"},
    {"idx": 2, "name": "2", "path": "2_Normalize", "type": f"{_MODELS}Normalize"},
]
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"w{n}" for n in range(35))]


def put(folder: Path, name: str, content: Any) -> None:
    """Write JSON, or text as it is."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content), "utf-8")


def change(folder: Path, name: str, **values: Any) -> None:
    """Set keys of a JSON file."""
    path = folder / name
    put(folder, name, {**(json.loads(path.read_text("utf-8")) if path.exists() else {}), **values})


def encoder(folder: Path) -> None:
    """A tiny sentence encoder with random weights."""
    import torch
    import transformers
    from safetensors.torch import save_file

    torch.manual_seed(0)
    model = transformers.BertModel(transformers.BertConfig(**BERT))
    put(folder, "config.json", BERT)
    state = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    save_file(state, str(folder / "model.safetensors"), {"format": "pt"})
    put(folder, "vocab.txt", "\n".join(WORDS) + "\n")
    put(
        folder, "tokenizer_config.json", {"tokenizer_class": "BertTokenizer", "do_lower_case": True}
    )
    put(folder, "modules.json", MODULES)
    put(folder, "sentence_bert_config.json", {"max_seq_length": 32, "do_lower_case": False})
    put(
        folder,
        "1_Pooling/config.json",
        {"word_embedding_dimension": 32, "pooling_mode_mean_tokens": True},
    )
    put(folder, "config_sentence_transformers.json", {"prompts": {"query": "query: "}})


def pipeline(folder: Path) -> None:
    """A tiny pipeline of diffusers with random weights."""
    import diffusers

    blocks = {"down_block_types": ("DownBlock2D",), "up_block_types": ("UpBlock2D",)}
    unet = diffusers.UNet2DModel(
        sample_size=8, layers_per_block=1, block_out_channels=(32,), **blocks
    )
    diffusers.DDPMPipeline(unet, diffusers.DDPMScheduler()).save_pretrained(str(folder))


def adapter(folder: Path, base: Path) -> None:
    """A LoRA adapter of the encoder."""
    import peft
    import transformers

    model = transformers.AutoModel.from_pretrained(str(base))
    made = peft.get_peft_model(model, peft.LoraConfig(target_modules=["query"], r=2))
    made.save_pretrained(str(folder))
    kept = ("peft_type", "r", "lora_alpha", "target_modules", "base_model_name_or_path")
    saved = json.loads((folder / "adapter_config.json").read_text("utf-8"))
    # Older releases refuse the settings of newer ones.
    put(folder, "adapter_config.json", {key: saved[key] for key in kept})


@dataclass(frozen=True)
class Attack:
    """What one folder tries: `kind` is encoder, pipeline or adapter; `spoil` makes it hostile.

    `key` is what the refusal names, in which `file`. `old` and `new`: it runs under the oldest and
    the newest libraries that are supported, if nobody looks before.
    """

    kind: str
    spoil: Callable[[Path, str], None]
    file: str
    key: str
    old: bool = False
    new: bool = False


def _class_in_folder(folder: Path, code: str) -> None:
    put(folder, "modules.json", [*MODULES, {**MODULES[2], "name": "3", "type": "evil.Evil"}])
    put(folder, "evil.py", code + "class Evil: pass\n")


def _class_on_path(folder: Path, code: str) -> None:
    put(folder, "modules.json", [{**MODULES[0], "type": f"{EVIL}.Evil"}])


def _module_elsewhere(folder: Path, code: str) -> None:
    put(folder, "modules.json", [{**MODULES[0], "path": "../other"}])


def _dense(folder: Path, code: str) -> None:
    kind = "sentence_transformers.models.Dense"
    put(folder, "modules.json", [*MODULES, {**MODULES[2], "name": "3", "path": "3", "type": kind}])
    sizes = {"in_features": 32, "out_features": 8, "bias": True}
    put(folder, "3/config.json", {**sizes, "activation_function": f"{EVIL}.run"})


def _router(folder: Path, code: str) -> None:
    put(folder, "modules.json", [{**MODULES[0], "path": "a/b/c", "type": _MODELS + "Asym"}])
    types = {"types": {"q": f"{EVIL}.Evil"}, "structure": {"q": ["q"]}, "parameters": {}}
    put(folder, "a/b/c/config.json", types)
    put(folder, "a/b/c/router_config.json", types)


def _word_embeddings(folder: Path, code: str) -> None:
    put(folder, "modules.json", [{**MODULES[0], "path": "0", "type": _MODELS + "WordEmbeddings"}])
    put(
        folder,
        "0/wordembedding_config.json",
        {"tokenizer_class": f"{EVIL}.Evil", "max_seq_length": 8},
    )


def _unsafe_weights(folder: Path, code: str) -> None:
    import torch

    class Runs:
        def __reduce__(self) -> tuple[Any, ...]:
            return exec, (code,)

    state = {"embeddings.word_embeddings.weight": torch.ones(40, 32), "x": Runs()}
    torch.save(state, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    change(folder, "sentence_bert_config.json", model_args={"weights_only": False})


def _none(folder: Path, code: str) -> None:
    put(folder, "None.py", code + "import diffusers\nclass P(diffusers.DiffusionPipeline): pass\n")


def _library_in_part(folder: Path, code: str) -> None:
    put(folder, "unet/diffusers.py", code + "class UNet2DModel: pass\n")


def _own_part(folder: Path, code: str) -> None:
    change(folder, "model_index.json", unet=["my_unet", "Net"])
    put(folder, "unet/my_unet.py", code + "class Net: pass\n")


def _two_letters(folder: Path, code: str) -> None:
    change(folder, "model_index.json", unet="ab")
    put(folder, "unet/a.py", code + "class b: pass\n")


def _imported_part(folder: Path, code: str) -> None:
    change(folder, "model_index.json", unet=[EVIL, "Evil"])


def _pipeline_of_its_own(folder: Path, code: str) -> None:
    change(folder, "model_index.json", _class_name=["mine", "P"])
    put(folder, "mine.py", code + "import diffusers\nclass P(diffusers.DiffusionPipeline): pass\n")


def _sets(name: str, **values: Any) -> Callable[[Path, str], None]:
    def spoil(folder: Path, code: str) -> None:
        change(folder, name, **values)
        put(folder, "evil.py", code + "class Evil: pass\n")
        put(folder, "custom_generate/generate.py", code)

    return spoil


def _megatron(folder: Path, code: str) -> None:
    change(folder, "adapter_config.json", megatron_config={"a": 1}, megatron_core=EVIL)


def _nested(folder: Path, code: str) -> None:
    deep: Any = {"trust_remote_code": True}
    for _ in range(9):
        deep = {"a": [deep]}
    change(folder, "config.json", text_config=deep)


def _other_encoding(folder: Path, code: str) -> None:
    _class_in_folder(folder, code)
    text = (folder / "modules.json").read_text("utf-8")
    (folder / "modules.json").write_bytes(text.encode("utf-16"))


def _linked_part(folder: Path, code: str) -> None:
    _dense(folder, code)
    (folder / "3").rename(folder.parent / f"{folder.name}-3")
    (folder / "3").symlink_to(folder.parent / f"{folder.name}-3")


def _twice(folder: Path, code: str) -> None:
    put(folder, "evil.py", code + "class Evil: pass\n")
    kinds = '"type": "sentence_transformers.models.Normalize", "type": "evil.Evil"'
    put(folder, "modules.json", '[{"idx": 0, "name": "0", "path": "", ' + kinds + "}]")


ATTACKS: dict[str, Attack] = {
    "class in folder": Attack("encoder", _class_in_folder, "modules.json", "[3].type", old=True),
    "class on path": Attack("encoder", _class_on_path, "modules.json", "[0].type", old=True),
    "class named twice": Attack("encoder", _twice, "modules.json", "[0].type", old=True),
    "module elsewhere": Attack("encoder", _module_elsewhere, "modules.json", "[0].path"),
    "other encoding": Attack("encoder", _other_encoding, "modules.json", "[3].type"),
    "activation": Attack("encoder", _dense, "3/config.json", "activation_function", old=True),
    "linked part": Attack(
        "encoder", _linked_part, "3/config.json", "activation_function", old=True
    ),
    "router": Attack("encoder", _router, "a/b/c/config.json", "types", old=True),
    "word embeddings": Attack(
        "encoder", _word_embeddings, "0/wordembedding_config.json", "tokenizer_class", old=True
    ),
    "pickles as they are": Attack(
        "encoder", _unsafe_weights, "sentence_bert_config.json", "model_args", old=True, new=True
    ),
    "None.py": Attack("pipeline", _none, "None.py", "its name", old=True),
    "library in part": Attack("pipeline", _library_in_part, "model_index.json", "unet", old=True),
    "own part": Attack("pipeline", _own_part, "model_index.json", "unet", old=True),
    "two letters": Attack("pipeline", _two_letters, "model_index.json", "unet", old=True),
    "imported part": Attack("pipeline", _imported_part, "model_index.json", "unet", old=True),
    "own pipeline": Attack(
        "pipeline", _pipeline_of_its_own, "model_index.json", "_class_name", old=True
    ),
    "megatron": Attack("adapter", _megatron, "adapter_config.json", "megatron_config", old=True),
    "base elsewhere": Attack(
        "encoder",
        _sets("adapter_config.json", peft_type="LORA", base_model_name_or_path="../other"),
        "adapter_config.json",
        "base_model_name_or_path",
    ),
    "nested switch": Attack("encoder", _nested, "config.json", "text_config.a[0]"),
    **{
        f"{name}: {key}": Attack("encoder", _sets(name, **{key: value}), name, key)
        for name, key, value in [
            ("config.json", "custom_pipelines", {"x": {"impl": "evil.Evil"}}),
            ("config.json", "attn_implementation", "evil/kernel:fn"),
            ("config.json", "_attn_implementation", {"": "kernels-community/x"}),
            ("config.json", "use_kernels", True),
            ("config.json", "architectures", ["evil.Evil"]),
            ("config.json", "tokenizer_class", "evil.EvilTokenizer"),
            ("config.json", "backbone", "../other"),
            ("config.json", "trust_remote_code", True),
            ("config.json", "loss_function", "evil.Evil"),
            ("generation_config.json", "custom_generate", "."),
            ("tokenizer_config.json", "tokenizer_class", "../evil"),
            ("tokenizer_config.json", "tokenizer_class", ["BertTokenizer", "x--evil.Evil"]),
            ("tokenizer_config.json", "trust_remote_code", 1),
            ("processor_config.json", "processor_class", "evil.Evil"),
            ("preprocessor_config.json", "image_processor_type", "evil.Evil"),
            ("preprocessor_config.json", "feature_extractor_type", "evil.Evil"),
            ("video_preprocessor_config.json", "video_processor_type", "evil.Evil"),
            ("config_sentence_transformers.json", "activation_fn", "evil.run"),
            ("config_sentence_transformers.json", "trust_remote_code", True),
            (
                "sentence_bert_config.json",
                "tokenizer_args",
                {"trust_remote_code": True, "token": "x"},
            ),
            ("sentence_bert_config.json", "tokenizer_name_or_path", "../other"),
            ("sentence_bert_config.json", "config_args", {"auto_map": {"AutoConfig": "evil.E"}}),
            ("model.safetensors.index.json", "weight_map", {"a": "../../other.safetensors"}),
            ("model.safetensors.index.json", "weight_map", {"a": "/etc/x.safetensors"}),
        ]
    },
}


def make(kind: str, folder: Path, built: Path) -> None:
    """Copy one of the honest folders, which `build` made."""
    shutil.copytree(built / kind, folder)


def build(built: Path) -> None:
    """Make the honest folders."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # libraries warn of their own future
        encoder(built / "encoder")
        pipeline(built / "pipeline")
        adapter(built / "adapter", built / "encoder")
