"""Makes small language models, adapters and encoders with the libraries that save real ones.

A tiny GPT-NeoX, a PEFT adapter for it, an S-BERT. many.py imports it under any interpreter: the
pinned environment makes the files as Oh-LoRA's are.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

END = "<|endoftext|>"
TEXT = [
    "The quick brown fox jumps over the lazy dog.",
    "안녕하세요. 오늘 기분이 어때요?",
]

# What a model is trained on, besides TEXT: it need not be much, nor well.
STORY = """
One morning my brother and I went to the river with our dog. We took bread, cheese and a bottle
of water, and we sat under an old tree. When it began to rain we ran home as fast as we could. My
mother was in the kitchen and made hot soup for us. The next week we went there again, and on the
way to the house we met a friend who sold apples at the market. She gave us a bag of apples and we
said thank you.
어느 날 아침 동생과 함께 강에 갔습니다. 빵과 치즈를 가지고 가서 나무 아래에 앉았습니다.
비가 오기 시작해서 집까지 뛰어갔습니다. 어머니가 따뜻한 국을 끓여 주셨습니다.
다음 주에 다시 시장에 가서 사과를 샀습니다.
"""


def byte_tokenizer(folder: Path, merges: bool = True) -> None:
    """A byte-level BPE tokenizer with all special tokens being the end of text; without `merges`
    a token a byte.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400 if merges else 257,
        special_tokens=[END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(TEXT * 10, trainer)
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=END, eos_token=END, unk_token=END, pad_token=END
    ).save_pretrained(folder)


def gpt_neox(
    folder: Path,
    layers: int = 2,
    hidden: int = 64,
    seed: int = 0,
    inner: int = 128,
    vocabulary: int = 512,
    heads: int = 4,
    shards: str = "120KB",
    half: bool = True,
    steps: int = 0,
) -> None:
    """A GPT-NeoX in three shards with an index, as float16; trained if `steps` is not 0."""
    import torch
    from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

    torch.manual_seed(seed)
    config = GPTNeoXConfig(
        vocab_size=vocabulary,
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=inner,
        max_position_embeddings=256,
        bos_token_id=0,
        eos_token_id=0,
    )
    model = GPTNeoXForCausalLM(config)
    byte_tokenizer(folder)
    train(model, folder, steps)
    if half:
        model = model.half()
    model.save_pretrained(folder, max_shard_size=shards)


def train(model: Any, folder: Path, steps: int, rate: float = 3e-3) -> None:
    """Train what can be trained of a model on the texts above, with the tokenizer of `folder`."""
    import torch
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    story = tokenizer(STORY)["input_ids"]
    lines = [torch.tensor([tokenizer(text)["input_ids"]]) for text in TEXT]
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=rate)
    model.train()
    for step in range(steps):
        starts = [(step * 6 + n) * 37 % (len(story) - 48) for n in range(6)]
        batch = torch.tensor([story[start : start + 48] for start in starts])
        line = lines[step % len(lines)]
        loss = next_token_loss(model, batch) + next_token_loss(model, line) / 2
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.eval()


def next_token_loss(model: Any, ids: Any) -> Any:
    """The mean loss of each token but the first; what BART's decoder takes for it copies them."""
    import torch

    logits = model(input_ids=ids).logits
    return torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten())


def bart_decoder(folder: Path, steps: int = 0) -> None:
    """The second half of a BART by itself, as float32."""
    import torch
    from transformers import BartConfig, BartForCausalLM

    torch.manual_seed(0)
    byte_tokenizer(folder)
    config = BartConfig(
        vocab_size=512,
        d_model=64,
        decoder_layers=2,
        decoder_attention_heads=4,
        decoder_ffn_dim=128,
        max_position_embeddings=256,
        dropout=0.0,
        pad_token_id=0,
        bos_token_id=0,
        eos_token_id=0,
        is_decoder=True,
        is_encoder_decoder=False,
    )
    model = BartForCausalLM(config)
    train(model, folder, steps)
    model.save_pretrained(folder)


