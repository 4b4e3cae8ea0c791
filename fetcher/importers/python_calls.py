"""Calls of a Python script: those that fetch, unpack and move, and those that make texts."""

from __future__ import annotations

import ast
import posixpath
import re
import shlex
import urllib.parse
from collections.abc import Callable

from fetcher.i18n import t
from fetcher.importers import programs
from fetcher.importers.addresses import clean_address, file_name
from fetcher.importers.document_paths import (
    BASE,
    HOME,
    ROOT,
    Unreadable,
    based,
    join,
    located,
    not_told,
    split_base,
)
from fetcher.importers.hub_patterns import manifest_patterns
from fetcher.importers.programs import Call, checked_kind, checked_repo, drive_address, place_repo
from fetcher.importers.python_values import (
    Archive,
    Bytes,
    Function,
    Name,
    OpenFile,
    Options,
    PathValue,
    PythonReader,
    ScriptEnd,
)
from fetcher.importers.target_tree import FileOrigin, HubFile, RepoOrigin

Named = dict[str, object]


class Arguments:
    """The arguments of one call."""

    def __init__(self, reader: PythonReader, node: ast.Call) -> None:
        self.reader, self.node = reader, node
        self.line = reader.line(node)
        self.text = ast.unparse(node)
        self._plain = [item for item in node.args if not isinstance(item, ast.Starred)]
        self._spread = len(self._plain) != len(node.args)
        self._named = {item.arg: item.value for item in node.keywords if item.arg}
        self._extra: Named = {}
        for item in node.keywords:
            if item.arg is None:
                value = reader.value(item.value)
                if not isinstance(value, dict):
                    raise Unreadable(t("its arguments are not known"))
                self._extra |= {str(key): inner for key, inner in value.items()}

    def has(self, index: int | None, *names: str) -> bool:
        """Whether this argument was given."""
        return (index is not None and index < len(self._plain)) or any(
            name in self._named or name in self._extra for name in names
        )

    def get(self, index: int | None, *names: str) -> object:
        """An argument by place or name, None where it was not given. Raises Unreadable."""
        if self._spread:
            raise Unreadable(t("its arguments are not known"))
        for name in names:
            if name in self._named:
                return self.reader.value(self._named[name])
            if name in self._extra:
                found = self._extra[name]
                if isinstance(found, Unreadable):
                    raise found
                return found
        if index is not None and index < len(self._plain):
            return self.reader.value(self._plain[index])
        return None

    def text_of(self, index: int | None, *names: str) -> str | None:
        """A text or path. Raises Unreadable for what is none."""
        found = self.get(index, *names)
        return None if found is None else self.reader.text(found)

    def texts_of(self, *names: str) -> tuple[str, ...]:
        """A text, or a list of them."""
        found = self.get(None, *names)
        if found is None:
            return ()
        if isinstance(found, str):
            return (found,)
        return tuple(self.reader.text(item) for item in self.reader.items(found))

    def all(self) -> tuple[list[object], Named]:
        """All of them. An unknown one is handed on: the function may not need it."""
        plain: list[object] = []
        for item in self.node.args:
            if isinstance(item, ast.Starred):
                plain += self.reader.items(self.reader.value(item.value))
            else:
                plain.append(self._late(item))
        return plain, {
            **{name: self._late(item) for name, item in self._named.items()},
            **self._extra,
        }

    def _late(self, node: ast.expr) -> object:
        try:
            return self.reader.value(node)
        except Unreadable as why:
            return why


def called(reader: PythonReader, node: ast.Call) -> object:
    """What a call gives; what it does to the tree is done."""
    arguments = Arguments(reader, node)
    if isinstance(node.func, ast.Attribute):
        holder = reader.value(node.func.value)
        method = node.func.attr
        if isinstance(holder, str | list | tuple | dict):
            return _method(reader, holder, method, arguments)
        if isinstance(holder, PathValue):
            return _path_method(reader, holder, method, arguments)
        if isinstance(holder, Archive):
            return _archive_method(reader, holder, method, arguments)
        if isinstance(holder, OpenFile):
            return _file_method(reader, holder, method, arguments)
        if isinstance(holder, Bytes):
            return holder  # .read(), .iter_content(), .raise_for_status()
    function = reader.value(node.func)
    if isinstance(function, Function):
        return reader.enter(function, *arguments.all())
    if isinstance(function, Name):
        return _library(reader, function.dotted, arguments)
    raise Unreadable(t("{text} is not read", text=ast.unparse(node.func)[:80]))


