"""The `vision-language` probe: LLaVA, Qwen-Omni and their like tell something of a picture.

What each option means is in `VisionLanguage`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fetcher.verify.contract.built_in_probes import problems_of
from fetcher.verify.contract.context import describe
from fetcher.verify.contract.probe_errors import ProbeError
from fetcher.verify.loaders import causal_lm, is_memory, loaded, vision
from fetcher.verify.pictures import images, preparation
from fetcher.verify.probes import generation
from fetcher.verify.weights import folders, kept_settings

if TYPE_CHECKING:
    from fetcher.verify.contract.context import Context
    from fetcher.verify.contract.foreign import Arguments, ProbeOptions
    from fetcher.verify.contract.protocol import ProbeRequest, Problem

_PROMPT = "What is in this picture?"
_NEW_TOKENS = 8
_PIXELS_APART = 0.03  # releases scale pictures with different code, rounding to whole pixels or not


class VisionLanguage:
    """Answers a question about a picture greedily; another picture must move the logits.

    Options, all optional: `prompt`, `new_tokens`, `image` (a picture of the artifact, in place of a
    generated one), `template` (the text with `{prompt}` and the model's picture token, for models
    without a chat template), `parameters` (exact or `{min, max}`).
    """

    type = "vision-language"
    requires = (
        ("torch", "torch"),
        ("transformers", "transformers"),
        ("PIL.Image", "pillow"),
    )

    def validate_options(self, given: ProbeOptions) -> list[Problem]:
        """Return all problems of the manifest's options."""
        return problems_of(self.type, given)

    def run(self, request: ProbeRequest, context: Context) -> None:
        """Check the files, load the model, and ask it."""
        torch = context.require("torch")
        context.stage("looking at the files")
        folder = folders.folder_of(request.files, "config.json", "a model")
        config = folders.check_config(request.files, "config.json")
        folders.check_settings(request.files, folder, context)
        folders.check_weights(request.files, folder, context)
        context.stage(f"loading {folder.name}")
        usual = "float32" if context.device() == "cpu" else "bfloat16"
        with context.timed("load_seconds"):
            processor = vision.load_processor(folder, config, context.consent())
            model, missing, unused = vision.load_language_model(
                folder, config, context.torch_dtype(usual), context.consent()
            )
        loaded.check(model, missing, unused, request.options, context)
        with context.timed("load_seconds"):
            model = model.to(context.device())
        preparation.check(preparation.settings_of(request.files), config, context)
        generation.keep_settings(request.files, context)
        kept_settings.keep(config, request.files, folder, context)
        pictures = _pictures(request, context)
        with torch.no_grad():
            _ask(model, processor, pictures, request, context)


PROBE = VisionLanguage()


def _pictures(request: ProbeRequest, context: Context) -> list[Any]:
    """Return two pictures of one size, as Pillow has them: the one asked about, and another."""
    torch = context.require("torch")
    name = request.options.get("image")
    if name is None:
        return images.as_pillow(context, images.generated(torch, 224, 224, request.seed, 2))
    if name not in request.files:
        raise ProbeError(f"image: the artifact has no file {name!r}", "see its `files`")
    first = images.read(context, request.files[name])
    other = images.generated(torch, first.shape[2], first.shape[3], request.seed)
    return images.as_pillow(context, torch.cat((first, other)))


def _text(processor: Any, request: ProbeRequest) -> str:
    prompt = request.options.get("prompt", _PROMPT)
    if "template" in request.options:
        return str(request.options["template"]).replace("{prompt}", prompt)
    if getattr(processor, "chat_template", None):
        content = [{"type": "image"}, {"type": "text", "text": prompt}]
        return str(
            processor.apply_chat_template(
                [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True
            )
        )
    token = getattr(processor, "image_token", "<image>")
    return f"USER: {token}\n{prompt} ASSISTANT:"


def _inputs(processor: Any, text: str, picture: Any, context: Context) -> Arguments:
    try:
        found = processor(text=[text], images=[picture], return_tensors="pt")
    except Exception as error:
        raise ProbeError(
            f"{type(processor).__name__} cannot make inputs of text and picture: {describe(error)}",
            "does the text hold the model's picture token? set `template`",
        ) from error
    dtype = context.torch_dtype(context.metrics["dtype"])
    return {
        key: value.to(context.device(), dtype)
        if value.is_floating_point()
        else value.to(context.device())
        for key, value in found.items()
        # Older tokenizers also tell token types, which decoders do not take.
        if hasattr(value, "to") and key != "token_type_ids"
    }


def _ask(
    model: Any, processor: Any, pictures: list[Any], request: ProbeRequest, context: Context
) -> None:
    torch = context.require("torch")
    text = _text(processor, request)
    first, other = (_inputs(processor, text, picture, context) for picture in pictures)
    context.fact("rendered prompt", text)
    context.fact("prompt tokens", first["input_ids"].tolist())
    if "pixel_values" in first:
        context.fingerprint("pixels", first["pixel_values"], _PIXELS_APART)
    context.stage("looking at pictures")
    with context.timed("infer_seconds"):
        logits = _last_logits(model, first)
    sound = bool(torch.isfinite(logits).all())
    if not context.check("logits are finite", sound, f"{len(logits):,}", "try --dtype float32"):
        return
    moved = float((_last_logits(model, other) - logits).abs().max())
    spread = float(logits.std()) or 1.0
    context.check(
        "the picture acts",
        moved > 1e-5 * spread,
        f"another picture moves the logits by {moved / spread:.2g} of their spread",
        "the picture does not reach the language model: is its projector laid out?",
    )
    _generate(model, processor, first, logits, request, context)
    context.fingerprint("logits", logits)


def _last_logits(model: Any, inputs: Arguments) -> Any:
    try:
        return model(**inputs).logits[0, -1].float().cpu()
    except Exception as error:
        if is_memory(error):
            raise
        raise ProbeError(
            f"{type(model).__name__} failed on text and picture: {describe(error)}",
            "are config.json, preprocessor_config.json and the tokenizer of one model?",
        ) from error


def _generate(
    model: Any,
    processor: Any,
    inputs: Arguments,
    logits: Any,
    request: ProbeRequest,
    context: Context,
) -> None:
    context.stage("writing")
    wanted = request.options.get("new_tokens", _NEW_TOKENS)
    # A penalty may well pass over the likeliest token.
    how = {"max_new_tokens": wanted, "do_sample": False, "num_beams": 1, "repetition_penalty": 1.0}
    decoder = getattr(processor, "tokenizer", processor)
    with context.timed("infer_seconds"):
        output = causal_lm.generate(model, decoder, **inputs, **how)
    written = output[0][inputs["input_ids"].shape[1] :]
    count = len(written)
    context.check("tokens", 0 < count <= wanted, f"{count} new tokens, {wanted} asked for")
    if count:
        agrees = float(logits[int(written[0])]) >= float(logits.max()) - 1e-2
        context.check(
            "the first token is the likeliest",
            agrees,
            ""
            if agrees
            else (f"token {int(written[0])} was written, {int(logits.argmax())} is the likeliest"),
        )
    answer = decoder.decode(written, skip_special_tokens=True)
    context.table("Answer", ("prompt", "answer"), [(_text(processor, request), answer)])
