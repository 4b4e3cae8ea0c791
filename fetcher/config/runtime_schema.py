"""`runtime:` of fetch.yaml: which model an application uses, and how it is loaded."""

from __future__ import annotations

from fetcher.i18n import t
from fetcher.yamldoc.nodes import Document, Node
from fetcher.yamldoc.schema import (
    Boolean,
    Either,
    Field,
    Integer,
    Json,
    ListOf,
    MapOf,
    Record,
    Text,
    Values,
    node_of,
)

_CLASS = Text(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*[.:][A-Za-z_]\w*", "module.Class")
# What the keys of `memory:` were called before; files that have them stay readable.
OLDER_MEMORY_KEYS = {
    "cpu_offload": "enable_cpu_offload",
    "attention_slicing": "enable_attention_slicing",
    "vae_slicing": "enable_vae_slicing",
    "vae_tiling": "enable_vae_tiling",
}


class _Memory(Record):
    """`memory:`; its older keys count as the ones that they are called now."""

    def read(self, node: Node, document: Document) -> tuple[Values, bool]:
        """The switches under their present names."""
        found, sound = super().read(node, document)
        for older, name in OLDER_MEMORY_KEYS.items():
            if older not in found:
                continue
            if name in found:
                document.problem(
                    node_of(node, older),
                    t("{older} is the older name of {name}", older=older, name=name),
                    t("keep one of them"),
                )
                sound = False
            found[name] = found.pop(older)
        return found, sound


_SWITCHES = {
    "enable_cpu_offload": Field(Boolean(), t("keep idle parts in the machine's memory")),
    "enable_attention_slicing": Field(Boolean(), t("compute attention in slices")),
    "enable_vae_slicing": Field(Boolean(), t("decode images one at a time")),
    "enable_vae_tiling": Field(Boolean(), t("decode images in tiles")),
    "use_8bit": Field(Boolean(), t("load the weights in 8 bits")),
}
MEMORY = _Memory(
    "memory",
    {
        **_SWITCHES,
        **{
            older: Field(Boolean(), t("older name of {name}", name=name))
            for older, name in OLDER_MEMORY_KEYS.items()
        },
    },
)
PROMPTS = Record(
    "prompt_optimization",
    {
        "enabled": Field(Boolean(), t("whether prompts are changed at all; default: true")),
        "translate_korean": Field(
            Boolean(), t("give Korean prompts to the translator that the application registers")
        ),
        "max_length_by_model": Field(
            Either((Boolean(), MapOf(Text(), Integer(1)))),
            t(
                "whether prompts are cut to each model's limit, or limits in tokens by model; "
                "default: true"
            ),
        ),
    },
)
RUNTIME = Record(
    "runtime",
    {
        "primary_model": Field(Text(), t("the artifact to use, by id or alias")),
        "fallback_models": Field(
            ListOf(Text(), or_one=True, unique=True),
            t("what to use instead, in this order; default: sdxl"),
        ),
        "enable_fallback": Field(
            Boolean(), t("whether to go on to fallback_models; default: true")
        ),
        "memory": Field(MEMORY, t("how to save GPU memory")),
        "prompt_optimization": Field(PROMPTS, t("what is done to a prompt before it is used")),
        "pipelines": Field(
            MapOf(Text(r"[\w.-]+", t("a pipeline type")), _CLASS),
            t("classes of further pipeline types, as module.Class"),
        ),
        "other": Field(MapOf(Text(), Json()), t("further settings, kept for the application")),
    },
)