def _library(reader: PythonReader, dotted: str, arguments: Arguments) -> object:
    short = dotted.rpartition(".")[2]
    found = _LIBRARY.get(dotted) or _LIBRARY.get(f"*.{short}")
    if found is not None:
        return found(reader, arguments)
    plain = _BUILT_IN.get(dotted)
    if plain is not None:
        return plain(reader, arguments)
    raise Unreadable(t("only a run can tell what {name} does", name=dotted))


def _call(reader: PythonReader, arguments: Arguments, argv: list[str]) -> None:
    programs.run(
        Call(argv, arguments.line, arguments.text, reader.cwd, optional=reader.optional),
        reader.tree,
    )


# --- fetching


def _bring(reader: PythonReader, arguments: Arguments, address: str, target: str | None) -> None:
    address = programs.web_address(address)
    origin = FileOrigin(address, arguments.line, optional=reader.optional)
    if target is None or target.endswith("/") or reader.tree.is_folder(located(reader.cwd, target)):
        folder = located(reader.cwd, target or ".")
        name = file_name(address)
        if not name:
            reader.tree.unnamed.append((folder, origin))
        else:
            reader.tree.put(join(folder, name), origin)
        return
    path = located(reader.cwd, target)
    reader.tree.put(
        path,
        FileOrigin(address, arguments.line, posixpath.basename(path), optional=reader.optional),
    )


def _needed(value: str | None) -> str:
    if value is None:
        raise Unreadable(t("its arguments are not known"))
    return value


def _urlretrieve(reader: PythonReader, arguments: Arguments) -> object:
    target = arguments.text_of(1, "filename")
    if target is None:
        raise Unreadable(t("it goes into a folder for temporary files"))
    _bring(reader, arguments, _needed(arguments.text_of(0, "url")), target)
    return (target, None)


def _wget_module(reader: PythonReader, arguments: Arguments) -> object:
    _bring(reader, arguments, _needed(arguments.text_of(0, "url")), arguments.text_of(1, "out"))
    return arguments.text_of(1, "out")


def _gdown(reader: PythonReader, arguments: Arguments) -> object:
    where = arguments.text_of(0, "url", "id")
    target = arguments.text_of(1, "output")
    path = "" if target is None else target
    argv = ["gdown", drive_address(_needed(where))]
    _call(reader, arguments, [*argv, "-O", path] if path else argv)
    return target


def _gdown_folder(reader: PythonReader, arguments: Arguments) -> object:
    where = drive_address(_needed(arguments.text_of(0, "url", "id")), folder=True)
    target = arguments.text_of(None, "output")
    _call(reader, arguments, ["gdown", "--folder", where, *(["-O", target] if target else [])])
    return target


def _torch_hub_file(reader: PythonReader, arguments: Arguments) -> object:
    _bring(
        reader,
        arguments,
        _needed(arguments.text_of(0, "url")),
        _needed(arguments.text_of(1, "dst")),
    )
    return None


def _from_url(reader: PythonReader, arguments: Arguments) -> object:
    """load_state_dict_from_url, load_file_from_url, download_url: an address and a folder."""
    folder = arguments.text_of(1, "model_dir", "root")
    if folder is None:
        raise Unreadable(t("it goes into torch's own cache"))
    name = (
        arguments.text_of(2, "file_name", "filename")
        if not arguments.has(None, "progress") or arguments.has(None, "file_name", "filename")
        else None
    )
    address = _needed(arguments.text_of(0, "url"))
    target = posixpath.join(folder, name or file_name(clean_address(address)))
    _bring(reader, arguments, address, target)
    md5 = arguments.text_of(3, "md5")
    if md5 and re.fullmatch(r"[0-9a-f]{32}", md5):
        reader.tree.state(located(reader.cwd, target), "md5", md5)
    return target


