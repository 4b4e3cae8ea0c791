"""The `transformers` probe: a model for any task of transformers answers to a synthetic input.

What each option means is in `TransformersTask`.
"""

from __future__ import annotations

import inspect
import math
from typing import TYPE_CHECKING, Any

from fetcher.verify.contract.built_in_probes import problems_of
from fetcher.verify.contract.context import describe
from fetcher.verify.contract.probe_errors import ProbeError
from fetcher.verify.loaders import causal_lm, is_memory, loaded, tasks, vision
from fetcher.verify.pictures import images, preparation
from fetcher.verify.probes import generation, task_knowledge
from fetcher.verify.weights import folders, kept_settings

if TYPE_CHECKING:
    from pathlib import Path

    from fetcher.verify.contract.context import Context
    from fetcher.verify.contract.foreign import Arguments, ModelConfig, ProbeOptions, Tensors
    from fetcher.verify.contract.protocol import ProbeRequest, Problem

_TEXT = "Mary lives in Berlin and works for a large bank."
_OTHERS = ("The film was terribly boring.", "Where does she work?")
_LABELS = ("a photo of a cat", "a red car on a street")
_SECONDS = 2  # of sound
_FEW = 16  # numbers
_MOVES = 1e-5  # of an answer's spread
_PIXELS_APART = 0.03  # releases scale pictures with different code, rounding to whole pixels or not
# What models answer with, of which all that are there are compared.
_ANSWERS = (
    *("logits", "start_logits", "end_logits", "pred_boxes", "predicted_depth"),
    *("class_queries_logits", "masks_queries_logits", "logits_per_image", "spectrogram"),
    *("waveform", "last_hidden_state"),
)


class TransformersTask:
    """Loads a model by its task's Auto class and has it answer to two inputs.

    Options, all optional: `task` (a pipeline's name; default: by config.json's architectures),
    `text` (an input, in a language of the model), `image` (a picture of the artifact, in place of a
    generated one), `known` (false: do not ask what a trained model knows), `parameters` (exact or
    `{min, max}`).
    """

    type = "transformers"
    requires = (("torch", "torch"), ("transformers", "transformers"))

    def validate_options(self, given: ProbeOptions) -> list[Problem]:
        """Return all problems of the manifest's options."""
        return problems_of(self.type, given)

    def run(self, request: ProbeRequest, context: Context) -> None:
        """Check the files, load the model, and compare what it answers."""
        torch = context.require("torch")
        context.stage("looking at the files")
        folder = folders.folder_of(request.files, "config.json", "a model")
        config = folders.check_config(request.files, "config.json")
        folders.check_settings(request.files, folder, context)
        folders.check_weights(request.files, folder, context)
        task = request.options.get("task") or tasks.task_of(config)
        context.metrics["task"] = task
        context.stage(f"loading {folder.name}")
        with context.timed("load_seconds"):
            model, missing, unused = tasks.load(
                folder, task, config, context.torch_dtype(), context.consent()
            )
        if task.endswith("feature-extraction"):
            missing = vision.without_random_pooler(model, missing)
        loaded.check(model, missing, unused, request.options, context)
        with context.timed("load_seconds"):
            model = model.to(context.device())
        _check_labels(config, context)
        generation.keep_settings(request.files, context)
        kept_settings.keep(config, request.files, folder, context)
        with torch.no_grad():
            _Trial(task, folder, config, model, request, context).run()


PROBE = TransformersTask()


def _check_labels(config: ModelConfig, context: Context) -> None:
    """Keep the names of the labels, and check that both tables of them say the same."""
    names, numbers = config.get("id2label"), config.get("label2id")
    if not isinstance(names, dict):
        return
    context.fact("labels", names)
    if not isinstance(numbers, dict):
        return
    # Two labels of one name cannot both be found by it.
    wrong = [
        f"{name} is {number} there and {names.get(str(number))!r} here"
        for name, number in numbers.items()
        if names.get(str(number)) != name
    ]
    context.check(
        "labels",
        not wrong,
        f"config.json: label2id and id2label differ: {'; '.join(wrong[:3])}"
        if wrong
        else f"{len(names)}",
        "config.json was changed by hand, or is of another model",
    )


