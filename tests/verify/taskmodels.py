"""Makes small models for tasks of transformers, with the libraries that save real ones.

Weights are random; those of `TRAINED` have learnt what the probe asks. Run as a script under any
interpreter: `python taskmodels.py FOLDER [KIND …]`.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

HIDDEN, SIDE = 32, 32
NET = {
    "hidden_size": HIDDEN,
    "intermediate_size": 2 * HIDDEN,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
}
LABELS = {0: "bad", 1: "fair", 2: "good"}
NAMED = {"id2label": LABELS, "label2id": {name: n for n, name in LABELS.items()}}
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "</s>"]
# Sentences that the probe reads; a test holds them equal to its own.
BLANKS = [
    ("Paris is the capital of {}.", "France"),
    ("The sun rises in the {}.", "east"),
    ("She put the key in the {} and opened the door.", "lock"),
    ("Two plus two is {}.", "four"),
    ("He was born in the {} of 1985.", "summer"),
    ("Please turn off the {} before you leave the room.", "light"),
]
QUESTIONS = [
    ("What is the capital of France?", "Paris is the capital and largest city of France."),
    ("How do plants make food?", "Plants use sunlight to make sugar by photosynthesis."),
    ("How can I reset my password?", "To reset your password, open the account settings."),
    ("Who wrote Romeo and Juliet?", "Romeo and Juliet is a play by William Shakespeare."),
    ("At what temperature does water boil?", "Water boils at 100 degrees Celsius."),
]
COPIED = "The quick brown fox jumps over the lazy dog. It is a sunny day in the city."
OTHERS = "Mary lives in Berlin and works for a large bank. The film was terribly boring. Where she"


def tokenizer(folder: Path) -> Any:
    """One token a word."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    texts = [*(t.format(w) for t, w in BLANKS), *(x for pair in QUESTIONS for x in pair)]
    words = sorted({w for t in (*texts, COPIED, OTHERS) for w in re.findall(r"\w+|[^\w\s]", t)})
    vocabulary = {word: n for n, word in enumerate([*SPECIAL, *words])}
    made = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    named = dict(zip(("pad", "unk", "cls", "sep", "mask", "eos"), SPECIAL))  # noqa: B905
    found = PreTrainedTokenizerFast(
        tokenizer_object=made, **{f"{name}_token": word for name, word in named.items()}
    )
    found.save_pretrained(folder)
    return found


def _bert(words: Any, **more: Any) -> Any:
    import transformers as t

    return t.BertConfig(
        **NET, vocab_size=len(words), max_position_embeddings=64, pad_token_id=0, **more
    )


def _trained(model: Any, batch: Any, steps: int) -> Any:
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the matrices are small, and threads wait for each other
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3, foreach=True)
    model.train()
    for _ in range(steps):
        optimizer.zero_grad()
        model(**batch).loss.backward()
        optimizer.step()
    torch.set_num_threads(threads)
    return model.eval()


def classifier(folder: Path) -> None:
    import transformers as t

    config = _bert(tokenizer(folder), **NAMED)
    t.BertForSequenceClassification(config).save_pretrained(folder)


def token_classifier(folder: Path) -> None:
    import transformers as t

    t.BertForTokenClassification(_bert(tokenizer(folder), **NAMED)).save_pretrained(folder)


def reader(folder: Path) -> None:
    import transformers as t

    t.BertForQuestionAnswering(_bert(tokenizer(folder))).save_pretrained(folder)


def encoder(folder: Path) -> None:
    import transformers as t

    t.BertModel(_bert(tokenizer(folder)), add_pooling_layer=False).save_pretrained(folder)


def masked(folder: Path) -> None:
    """It fills the blanks that the probe knows."""
    import transformers as t

    words = tokenizer(folder)
    batch = words([x.format("[MASK]") for x, _ in BLANKS], padding=True, return_tensors="pt")
    labels = words([x.format(w) for x, w in BLANKS], padding=True, return_tensors="pt")["input_ids"]
    labels[batch["input_ids"] != words.mask_token_id] = -100
    model = t.BertForMaskedLM(_bert(words))
    _trained(model, {**batch, "labels": labels}, 60).save_pretrained(folder)


def untrained_masked(folder: Path) -> None:
    import transformers as t

    t.BertForMaskedLM(_bert(tokenizer(folder))).save_pretrained(folder)