def _load_file_from_url(reader: PythonReader, arguments: Arguments) -> object:
    folder = arguments.text_of(1, "model_dir")
    if folder is None:
        raise Unreadable(t("it goes into torch's own cache"))
    address = _needed(arguments.text_of(0, "url"))
    name = arguments.text_of(3, "file_name")
    target = posixpath.join(folder, name or file_name(clean_address(address)))
    _bring(reader, arguments, address, target)
    return target


def _download_and_extract(reader: PythonReader, arguments: Arguments) -> object:
    root = _needed(arguments.text_of(1, "download_root"))
    address = _needed(arguments.text_of(0, "url"))
    into = arguments.text_of(2, "extract_root") or root
    target = posixpath.join(
        root, arguments.text_of(3, "filename") or file_name(clean_address(address))
    )
    _bring(reader, arguments, address, target)
    if not reader.tree.unpack(
        located(reader.cwd, target), located(reader.cwd, into), arguments.line
    ):
        raise Unreadable(t("unpack it by hand"))
    return None


def _modelscope(reader: PythonReader, arguments: Arguments) -> object:
    """A whole repository of ModelScope, whose function is called as the Hub's."""
    return _snapshot(reader, arguments, "modelscope")


def _snapshot(reader: PythonReader, arguments: Arguments, hub: str = "huggingface") -> object:
    origin = RepoOrigin(
        checked_repo(_needed(arguments.text_of(0, "repo_id", "model_id"))),
        arguments.line,
        checked_kind(arguments.text_of(None, "repo_type")),
        arguments.text_of(None, "revision") or "",
        files=manifest_patterns(arguments.texts_of("allow_patterns")),
        exclude=manifest_patterns(arguments.texts_of("ignore_patterns")),
        optional=reader.optional,
        hub=hub,
    )
    folder = _local_dir(arguments)
    if folder is None and hub != "huggingface":
        raise Unreadable(t("it goes into a cache of its own"))
    place_repo(reader.tree, reader.cwd, folder, origin)
    return folder if folder is not None else _cached()


def _cached() -> Unreadable:
    return Unreadable(t("it lies in the Hub's cache"))


def _local_dir(arguments: Arguments) -> str | None:
    if arguments.has(None, "cache_dir") and not arguments.has(None, "local_dir"):
        raise Unreadable(t("it goes into a cache of its own"))
    return arguments.text_of(None, "local_dir")


def _hub_file(reader: PythonReader, arguments: Arguments) -> object:
    repo = checked_repo(_needed(arguments.text_of(0, "repo_id")))
    name = _needed(arguments.text_of(1, "filename"))
    if subfolder := arguments.text_of(None, "subfolder"):
        name = posixpath.normpath(f"{subfolder.strip('/')}/{name}")
    origin = RepoOrigin(
        repo,
        arguments.line,
        checked_kind(arguments.text_of(None, "repo_type")),
        arguments.text_of(None, "revision") or "",
        files=(name,),
        optional=reader.optional,
    )
    folder = _local_dir(arguments)
    if folder is None:
        place_repo(reader.tree, reader.cwd, None, origin)
        return _cached()
    from dataclasses import replace

    reader.tree.put(
        located(reader.cwd, posixpath.join(folder, name)), HubFile(replace(origin, files=()), name)
    )
    return posixpath.join(folder, name)


def _sentence_transformer(reader: PythonReader, arguments: Arguments) -> object:
    """A name without its owner is one of the library's own."""
    where = _needed(arguments.text_of(0, "model_name_or_path", "model_name"))
    own = re.fullmatch(r"[\w.-]+", where) and not reader.tree.is_folder(located(reader.cwd, where))
    return _loaded(reader, arguments, f"sentence-transformers/{where}" if own else where)


def _from_pretrained(reader: PythonReader, arguments: Arguments) -> object:
    return _loaded(
        reader, arguments, _needed(arguments.text_of(0, "pretrained_model_name_or_path"))
    )


