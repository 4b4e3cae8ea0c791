"""Messages that know their template and values, and gettext's catalogs that translate them.

    t("{host}: no answer in time", host=host)           a Message: a str, in English
    n("{count} file", "{count} files", count)           one with a plural
    join(messages)                                      several with a separator between them
    translated(message, "ko")                           the same in Korean
    local(message), echo(message)                       in the language of this process

A message must reach its reader whole: f-strings and `+` make plain text of it.
"""

from fetcher.i18n.catalogs import (
    LANGUAGES,
    current,
    echo,
    echo_lines,
    harmless,
    local,
    localized,
    revived,
    translated,
    unknown,
)
from fetcher.i18n.message import Message, join, n, parts_of, t

__all__ = [
    "LANGUAGES",
    "Message",
    "current",
    "echo",
    "echo_lines",
    "harmless",
    "join",
    "local",
    "localized",
    "n",
    "parts_of",
    "revived",
    "t",
    "translated",
    "unknown",
]