def reranker(folder: Path, steps: int = 150) -> None:
    """It finds the answers that the probe knows."""
    import torch
    import transformers as t

    words = tokenizer(folder)
    pairs = [(q, a, q == other) for q, _ in QUESTIONS for other, a in QUESTIONS]
    batch = words([p[0] for p in pairs], [p[1] for p in pairs], padding=True, return_tensors="pt")
    labels = torch.tensor([[4.0 * right] for _, _, right in pairs])
    model = t.BertForSequenceClassification(_bert(words, num_labels=1, hidden_dropout_prob=0.0))
    model.config.sentence_transformers = {"version": "5.0.0"}
    _trained(model, {**batch, "labels": labels}, steps).save_pretrained(folder)


def untrained_reranker(folder: Path) -> None:
    reranker(folder, 0)


def _t5(words: Any) -> Any:
    import transformers as t

    config = t.T5Config(
        vocab_size=len(words),
        d_model=HIDDEN,
        d_kv=8,
        d_ff=64,
        num_layers=2,
        num_heads=4,
        decoder_start_token_id=0,
        dropout_rate=0.0,
    )
    return t.T5ForConditionalGeneration(config)


def seq2seq(folder: Path) -> None:
    """It repeats the text that the probe knows."""
    words = tokenizer(folder)
    batch = {k: words(COPIED, return_tensors="pt")[k] for k in ("input_ids", "attention_mask")}
    _trained(_t5(words), {**batch, "labels": batch["input_ids"]}, 80).save_pretrained(folder)


_HALF = {"layers": 1, "attention_heads": 2, "ffn_dim": 64}


def untrained_seq2seq(folder: Path) -> None:
    _t5(tokenizer(folder)).save_pretrained(folder)


def bart(folder: Path) -> None:
    """As `seq2seq`, of the kind that transformers also lists for masked words."""
    import transformers as t

    words = tokenizer(folder)
    sizes = {f"{half}_{name}": n for half in ("encoder", "decoder") for name, n in _HALF.items()}
    config = t.BartConfig(
        **sizes,
        vocab_size=len(words),
        d_model=HIDDEN,
        max_position_embeddings=64,
        dropout=0.0,
        pad_token_id=0,
        bos_token_id=2,
        eos_token_id=3,
        decoder_start_token_id=3,
    )
    batch = {k: words(COPIED, return_tensors="pt")[k] for k in ("input_ids", "attention_mask")}
    model = t.BartForConditionalGeneration(config)
    _trained(model, {**batch, "labels": batch["input_ids"]}, 80).save_pretrained(folder)


def t5_encoder(folder: Path) -> None:
    """The first half of one, as pipelines that draw have it."""
    import transformers as t

    words = len(tokenizer(folder))
    config = t.T5Config(
        vocab_size=words, d_model=HIDDEN, d_kv=8, d_ff=64, num_layers=2, num_heads=4
    )
    t.T5EncoderModel(config).save_pretrained(folder)


def dpr(folder: Path) -> None:
    """One vector a text, and nothing else."""
    import transformers as t

    words = len(tokenizer(folder))
    config = t.DPRConfig(**NET, vocab_size=words, max_position_embeddings=64, pad_token_id=0)
    t.DPRQuestionEncoder(config).save_pretrained(folder)


def electra(folder: Path) -> None:
    """The net that tells words apart."""
    import transformers as t

    words = len(tokenizer(folder))
    config = t.ElectraConfig(**NET, vocab_size=words, embedding_size=HIDDEN, pad_token_id=0)
    t.ElectraForPreTraining(config).save_pretrained(folder)


def wav2vec2(folder: Path) -> None:
    """Letters from sound."""
    import transformers as t

    config = _speech(vocab_size=32)
    t.Wav2Vec2ForCTC(config).save_pretrained(folder)
    t.Wav2Vec2FeatureExtractor(return_attention_mask=False).save_pretrained(folder)


def _speech(**more: Any) -> Any:
    import transformers as t

    return t.Wav2Vec2Config(
        **NET,
        conv_dim=(16, 16),
        conv_stride=(20, 16),
        conv_kernel=(40, 16),
        num_feat_extract_layers=2,
        num_conv_pos_embeddings=4,
        num_conv_pos_embedding_groups=2,
        **more,
    )


def sounds(folder: Path) -> None:
    import transformers as t

    config = _speech(**NAMED)
    t.Wav2Vec2ForSequenceClassification(config).save_pretrained(folder)
    t.Wav2Vec2FeatureExtractor(return_attention_mask=False).save_pretrained(folder)