def _loaded(reader: PythonReader, arguments: Arguments, where: str) -> object:
    """A library's own loading of a repository, by the Hub's cache."""
    if where.startswith((ROOT, HOME, BASE, ".", "/")) or reader.tree.is_folder(
        located(reader.cwd, where)
    ):
        return None
    if arguments.has(None, "cache_dir"):
        raise Unreadable(t("it goes into a cache of its own"))
    repo = checked_repo(where)
    origin = RepoOrigin(
        repo,
        arguments.line,
        revision=arguments.text_of(None, "revision") or "",
        optional=reader.optional,
    )
    place_repo(reader.tree, reader.cwd, None, origin)
    return None


def _request(reader: PythonReader, arguments: Arguments) -> object:
    if arguments.has(None, "data", "json", "auth", "cookies"):
        raise Unreadable(t("it sends a login or a form"))
    headers = arguments.get(None, "headers") if arguments.has(None, "headers") else None
    if isinstance(headers, dict):
        programs.refuse_login([f"{key}: {value}" for key, value in headers.items()])
    brought = Bytes(clean_address(_needed(arguments.text_of(0, "url"))), arguments.line)
    reader.requests.append(brought)
    return brought


def _url_request(reader: PythonReader, arguments: Arguments) -> object:
    return _needed(arguments.text_of(0, "url"))


def _urlopen(reader: PythonReader, arguments: Arguments) -> object:
    brought = Bytes(clean_address(_needed(arguments.text_of(0, "url"))), arguments.line)
    reader.requests.append(brought)
    return brought


# --- the shell


def _system(reader: PythonReader, arguments: Arguments) -> object:
    _shell(reader, arguments, _needed(arguments.text_of(0, "command", "cmd")))
    return 0


def _shell(reader: PythonReader, arguments: Arguments, text: str) -> None:
    shell = reader.tree.languages.shell
    shell(text, reader.tree, reader.script, arguments.line, reader.cwd, reader.optional)


def _subprocess(reader: PythonReader, arguments: Arguments) -> object:
    command = arguments.get(0, "args", "cmd")
    cwd = arguments.text_of(None, "cwd")
    before = reader.cwd
    if cwd:
        reader.cwd = located(reader.cwd, cwd)
    try:
        if isinstance(command, list | tuple):
            _shell(reader, arguments, shlex.join([reader.text(item) for item in command]))
        else:
            _shell(reader, arguments, reader.text(command))
    finally:
        reader.cwd = before
    return 0


# --- files


def _open(reader: PythonReader, arguments: Arguments) -> object:
    mode = arguments.text_of(1, "mode") or "r"
    return OpenFile(_needed(arguments.text_of(0, "file")), any(c in mode for c in "wax"))


def _file_method(reader: PythonReader, file: object, method: str, arguments: Arguments) -> object:
    assert isinstance(file, OpenFile)
    if method == "write" and file.writes:
        value = arguments.get(0)
        if isinstance(value, Bytes):
            value.kept = True
            _bring(reader, arguments, value.address, file.path)
        elif isinstance(value, str):
            reader.tree.texts[located(reader.cwd, file.path)] = value
        return None
    if method in {"close", "flush", "__enter__"}:
        return None
    text = reader.tree.texts.get(located(reader.cwd, file.path))
    if text is None or method not in {"read", "readlines"}:
        raise Unreadable(t("what it reads stands in {name}", name=file.path))
    return text if method == "read" else text.splitlines(True)


def _copyfileobj(reader: PythonReader, arguments: Arguments) -> object:
    source, target = arguments.get(0), arguments.get(1)
    if not isinstance(source, Bytes) or not isinstance(target, OpenFile):
        raise Unreadable(t("what it copies is not known"))
    source.kept = True
    _bring(reader, arguments, source.address, target.path)
    return None


def _archive(reader: PythonReader, arguments: Arguments) -> object:
    return Archive(_needed(arguments.text_of(0, "file", "name")))


