"""What a chat model is asked for, and what it answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fetcher.errors import UsageError

_NEW_TOKENS = 512


@dataclass(frozen=True)
class ChatReply:
    """What a chat model answered; `str()` of it is the text.

    `finish_reason` is `stop` (the model or a stop text ended it) or `length`.
    """

    content: str
    finish_reason: str = "stop"
    input_tokens: int = 0
    output_tokens: int = 0
    seconds: float = 0.0

    def __str__(self) -> str:
        return self.content


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
            raise UsageError(f"max_new_tokens is {self.max_new_tokens!r}, expected 1 or more")
        if self.temperature is not None and not 0 <= self.temperature <= 100:
            raise UsageError(f"temperature is {self.temperature!r}, expected 0 or more")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise UsageError(f"top_p is {self.top_p!r}, expected more than 0 and at most 1")
