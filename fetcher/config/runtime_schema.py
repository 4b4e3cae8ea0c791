"""`runtime:` of fetch.yaml: which model an application uses, and how it is loaded."""

from __future__ import annotations

from fetcher.yamldoc.schema import Boolean, Field, Integer, Json, ListOf, MapOf, Record, Text

_CLASS = Text(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*[.:][A-Za-z_]\w*", "module.Class")

MEMORY = Record(
    "memory",
    {
        "cpu_offload": Field(Boolean(), "keep idle parts in the machine's memory"),
        "attention_slicing": Field(Boolean(), "compute attention in slices"),
        "vae_slicing": Field(Boolean(), "decode images in slices"),
        "use_8bit": Field(Boolean(), "load the weights in 8 bits"),
    },
    open=True,
)
PROMPTS = Record(
    "prompt_optimization",
    {
        "enabled": Field(Boolean(), "whether prompts are shortened; default: true"),
        "max_length_by_model": Field(
            MapOf(Text(), Integer(1)), "longest prompt in tokens, by model"
        ),
    },
    open=True,
)
RUNTIME = Record(
    "runtime",
    {
        "primary_model": Field(Text(), "the artifact to use, by id or alias"),
        "fallback_models": Field(
            ListOf(Text(), or_one=True, unique=True), "what to use instead, in this order"
        ),
        "enable_fallback": Field(Boolean(), "whether to go on to fallback_models; default: true"),
        "memory": Field(MEMORY, "how to save GPU memory"),
        "prompt_optimization": Field(PROMPTS, "handed on to the application, further keys too"),
        "pipelines": Field(
            MapOf(Text(r"[\w.-]+", "a pipeline type"), _CLASS),
            "classes of further pipeline types, as module.Class",
        ),
        "other": Field(MapOf(Text(), Json()), "further settings, kept for the application"),
    },
)
