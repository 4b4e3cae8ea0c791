"""How a causal language model writes a reply: prompt, sampling, stop texts, pieces."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fetcher.errors import UsageError
from fetcher.i18n import t
from fetcher.models.chat_messages import Message, prompt_of
from fetcher.models.reply_stream import Tell
from fetcher.verify.loaders import causal_lm
from fetcher.verify.loaders.causal_lm import CausalLM

if TYPE_CHECKING:
    from fetcher.models.reply import Generation


@dataclass(frozen=True)
class Written:
    """A reply with its counts of tokens."""

    text: str
    finish_reason: str
    input_tokens: int
    output_tokens: int


def write(
    loaded: CausalLM,
    messages: Sequence[Message],
    generation: Generation,
    told: Tell | None,
    halted: Callable[[], bool],
) -> Written:
    """Write a reply. `told` gets each piece and says whether to go on, `halted` whether to end.

    Raises UsageError if the messages leave no room.
    """
    import torch

    prompt, templated = prompt_of(loaded.tokenizer, messages, generation.template)
    inputs = causal_lm.inputs_of(loaded.tokenizer, loaded.model, prompt, not templated)
    count = int(inputs["input_ids"].shape[1])
    if not count:
        raise UsageError(t("the messages are empty"))
    budget = min(generation.max_new_tokens, _room(loaded, count))
    stops = tuple(text for text in generation.stop if text)
    watch = _Watch(loaded.tokenizer, count, stops, told, halted)
    if generation.seed is not None:
        torch.manual_seed(generation.seed)
    ids = causal_lm.continue_ids(
        loaded, inputs, budget, stopping_criteria=[watch], **_sampling(generation)
    )
    text, stopped = cut(loaded.tokenizer.decode(ids, skip_special_tokens=True), stops)
    watch.finish(text)
    ended = stopped or (bool(ids) and ids[-1] in _ends(loaded))
    reason = "stop" if ended or len(ids) < budget else "length"
    return Written(text, reason, count, len(ids))


def _room(loaded: CausalLM, count: int) -> int:
    limit = getattr(loaded.model.config, "max_position_embeddings", None)
    if not isinstance(limit, int) or limit <= 0:
        return 2**31
    if count >= limit:
        raise UsageError(
            t(
                "the messages are {count:,} tokens long, and the model reads {limit:,}",
                count=count,
                limit=limit,
            ),
            t("shorten them, or leave older ones out"),
        )
    return limit - count


def _ends(loaded: CausalLM) -> set[int]:
    found = loaded.model.generation_config.eos_token_id
    ends = {loaded.tokenizer.eos_token_id}
    ends |= set(found) if isinstance(found, (list, tuple)) else {found}
    return {end for end in ends if end is not None}


def _sampling(generation: Generation) -> dict[str, Any]:
    if generation.temperature == 0:
        return dict(causal_lm.GREEDY)
    asked = {
        "temperature": generation.temperature,
        "top_p": generation.top_p,
        "top_k": generation.top_k,
    }
    given = {name: value for name, value in asked.items() if value is not None}
    return {"do_sample": True, **given} if given else {}


def cut(text: str, stops: Sequence[str]) -> tuple[str, bool]:
    """The text before the first stop text, and whether there was one."""
    places = [place for stop in stops if (place := text.find(stop)) >= 0]
    return (text[: min(places)], True) if places else (text, False)


class _Watch:
    """Called by transformers after each token: tells pieces, and ends a reply early."""

    def __init__(
        self,
        tokenizer: Any,
        start: int,
        stops: tuple[str, ...],
        told: Tell | None,
        halted: Callable[[], bool],
    ) -> None:
        self._tokenizer, self._start = tokenizer, start
        self._stops, self._told, self._halted = stops, told, halted
        self._sent = ""
        self._held = max((len(stop) for stop in stops), default=1) - 1

    def __call__(self, ids: Any, scores: Any, **_: Any) -> Any:
        import torch

        end = self._halted()
        if self._told is not None or self._stops:
            text = self._tokenizer.decode(ids[0][self._start :], skip_special_tokens=True)
            text, stopped = cut(text, self._stops)
            end = end or stopped
            if self._told is not None:
                # Half a character, or what may become a stop text, is held back.
                safe = text if stopped else text[: len(text) - self._held].rstrip("�")
                end = not self._tell(safe) or end
        return torch.full((ids.shape[0],), end, dtype=torch.bool, device=ids.device)

    def finish(self, text: str) -> None:
        """Tell what was held back."""
        if self._told is not None:
            self._tell(text)

    def _tell(self, text: str) -> bool:
        assert self._told is not None
        if not text.startswith(self._sent):  # a tokenizer that changes what it said before
            return self._told("")
        piece, self._sent = text[len(self._sent) :], text
        return self._told(piece)