def _archive_method(
    reader: PythonReader, archive: object, method: str, arguments: Arguments
) -> object:
    assert isinstance(archive, Archive)
    if method == "close":
        return None
    if method not in {"extractall", "extract"} or (
        method == "extractall" and arguments.has(1, "members")
    ):
        raise Unreadable(t("unpack it by hand"))
    members = [_needed(arguments.text_of(0, "member"))] if method == "extract" else []
    folder = arguments.text_of(1 if members else 0, "path") or "."
    path = located(reader.cwd, archive.path)
    reader.tree.name_unnamed(path)
    if not reader.tree.unpack(path, located(reader.cwd, folder), arguments.line, members=members):
        raise Unreadable(t("{archive} is nothing that this file fetches", archive=archive.path))
    return None


def _unpack_archive(reader: PythonReader, arguments: Arguments) -> object:
    path = located(reader.cwd, _needed(arguments.text_of(0, "filename")))
    folder = located(reader.cwd, arguments.text_of(1, "extract_dir") or ".")
    reader.tree.name_unnamed(path)
    if not reader.tree.unpack(path, folder, arguments.line):
        raise Unreadable(t("{archive} is nothing that this file fetches", archive=path))
    return None


def _file_program(name: str) -> Callable[[PythonReader, Arguments], object]:
    def do(reader: PythonReader, arguments: Arguments) -> object:
        words = [_needed(arguments.text_of(0, "src")), _needed(arguments.text_of(1, "dst"))]
        _call(reader, arguments, [name, *words])
        return words[1]

    return do


def _remove(reader: PythonReader, arguments: Arguments) -> object:
    _call(reader, arguments, ["rm", "-r", _needed(arguments.text_of(0, "path"))])
    return None


def _makedirs(reader: PythonReader, arguments: Arguments) -> object:
    _call(reader, arguments, ["mkdir", "-p", _needed(arguments.text_of(0, "name", "path")) or "."])
    return None


def _chdir(reader: PythonReader, arguments: Arguments) -> object:
    reader.cwd = located(reader.cwd, _needed(arguments.text_of(0, "path")))
    return None


def _exists(reader: PythonReader, arguments: Arguments) -> object:
    path = arguments.text_of(0, "path") or ""
    try:
        return reader.tree.knows(located(reader.cwd, path))
    except Unreadable:
        return False


# --- texts


def _path(reader: PythonReader, arguments: Arguments) -> object:
    plain, _ = arguments.all()
    return PathValue(
        posixpath.join(*[reader.text(_known(item)) for item in plain]) if plain else "."
    )


def _known(value: object) -> object:
    if isinstance(value, Unreadable):
        raise value
    return value


def _home(reader: PythonReader, arguments: Arguments) -> object:
    return PathValue(HOME)


def _join(reader: PythonReader, arguments: Arguments) -> object:
    plain, _ = arguments.all()
    found = ""
    for item in plain:
        text = reader.text(_known(item))
        found = text if text.startswith((ROOT, HOME, BASE)) else posixpath.join(found, text)
    return found


def _absolute(reader: PythonReader, arguments: Arguments) -> object:
    path = _needed(arguments.text_of(0, "path"))
    if path.startswith((ROOT, HOME, "/")):
        return posixpath.normpath(path)
    found = located(reader.cwd, path)
    return found if found.startswith(BASE) else f"{ROOT}/{found}"


def _cwd(reader: PythonReader, arguments: Arguments) -> object:
    return f"{ROOT}/{reader.cwd}" if reader.cwd else ROOT


def _pathed(function: Callable[[str], object]) -> Callable[[PythonReader, Arguments], object]:
    return lambda reader, arguments: function(_told(_needed(arguments.text_of(0))))


def _told(text: str) -> str:
    if not_told(text) and not split_base(text)[1]:
        raise Unreadable(t("the script does not say what {name} is", name=not_told(text)))
    return text


def _answer(reader: PythonReader, arguments: Arguments) -> object:
    return based("input()")


def _expanduser(text: str) -> str:
    return HOME + text[1:] if text == "~" or text.startswith("~/") else text


def _getenv(reader: PythonReader, arguments: Arguments) -> object:
    default = arguments.get(1, "default")
    if default is None:
        return based(f"${arguments.text_of(0, 'key')}")
    reader.chosen = True
    return default


