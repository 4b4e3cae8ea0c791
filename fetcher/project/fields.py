"""The descriptive record of an artifact: what people and the catalog read of it."""

from __future__ import annotations

from fetcher.i18n import t
from fetcher.project.spellings import (
    DEVICES,
    FRAMEWORKS,
    KINDS,
    METHODS,
    SIZES,
    TASKS,
    VISIBILITIES,
    Attributes,
    Benchmark,
    Bounds,
    License,
    Methods,
    Metric,
    Name,
    Pixels,
    Task,
)
from fetcher.yamldoc.schema import (
    Boolean,
    Either,
    Field,
    Integer,
    Json,
    ListOf,
    Number,
    Record,
    Text,
)

_TEXTS = ListOf(Text(), or_one=True, unique=True)
MEMORY = Text(r"\d+(\.\d+)? ?[KMGT]i?B?", t("memory such as 8G"))
_SIZE = Pixels(Integer(1), length=2)
_BOUNDS = Bounds(Number(), length=2)
VISIBILITY = Name(choices=VISIBILITIES)

# The descriptive record: what people and the catalog read; nothing here changes what is fetched.
DESCRIPTION: dict[str, Field] = {
    "name": Field(Text(), t("the name that people use")),
    "description": Field(Text(multiline=True), t("a few sentences")),
    "purpose": Field(Text(), t("what it is meant for, in a few words")),
    "remarks": Field(Text(), t("what sets it apart from its siblings, in a few words")),
    "kind": Field(Name(choices=KINDS), t("model, dataset or code")),
    "task": Field(
        Task(r"[a-z0-9]+(-[a-z0-9]+)*", t("a task such as {tasks}", tasks=", ".join(TASKS[:3]))),
        t("what it does: {tasks}", tasks=", ".join(TASKS)),
    ),
    "framework": Field(Name(choices=FRAMEWORKS), t("its framework")),
    "class_path": Field(
        Text(r"[A-Za-z_][\w.:]*", t("a dotted path")), t("the class that loads it")
    ),
    "io": Field(
        Record(
            "io",
            {
                "size": Field(Name(choices=SIZES), t("fixed or variable input size")),
                "resolution": Field(_SIZE, t("height and width in pixels")),
                "input_range": Field(_BOUNDS, t("lowest and highest input")),
                "output_range": Field(_BOUNDS, t("lowest and highest output")),
            },
        ),
        t("inputs and outputs"),
    ),
    "interface": Field(
        Methods(Name(choices=METHODS), or_one=True, unique=True),
        t("methods it offers"),
    ),
    "benchmarks": Field(
        ListOf(Benchmark(), or_one=True, unique=True), t("data sets it is measured on")
    ),
    "metrics": Field(
        ListOf(Metric(), or_one=True, unique=True), t("metrics such as psnr, ssim, lpips, bpp")
    ),
    "owner": Field(Text(), t("who answers for it")),
    "visibility": Field(
        VISIBILITY,
        t(
            "who may see it: private (its owner), organization (who is signed in), public;"
            " default: private"
        ),
    ),
    "license": Field(License(), t("licence, by its SPDX id if it has one")),
    "citation": Field(Text(multiline=True), t("how to cite it")),
    "max_batch_size": Field(Integer(1), t("largest batch")),
    "attributes": Field(Attributes(Text(), Json()), t("further facts, such as codebook size")),
    "device": Field(Name(choices=DEVICES), t("where it can run")),
    "min_vram": Field(MEMORY, t("GPU memory needed")),
    "parameters": Field(
        Text(r"\d+(\.\d+)?[KMBT]?", t("a number such as 1.3B")), t("parameter count")
    ),
    "tags": Field(_TEXTS, t("free words to find it by")),
    "requires_auth": Field(Boolean(), t("whether the repository wants a token")),
    "type": Field(Text(), t("pipeline type of an image generator")),
    "params": Field(
        Record(
            "params",
            {
                "default_steps": Field(Integer(1), t("denoising steps")),
                "max_steps": Field(Integer(1), t("most denoising steps")),
                "guidance_scale": Field(Number(), t("classifier-free guidance")),
                "supports_i2i": Field(Boolean(), t("whether it edits images")),
                "max_tokens": Field(Integer(1), t("longest prompt in tokens")),
                "default_size": Field(_SIZE, t("width and height in pixels")),
                "max_size": Field(_SIZE, t("largest width and height in pixels")),
                "use_negative_prompt": Field(Boolean(), t("whether it takes a negative prompt")),
                "negative_prompt": Field(
                    Either((Boolean(), Text(multiline=True))),
                    t("whether it takes a negative prompt, or the one to use"),
                ),
            },
            open=True,
        ),
        t("generation parameters"),
    ),
    "aliases": Field(_TEXTS, t("other names that commands accept")),
}
