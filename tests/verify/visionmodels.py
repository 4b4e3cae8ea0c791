"""Makes small vision models with the libraries that save real ones; weights are random.

No torchvision is needed.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

SIDE, PATCH, HIDDEN = 32, 8, 32
NET = {
    "hidden_size": HIDDEN,
    "intermediate_size": 2 * HIDDEN,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
}
PICTURES = {**NET, "image_size": SIDE, "patch_size": PATCH}


def byte_tokenizer(*special: str, **names: str) -> Any:
    """A byte-level BPE without merges."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = [*special, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    tokenizer = Tokenizer(models.BPE(vocab={word: n for n, word in enumerate(words)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, additional_special_tokens=list(special), **names
    )


# Means and deviations of the families' own processors.
CLIP = ([0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711])
HALF = ([0.5, 0.5, 0.5], [0.5, 0.5, 0.5])
IMAGENET = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])


def settings(
    folder: Path, kind: str, crop: bool, values: tuple[list[float], list[float]] = HALF
) -> None:
    """The preprocessor_config.json that its image processor would save."""
    size: dict[str, Any] = {"height": SIDE, "width": SIDE}
    found: dict[str, Any] = {
        "image_processor_type": kind,
        "do_resize": True,
        "do_rescale": True,
        "do_normalize": True,
        "do_convert_rgb": True,
        "do_center_crop": crop,
        "size": {"shortest_edge": SIDE} if crop else size,
        "resample": 3,
        "rescale_factor": 1 / 255,
        "image_mean": values[0],
        "image_std": values[1],
    }
    if crop:
        found["crop_size"] = size
    if kind.startswith("ConvNext"):
        found["size"] = {"shortest_edge": SIDE}
        found["crop_pct"] = 0.875
    (folder / "preprocessor_config.json").write_text(json.dumps(found))


def clip(folder: Path) -> None:
    import transformers as t
    from tokenizers import processors

    tokenizer = byte_tokenizer("<s>", "<|endoftext|>", eos_token="<|endoftext|>", pad_token="<s>")
    # The vector of a text is read at its end token, so one has to be there.
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A <|endoftext|>", special_tokens=[("<s>", 0), ("<|endoftext|>", 1)]
    )
    text = {**NET, "vocab_size": len(tokenizer), "max_position_embeddings": 64}
    config = t.CLIPConfig(
        text_config={**text, "bos_token_id": 0, "eos_token_id": 1},
        vision_config=dict(PICTURES),
        projection_dim=16,
    )
    t.CLIPModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    settings(folder, "CLIPImageProcessor", True, CLIP)


def siglip(folder: Path) -> None:
    import transformers as t

    text = {**NET, "vocab_size": 300, "max_position_embeddings": 64}
    config = t.SiglipConfig(
        text_config={**text, "bos_token_id": 0, "eos_token_id": 1}, vision_config=dict(PICTURES)
    )
    t.SiglipModel(config).save_pretrained(folder)
    settings(folder, "SiglipImageProcessor", False, HALF)


def dinov3(folder: Path) -> None:
    import transformers as t

    t.DINOv3ViTModel(t.DINOv3ViTConfig(**PICTURES)).save_pretrained(folder)
    settings(folder, "DINOv3ViTImageProcessorFast", False, IMAGENET)


def vit(folder: Path) -> None:
    """A classifier: it has no pooler, which an encoder of its kind has."""
    import transformers as t

    config = t.ViTConfig(**PICTURES, num_labels=3)
    t.ViTForImageClassification(config).save_pretrained(folder)
    settings(folder, "ViTImageProcessor", False, HALF)


def vit_mae(folder: Path) -> None:
    """A masked autoencoder: its decoder is no part of the encoder."""
    import transformers as t

    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    decoder = {f"decoder_{name}": n for name, n in {**sizes, "intermediate_size": 32}.items()}
    t.ViTMAEForPreTraining(t.ViTMAEConfig(**PICTURES, **decoder)).save_pretrained(folder)
    settings(folder, "ViTImageProcessor", False, IMAGENET)


def resnet(folder: Path) -> None:
    import transformers as t

    config = t.ResNetConfig(embedding_size=16, hidden_sizes=[16, 32], depths=[1, 1], num_labels=3)
    t.ResNetForImageClassification(config).save_pretrained(folder)
    settings(folder, "ConvNextImageProcessor", False, IMAGENET)


def convnext(folder: Path) -> None:
    import transformers as t

    config = t.ConvNextConfig(hidden_sizes=[8, 16, 32, 32], depths=[1, 1, 1, 1], num_labels=3)
    t.ConvNextForImageClassification(config).save_pretrained(folder)
    settings(folder, "ConvNextImageProcessor", False, IMAGENET)