def _add_argument(reader: PythonReader, arguments: Arguments) -> object:
    names = [item for item in arguments.all()[0] if isinstance(item, str)]
    long = next((name for name in names if name.startswith("--")), names[0] if names else "")
    name = arguments.text_of(None, "dest") or long.lstrip("-").replace("-", "_")
    action = arguments.text_of(None, "action")
    if arguments.has(None, "default"):
        reader.options[name] = arguments.get(None, "default")
    elif action in {"store_true", "store_false"}:
        reader.options[name] = action == "store_false"
    elif long.startswith("-") and not arguments.has(None, "required"):
        reader.options[name] = None
    else:
        reader.options[name] = based(long or name)
    return None


def _parse_args(reader: PythonReader, arguments: Arguments) -> object:
    return Options(reader.options)


def _parser(reader: PythonReader, arguments: Arguments) -> object:
    return Name("argparse.parser")


def _range(reader: PythonReader, arguments: Arguments) -> object:
    numbers = arguments.all()[0]
    if (
        not all(isinstance(item, int) and abs(item) < 10**6 for item in numbers)
        or not 0 < len(numbers) < 4
    ):
        raise Unreadable(t("{text} is not read", text=arguments.text[:80]))
    try:
        found = range(*numbers)  # type: ignore[call-overload]
    except ValueError as error:
        raise Unreadable(t("{text} is not read", text=arguments.text[:80])) from error
    if len(found) > 100_000:
        raise Unreadable(t("{text} is not read", text=arguments.text[:80]))
    return list(found)


def _of_items(function: Callable[..., object]) -> Callable[[PythonReader, Arguments], object]:
    def do(reader: PythonReader, arguments: Arguments) -> object:
        plain = [reader.items(_known(item)) for item in arguments.all()[0]]
        return list(function(*plain))  # type: ignore[call-overload]

    return do


def _str(reader: PythonReader, arguments: Arguments) -> object:
    return reader.text(arguments.get(0))


def _len(reader: PythonReader, arguments: Arguments) -> object:
    value = arguments.get(0)
    return len(value) if isinstance(value, str | list | tuple | dict) else len(reader.items(value))


def _isinstance(reader: PythonReader, arguments: Arguments) -> object:
    value, kind = arguments.get(0), arguments.get(1)
    kinds = {"str": str, "list": list, "tuple": tuple, "dict": dict, "int": int}
    names = kind if isinstance(kind, tuple) else (kind,)
    if not all(isinstance(item, Name) and item.dotted in kinds for item in names):
        raise Unreadable(t("{text} is not read", text=arguments.text[:80]))
    return isinstance(value, tuple(kinds[item.dotted] for item in names if isinstance(item, Name)))


def _nothing(reader: PythonReader, arguments: Arguments) -> object:
    return None


def _first(reader: PythonReader, arguments: Arguments) -> object:
    """A wrapper around a list, such as tqdm."""
    return arguments.get(0, "iterable")


def _end(reader: PythonReader, arguments: Arguments) -> object:
    if not reader.optional:
        raise ScriptEnd
    return None


_METHODS = frozenset(
    [
        "replace",
        "split",
        "rsplit",
        "strip",
        "lstrip",
        "rstrip",
        "format",
        "join",
        "lower",
        "upper",
        "startswith",
        "endswith",
        "removesuffix",
        "removeprefix",
        "partition",
        "rpartition",
        "splitlines",
        "title",
        "zfill",
        "rjust",
        "ljust",
    ]
)


def _method(reader: PythonReader, holder: object, method: str, arguments: Arguments) -> object:
    plain, named = arguments.all()
    plain = [_known(item) for item in plain]
    named = {key: _known(item) for key, item in named.items()}
    if isinstance(holder, dict) and method in {"items", "keys", "values", "get", "update"}:
        if method == "get":
            return holder.get(plain[0], plain[1] if len(plain) > 1 else None) if plain else None
        if method == "update":
            holder.update(plain[0] if plain and isinstance(plain[0], dict) else named)
            return None
        return list(getattr(holder, method)())
    if isinstance(holder, list) and method in {"append", "extend"} and plain:
        if method == "append":
            holder.append(plain[0])
        else:
            holder.extend(reader.items(plain[0]))
        return None
    if isinstance(holder, str) and method not in {"strip", "rstrip"}:
        _told(holder)
    if isinstance(holder, str) and method in _METHODS:
        if method == "format":
            return _formatted(reader, holder, plain, named)
        if method == "join":
            return holder.join(reader.text(item) for item in reader.items(plain[0]))
        if method in {"zfill", "rjust", "ljust"} and not (
            plain and isinstance(plain[0], int) and plain[0] < 1000
        ):
            raise Unreadable(t("{text} is not read", text=arguments.text[:80]))
        try:
            return getattr(holder, method)(*plain)
        except (TypeError, ValueError) as error:
            raise Unreadable(t("{text} is not read", text=arguments.text[:80])) from error
    raise Unreadable(t("{text} is not read", text=arguments.text[:80]))


