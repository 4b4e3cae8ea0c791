"""What a chat model is asked for, and what it answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fetcher.errors import UsageError
from fetcher.i18n import t
from fetcher.models.model_errors import ModelError

_NEW_TOKENS = 512


class ChatReply(str):
    """What a chat model answered: a text, which knows how it came about.

    `finish_reason` is `stop` (the model or a stop text ended it) or `length`; counts are of tokens.
    """

    __slots__ = ("finish_reason", "input_tokens", "output_tokens", "seconds")

    finish_reason: str
    input_tokens: int
    output_tokens: int
    seconds: float

    def __new__(
        cls,
        content: str,
        finish_reason: str = "stop",
        input_tokens: int = 0,
        output_tokens: int = 0,
        seconds: float = 0.0,
    ) -> ChatReply:
        """Make a reply."""
        made = super().__new__(cls, content)
        made.finish_reason = finish_reason
        made.input_tokens, made.output_tokens = input_tokens, output_tokens
        made.seconds = seconds
        return made

    @property
    def content(self) -> str:
        """The text."""
        return str(self)

    def __getnewargs__(self) -> tuple[Any, ...]:
        """What a copy is made of."""
        how = (self.finish_reason, self.input_tokens, self.output_tokens, self.seconds)
        return str(self), *how


def reply_of(answer: Any, who: str) -> ChatReply:
    """The reply that a class's own invoke returned: a text, a ChatReply, or a message of LangChain.

    Raises ModelError for anything else; `who` is told as what returned it.
    """
    if isinstance(answer, ChatReply):
        return answer
    if isinstance(answer, str):
        return ChatReply(answer)
    content = getattr(answer, "content", None)
    if isinstance(content, list):  # LangChain's parts
        parts = [part if isinstance(part, str) else part.get("text", "") for part in content]
        content = "".join(parts)
    if not isinstance(content, str):
        raise ModelError(
            t("{who} returned a {kind}, which is no reply", who=who, kind=type(answer).__name__),
            t("return the text, a fetcher.models.ChatReply, or a message of LangChain"),
        )
    usage = getattr(answer, "usage_metadata", None) or {}
    return ChatReply(
        content,
        input_tokens=int(usage.get("input_tokens", 0)),
        output_tokens=int(usage.get("output_tokens", 0)),
    )


@dataclass(frozen=True)
class Generation:
    """How a reply is written.

    Without `temperature`, `top_p` and `top_k` the model's own generation_config.json decides;
    `temperature` 0 is greedy. `stop` are texts that end the reply and are not part of it. `seed`
    makes sampling repeatable. `template` goes to the chat template, such as
    `{"enable_thinking": False}`.
    """

    max_new_tokens: int = _NEW_TOKENS
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop: Sequence[str] = ()
    seed: int | None = None
    template: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if isinstance(self.stop, str):
            object.__setattr__(self, "stop", (self.stop,))
        if not isinstance(self.max_new_tokens, int) or self.max_new_tokens < 1:
            raise UsageError(
                t(
                    "max_new_tokens is {max_new_tokens!r}, expected 1 or more",
                    max_new_tokens=self.max_new_tokens,
                )
            )
        if self.temperature is not None and not 0 <= self.temperature <= 100:
            raise UsageError(
                t(
                    "temperature is {temperature!r}, expected 0 or more",
                    temperature=self.temperature,
                )
            )
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise UsageError(
                t("top_p is {top_p!r}, expected more than 0 and at most 1", top_p=self.top_p)
            )

    @classmethod
    def of(cls, how: Mapping[str, Any]) -> Generation:
        """The options of a call. Raises UsageError for one that is none."""
        unknown = sorted(set(how) - set(cls.__dataclass_fields__))
        if unknown:
            known = ", ".join(cls.__dataclass_fields__)
            raise UsageError(
                t("{unknown!r} is no option of a reply", unknown=unknown[0]),
                t("there are {known}", known=known),
            )
        return cls(**how)