def swin(folder: Path) -> None:
    import transformers as t

    config = t.SwinConfig(
        image_size=SIDE, embed_dim=16, depths=[1, 1], num_heads=[2, 2], window_size=4, num_labels=3
    )
    t.SwinForImageClassification(config).save_pretrained(folder)
    settings(folder, "ViTImageProcessor", False, IMAGENET)


def llava(folder: Path) -> None:
    import transformers as t

    tokenizer = byte_tokenizer("<end>", "<image>", "<pad>", eos_token="<end>", pad_token="<pad>")
    text = {**NET, "vocab_size": len(tokenizer), "max_position_embeddings": 256}
    config = t.LlavaConfig(
        vision_config=t.CLIPVisionConfig(**PICTURES),
        text_config=t.LlamaConfig(**text, bos_token_id=0, eos_token_id=0, pad_token_id=2),
        image_token_index=1,
        vision_feature_layer=-1,
    )
    t.LlavaForConditionalGeneration(config).save_pretrained(folder)
    backend = getattr(t, "CLIPImageProcessorPil", None) or t.CLIPImageProcessor
    t.LlavaProcessor(
        image_processor=backend(
            size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE}
        ),
        tokenizer=tokenizer,
        patch_size=PATCH,
        vision_feature_select_strategy="default",
        image_token="<image>",
        num_additional_image_tokens=1,
    ).save_pretrained(folder)