def _formatted(reader: PythonReader, text: str, plain: list[object], named: Named) -> str:
    if not all(
        re.fullmatch(r"\w*(:0?\d{0,3}d?)?", field) for field in re.findall(r"\{([^{}]*)\}", text)
    ):
        raise Unreadable(t("{text} is not read", text=text[:80]))
    values = [item if isinstance(item, int) else reader.text(item) for item in plain]
    others = {
        key: item if isinstance(item, int) else reader.text(item) for key, item in named.items()
    }
    try:
        return text.format(*values, **others)
    except (LookupError, ValueError) as error:
        raise Unreadable(t("{text} is not read", text=text[:80])) from error


def _path_of_path(reader: PythonReader, text: str, method: str, arguments: Arguments) -> str | None:
    """The methods of a path that give another path; None for another method."""
    if method in {"resolve", "absolute"}:
        if text.startswith((ROOT, HOME, "/")):
            return posixpath.normpath(text)
        found = located(reader.cwd, text)
        return found if found.startswith(BASE) else f"{ROOT}/{found}"
    if method == "expanduser":
        return _expanduser(text)
    if method == "joinpath":
        plain, _ = arguments.all()
        return posixpath.join(text, *[reader.text(_known(item)) for item in plain])
    if method == "with_suffix":
        return posixpath.splitext(text)[0] + _needed(arguments.text_of(0))
    if method == "with_name":
        return posixpath.join(posixpath.dirname(text), _needed(arguments.text_of(0)))
    return None


def _path_method(reader: PythonReader, path: object, method: str, arguments: Arguments) -> object:
    assert isinstance(path, PathValue)
    if method == "mkdir":
        _call(reader, arguments, ["mkdir", "-p", path.text])
        return None
    if method in {"exists", "is_file", "is_dir"}:
        try:
            return reader.tree.knows(located(reader.cwd, path.text))
        except Unreadable:
            return False
    if method in {"as_posix", "__str__"}:
        return path.text
    if (other := _path_of_path(reader, path.text, method, arguments)) is not None:
        return PathValue(other)
    if method == "open":
        return OpenFile(path.text, any(c in (arguments.text_of(0, "mode") or "r") for c in "wax"))
    if method in {"write_bytes", "write_text"}:
        return _file_method(reader, OpenFile(path.text, True), "write", arguments)
    if method in {"unlink", "rmdir"}:
        _call(reader, arguments, ["rm", "-f", path.text])
        return None
    if method in {"rename", "replace"}:
        target = _needed(arguments.text_of(0, "target"))
        _call(reader, arguments, ["mv", path.text, target])
        return PathValue(target)
    raise Unreadable(t("{text} is not read", text=arguments.text[:80]))


