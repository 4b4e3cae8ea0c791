"""Looks at a downloaded model's configurations before a library reads them.

What they name is data of strangers, and libraries act on it: they import classes, run files of the
folder, follow paths out of it. Nothing but what `config_rules` lists gets through without the
person's own word. Reads JSON alone, and imports no library.
"""

from __future__ import annotations

import importlib.util
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from fetcher.verify.contract.consent import NO_CONSENT, CodeConsent
from fetcher.verify.contract.probe_errors import ProbeError
from fetcher.verify.contract.regular import NotRegularError, read_regular
from fetcher.verify.weights import config_rules

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    BuiltIn = Callable[[str], bool]

_LIMIT = 64 * 1024 * 1024  # bytes: larger JSON is no configuration
_DEPTH = 64  # of tables in tables
_FOLDERS = 2  # below the model's own, besides those that it names
_SHOWN = 80  # characters of a value
_INDEX = "model_index.json"
_MODULES = "modules.json"
_ADAPTER = "adapter_config.json"
# Large, and read by libraries that run nothing of it.
_PASSED_OVER = frozenset({"tokenizer.json", "vocab.json", "added_tokens.json", "merges.json"})
# Libraries open these without saying how they are encoded: they may read them in either.
_ENCODINGS = ("utf-8-sig", "utf-16", "utf-32", "latin-1")


class Named(NamedTuple):
    """What a configuration names and may not: `file` is relative to the model's folder."""

    file: str
    key: str
    value: Any
    why: str


def refuse_code(
    folder: Path,
    consent: CodeConsent = NO_CONSENT,
    *,
    adapter: bool = False,
    built_in: BuiltIn | None = None,
) -> None:
    """Raise ProbeError if a model's configurations name what runs code, or lead out of its folder.

    With the person's consent everything passes. An `adapter` is put on a base that is loaded
    already, so that what it says of one is not followed. `built_in` says whether the library has a
    `model_type` itself, where it is told to run no code of the repository: `auto_map` then does
    nothing.
    """
    if consent.given:
        return
    found = next(named_code(folder, adapter=adapter, built_in=built_in), None)
    if found is None:
        return
    shown = json.dumps(found.value, ensure_ascii=True, default=str)
    shown = shown if len(shown) <= _SHOWN else shown[: _SHOWN - 1] + "…"
    raise ProbeError(
        f"refused: {found.file}: {found.key} is {shown}: {found.why}",
        f"nothing of it was run; take a model that the library has built in; {consent.how}",
    )


def named_code(
    folder: Path, *, adapter: bool = False, built_in: BuiltIn | None = None
) -> Iterator[Named]:
    """Yield what a model's configurations name and may not, in the order of the files."""
    seen: set[Path] = set()
    for path in _configurations(folder, seen):
        name = path.relative_to(folder).as_posix()
        for content in _contents(path):
            if content is _UNREADABLE:
                yield Named(name, "its size", path.stat().st_size, "no configuration is like that")
                continue
            for key, value, why in _entries(content, ""):
                yield Named(name, key, value, why)
            yield from _of_file(path, name, content, adapter, built_in)


def _configurations(folder: Path, seen: set[Path]) -> Iterator[Path]:
    """Yield the JSON files of a folder and of those a little below, each once."""
    start = len(folder.parts)
    for place, folders, files in os.walk(folder, followlinks=True):  # libraries follow them
        below = Path(place)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        if len(below.parts) - start >= _FOLDERS:
            folders[:] = []
        for name in sorted(files):
            path = below / name
            if name.endswith(".json") and name not in _PASSED_OVER and path not in seen:
                seen.add(path)
                yield path
                if name in (_MODULES, _INDEX, "router_config.json"):
                    yield from _declared(path, folder, seen)


def _declared(path: Path, folder: Path, seen: set[Path]) -> Iterator[Path]:
    """Yield the configurations in the folders that a file names, however deep they lie."""
    for content in _contents(path):
        tables = content if isinstance(content, list) else [content]
        for table in filter(lambda one: isinstance(one, dict), tables):
            named = [table.get("path"), *(table.get("types") or ())]
            for name in named:
                place = path.parent / name if isinstance(name, str) and name else None
                if place and not config_rules.place(name) and len(place.parts) > len(folder.parts):
                    yield from _configurations(place, seen)


_UNREADABLE = object()


def _contents(path: Path) -> Iterator[Any]:
    """Yield what a JSON file may be read as; nothing if no library can read it either."""
    try:
        raw = read_regular(path, _LIMIT)
    except NotRegularError:  # a device has no end, and a FIFO no beginning
        yield _UNREADABLE
        return
    except OSError:
        return
    texts: list[str] = []
    for encoding in _ENCODINGS:
        try:
            text = raw.decode(encoding)
        except ValueError:
            continue
        if text not in texts:
            texts.append(text)
    for text in texts:
        try:
            yield json.loads(text)
        except RecursionError:
            yield _UNREADABLE
        except ValueError:
            continue


