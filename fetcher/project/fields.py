"""The descriptive record of an artifact: what people and the catalog read of it."""

from __future__ import annotations

from fetcher.yamldoc.schema import (
    Boolean,
    Either,
    Field,
    Integer,
    Json,
    ListOf,
    MapOf,
    Number,
    Record,
    Text,
)

TASKS = (
    "image-compression",
    "generative-reconstruction",
    "retrieval-embedding",
    "text-generation",
    "image-generation",
    "segmentation",
    "face-detection",
    "image-classification",
    "vision-encoder",
    "vision-language",
)
KINDS = ("model", "dataset")

_TEXTS = ListOf(Text(), or_one=True, unique=True)
MEMORY = Text(r"\d+(\.\d+)? ?[KMGT]i?B?", "memory such as 8G")
_SIZE = ListOf(Integer(1), length=2)
_BOUNDS = ListOf(Number(), length=2)

# The descriptive record: what people and the catalog read; nothing here changes what is fetched.
DESCRIPTION: dict[str, Field] = {
    "name": Field(Text(), "the name that people use"),
    "description": Field(Text(multiline=True), "a few sentences"),
    "purpose": Field(Text(), "what it is meant for, in a few words"),
    "remarks": Field(Text(), "what sets it apart from its siblings, in a few words"),
    "kind": Field(Text(choices=KINDS), "model or dataset"),
    "task": Field(
        Text(r"[a-z0-9]+(-[a-z0-9]+)*", "a task such as " + ", ".join(TASKS[:3])),
        "what it does: " + ", ".join(TASKS),
    ),
    "framework": Field(Text(choices=("pytorch", "tensorflow", "jax", "other")), "its framework"),
    "class_path": Field(Text(r"[A-Za-z_][\w.:]*", "a dotted path"), "the class that loads it"),
    "io": Field(
        Record(
            "io",
            {
                "size": Field(Text(choices=("fixed", "variable")), "fixed or variable input size"),
                "resolution": Field(_SIZE, "height and width in pixels"),
                "input_range": Field(_BOUNDS, "lowest and highest input"),
                "output_range": Field(_BOUNDS, "lowest and highest output"),
            },
        ),
        "inputs and outputs",
    ),
    "interface": Field(
        ListOf(
            Text(choices=("reconstruct", "encode", "decode", "compress", "decompress")),
            or_one=True,
            unique=True,
        ),
        "methods it offers",
    ),
    "benchmarks": Field(_TEXTS, "benchmarks it is measured on"),
    "metrics": Field(_TEXTS, "metrics such as psnr, ssim, lpips, bpp"),
    "owner": Field(Text(), "who answers for it"),
    "visibility": Field(Text(choices=("private", "organization", "public")), "who may see it"),
    "license": Field(Text(), "licence, by its SPDX id if it has one"),
    "citation": Field(Text(multiline=True), "how to cite it"),
    "max_batch_size": Field(Integer(1), "largest batch"),
    "attributes": Field(MapOf(Text(), Json()), "further facts, such as codebook size"),
    "device": Field(Text(choices=("gpu-only", "cpu-allowed")), "where it can run"),
    "min_vram": Field(MEMORY, "GPU memory needed"),
    "parameters": Field(Text(r"\d+(\.\d+)?[KMBT]?", "a number such as 1.3B"), "parameter count"),
    "tags": Field(_TEXTS, "free words to find it by"),
    "requires_auth": Field(Boolean(), "whether the repository wants a token"),
    "type": Field(Text(), "pipeline type of an image generator"),
    "params": Field(
        Record(
            "params",
            {
                "default_steps": Field(Integer(1), "denoising steps"),
                "max_steps": Field(Integer(1), "most denoising steps"),
                "guidance_scale": Field(Number(), "classifier-free guidance"),
                "supports_i2i": Field(Boolean(), "whether it edits images"),
                "max_tokens": Field(Integer(1), "longest prompt in tokens"),
                "default_size": Field(_SIZE, "width and height in pixels"),
                "max_size": Field(_SIZE, "largest width and height in pixels"),
                "use_negative_prompt": Field(Boolean(), "whether it takes a negative prompt"),
                "negative_prompt": Field(
                    Either((Boolean(), Text(multiline=True))),
                    "whether it takes a negative prompt, or the one to use",
                ),
            },
            open=True,
        ),
        "generation parameters",
    ),
    "aliases": Field(_TEXTS, "other names that commands accept"),
}