_LIBRARY: dict[str, Callable[[PythonReader, Arguments], object]] = {
    "*.urlretrieve": _urlretrieve,
    "wget.download": _wget_module,
    "gdown.download": _gdown,
    "gdown.cached_download": _gdown,
    "gdown.download_folder": _gdown_folder,
    "*.snapshot_download": _snapshot,
    **dict.fromkeys(
        (
            "modelscope.snapshot_download",
            "modelscope.hub.snapshot_download.snapshot_download",
            "modelscope.hub.api.snapshot_download",
        ),
        _modelscope,
    ),
    "*.hf_hub_download": _hub_file,
    "*.download_url_to_file": _torch_hub_file,
    "*.load_state_dict_from_url": _load_file_from_url,
    "*.load_file_from_url": _load_file_from_url,
    "torchvision.datasets.utils.download_url": _from_url,
    "*.download_and_extract_archive": _download_and_extract,
    "*.from_pretrained": _from_pretrained,
    "sentence_transformers.SentenceTransformer": _sentence_transformer,
    "sentence_transformers.CrossEncoder": _sentence_transformer,
    "requests.get": _request,
    "httpx.get": _request,
    "httpx.stream": _request,
    "*.urlopen": _urlopen,
    "urllib.request.Request": _url_request,
    "os.system": _system,
    "os.popen": _system,
    "subprocess.run": _subprocess,
    "subprocess.call": _subprocess,
    "subprocess.check_call": _subprocess,
    "subprocess.check_output": _subprocess,
    "subprocess.Popen": _subprocess,
    "zipfile.ZipFile": _archive,
    "tarfile.open": _archive,
    "tarfile.TarFile.open": _archive,
    "shutil.unpack_archive": _unpack_archive,
    "shutil.move": _file_program("mv"),
    "os.rename": _file_program("mv"),
    "os.replace": _file_program("mv"),
    "shutil.copy": _file_program("cp"),
    "shutil.copy2": _file_program("cp"),
    "shutil.copyfile": _file_program("cp"),
    "shutil.copytree": _file_program("cp"),
    "shutil.copyfileobj": _copyfileobj,
    "os.symlink": _file_program("ln"),
    "os.remove": _remove,
    "os.unlink": _remove,
    "shutil.rmtree": _remove,
    "os.makedirs": _makedirs,
    "os.mkdir": _makedirs,
    "os.chdir": _chdir,
}

_LIBRARY |= {"*.add_argument": _add_argument, "*.parse_args": _parse_args}
_BUILT_IN: dict[str, Callable[[PythonReader, Arguments], object]] = {
    "open": _open,
    "print": _nothing,
    "print_function": _nothing,
    "len": _len,
    "str": _str,
    "range": _range,
    "list": _of_items(lambda *lists: lists[0] if lists else []),
    "tuple": _of_items(lambda *lists: lists[0] if lists else []),
    "sorted": _of_items(lambda *lists: sorted(lists[0], key=str)),
    "zip": _of_items(zip),
    "enumerate": _of_items(enumerate),
    "isinstance": _isinstance,
    "argparse.ArgumentParser": _parser,
    "dict": lambda reader, arguments: dict(arguments.all()[1]),
    "input": _answer,
    "exit": _end,
    "sys.exit": _end,
    "quit": _end,
    "tqdm.tqdm": _first,
    "tqdm": _first,
    "tqdm.auto.tqdm": _first,
    "pathlib.Path": _path,
    "Path": _path,
    "pathlib.PurePosixPath": _path,
    "pathlib.Path.home": _home,
    "pathlib.Path.cwd": lambda reader, arguments: _path_of(_cwd(reader, arguments)),
    "os.path.join": _join,
    "os.path.exists": _exists,
    "os.path.isfile": _exists,
    "os.path.isdir": _exists,
    "os.path.abspath": _absolute,
    "os.path.realpath": _absolute,
    "os.path.normpath": _pathed(posixpath.normpath),
    "os.path.dirname": _pathed(posixpath.dirname),
    "os.path.basename": _pathed(posixpath.basename),
    "os.path.splitext": _pathed(posixpath.splitext),
    "os.path.expanduser": _pathed(_expanduser),
    "os.fspath": _str,
    "os.getcwd": _cwd,
    "os.getenv": _getenv,
    "os.environ.get": _getenv,
    "urllib.parse.quote": _pathed(urllib.parse.quote),
    "urllib.parse.unquote": _pathed(urllib.parse.unquote),
    "urllib.parse.urljoin": lambda reader, arguments: urllib.parse.urljoin(
        _needed(arguments.text_of(0)), _needed(arguments.text_of(1))
    ),
    "time.sleep": _nothing,
    "os.chmod": _nothing,
}


def _path_of(text: object) -> object:
    return PathValue(str(text))
