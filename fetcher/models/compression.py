"""Compression models: codecs of a project's own code."""

from __future__ import annotations

from typing import Any

from fetcher.i18n import t
from fetcher.models.model import BaseModel
from fetcher.models.model_errors import ModelError
from fetcher.verify.contract.context import Context
from fetcher.verify.contract.protocol import ProbeRequest
from fetcher.verify.loaders import first_line

METHODS = ("reconstruct", "encode", "decode", "compress", "decompress")


class BaseCompressionModel(BaseModel):
    """A codec. Pictures are float tensors (N, 3, H, W) in the model's own range (`input_range`).

    Subclasses have `_load`, which returns an object with some of METHODS.
    """

    kind = "compression"
    calls = METHODS

    @property
    def interface(self) -> tuple[str, ...]:
        """The methods that the loaded model has. Raises NotLoaded."""
        with self.in_use() as (engine, _):
            return tuple(name for name in METHODS if callable(getattr(engine, name, None)))

    def reconstruct(self, pictures: Any) -> Any:
        """Code pictures and return what comes back."""
        return self._call("reconstruct", pictures)

    def encode(self, pictures: Any) -> Any:
        """Return the code of pictures, as the model has it."""
        return self._call("encode", pictures)

    def decode(self, code: Any) -> Any:
        """Return the pictures of a code."""
        return self._call("decode", code)

    def compress(self, pictures: Any) -> Any:
        """Return the bytes of pictures, as the model has them."""
        return self._call("compress", pictures)

    def decompress(self, data: Any) -> Any:
        """Return the pictures of what `compress` returned."""
        return self._call("decompress", data)

    def _call(self, method: str, value: Any) -> Any:
        with self.in_use() as (engine, call):
            found = getattr(engine, method, None)
            if not callable(found):
                has = ", ".join(name for name in METHODS if hasattr(engine, name))
                raise ModelError(
                    t("{who} has no method {method}", who=self.name, method=method),
                    t("it has {has}", has=has or t("none")),
                )
            try:
                answer = self._run(found, value)
            except Exception as error:
                raise ModelError(
                    t(
                        "{name}: {method} failed: {error}",
                        name=self.name,
                        method=method,
                        error=first_line(error),
                    )
                ) from error
            call.items = int(value.shape[0]) if len(getattr(value, "shape", ())) == 4 else 1
            del engine, found
        return answer

    def _run(self, method: Any, value: Any) -> Any:
        return method(value)


class CodecModel(BaseCompressionModel):
    """A codec of the class that the manifest names, which the caller trusts."""

    libraries = (("torch", "torch", "state-dict"),)

    def _load(self) -> Any:
        from fetcher.verify.loaders import codec

        request = ProbeRequest(
            self.name,
            "compression",
            self.spec.root,
            self.spec.files,
            self.spec.options,
            device=self._device(),
            dtype=None if self.spec.dtype == "auto" else self.spec.dtype,
            trust_code=True,
            pickles=self.spec.pickles,
        )
        return codec.load(request, _Plain(request, lambda _: None, self.spec.root)).model

    def _run(self, method: Any, value: Any) -> Any:
        import torch

        with torch.inference_mode():
            if isinstance(value, dict) and method.__name__ == "decompress":
                return method(**value)  # as CompressAI answers
            return method(value)


class _Plain(Context):
    """A probe's context in an application, whose random numbers are its own."""

    def _seed(self) -> None:
        """Change nothing."""
