"""Translations from gettext's catalogs, loaded when another language than English is wanted."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TextIO

from fetcher.i18n.message import Message

if TYPE_CHECKING:
    from gettext import NullTranslations

LANGUAGES = ("en", "ko")
FOLDER = os.path.join(os.path.dirname(__file__), "locale")  # pathlib costs start-up time
DOMAIN = "fetcher"
# Controls but tab and newline, and what turns the order of letters.
_STEERS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


@lru_cache
def _catalog(language: str) -> NullTranslations:
    import gettext

    return gettext.translation(DOMAIN, FOLDER, [language], fallback=True)


def translated(text: str, language: str) -> str:
    """A message in a language, values that are messages included.

    A plain text is looked up as it stands. What no catalog knows stays English.
    """
    if language == "en" or not text:
        return str.__str__(text)
    catalog = _catalog(language)
    if not isinstance(text, Message):
        return catalog.gettext(text)
    if text.plural:
        count = text.values["count"]
        assert isinstance(count, int)
        template = catalog.ngettext(text.template, text.plural, count)
    else:
        template = catalog.gettext(text.template)
    if not text.values:
        return template
    return template.format(**_said(text.values, language))


def _said(values: Mapping[str, object], language: str) -> dict[str, object]:
    return {
        name: translated(value, language) if isinstance(value, Message) else value
        for name, value in values.items()
    }


def localized(value: object, language: str) -> Any:
    """JSON types with every message in them in a language."""
    if language == "en":
        return value
    if isinstance(value, Message):
        return translated(value, language)
    if isinstance(value, Mapping):
        return {key: localized(item, language) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [localized(item, language) for item in value]
    return value


def revived(found: Mapping[str, object], text: str) -> str:
    """The message that `parts_of` took apart, if it is one of ours that comes to `text`.

    Others stay plain: a template from a file could ask for anything.
    """
    template, values = found.get("template"), found.get("values")
    plural = found.get("plural", "")
    if not (isinstance(template, str) and isinstance(plural, str) and isinstance(values, Mapping)):
        return text
    catalog = _catalog(LANGUAGES[1])
    if catalog.gettext(template) == template:
        return text
    if plural and catalog.ngettext(template, plural, 2) == plural:
        return text
    try:
        made = Message(template, plural, {str(k): _revived(v) for k, v in values.items()})
    except (LookupError, ValueError, TypeError, AttributeError):
        return text
    return made if made == text else text


def _revived(value: object) -> object:
    if isinstance(value, Mapping):
        return revived(value, str(value.get("text", "")))
    return value if isinstance(value, str | int | float | None) else str(value)


def _code(name: str) -> str:
    """`ko` of a locale's name such as `ko_KR.UTF-8`; "" for one that is not spoken here."""
    code = name.replace("-", "_").partition("_")[0].partition(".")[0].partition("@")[0].lower()
    return code if code in LANGUAGES else ""


def wanted(environment: Mapping[str, str]) -> str:
    """The language that the variables ask for.

    FETCH_LANG decides; else it is as gettext has it: LC_ALL, LC_MESSAGES, LANG, the first that is
    set, and the list LANGUAGE before them unless they say C.
    """
    if own := environment.get("FETCH_LANG", "").strip():
        return _code(own) or "en"
    names = ("LC_ALL", "LC_MESSAGES", "LANG")
    locale = next((environment[name] for name in names if environment.get(name)), "")
    if locale in {"C", "POSIX"}:
        return "en"
    listed = (_code(name) for name in environment.get("LANGUAGE", "").split(":"))
    return next(filter(None, listed), "") or _code(locale) or "en"


def unknown(environment: Mapping[str, str]) -> str:
    """What FETCH_LANG asks for, if it is no language that is spoken here; else ""."""
    own = environment.get("FETCH_LANG", "").strip()
    return "" if not own or _code(own) or own in {"C", "POSIX"} else own


def current() -> str:
    """The language of this process; English where its output cannot show another."""
    language = wanted(os.environ)
    return language if language == "en" or _shows_korean(sys.stderr) else "en"


def _shows_korean(stream: TextIO | None) -> bool:
    try:
        "가".encode(getattr(stream, "encoding", None) or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def local(text: str) -> str:
    """A message in the language of this process; a plain text is somebody's data, and stays."""
    return translated(text, current()) if isinstance(text, Message) else text


def harmless(text: str) -> str:
    """Names and answers of others are in it: signs that steer a terminal are shown instead."""
    if text.isprintable():
        return text
    return _STEERS.sub(_spelled, text)


def _spelled(sign: re.Match[str]) -> str:
    code = ord(sign[0])
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"


def echo(
    *texts: str,
    file: TextIO | None = None,
    sep: str = " ",
    end: str = "\n",
    flush: bool = False,
) -> None:
    """Print messages in the language of this process; what is in them commands no terminal."""
    print(*map(harmless, map(local, texts)), file=file, sep=sep, end=end, flush=flush)


def echo_lines(texts: Iterable[str], file: TextIO | None = None) -> None:
    """The same, each on its own line; there may be many, and the language is asked for once."""
    language = current()
    for text in texts:
        said = translated(text, language) if isinstance(text, Message) else text
        print(harmless(said), file=file)