class _Trial:
    """One model, its inputs, and what is told of them."""

    def __init__(
        self,
        task: str,
        folder: Path,
        config: ModelConfig,
        model: Any,
        request: ProbeRequest,
        context: Context,
    ) -> None:
        self.task, self.takes = task, tasks.TASKS[task].takes
        self.folder, self.config, self.model = folder, config, model
        self.request, self.context = request, context
        self.tokenizer: Any = None

    def run(self) -> None:
        """Compare answers to an input, to the same again, and to another one."""
        context = self.context
        first, other = self._inputs()
        if "input_ids" in first:
            context.fact("tokens", first["input_ids"].tolist())
        context.stage("answering")
        with context.timed("infer_seconds"):
            answer, others = self._answer(first), self._answer(other)
        for name, values in answer.items():
            if not context.fingerprint(name, _with(values, others[name])):
                return
        self._check_answers(answer, self._answer(first), others)
        if tasks.TASKS[self.task].labels:
            self._check_head(answer["logits"])
        if self.request.options.get("known", True):
            self._check_knowledge()

    def _inputs(self) -> tuple[Arguments, Arguments]:
        """Return two inputs of a kind."""
        if self.takes == tasks.SOUND:
            return self._sounds()
        if self.takes in (tasks.PICTURE, tasks.BOTH):
            return self._pictures()
        self.tokenizer = causal_lm.load_tokenizer(self.folder, self.context.consent())
        text = self.request.options.get("text", _TEXT)
        if self.takes == tasks.PAIR:
            return self._tokens([text], [_OTHERS[1]]), self._tokens([text], [_OTHERS[0]])
        if self.task == "fill-mask" and self.tokenizer.mask_token:
            text = f"{text} {self.tokenizer.mask_token}"
        return self._tokens([text]), self._tokens([_OTHERS[0]])

    def _tokens(self, *texts: list[str], **how: Any) -> Arguments:
        encoded = self.tokenizer(*texts, return_tensors="pt", **how)
        highest = int(encoded["input_ids"].max())
        vectors = _word_vectors(self.model)
        if vectors is not None and highest >= len(vectors):
            raise ProbeError(
                f"the tokenizer does not fit the model: it gives token {highest}, and there are "
                f"{len(vectors):,} embeddings",
                "tokenizer and model are of different models",
            )
        if vectors is not None and bool((vectors[: highest + 1] == vectors[0]).all()):
            raise ProbeError("every word has the same vector", "the weights are damaged")
        # Tokenizers also tell token types, which not every model takes.
        taken = inspect.signature(self.model.forward).parameters
        return self._moved({key: value for key, value in encoded.items() if key in taken})

    def _moved(self, inputs: Arguments) -> Arguments:
        dtype = next(self.model.parameters()).dtype
        return {
            key: value.to(self.model.device, dtype if value.is_floating_point() else value.dtype)
            for key, value in inputs.items()
            if hasattr(value, "to")
        }

    def _pictures(self) -> tuple[Arguments, Arguments]:
        context, torch = self.context, self.context.require("torch")
        settings = preparation.settings_of(self.request.files)
        preparation.check(settings, self.config, context)
        name = self.request.options.get("image")
        if name is not None and name not in self.request.files:
            raise ProbeError(f"image: the artifact has no file {name!r}", "see its `files`")
        pictures = images.generated(torch, 240, 320, self.request.seed, 2)
        shown = [pictures[n : n + 1] for n in range(2)]
        if name is not None:
            shown[0] = images.read(context, self.request.files[name])
        prepared = [vision.prepared_by(self.folder, self.config, one, context) for one in shown]
        context.fingerprint("pixels", prepared[0]["pixel_values"], _PIXELS_APART)
        words: Arguments = {}
        if self.takes == tasks.BOTH:
            self.tokenizer = causal_lm.load_tokenizer(self.folder, context.consent())
            words = self._tokens(list(_LABELS), **vision.padding_of(self.model))
        first, other = ({**words, **self._moved(one)} for one in prepared)
        return first, other

    def _sounds(self) -> tuple[Arguments, Arguments]:
        torch = self.context.require("torch")
        processor = tasks.load_sound_processor(self.folder, self.context.consent())
        rate = int(getattr(processor, "sampling_rate", 16_000))
        times = torch.arange(_SECONDS * rate) / rate
        source = torch.Generator().manual_seed(self.request.seed)
        found = []
        for pitch in (140.0, 310.0):  # hertz
            tones = [torch.sin(2 * math.pi * pitch * n * times) / n for n in range(1, 6)]
            noise = 0.02 * torch.randn(len(times), generator=source)
            beat = 0.6 + 0.4 * torch.sin(2 * math.pi * 3 * times)
            wave = (0.2 * beat * torch.stack(tones).sum(0) + noise).numpy()
            try:
                made = processor(wave, sampling_rate=rate, return_tensors="pt")
            except Exception as error:
                raise ProbeError(f"{type(processor).__name__} failed: {describe(error)}") from error
            found.append(self._moved(dict(made)))
        self.context.fingerprint("sound as prepared", next(iter(found[0].values())))
        return found[0], found[1]

    def _answer(self, inputs: Arguments) -> Tensors:
        """Return what the model answers, float32 on the CPU, by name."""
        torch = self.context.require("torch")
        torch.manual_seed(self.request.seed)
        try:
            answer = self.model(**inputs, **self._more(torch))
        except Exception as error:
            if is_memory(error):
                raise
            raise ProbeError(
                f"{type(self.model).__name__} failed on a {self.takes}: {describe(error)}",
                "do config.json and the files of the tokenizer or processor belong together?",
            ) from error
        # Encoders that have one vector a text, as DPR's, answer with nothing else.
        for names in (_ANSWERS, ("pooler_output",)):
            found = {
                name: getattr(answer, name).float().cpu()
                for name in names
                if isinstance(getattr(answer, name, None), torch.Tensor)
            }
            if found:
                return found
        raise ProbeError(
            f"{type(self.model).__name__} has none of {', '.join(_ANSWERS)}",
            "is the `task` the model's own?",
        )

    def _more(self, torch: Any) -> Arguments:
        """Return what a model is given besides its input: the begin of what it is to write."""
        config = self.model.config
        if hasattr(self.model, "noise_scale"):  # VITS draws lengths and voices at random
            self.model.noise_scale = self.model.noise_scale_duration = 0.0
        if hasattr(config, "num_mel_bins") and self.task.startswith("text-to-"):
            device, dtype = self.model.device, next(self.model.parameters()).dtype
            shapes = {
                "decoder_input_values": (1, 4, config.num_mel_bins),
                "speaker_embeddings": (1, getattr(config, "speaker_embedding_dim", 512)),
            }
            return {key: torch.zeros(s, device=device, dtype=dtype) for key, s in shapes.items()}
        if not getattr(config, "is_encoder_decoder", False) or self.takes in (
            tasks.PICTURE,
            tasks.BOTH,
        ):
            return {}
        if tasks.TASKS[self.task].labels or self.task == "question-answering":
            return {}
        if "decoder_input_ids" not in inspect.signature(self.model.forward).parameters:
            return {}  # the first half of one
        start = config.decoder_start_token_id
        start = config.bos_token_id if start is None else start
        return {"decoder_input_ids": torch.full((1, 1), start or 0, device=self.model.device)}

    def _check_answers(self, answer: Tensors, again: Tensors, other: Tensors) -> None:
        still = max(_apart(answer[name], again[name]) for name in answer)
        self.context.check(
            "repeatable",
            still <= (0 if self.context.device() == "cpu" else 1e-2),
            f"the same input moves the answer by {still:.2g} of its spread",
        )
        moved = max(_apart(answer[name], other[name]) for name in answer)
        self.context.check(
            "the input acts",
            moved > _MOVES,
            f"another {self.takes} moves the answer by {moved:.2g} of its spread",
            "every input gets the same answer: the weights do nothing",
        )
        shapes = [[name, str(list(values.shape))] for name, values in answer.items()]
        self.context.table("Answer", ("name", "shape"), shapes)

    def _check_head(self, logits: Any) -> None:
        names = self.config.get("id2label")
        if not isinstance(names, dict):
            return
        count = int(logits.shape[-1])
        lacking = [str(n) for n in range(count) if str(n) not in names]
        self.context.check(
            "a number for each label",
            count == len(names) and not lacking,
            f"{count} numbers, {len(names)} labels in config.json"
            + (f", which has no {', '.join(lacking[:3])}" if lacking else ""),
            "config.json is of another model",
        )

    def _check_knowledge(self) -> None:
        torch, context = self.context.require("torch"), self.context
        if self.task == "fill-mask":
            found = task_knowledge.blanks(torch, self.model, self.tokenizer)
        elif self.task == "text-ranking":
            found = task_knowledge.answers(self.model, self.tokenizer, context)
        elif tasks.TASKS[self.task].takes == tasks.TEXTS:
            found = task_knowledge.repeated(self.model, self.tokenizer)
        else:
            return
        name = "it knows what a trained model knows"
        hint = (
            "the weights are untrained or of another tokenizer, or the model is of a language or a "
            "domain of its own: `known: false` does not ask"
        )
        if found.known is None:
            context.warn(name, f"not asked: {found.detail}")
        else:
            context.check(name, found.known, found.detail, hint)


def _word_vectors(model: Any) -> Any | None:
    """Return the vector of each token, shape (tokens, width); None if the model does not say."""
    part = getattr(model, "text_model", model)
    try:
        return part.get_input_embeddings().weight
    except (AttributeError, NotImplementedError, TypeError):
        return None


def _with(answer: Any, other: Any) -> Any:
    """Return an answer, of few numbers with the other one: a single number has no spread."""
    if answer.numel() >= _FEW or answer.shape != other.shape:
        return answer
    return answer.new_tensor([answer.tolist(), other.tolist()])


def _apart(one: Any, other: Any) -> float:
    """Return the largest difference as a share of the spread, in the part that both have."""
    common = tuple(slice(min(sizes)) for sizes in zip(one.shape, other.shape))
    one, other = one[common], other[common]
    spread = float(one.std()) if one.numel() > 1 else float(one.abs().max())
    return float((one - other).abs().max()) / (spread or 1.0)