def byte_llama(folder: Path, steps: int = 0) -> None:
    """A Llama whose tokens are the bytes of a text, as float32."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    byte_tokenizer(folder, merges=False)
    config = LlamaConfig(
        vocab_size=264,
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=128,
        max_position_embeddings=256,
        bos_token_id=0,
        eos_token_id=0,
    )
    model = LlamaForCausalLM(config)
    train(model, folder, steps)
    model.save_pretrained(folder)


def in_float32() -> dict[str, Any]:
    """What has this release of transformers load a model as float32."""
    import transformers

    release = tuple(int(part) for part in transformers.__version__.split(".")[:2])
    return {"dtype" if release >= (4, 56) else "torch_dtype": "float32"}


def peft_is_strict() -> bool:
    """Tell whether PEFT itself raises for a module of modules_to_save that has no tensor."""
    import peft

    return tuple(int(part) for part in peft.__version__.split(".")[:2]) >= (0, 15)


def gpt2(folder: Path) -> None:
    """A decoder of another family, of the same width."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=512,
        n_embd=64,
        n_layer=2,
        n_head=4,
        n_positions=256,
        bos_token_id=0,
        eos_token_id=0,
    )
    GPT2LMHeadModel(config).save_pretrained(folder)
    byte_tokenizer(folder)


def adapter(
    folder: Path, base: str, rank: int = 8, noise: float = 0.2, named: str = "", seed: int = 1
) -> None:
    """A LoRA adapter of the model in `base`, trained if `noise` is not 0."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_pretrained(base)
    config = LoraConfig(
        r=rank,
        lora_alpha=16,
        lora_dropout=0.05,
        init_lora_weights="gaussian",
        target_modules=["query_key_value"],
        task_type="CAUSAL_LM",
    )
    model = get_peft_model(model, config)
    for name, parameter in model.named_parameters():
        if noise and "lora_B" in name:
            torch.nn.init.normal_(parameter, std=noise)
    model.save_pretrained(folder)
    byte_tokenizer(folder)
    path = folder / "adapter_config.json"
    saved = json.loads(path.read_text())
    saved["base_model_name_or_path"] = named or r"C:\Users\author\models\polyglot_original"
    path.write_text(json.dumps(saved, indent=2))


def word_tokenizer(folder: Path) -> int:
    """A BERT WordPiece tokenizer with vocab.txt; returns the number of words."""
    from transformers import BertTokenizerFast

    special = ["[CLS]", "[PAD]", "[SEP]", "[UNK]", "[MASK]"]
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    words = special + letters + [f"##{letter}" for letter in letters] + [".", "?", "[", "]", ":"]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(words) + "\n")
    BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(words) + "\n")
    return len(words)


def sbert(
    folder: Path,
    hidden: int = 32,
    seed: int = 0,
    normalise: bool = False,
    layers: int = 2,
    heads: int = 4,
    inner: int = 64,
    vocabulary: int = 0,
) -> None:
    """A RoBERTa encoder with mean pooling in the form of sentence-transformers."""
    import torch
    from transformers import RobertaConfig, RobertaModel

    torch.manual_seed(seed)
    count = word_tokenizer(folder)
    RobertaModel(
        RobertaConfig(
            vocab_size=vocabulary or count + 100,
            hidden_size=hidden,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            intermediate_size=inner,
            max_position_embeddings=130,
            type_vocab_size=1,
            pad_token_id=1,
        )
    ).save_pretrained(folder)
    modules: list[dict[str, Any]] = [
        {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
        {
            "idx": 1,
            "name": "1",
            "path": "1_Pooling",
            "type": "sentence_transformers.models.Pooling",
        },
    ]
    if normalise:
        kind = "sentence_transformers.models.Normalize"
        modules.append({"idx": 2, "name": "2", "path": "2_Normalize", "type": kind})
    pooling = {"word_embedding_dimension": hidden, "pooling_mode_mean_tokens": True}
    pooling["pooling_mode_cls_token"] = False
    (folder / "1_Pooling").mkdir(exist_ok=True)
    (folder / "1_Pooling/config.json").write_text(json.dumps(pooling))
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "sentence_bert_config.json").write_text(
        json.dumps({"max_seq_length": 64, "do_lower_case": True})
    )
    (folder / "config_sentence_transformers.json").write_text("{}")


def make_all(wanted: list[list[Any]]) -> None:
    """Make every model of a list: [[kind, folder, {…}], …]."""
    makers: dict[str, Any] = {
        "gpt_neox": gpt_neox,
        "gpt2": gpt2,
        "adapter": adapter,
        "sbert": sbert,
    }
    for kind, folder, arguments in wanted:
        makers[kind](Path(folder), **arguments)
