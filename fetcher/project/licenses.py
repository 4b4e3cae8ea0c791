"""Licences of artifacts: what a text means as an SPDX expression, and when two say the same.

The texts are somebody else's. One that is no expression counts as the name of one licence; what
says nothing ("other", "unknown") is no licence.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from fetcher.project.spellings import license_name

if TYPE_CHECKING:
    from license_expression import Licensing

MAX_TEXT = 2000  # of what is read as an expression
MAX_LICENSES = 40  # in one expression

# Licence ids of the Hub that SPDX writes otherwise, by their lower-case form.
_SPDX = {
    name.lower(): name
    for name in (
        *("Apache-2.0", "MIT", "BSD-2-Clause", "BSD-3-Clause", "BSD-3-Clause-Clear", "BSL-1.0"),
        *("GPL-2.0", "GPL-3.0", "AGPL-3.0", "LGPL-2.1", "LGPL-3.0", "MPL-2.0", "EPL-1.0"),
        *("EPL-2.0", "EUPL-1.1", "EUPL-1.2", "ECL-2.0", "AFL-3.0", "OSL-3.0", "MS-PL", "ISC"),
        *("Artistic-2.0", "WTFPL", "Unlicense", "Zlib", "NCSA", "PostgreSQL", "OFL-1.1"),
        *("LPPL-1.3c", "CC0-1.0", "CDLA-Sharing-1.0", "CDLA-Permissive-1.0"),
        *("CDLA-Permissive-2.0", "C-UDA-1.0", "ODbL-1.0", "ODC-By-1.0", "PDDL-1.0"),
        *("etalab-2.0",),
    )
} | {"c-uda": "C-UDA-1.0", "odbl": "ODbL-1.0", "odc-by": "ODC-By-1.0", "pddl": "PDDL-1.0"}
_NAMES = {
    "openrail++": "CreativeML Open RAIL++-M",
    "creativeml-openrail-m": "CreativeML OpenRAIL-M",
    "bigscience-openrail-m": "BigScience OpenRAIL-M",
    "bigcode-openrail-m": "BigCode OpenRAIL-M",
    "gemma": "Gemma",
    "llama2": "Llama-2",
    "llama3": "Llama-3",
    "llama3.1": "Llama-3.1",
    "llama3.2": "Llama-3.2",
    "llama3.3": "Llama-3.3",
    "llama4": "Llama-4",
}
_HUB_IDS = {name.lower(): short for short, name in _NAMES.items()}
_NOTHING = frozenset({"other", "unknown", "unspecified", "noassertion", "none", "n-a", "tbd"})
_WORDS = re.compile(r"[^a-z0-9.+]+")


def license_of_hub(short: str) -> str:
    """A licence id of the Hub as manifests write it: by SPDX where that has one."""
    low = short.lower()
    if low.startswith("cc-"):
        return short.upper()
    return _SPDX.get(low) or _NAMES.get(low, short)


@dataclass(frozen=True)
class License:
    """One licence by its name; `exception` is what stands behind WITH. `spdx`: SPDX lists it."""

    name: str
    spdx: bool = False
    exception: str = ""

    def __str__(self) -> str:
        return f"{self.name} WITH {self.exception}" if self.exception else self.name

    @property
    def known(self) -> bool:
        """Whether it says anything: `other` does not."""
        return folded(self.name) not in _NOTHING

    @property
    def names(self) -> frozenset[str]:
        """All that it is called, folded, without what stands behind WITH."""
        short = _HUB_IDS.get(self.name.lower(), self.name)
        found = {self.name, short, license_of_hub(short), license_name(short)}
        return frozenset(map(folded, found))


@dataclass(frozen=True)
class Several:
    """Licences that count together: all of them (`AND`), or one's choice of them (`OR`)."""

    operator: str
    parts: tuple[Expression, ...]

    def __str__(self) -> str:
        texts = (f"({one})" if isinstance(one, Several) else str(one) for one in self.parts)
        return f" {self.operator} ".join(texts)


Expression = License | Several


def each(expression: Expression) -> Iterator[License]:
    """Every licence of an expression."""
    if isinstance(expression, License):
        yield expression
        return
    for part in expression.parts:
        yield from each(part)


def is_spdx(expression: Expression) -> bool:
    """Whether the text of an expression is one that SPDX tools read: ids, and LicenseRef-…"""
    return all(one.spdx or one.name.startswith("LicenseRef-") for one in each(expression))


def folded(text: str) -> str:
    """A name in lower case, its words with hyphens."""
    return _WORDS.sub("-", text.lower()).strip("-")


def squashed(text: str) -> str:
    """A name without what people write differently."""
    return folded(text).replace("-", "")


@lru_cache(maxsize=1)
def _licensing() -> Licensing:
    from license_expression import get_spdx_licensing

    return get_spdx_licensing()


@lru_cache(maxsize=512)
def parse(text: str) -> Expression:
    """What a text means; SPDX ids are written as SPDX does, `GPL-2.0` as `GPL-2.0-only`."""
    text = text.strip()
    if len(text) > MAX_TEXT:
        return License(text[:MAX_TEXT])
    named = license_name(license_of_hub(text))
    try:
        tree = _licensing().parse(named)
    except Exception:  # whatever a stranger's text makes the package raise
        return License(named)
    if tree is None:
        return License("unspecified")
    symbols = [str(symbol.key) for symbol in _licensing().license_symbols(tree)]
    # A name such as `Research and Education only` is no expression.
    worded = any(" " in key and key not in _licensing().known_symbols for key in symbols)
    if len(symbols) > MAX_LICENSES or (len(symbols) > 1 and worded):
        return License(named)
    return _read(tree)


def _read(tree: object) -> Expression:
    from license_expression import AND, OR, LicenseSymbol, LicenseWithExceptionSymbol

    if isinstance(tree, AND | OR):
        return Several("AND" if isinstance(tree, AND) else "OR", tuple(map(_read, tree.args)))
    if isinstance(tree, LicenseWithExceptionSymbol):
        base = _read(tree.license_symbol)
        assert isinstance(base, License)
        return License(base.name, base.spdx, str(tree.exception_symbol.key))
    assert isinstance(tree, LicenseSymbol)
    key = str(tree.key)
    if key not in _licensing().known_symbols:
        key = license_name(license_of_hub(key))
    known = _licensing().known_symbols.get(key)
    listed = known is not None and not known.is_exception and not key.startswith("LicenseRef-")
    return License(key, listed)


def same(one: str, other: str) -> bool:
    """Whether two texts mean the same licences, in whatever order and spelling."""
    return _canonical(parse(one)) == _canonical(parse(other))


def agree(ours: str, theirs: str) -> bool:
    """Whether what is stated here may stand for what is offered there: the same, or its choice."""
    offered = parse(theirs)
    choices = offered.parts if isinstance(offered, Several) and offered.operator == "OR" else ()
    mine = _canonical(parse(ours))
    return mine == _canonical(offered) or mine in map(_canonical, choices)


def says_something(text: str) -> bool:
    """Whether a text names any licence."""
    return bool(text.strip()) and any(one.known for one in each(parse(text)))


def _canonical(expression: Expression) -> object:
    if isinstance(expression, License):
        return min(map(squashed, expression.names)), expression.exception.lower()
    parts: set[object] = set()
    for one in map(_canonical, expression.parts):
        inner = isinstance(one, tuple) and one[0] == expression.operator
        parts |= one[1] if inner else {one}  # type: ignore[index]
    return next(iter(parts)) if len(parts) == 1 else (expression.operator, frozenset(parts))
