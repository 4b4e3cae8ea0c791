"""What a tokenizer's chat template makes of a message."""

from __future__ import annotations

from typing import Any, NamedTuple

from fetcher.verify.loaders import first_line

_DAY = "01 Jan 2025"  # many templates write the day of today
_TODAY = "strftime_now"  # which some ask for


class Rendered(NamedTuple):
    """The text that a template wrote, or why there is none.

    `refused`: the template itself says that it takes no such conversation. `dated`: the text is
    another one every day.
    """

    text: str = ""
    error: str = ""
    refused: bool = False
    dated: bool = False


def render(tokenizer: Any, message: str) -> Rendered | None:
    """Return what the chat template makes of a user's message; None if there is no template.

    Raises ImportError if jinja2, which templates need, is not installed or too old.
    """
    template = getattr(tokenizer, "chat_template", None)
    if not template:
        return None
    if isinstance(template, dict) and "default" not in template:
        return Rendered(error=f"it has none called default, only {', '.join(sorted(template))}")
    dated = _TODAY in str(template)
    plain = _attempt(tokenizer, message)
    if plain.refused or (not plain.error and message.strip() in plain.text):
        return plain._replace(dated=dated)
    # Templates of models that also see pictures may want a list of parts.
    parts = _attempt(tokenizer, [{"type": "text", "text": message}])
    return plain if parts.error else parts._replace(dated=dated)


def _attempt(tokenizer: Any, content: Any) -> Rendered:
    from jinja2.exceptions import TemplateError, TemplateSyntaxError, UndefinedError

    try:
        text = tokenizer.apply_chat_template(
            [{"role": "user", "content": content}],
            tokenize=False,
            add_generation_prompt=True,
            date_string=_DAY,
        )
    except ImportError:
        raise
    except (TemplateSyntaxError, UndefinedError) as error:
        return Rendered(error=first_line(error))
    except TemplateError as error:  # what `raise_exception` of the template itself raises
        own = type(error) is TemplateError
        return Rendered(error=first_line(error), refused=own)
    except Exception as error:
        return Rendered(error=first_line(error))
    return Rendered(text=str(text))