def _entries(content: Any, within: str, depth: int = 0) -> Iterator[tuple[str, Any, str]]:
    """Yield key, value and reason of what a rule refuses, in tables within tables as well."""
    if depth > _DEPTH:
        yield within, "…", "it is nested deeper than any configuration"
    elif isinstance(content, dict):
        for key, value in content.items():
            name = f"{within}.{key}" if within else str(key)
            why = config_rules.refusal(str(key), value)
            if why:
                yield name, value, why
            elif key not in config_rules.TABLES:
                yield from _entries(value, name, depth + 1)
    elif isinstance(content, list):
        for number, value in enumerate(content):
            if isinstance(value, (dict, list)):
                yield from _entries(value, f"{within}[{number}]", depth + 1)


def _of_file(
    path: Path, name: str, content: Any, adapter: bool, built_in: BuiltIn | None
) -> Iterator[Named]:
    """Yield what is wrong by the kind of file that it is."""
    if path.name == _MODULES and isinstance(content, list):
        yield from _modules(name, content)
    for table in _tables(content):
        auto_map = table.get("auto_map")
        if auto_map and not _is_built_in(path.parent, table, built_in, adapter):
            yield Named(name, "auto_map", auto_map, config_rules.OWN_CODE)
    if not isinstance(content, dict):
        return
    if path.name == _INDEX:
        yield from _parts(path, name, content)
    if path.name == "router_config.json" or {"types", "structure"} <= content.keys():
        why = config_rules.router_refusal(content.get("types"))
        if why:
            yield Named(name, "types", content.get("types"), why)
    if path.name == _ADAPTER:
        beside = path.name == name or (path.parent / "config.json").exists()
        yield from _adapter(name, content, followed=beside and not adapter)


def _tables(content: Any, depth: int = 0) -> Iterator[dict[str, Any]]:
    """Yield every table of a configuration; those too deep are refused for that alone."""
    if isinstance(content, dict):
        yield content
    elif not isinstance(content, list):
        return
    for value in content.values() if isinstance(content, dict) else content:
        if isinstance(value, (dict, list)) and depth < _DEPTH:
            yield from _tables(value, depth + 1)


def _modules(name: str, content: Iterable[Any]) -> Iterator[Named]:
    for number, module in enumerate(content):
        if isinstance(module, dict):
            for key, rule in (
                ("type", config_rules.module_refusal),
                ("path", config_rules.place),
            ):
                if why := rule(module.get(key)):
                    yield Named(name, f"[{number}].{key}", module.get(key), why)


def _parts(path: Path, name: str, content: dict[str, Any]) -> Iterator[Named]:
    """Yield what is wrong with a pipeline's index: its class, and what its parts are made of."""
    # diffusers before 0.36 takes a file of this name for a pipeline that it is to run.
    if (path.parent / "None.py").exists():
        yield Named("None.py", "its name", "None.py", config_rules.OWN_CODE)
    pipeline = content.get("_class_name")
    if pipeline is not None and not isinstance(pipeline, str):
        yield Named(name, "_class_name", pipeline, config_rules.OWN_CODE)
    for part, made_of in content.items():
        if part.startswith("_") or not _is_pair(made_of):
            continue
        why = config_rules.part_refusal(made_of) or config_rules.place(part)
        library = str(made_of[0]) if made_of else ""
        # A file of the part that is called like its library goes before the library.
        own = path.parent / part / f"{library}.py"
        if not why and library and (own.exists() or not _is_in_diffusers(library)):
            why = config_rules.OWN_CODE
        if why:
            yield Named(name, part, made_of, why)


def _is_pair(value: Any) -> bool:
    """Tell whether diffusers takes it for a library and a class: a text of two letters as well."""
    return isinstance(value, list) or (isinstance(value, str) and len(value) == 2)


def _is_in_diffusers(library: str) -> bool:
    if library in config_rules.LIBRARIES or library == "None":
        return True
    try:
        return importlib.util.find_spec(f"diffusers.pipelines.{library}") is not None
    except (ImportError, ValueError):
        return False


def _adapter(name: str, content: dict[str, Any], followed: bool) -> Iterator[Named]:
    """Yield what leads elsewhere; `followed`: transformers loads the base that it names."""
    base = content.get("base_model_name_or_path")
    if base and followed:
        yield Named(name, "base_model_name_or_path", base, config_rules.ELSEWHERE)
    others = content.get("adapters")
    for one in others.values() if isinstance(others, dict) else ():
        if why := config_rules.place(one):
            yield Named(name, "adapters", one, why)


def _is_built_in(
    folder: Path, content: dict[str, Any], built_in: BuiltIn | None, adapter: bool
) -> bool:
    """Tell whether the library has the model that a folder holds; an adapter's is loaded already,
    and says no more of its kind.
    """
    kind = content.get("model_type")
    if kind is None:
        beside = next(_contents(folder / "config.json"), None)
        kind = beside.get("model_type") if isinstance(beside, dict) else None
        if beside is None and adapter:
            return built_in is not None
    return built_in is not None and isinstance(kind, str) and built_in(kind)
