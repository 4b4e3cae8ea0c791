"""fetch.golden.json: what probes found once, to be compared with what they find later.

Committed beside fetch.lock. Per artifact, probe and number type there are a few numbers of each
output, one line an output, and what was read, so that a diff is readable.
"""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fetcher.config.boundaries import of_project, own_file
from fetcher.errors import DocumentProblem, InvalidDocument, newer_hint
from fetcher.i18n import t
from fetcher.verify.contract import json_text
from fetcher.verify.contract.exhibits import Fingerprint
from fetcher.verify.contract.options import GENERAL
from fetcher.verify.contract.regular import read_regular_text

if TYPE_CHECKING:
    from fetcher.verify.contract.foreign import ProbeOptions

NAME = "fetch.golden.json"
SCHEMA = "fetch.golden/2"
_READABLE = (SCHEMA, "fetch.golden/1")  # the first had neither sketches nor facts
_LIMIT = 64 * 1024 * 1024  # bytes

# Of an artifact by its full name, a probe's type and the number type.
Key = tuple[str, str, str]


@dataclass
class GoldenEntry:
    """What one probe gave: fingerprints of outputs, facts, and a digest of the probe's options."""

    options: str
    prints: dict[str, Fingerprint] = field(default_factory=dict)
    facts: dict[str, str] = field(default_factory=dict)


def fingerprint_options(options: ProbeOptions) -> str:
    """A short digest of those options that change what a probe finds."""
    plain = {name: value for name, value in options.items() if name not in GENERAL}
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:12]


def read(root: Path, into: Sequence[str] = ()) -> dict[Key, GoldenEntry]:
    """Everything stored in a project; empty if there is no file. Raises InvalidDocument.

    `into` is what names the tree that is looked at to commands.
    """
    path = own_file(root, NAME)
    try:
        text = read_regular_text(path, _LIMIT)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise _invalid(
            into, t("cannot be read: {strerror}", strerror=error.strerror or error)
        ) from None
    except ValueError:
        raise _invalid(into, t("it is not UTF-8")) from None
    try:
        plain = json_text.loads(text)
        found = plain.get("schema") if isinstance(plain, dict) else None
        if hint := newer_hint(found, SCHEMA):
            what = t(
                "it has schema {found}, this version reads {schema}", found=found, schema=SCHEMA
            )
            raise InvalidDocument([DocumentProblem(NAME, 1, 1, what, hint)])
        return _decode(plain)
    except json.JSONDecodeError as error:
        what = t("it is not JSON: {reason}", reason=error.msg)
        if "<<<<<<<" in text:
            what = t("a merge left it with conflict marks")
        raise _invalid(into, what, error.lineno, error.colno) from None
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise _invalid(into, t("it is not what fetch writes: {error}", error=error)) from None


def write(root: Path, entries: Mapping[Key, GoldenEntry]) -> None:
    """Write all entries, sorted. Raises OSError."""
    tree: dict[str, dict[str, dict[str, GoldenEntry]]] = {}
    for (artifact, probe, dtype), entry in sorted(entries.items()):
        tree.setdefault(artifact, {}).setdefault(probe, {})[dtype] = entry
    lines = ["{", f' "schema": "{SCHEMA}",', ' "probes": {']
    for artifact, probes in tree.items():
        lines.append(f"  {json.dumps(artifact)}: {{")
        for probe, dtypes in probes.items():
            lines.append(f"   {json.dumps(probe)}: {{")
            for dtype, entry in dtypes.items():
                lines.append(f"    {json.dumps(dtype)}: {{")
                lines.append(f'     "options": {json.dumps(entry.options)},')
                lines.append('     "outputs": {')
                lines += [
                    _closed(f"      {json.dumps(name)}: {_line(one)}", name, entry.prints)
                    for name, one in entry.prints.items()
                ]
                lines.append("     }," if entry.facts else "     }")
                if entry.facts:
                    lines += ['     "facts": {', *_facts(entry.facts), "     }"]
                lines.append(_closed("    }", dtype, dtypes))
            lines.append(_closed("   }", probe, probes))
        lines.append(_closed("  }", artifact, tree))
    of_project(root).write(NAME, ("\n".join([*lines, " }", "}"]) + "\n").encode())


def _facts(facts: Mapping[str, str]) -> list[str]:
    return [
        _closed(f"      {json.dumps(name)}: {json.dumps(value)}", name, facts)
        for name, value in facts.items()
    ]


def _closed(text: str, name: str, among: Mapping[str, object]) -> str:
    return text if name == list(among)[-1] else text + ","


def _line(one: Fingerprint) -> str:
    left_out = ("name", "tolerance")
    return json.dumps({k: v for k, v in one.to_json().items() if k not in left_out})


def _decode(plain: Any) -> dict[Key, GoldenEntry]:
    if plain["schema"] not in _READABLE:
        raise ValueError(f"schema {plain['schema']!r} is not {SCHEMA!r}")
    entries: dict[Key, GoldenEntry] = {}
    for artifact, probes in plain["probes"].items():
        for probe, dtypes in probes.items():
            for dtype, found in dtypes.items():
                prints = {
                    name: Fingerprint.from_json({**one, "name": name})
                    for name, one in found["outputs"].items()
                }
                facts = {name: str(one) for name, one in found.get("facts", {}).items()}
                entries[artifact, probe, dtype] = GoldenEntry(str(found["options"]), prints, facts)
    return entries


def _invalid(into: Sequence[str], what: str, line: int = 1, column: int = 1) -> InvalidDocument:
    anew = shlex.join(["fetch", "verify", "--update-golden", *into])
    hint = t("mend it, or remove it and run `{command}`", command=anew)
    return InvalidDocument([DocumentProblem(NAME, line, column, what, hint)])
