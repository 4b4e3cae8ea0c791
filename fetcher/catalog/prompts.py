"""What is done to a prompt before it is used: translated, rewritten, cut to the model's limit.

Translating and rewriting are an application's business: it registers a hook for each. A hook that
fails costs nobody a picture: the prompt is used as it was, and a note says why.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass, field

from fetcher.catalog.fallback import Runtime
from fetcher.errors import UsageError
from fetcher.i18n import t
from fetcher.project.manifest import Artifact

_log = logging.getLogger(__name__)
_HANGUL = re.compile(r"[\u1100-\u11ff\u3130-\u318f\uac00-\ud7a3]")
# A hook may go wrong in any way; what it returns is a prompt, not a book.
_LONGEST = 20_000  # characters


@dataclass(frozen=True)
class PromptContext:
    """What a hook is told: the model's id, its pipeline type, and its limit in tokens, if any.

    `openai_api_key` is the setting OPENAI_API_KEY, "" where it is not set; nothing but a hook
    reads it.
    """

    model: str
    type: str
    limit: int | None = None
    openai_api_key: str = field(default="", repr=False)


Hook = Callable[[str, PromptContext], str]


@dataclass(frozen=True)
class PreparedPrompt:
    """The prompt to use, and a note for each thing that was asked for and not done."""

    prompt: str
    notes: tuple[str, ...] = ()


@dataclass
class _Hooks:
    translator: Hook | None = None
    optimizer: Hook | None = None


_HOOKS = _Hooks()


def register_translator(hook: Hook | None) -> None:
    """Have `hook(prompt, context)` translate Korean prompts; None takes it away.

    It is called where `prompt_optimization: translate_korean: true` and the prompt has Hangul.
    """
    _HOOKS.translator = hook


def register_optimizer(hook: Hook | None) -> None:
    """Have `hook(prompt, context)` rewrite every prompt, after translating; None takes it away."""
    _HOOKS.optimizer = hook


def explain(runtime: Runtime) -> list[str]:
    """What the settings come to in this process, a line each, for people."""
    wanted = runtime.prompt_optimization
    if not wanted.enabled:
        return [t("prompts are used as they are (prompt_optimization: enabled: false)")]
    lines = []
    if wanted.translate_korean:
        lines.append(
            t(
                "Korean prompts are translated by the application's translator{which}",
                which="" if _HOOKS.translator else t("; none is registered in this process"),
            )
        )
    if _HOOKS.optimizer:
        lines.append(t("prompts are rewritten by the application's optimizer"))
    return lines


def prepare(
    prompt: str,
    artifact: Artifact,
    runtime: Runtime,
    count: Callable[[str], int] | None = None,
) -> PreparedPrompt:
    """The prompt as a model gets it; `count` tells a text's tokens (see Runtime.shortened)."""
    wanted = runtime.prompt_optimization
    if not wanted.enabled:
        return PreparedPrompt(prompt)
    context = PromptContext(
        artifact.id,
        str(artifact.info.get("type", "")),
        runtime.prompt_limit(artifact),
        runtime.openai_api_key,
    )
    notes: list[str] = []
    if wanted.translate_korean and _HANGUL.search(prompt):
        if _HOOKS.translator is None:
            notes.append(
                t(
                    "the prompt is Korean and was not translated: no translator is registered "
                    "(fetcher.models.register_translator)"
                )
            )
        else:
            prompt = _asked("translator", _HOOKS.translator, prompt, context, notes)
    if _HOOKS.optimizer is not None:
        prompt = _asked("optimizer", _HOOKS.optimizer, prompt, context, notes)
    short = runtime.shortened(prompt, artifact, count)
    if short != prompt:
        notes.append(t("the prompt was cut to {limit} tokens", limit=context.limit))
    for note in notes:
        _log.warning("%s: %s", artifact.id, note)
    return PreparedPrompt(short, tuple(notes))


def _asked(name: str, hook: Hook, prompt: str, context: PromptContext, notes: list[str]) -> str:
    try:
        found = hook(prompt, context)
        if not isinstance(found, str) or not found.strip() or len(found) > _LONGEST:
            raise UsageError(t("it returned {name}, expected a prompt", name=type(found).__name__))
    except Exception as error:  # whatever an application's code raises
        why = f"{type(error).__name__}: {error}".splitlines()[0]
        if context.openai_api_key:
            why = why.replace(context.openai_api_key, "***")
        notes.append(
            t("the {name} failed, the prompt is used without it: {why}", name=name, why=why)
        )
        return prompt
    return found
