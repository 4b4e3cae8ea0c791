"""The form: every field of a catalog record, in five steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fetcher.i18n import t
from fetcher.project.fields import DESCRIPTION, TASKS
from fetcher.project.manifest import ARTIFACT
from fetcher.yamldoc.schema import Field, Type

STEPS = (
    "basic",
    t("code and checkpoint"),
    t("input, output and interface"),
    t("evaluation defaults"),
    t("ownership and visibility"),
)
_IO: Mapping[str, Field] = DESCRIPTION["io"].type.fields  # type: ignore[attr-defined]
_INTERFACE = ("reconstruct", "encode", "decode", "compress", "decompress")
_METRICS = ("psnr", "ssim", "lpips", "bpp")
_LICENSES = ("Apache-2.0", "MIT", "BSD-3-Clause", "CC-BY-4.0", "CC-BY-NC-4.0", "proprietary")


@dataclass(frozen=True)
class FormField:
    """One field: `key` is its place in the record (io.resolution), `step` counts from 0.

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

    @property
    def flag(self) -> str:
        """The command-line option."""
        return "--" + self.key.rpartition(".")[2].replace("_", "-")

    def to_json(self) -> dict[str, Any]:
        """The field for a form elsewhere."""
        return {
            "key": self.key,
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
) -> FormField:
    inner = key.partition(".")[2]
    field = _IO[inner] if key.startswith("io.") else DESCRIPTION.get(key) or ARTIFACT.fields[key]
    return FormField(key, step, label, field.type, field.doc, choices, closed, required, example)


FIELDS: tuple[FormField, ...] = (
    _field("name", 0, t("Name"), required=True, example="VQGAN ImageNet (f=16), 1024"),
    _field("kind", 0, t("Kind"), ("model", "dataset"), closed=True),
    _field("task", 0, t("Task"), TASKS),
    _field("framework", 0, t("Framework"), ("pytorch", "tensorflow", "jax", "other"), closed=True),
    _field("description", 0, t("Description")),
    _field("purpose", 0, t("Purpose"), example="light experiments"),
    _field("remarks", 0, t("Remarks"), example="multilingual, high resolution"),
    _field("tags", 0, t("Tags"), example="vqgan, first-stage"),
    _field("class_path", 1, t("Class"), example="package.module.Class"),
    _field("files", 1, t("Files to take"), example="config.json, *.safetensors"),
    _field("exclude", 1, t("Files to leave out"), example="*.bin"),
    _field("parameters", 1, t("Parameters"), example="1.3B"),
    _field("type", 1, t("Pipeline type"), ("sdxl", "flux", "playground", "sd", "sd3", "auto")),
    _field("params", 1, t("Generation parameters"), example="default_steps=30, guidance_scale=7.5"),
    _field("io.size", 2, t("Input size"), ("fixed", "variable"), closed=True),
    _field("io.resolution", 2, t("Resolution"), example="256, 256"),
    _field("io.input_range", 2, t("Input range"), example="-1, 1"),
    _field("io.output_range", 2, t("Output range"), example="-1, 1"),
    _field("interface", 2, t("Interface"), _INTERFACE, closed=True, example="encode, decode"),
    _field("attributes", 2, t("Attributes"), example="codebook_size=1024, downsample_factor=16"),
    _field("benchmarks", 3, t("Benchmarks"), ("kodak24", "cifar10"), example="kodak24, cifar10"),
    _field("metrics", 3, t("Metrics"), _METRICS, example="psnr, ssim, lpips, bpp"),
    _field("max_batch_size", 3, t("Largest batch"), example="16"),
    _field("device", 3, t("Device"), ("gpu-only", "cpu-allowed"), closed=True),
    _field("min_vram", 3, t("GPU memory"), example="8G"),
    _field("owner", 4, t("Owner")),
    _field("visibility", 4, t("Visibility"), ("private", "organization", "public"), closed=True),
    _field("license", 4, t("Licence"), _LICENSES),
    _field("citation", 4, t("Citation")),
    _field("requires_auth", 4, t("Needs a token"), ("true", "false"), closed=True),
)
BY_KEY = {field.key: field for field in FIELDS}
# Further keys that may stand in JSON; they have no step of their own.
EXTRA = ("aliases", "optional", "groups", "count", "mirrors", "writable", "probe")


def form_json() -> dict[str, Any]:
    """The whole form, for other programs."""
    return {"steps": list(STEPS), "fields": [field.to_json() for field in FIELDS]}