def qwen_omni(folder: Path) -> None:
    """Qwen2.5-Omni whole, with the parts that speak."""
    import transformers as t

    tokenizer = byte_tokenizer(
        "<end>", "<audio>", "<image>", "<video>", "<seen>", eos_token="<end>", pad_token="<end>"
    )
    tokenizer.chat_template = (
        "{% for m in messages %}{% for c in m.content %}{% if c.type == 'image' %}"
        "<seen><image>{% else %}{{ c.text }}{% endif %}{% endfor %}{% endfor %}"
    )
    tokens = {"audio_token_index": 1, "image_token_index": 2, "video_token_index": 3}
    tokens |= {"vision_start_token_id": 4, "audio_start_token_id": 1}
    rope = {"mrope_section": [1, 1, 2], "rope_type": "default", "type": "default"}
    text = {**NET, "num_key_value_heads": 2, "rope_scaling": rope}
    thinker = {
        **tokens,
        "audio_config": {
            "d_model": HIDDEN,
            "encoder_layers": 1,
            "encoder_attention_heads": 4,
            "encoder_ffn_dim": 64,
            "output_dim": HIDDEN,
            "max_source_positions": 100,
        },
        "vision_config": {
            "depth": 2,
            "hidden_size": HIDDEN,
            "intermediate_size": 64,
            "num_heads": 4,
            "out_hidden_size": HIDDEN,
            "fullatt_block_indexes": [1],
        },
        "text_config": {**text, "vocab_size": len(tokenizer), "max_position_embeddings": 1024},
    }
    wave = {
        "dit_config": {
            "hidden_size": HIDDEN,
            "num_hidden_layers": 1,
            "num_attention_heads": 4,
            "ff_mult": 1,
            "emb_dim": 16,
            "head_dim": 8,
            "mel_dim": 16,
            "num_embeds": 64,
            "enc_dim": 16,
            "enc_emb_dim": 16,
            "enc_channels": [16, 16, 16, 16, 48],
            "enc_attention_channels": 8,
            "enc_se_channels": 8,
        },
        "bigvgan_config": {"mel_dim": 16, "upsample_initial_channel": 32},
    }
    talker = {**text, **tokens, "vocab_size": 64, "embedding_size": HIDDEN, "head_dim": 8}
    config = t.Qwen2_5OmniConfig(
        thinker_config=thinker, talker_config=talker, token2wav_config=wave
    )
    t.Qwen2_5OmniForConditionalGeneration(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    backend = getattr(t, "Qwen2VLImageProcessorPil", None) or t.Qwen2VLImageProcessor
    backend(min_pixels=56 * 56, max_pixels=56 * 56).save_pretrained(folder)
    file = folder / "preprocessor_config.json"
    named = {**json.loads(file.read_text()), "processor_class": "Qwen2_5OmniProcessor"}
    file.write_text(json.dumps(named))


# pipelines


def _clip_text(tokenizer: Any, projected: bool, wide: int = 1) -> Any:
    import transformers as t

    config = t.CLIPTextConfig(
        hidden_size=HIDDEN * wide,
        intermediate_size=2 * HIDDEN * wide,
        num_hidden_layers=2 + wide // 10,
        num_attention_heads=NET["num_attention_heads"],
        vocab_size=len(tokenizer),
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
        projection_dim=HIDDEN * wide,
        max_position_embeddings=77,
    )
    return (t.CLIPTextModelWithProjection if projected else t.CLIPTextModel)(config).eval()


def _clip_tokenizer(folder: Path) -> Any:
    import transformers as t
    from tokenizers import pre_tokenizers

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = ["<|startoftext|>", "<|endoftext|>", *letters, *(f"{c}</w>" for c in letters)]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps({word: n for n, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    (folder / "tokenizer_config.json").write_text(json.dumps({"model_max_length": 77}))
    return t.CLIPTokenizer.from_pretrained(folder)


def _vae(channels: int = 4, **more: Any) -> Any:
    import diffusers as d

    return d.AutoencoderKL(
        block_out_channels=(16, 32),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=channels,
        norm_num_groups=8,
        sample_size=2 * SIDE,
        **more,
    )


def sdxl(folder: Path, wide: int = 1) -> None:
    """Its two encoders and its U-Net, so many times as wide as the smallest that works."""
    import diffusers as d

    tokenizer = _clip_tokenizer(folder.with_name("clip-tokenizer"))
    unet = d.UNet2DConditionModel(
        block_out_channels=(16 * wide, 32 * wide),
        layers_per_block=1,
        sample_size=SIDE,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=(2, 4),
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        transformer_layers_per_block=(1, 1),
        projection_class_embeddings_input_dim=6 * 8 + HIDDEN * wide,
        cross_attention_dim=2 * HIDDEN * wide,
        norm_num_groups=8,
    )
    d.StableDiffusionXLPipeline(
        unet=unet,
        vae=_vae(),
        scheduler=d.EulerDiscreteScheduler(timestep_spacing="leading"),
        text_encoder=_clip_text(tokenizer, projected=False, wide=wide),
        text_encoder_2=_clip_text(tokenizer, projected=True, wide=wide),
        tokenizer=tokenizer,
        tokenizer_2=tokenizer,
    ).save_pretrained(folder)


def _t5(width: int = HIDDEN) -> tuple[Any, Any]:
    import transformers as t

    tokenizer = byte_tokenizer("<pad>", "</s>", "<unk>", pad_token="<pad>", eos_token="</s>")
    config = t.T5Config(
        vocab_size=len(tokenizer), d_model=width, d_kv=8, d_ff=64, num_layers=2, num_heads=4
    )
    return tokenizer, t.T5EncoderModel(config).eval()


MODERN_VAE: dict[str, Any] = {
    "shift_factor": 0.06,
    "scaling_factor": 1.5,
    "use_quant_conv": False,
    "use_post_quant_conv": False,
}


def sd3(folder: Path) -> None:
    import diffusers as d

    clips = _clip_tokenizer(folder.with_name("clip-tokenizer"))
    tokenizer, encoder = _t5(2 * HIDDEN)
    transformer = d.SD3Transformer2DModel(
        sample_size=SIDE,
        patch_size=1,
        in_channels=4,
        out_channels=4,
        num_layers=1,
        attention_head_dim=8,
        num_attention_heads=4,
        joint_attention_dim=2 * HIDDEN,
        caption_projection_dim=32,
        pooled_projection_dim=2 * HIDDEN,
    )
    d.StableDiffusion3Pipeline(
        transformer=transformer,
        scheduler=d.FlowMatchEulerDiscreteScheduler(),
        vae=_vae(**MODERN_VAE),
        text_encoder=_clip_text(clips, projected=True),
        tokenizer=clips,
        text_encoder_2=_clip_text(clips, projected=True),
        tokenizer_2=clips,
        text_encoder_3=encoder,
        tokenizer_3=tokenizer,
    ).save_pretrained(folder)


def flux(folder: Path) -> None:
    import diffusers as d

    clips = _clip_tokenizer(folder.with_name("clip-tokenizer"))
    tokenizer, encoder = _t5()
    transformer = d.FluxTransformer2DModel(
        patch_size=1,
        in_channels=4,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=HIDDEN,
        pooled_projection_dim=HIDDEN,
        axes_dims_rope=(4, 4, 8),
    )
    d.FluxPipeline(
        transformer=transformer,
        scheduler=d.FlowMatchEulerDiscreteScheduler(),
        vae=_vae(1, **MODERN_VAE),
        text_encoder=_clip_text(clips, projected=False),
        tokenizer=clips,
        text_encoder_2=encoder,
        tokenizer_2=tokenizer,
    ).save_pretrained(folder)


MAKERS = {
    "clip": clip,
    "siglip": siglip,
    "dinov3": dinov3,
    "vit": vit,
    "vit-mae": vit_mae,
    "resnet": resnet,
    "convnext": convnext,
    "swin": swin,
    "llava": llava,
    "qwen-omni": qwen_omni,
    "sdxl": sdxl,
    "sd3": sd3,
    "flux": flux,
}


def make(folder: Path, *names: str) -> None:
    """Make these models, or all of them, in folders of their names."""
    import torch

    for name in names or MAKERS:
        torch.manual_seed(0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the libraries' own
            MAKERS[name](folder / name)
