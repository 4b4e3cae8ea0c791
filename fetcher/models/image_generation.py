"""Image pipelines: a prompt in, a picture out; through diffusers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fetcher.catalog import fallback, prompts
from fetcher.catalog.fallback import Passed, Runtime
from fetcher.errors import UsageError
from fetcher.i18n import t
from fetcher.models.model import BaseModel
from fetcher.models.model_errors import ModelError
from fetcher.project.manifest import Artifact
from fetcher.sources.local import Local
from fetcher.verify.loaders import first_line

_STEPS = 30
_STRENGTH = 0.6  # of what begins with a picture, as diffusers does it for most pipelines


class BaseImagePipeline(BaseModel):
    """An image generator. Subclasses have `_load` and `_draw`, or override load, unload, generate.

    `passed` are the models of the chain that were passed over before this one, and why; `notes`
    say what was not done to the last prompt.
    """

    kind = "image"
    calls = ("generate",)
    needs = ("generate", "_draw")

    passed: tuple[Passed, ...] = ()
    notes: tuple[str, ...] = ()
    runtime = Runtime()

    def generate(
        self,
        prompt: str,
        *,
        negative_prompt: str | None = None,
        steps: int | None = None,
        size: tuple[int, int] | None = None,
        guidance_scale: float | None = None,
        seed: int = 0,
        image: Any = None,
        strength: float | None = None,
    ) -> Any:
        """Draw a picture and return it as PIL's Image.

        `size` is (width, height) in pixels. With `image`, one of PIL, the picture begins there:
        `strength` (0 to 1) is how much of it is drawn anew, and its own size counts if none is
        given. What is left out is as the model's record says (`params`), else as the pipeline
        does. Raises UsageError, NotLoaded, ModelError.
        """
        if not isinstance(prompt, str) or not prompt.strip():
            raise UsageError(t("the prompt is empty"), t("say what the picture shows"))
        if image is not None:
            size = size or _within(image, self.spec.info.get("params", {}).get("max_size"))
        given = self._settings(negative_prompt, steps, size, guidance_scale)
        if image is not None or strength is not None:
            given |= self._begun(image, strength, given["steps"])
        with self.in_use() as (engine, call):
            try:
                found = self._draw(engine, prompt, {**given, "seed": seed})
            except (UsageError, ModelError):
                raise
            except Exception as error:
                reason = getattr(error, "reason", "") or first_line(error)
                raise ModelError(
                    t("{name} failed: {reason}", name=self.name, reason=reason),
                    getattr(error, "hint", ""),
                ) from error
            call.items = 1
            del engine
        return found

    def _settings(
        self,
        negative: str | None,
        steps: int | None,
        size: tuple[int, int] | None,
        guidance: float | None,
    ) -> dict[str, Any]:
        params: Mapping[str, Any] = self.spec.info.get("params", {})
        most = params.get("max_steps")
        usual_steps = params.get("default_steps", min(_STEPS, most or _STEPS))
        steps = steps if steps is not None else usual_steps
        if not isinstance(steps, int) or steps < 1 or (most and steps > most):
            raise UsageError(
                f"steps: {steps}", t("expected 1 to {most}", most=most) if most else t("at least 1")
            )
        size = size if size is not None else params.get("default_size")
        limit = params.get("max_size")
        if size and limit and any(s > m for s, m in zip(size, limit, strict=True)):
            raise UsageError(f"size: {list(size)}", t("at most {limit}", limit=list(limit)))
        usual = params.get("negative_prompt")
        reads = usual is not False and params.get("use_negative_prompt") is not False
        if negative and not reads:
            raise UsageError(
                t("{name} reads no negative prompt (use_negative_prompt: false)", name=self.name),
                t("leave negative_prompt out"),
            )
        negative = negative if negative is not None else usual if isinstance(usual, str) else None
        return {
            "negative_prompt": negative if reads else None,
            "steps": steps,
            "width": size[0] if size else None,
            "height": size[1] if size else None,
            "guidance_scale": guidance if guidance is not None else params.get("guidance_scale"),
        }

    def _begun(self, image: Any, strength: float | None, steps: int) -> dict[str, Any]:
        """The settings of a picture that begins with another. Raises UsageError."""
        if image is None:
            raise UsageError(
                t("strength is of a picture that begins with another"), t("give the image")
            )
        if not hasattr(image, "convert"):
            raise UsageError(
                t("the image is a {kind}, expected one of PIL", kind=type(image).__name__),
                t("PIL.Image.open(path) reads a file"),
            )
        if self.spec.info.get("params", {}).get("supports_i2i") is False:
            raise UsageError(
                t("{name} cannot begin with a picture (supports_i2i: false)", name=self.name),
                t("leave the image out, or take another model"),
            )
        strength = _STRENGTH if strength is None else strength
        if not 0 < strength <= 1:
            raise UsageError(f"strength: {strength}", t("expected more than 0 and at most 1"))
        if int(steps * strength) < 1:
            least = -int(-1 / strength // 1)
            raise UsageError(
                t(
                    "{steps} steps at strength {strength} draw nothing",
                    steps=steps,
                    strength=strength,
                ),
                t("steps={least} or more", least=least),
            )
        return {"image": image.convert("RGB"), "strength": strength}

    def _draw(self, engine: Any, prompt: str, settings: Mapping[str, Any]) -> Any:
        """The picture; `settings` has negative_prompt, steps, width, height, guidance_scale, seed,
        and for one that begins with another image and strength.
        """
        raise self._absent("generate")


class DiffusersPipeline(BaseImagePipeline):
    """A pipeline of diffusers, with the memory settings of `runtime:`."""

    libraries = (
        ("torch", "torch", "verify"),
        ("transformers", "transformers", "verify"),
        ("diffusers", "diffusers", "verify"),
    )

    def _load(self) -> Any:
        import torch

        from fetcher.verify.loaders import diffusion

        if self.spec.folder is None:
            raise ModelError(t("{name}: its files are not together in one folder", name=self.name))
        device = self._device()
        usual = torch.float32 if device == "cpu" else torch.float16
        memory = self.runtime.memory
        switches = diffusion.MemorySwitches(
            cpu_offload="model" if memory.enable_cpu_offload else None,
            attention_slicing=memory.enable_attention_slicing,
            vae_slicing=memory.enable_vae_slicing,
            vae_tiling=memory.enable_vae_tiling,
            # diffusers quantizes for a GPU alone, whose memory it is to save.
            quantize="8bit" if memory.use_8bit and device.startswith("cuda") else None,
        )
        return diffusion.load(
            self.spec.folder,
            device=device,
            dtype=self._dtype(usual),
            variant=self.spec.options.get("variant"),
            switches=switches,
            pipeline_class=self._pipeline_class(),
            consent=self._consent(),
        )

    def _pipeline_class(self) -> Any:
        """The class that loads it. Raises ModelError for one of a project, which is code of its own
        unless it is diffusers', if the person does not let it run.
        """
        path = self.runtime.pipeline_class(self._artifact)
        consent = self._consent()
        if not consent.given and not fallback.is_installed_pipeline(path):
            raise ModelError(
                t(
                    "{name}: the project has {path} load it, which may be code of its own",
                    name=self.name,
                    path=path,
                ),
                consent.how,
            )
        return _class_of(path)

    def _unload(self, engine: Any) -> None:
        if hasattr(engine, "remove_all_hooks"):
            engine.remove_all_hooks()

    @property
    def _artifact(self) -> Artifact:
        return Artifact(self.name, "", Local(str(self.spec.folder)), info=self.spec.info)

    def _draw(self, engine: Any, prompt: str, settings: Mapping[str, Any]) -> Any:
        from PIL import Image

        from fetcher.verify.loaders import diffusion

        prepared = prompts.prepare(prompt, self._artifact, self.runtime, _counter(engine))
        self.notes = prepared.notes
        found = diffusion.draw(
            engine,
            prepared.prompt,
            max_tokens=self.runtime.prompt_limit(self._artifact),
            **_fitted(engine, settings),
        )
        pixels = (found.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).contiguous()
        return Image.fromarray(pixels.numpy())


def _within(image: Any, most: Any) -> tuple[int, int] | None:
    """An image's size, made smaller by one factor where it is more than `most`."""
    size = getattr(image, "size", None)
    if not isinstance(size, tuple):
        return None
    factor = min([1.0, *(m / s for m, s in zip(most or size, size, strict=True))])
    return max(1, int(size[0] * factor)), max(1, int(size[1] * factor))


def _fitted(pipeline: Any, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings whose image has the size that is drawn: whole patches of the pipeline's VAE."""
    given = dict(settings)
    if (image := given.get("image")) is not None:
        unit = 2 * int(getattr(pipeline, "vae_scale_factor", 8))
        size = [max(unit, given[side] // unit * unit) for side in ("width", "height")]
        given["width"], given["height"] = size
        given["image"] = image.resize(size)
    return given


def _class_of(path: str) -> Any:
    """The class at module.Class or module:Class."""
    import importlib

    module, _, name = path.replace(":", ".").rpartition(".")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ModelError(
            t(
                "the pipeline's class {path} is not there: {error}",
                path=path,
                error=first_line(error),
            ),
            t("upgrade diffusers, or correct runtime: pipelines: in fetch.yaml"),
        ) from error


def _counter(pipeline: Any) -> Callable[[str], int] | None:
    """What counts a text's tokens: the pipeline's tokenizer."""
    tokenizer = getattr(pipeline, "tokenizer", None)
    return (lambda text: len(tokenizer(text)["input_ids"])) if tokenizer is not None else None
