"""Messages as people and libraries write them, brought to one form; and as a model reads them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

from fetcher.errors import UsageError
from fetcher.i18n import t


class _Required(TypedDict):
    role: str
    content: str


class Message(_Required, total=False):
    """One message, as chat templates read it: `role` is one of system, user, assistant, tool."""

    name: str
    tool_calls: Any
    tool_call_id: str


# LangChain's types, and other names of the same.
_ROLES = {"human": "user", "ai": "assistant", "developer": "system", "bot": "assistant"}
_KNOWN = ("system", "user", "assistant", "tool")
_EXPECTED = t("a text, (role, text), {'role': …, 'content': …} or a LangChain message")


def normalised(messages: Any) -> list[Message]:
    """A list of mappings with `role` and `content`. Raises UsageError for anything else."""
    if hasattr(messages, "to_messages"):  # a prompt of LangChain
        messages = messages.to_messages()
    if isinstance(messages, (str, Mapping)) or hasattr(messages, "content"):
        messages = [messages]
    if not isinstance(messages, Sequence) or isinstance(messages, (bytes, bytearray)):
        raise UsageError(
            t("messages are a {kind}", kind=type(messages).__name__),
            t("expected {expected}", expected=_EXPECTED),
        )
    found = [_message(one) for one in messages]
    if not found:
        raise UsageError(t("there are no messages"), t("expected {expected}", expected=_EXPECTED))
    return found


def _message(one: Any) -> Message:
    more: Any = {}
    role: Any
    content: Any
    if isinstance(one, str):
        role, content = "user", one
    elif isinstance(one, Mapping):
        role, content = one.get("role"), one.get("content")
        more = {key: one[key] for key in Message.__optional_keys__ if one.get(key)}
    elif isinstance(one, tuple) and len(one) == 2:
        role, content = one
    elif hasattr(one, "content") and (hasattr(one, "role") or hasattr(one, "type")):
        role, content = getattr(one, "role", None) or one.type, one.content
    else:
        raise UsageError(
            t("a message is a {kind}", kind=type(one).__name__),
            t("expected {expected}", expected=_EXPECTED),
        )
    role = _ROLES.get(str(role).lower(), str(role).lower())
    if role not in _KNOWN:
        raise UsageError(
            t("a message has the role {role!r}", role=role),
            t("there are {known}", known=", ".join(_KNOWN)),
        )
    message: Message = {"role": role, "content": _text(content)}
    message.update(more)
    return message


def _text(content: Any) -> str:
    """A message's text, of several parts too; pictures are refused rather than dropped."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if not isinstance(content, Sequence):
        raise UsageError(
            t("a message's content is a {kind}, expected text", kind=type(content).__name__)
        )
    parts = []
    for part in content:
        text = part if isinstance(part, str) else None
        if isinstance(part, Mapping) and part.get("type", "text") == "text":
            text = part.get("text")
        if not isinstance(text, str):
            kind = part.get("type") if isinstance(part, Mapping) else type(part).__name__
            raise UsageError(
                t("a message has a part of type {kind!r}", kind=kind),
                t("this model reads text only"),
            )
        parts.append(text)
    return "".join(parts)


def prompt_of(
    tokenizer: Any, messages: Sequence[Message], template: Mapping[str, Any]
) -> tuple[str, bool]:
    """The text that a model continues, and whether its chat template wrote it.

    A template that knows no system messages gets them in front of the first user's. A model without
    template reads a single message as it is, several as a transcript.
    """
    if not getattr(tokenizer, "chat_template", None):
        return _transcript(messages), False
    given = {"tokenize": False, "add_generation_prompt": True, **template}
    try:
        return tokenizer.apply_chat_template(list(messages), **given), True
    except Exception:
        merged = _without_system(messages)
        if merged == list(messages):
            raise
        return tokenizer.apply_chat_template(merged, **given), True


def text_of(tokenizer: Any, messages: Sequence[Message]) -> str:
    """What `prompt_of` says, for a tokenizer that is then called with the text alone: without the
    token for a text's beginning, where the tokenizer puts one there by itself.
    """
    text, templated = prompt_of(tokenizer, messages, {})
    first = getattr(tokenizer, "bos_token", None)
    if templated and first and text.startswith(first):
        ids = tokenizer("")["input_ids"]
        if list(ids)[:1] == [tokenizer.bos_token_id]:
            return text[len(first) :]
    return text


def _transcript(messages: Sequence[Message]) -> str:
    if len(messages) == 1:
        return str(messages[0]["content"])
    lines = [f"{one['role'].capitalize()}: {one['content']}" for one in messages]
    return "\n".join([*lines, "Assistant:"])


def _without_system(messages: Sequence[Message]) -> list[Message]:
    told = "\n\n".join(one["content"] for one in messages if one["role"] == "system")
    rest = [one.copy() for one in messages if one["role"] != "system"]
    first = next((one for one in rest if one["role"] == "user"), None)
    if not told or first is None:
        return list(messages)
    first["content"] = f"{told}\n\n{first['content']}"
    return rest