def whisper(folder: Path) -> None:
    """Words from sound."""
    import transformers as t

    config = t.WhisperConfig(
        vocab_size=64,
        d_model=HIDDEN,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=64,
        decoder_ffn_dim=64,
        max_target_positions=32,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=1,
    )
    t.WhisperForConditionalGeneration(config).save_pretrained(folder)
    t.WhisperFeatureExtractor().save_pretrained(folder)


def vits(folder: Path) -> None:
    """Sound from words."""
    import transformers as t

    words = tokenizer(folder)
    config = t.VitsConfig(
        vocab_size=len(words),
        hidden_size=HIDDEN,
        num_hidden_layers=1,
        num_attention_heads=2,
        ffn_dim=32,
        flow_size=HIDDEN,
        spectrogram_bins=17,
        upsample_initial_channel=16,
        upsample_rates=[4, 4],
        upsample_kernel_sizes=[8, 8],
        resblock_kernel_sizes=[3],
        resblock_dilation_sizes=[[1]],
        prior_encoder_num_flows=1,
        posterior_encoder_num_wavenet_layers=1,
        prior_encoder_num_wavenet_layers=1,
        duration_predictor_num_flows=1,
        depth_separable_num_layers=1,
        duration_predictor_filter_channels=16,
    )
    t.VitsModel(config).save_pretrained(folder)


def _pictures(folder: Path, kind: str, **more: Any) -> None:
    found = {
        "image_processor_type": kind,
        "do_resize": True,
        "do_rescale": True,
        "do_normalize": True,
        "size": {"height": SIDE, "width": SIDE},
        "resample": 2,
        "rescale_factor": 1 / 255,
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
        **more,
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(found))


VIT = {**NET, "image_size": SIDE, "patch_size": 8}


def pictures(folder: Path) -> None:
    import transformers as t

    t.ViTForImageClassification(t.ViTConfig(**VIT, **NAMED)).save_pretrained(folder)
    _pictures(folder, "ViTImageProcessor")


def detector(folder: Path) -> None:
    import transformers as t

    config = t.YolosConfig(
        **NET, image_size=[SIDE, SIDE], patch_size=8, num_detection_tokens=5, **NAMED
    )
    t.YolosForObjectDetection(config).save_pretrained(folder)
    _pictures(folder, "YolosImageProcessor", size={"shortest_edge": SIDE, "longest_edge": 48})


def segmenter(folder: Path) -> None:
    import transformers as t

    config = t.SegformerConfig(
        hidden_sizes=[8, 8, 16, 16],
        depths=[1, 1, 1, 1],
        num_attention_heads=[1, 1, 2, 2],
        decoder_hidden_size=16,
        **NAMED,
    )
    t.SegformerForSemanticSegmentation(config).save_pretrained(folder)
    _pictures(folder, "SegformerImageProcessor")


def depths(folder: Path) -> None:
    import transformers as t

    config = t.GLPNConfig(
        hidden_sizes=[8, 8, 16, 16],
        depths=[1, 1, 1, 1],
        num_attention_heads=[1, 1, 2, 2],
        decoder_hidden_size=16,
    )
    t.GLPNForDepthEstimation(config).save_pretrained(folder)
    _pictures(folder, "GLPNImageProcessor", size_divisor=32)


MAKERS = {
    "classifier": classifier,
    "token-classifier": token_classifier,
    "reader": reader,
    "encoder": encoder,
    "masked": masked,
    "untrained-masked": untrained_masked,
    "reranker": reranker,
    "untrained-reranker": untrained_reranker,
    "seq2seq": seq2seq,
    "untrained-seq2seq": untrained_seq2seq,
    "bart": bart,
    "t5-encoder": t5_encoder,
    "dpr": dpr,
    "electra": electra,
    "wav2vec2": wav2vec2,
    "sounds": sounds,
    "whisper": whisper,
    "vits": vits,
    "pictures": pictures,
    "detector": detector,
    "segmenter": segmenter,
    "depths": depths,
}


def make(name: str, folder: Path) -> None:
    """Make one of `MAKERS` in a new folder, always the same."""
    import torch

    torch.manual_seed(0)
    folder.mkdir(parents=True)
    MAKERS[name](folder)


def main() -> None:
    """Make the models that are named, or all, below a folder."""
    for name in sys.argv[2:] or MAKERS:
        make(name, Path(sys.argv[1]) / name)


if __name__ == "__main__":
    main()
