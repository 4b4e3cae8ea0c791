"""The form: every field of a catalog record, in five steps."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fetcher.fs.nearest import nearest
from fetcher.i18n import t
from fetcher.project.fields import DESCRIPTION
from fetcher.project.manifest import ARTIFACT
from fetcher.project.spellings import (
    ATTRIBUTES,
    BENCHMARKS,
    DEVICES,
    FRAMEWORKS,
    KINDS,
    LICENSES,
    METHODS,
    METRICS,
    SIZES,
    TASKS,
    VISIBILITIES,
)
from fetcher.yamldoc.schema import Field, Type

STEPS = (
    "basic",
    t("code and checkpoint"),
    t("input, output and interface"),
    t("evaluation defaults"),
    t("ownership and visibility"),
)
_IO: Mapping[str, Field] = DESCRIPTION["io"].type.fields  # type: ignore[attr-defined]


def snake(label: str) -> str:
    """A label as a key: `Repository URL (or HF ID)` is repository_url."""
    text = re.sub(r"\([^()]*\)", " ", label[:200])
    return re.sub(r"[^a-z0-9.]+", "_", text.lower()).strip("_")


def _flag(key: str) -> str:
    return "--" + key.replace("_", "-")


@dataclass(frozen=True)
class FormField:
    """One field: `key` is its place in the record (io.resolution), `step` counts from 0.

    `label` is what a form calls it, `also` further names that JSON and flags may use.
    `choices` are what completion offers; where `closed`, nothing else is taken. `type` is the
    schema's own type, which judges the value.
    """

    key: str
    step: int
    label: str
    type: Type
    help: str
    choices: tuple[str, ...] = ()
    closed: bool = False
    required: bool = False
    example: str = ""
    also: tuple[str, ...] = ()

    @property
    def flag(self) -> str:
        """The command-line option."""
        return _flag(self.key.rpartition(".")[2])

    @property
    def flags(self) -> tuple[str, ...]:
        """The option, and those by its other names."""
        return tuple(dict.fromkeys([self.flag, *map(_flag, (snake(self.label), *self.also))]))

    def to_json(self) -> dict[str, Any]:
        """The field for a form elsewhere."""
        return {
            "key": self.key,
            "also": [snake(self.label), *self.also],
            "step": self.step,
            "label": self.label,
            "help": self.help,
            "choices": list(self.choices),
            "closed": self.closed,
            "required": self.required,
            "example": self.example,
            "schema": self.type.json_schema(),
        }


def _field(
    key: str,
    step: int,
    label: str,
    choices: tuple[str, ...] = (),
    *,
    closed: bool = False,
    required: bool = False,
    example: str = "",
    also: tuple[str, ...] = (),
) -> FormField:
    inner = key.partition(".")[2]
    field = _IO[inner] if key.startswith("io.") else DESCRIPTION.get(key) or ARTIFACT.fields[key]
    return FormField(
        key, step, label, field.type, field.doc, choices, closed, required, example, also
    )


FIELDS: tuple[FormField, ...] = (
    _field("name", 0, t("Model Name"), required=True, example="VQGAN ImageNet f=16, 1024"),
    _field("kind", 0, t("Kind"), KINDS, closed=True),
    _field("task", 0, t("Task Type"), TASKS),
    _field("framework", 0, t("Framework"), FRAMEWORKS, closed=True),
    _field("description", 0, t("Description")),
    _field("purpose", 0, t("Purpose"), example="light experiments"),
    _field("remarks", 0, t("Remarks"), example="multilingual, high resolution"),
    _field("tags", 0, t("Tags"), example="VQGAN, ImageNet"),
    _field(
        *("class_path", 1, t("Model Class Path")),
        example="package.module.Class",
        also=("python_class_path",),
    ),
    _field("files", 1, t("Files to take"), example="config.json, *.safetensors"),
    _field("exclude", 1, t("Files to leave out"), example="*.bin"),
    _field("parameters", 1, t("Parameters"), example="1.3B"),
    _field("type", 1, t("Pipeline type"), ("sdxl", "flux", "playground", "sd", "sd3", "auto")),
    _field("params", 1, t("Generation parameters"), example="default_steps=30, guidance_scale=7.5"),
    _field("io.size", 2, t("Size Type"), SIZES, closed=True),
    _field("io.resolution", 2, t("Default Size"), example="256 x 256", also=("input_resolution",)),
    _field("io.input_range", 2, t("Input Range"), example="[-1, 1]"),
    _field("io.output_range", 2, t("Output Range"), example="[0, 1]"),
    _field(
        *("interface", 2, t("Supported Interface"), METHODS),
        closed=True,
        example="reconstruct, encode, decode",
        also=("interface_type",),
    ),
    _field(
        *("attributes", 2, t("Model Attributes")),
        example="Codebook Size: 1024, Downsample Factor: 16",
    ),
    _field("benchmarks", 3, t("Default Benchmarks"), BENCHMARKS, example="kodak24, cifar10"),
    _field("metrics", 3, t("Default Metrics"), METRICS[:4], example="PSNR, SSIM, LPIPS, bpp"),
    _field("max_batch_size", 3, t("Max Batch Size"), example="8"),
    _field(
        *("device", 3, t("Preferred Device"), DEVICES),
        closed=True,
        also=("runtime_device_preference",),
    ),
    _field("min_vram", 3, t("GPU memory"), example="8G"),
    _field("owner", 4, t("Owner")),
    _field("visibility", 4, t("Visibility"), VISIBILITIES, closed=True),
    _field("license", 4, t("License"), LICENSES),
    _field("citation", 4, t("Citation / Paper Link"), also=("paper_link",)),
    _field("requires_auth", 4, t("Needs a token"), ("true", "false"), closed=True),
)
BY_KEY = {field.key: field for field in FIELDS}
# Further keys that may stand in JSON; they have no step of their own.
EXTRA = ("aliases", "optional", "groups", "count", "mirrors", "writable", "probe")
# What is not a field of the record alone, by every name that it has in JSON.
OWN: Mapping[str, tuple[str, ...]] = {
    "id": ("model_id", "slug", "unique_id"),
    "manifest": (),
    "repository_type": (),
    "repository": ("repository_url", "repository_id", "repository_url_id", "code"),
    "fetch_code": (),
    "checkpoint_source": (),
    "checkpoint": (
        "source",
        "checkpoint_path",
        "checkpoint_path_or_file",
        "checkpoint_path_upload",
    ),
}
# Headings under which fields may stand together; their own names stand inside.
_GROUPS = {
    *("io", "basic_info", "code_checkpoint", "io_interface", "evaluation_defaults"),
    *("ownership_visibility", "input_resolution", "input_output_range", "license_citation"),
    "advanced_options",
}
_NAMES: dict[str, str] = {
    **{name: item.key for item in FIELDS for name in (snake(item.label), *item.also)},
    **{item.key.partition(".")[2]: item.key for item in FIELDS if "." in item.key},
    **{name: key for key, names in OWN.items() for name in (key, *names)},
    **{key: key for key in (*BY_KEY, *EXTRA)},
}


def key_of(name: str) -> str:
    """The field that a key of JSON or a label stands for. Raises KeyError with the nearest."""
    found = _NAMES.get(name) or _NAMES.get(snake(name))
    if found is None:
        raise KeyError(nearest(snake(name), _NAMES) or "")
    return found


def flat(data: Mapping[Any, Any]) -> Iterator[tuple[str, Any]]:
    """The pairs of a JSON object, those of the form's sections and groups one by one.

    A fact of the model's structure that stands by itself is an attribute.
    """
    for name, value in data.items():
        key = snake(str(name))
        if key in _GROUPS and isinstance(value, Mapping):
            for inner, item in flat(value):
                known = key == "io" and f"io.{snake(inner)}"
                yield (known if known else inner), item
        elif key in ATTRIBUTES:
            yield "attributes", {key: value}
        else:
            yield str(name), value


def form_json() -> dict[str, Any]:
    """The whole form, for other programs."""
    return {"steps": list(STEPS), "fields": [field.to_json() for field in FIELDS]}
