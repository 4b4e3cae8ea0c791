"""Builds a model from a class of a project's own code, and loads a checkpoint into it strictly.

Importing a class runs the project's code: call this only for code that the user trusts.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fetcher.verify.contract.class_names import IN_FILE
from fetcher.verify.contract.context import describe
from fetcher.verify.contract.options import nearest
from fetcher.verify.loaders import LoadError, strict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from fetcher.verify.contract.foreign import Tensors


def find(class_path: str, root: Path, paths: Sequence[str] = ()) -> Callable[..., Any]:
    """Import the class (or function) that `class_path` names.

    `root` is the project's root; `paths` are folders relative to it that its modules are found in,
    by default the root itself. Raises LoadError that says what could not be found or imported.
    """
    folders = [_folder(root, name) for name in paths] or [root]
    in_file = IN_FILE.fullmatch(class_path)
    if in_file:
        file = root / in_file["file"]
        if not file.is_file():
            raise LoadError(f"{class_path}: no file {file}", "the path is relative to the root")
        # The file's own neighbours are found, as when it is run as a script.
        folders = [file.parent, *folders]
        module, name = file.stem, in_file["name"]
    else:
        file = None
        module, _, name = class_path.rpartition(".")
    added = [str(folder) for folder in folders if str(folder) not in sys.path]
    sys.path[:0] = added
    found = _from_file(class_path, module, file) if file else _import(class_path, module)
    if not file:
        _check_origin(class_path, module, folders)
    for step in name.split("."):
        if not hasattr(found, step):
            close = nearest(step, [word for word in vars(found) if not word.startswith("_")])
            meant = f"did you mean {close[0]!r}?" if close else ""
            raise LoadError(f"{class_path}: there is no {step!r} in it", meant)
        found = getattr(found, step)
    if not callable(found):
        raise LoadError(f"{class_path} is not a class: it cannot be called")
    return found  # type: ignore[no-any-return]


def construct(make: Callable[..., Any], class_path: str, args: Any = None) -> Any:
    """Call a class with a list of arguments, or a mapping of named ones, and return the model.

    Raises LoadError. What it tries to download from a hub is named, as no network is there.
    """
    positional = args if isinstance(args, list) else []
    named = args if isinstance(args, dict) else {}
    with _noticed_downloads() as urls:
        try:
            return make(*positional, **named)
        except Exception as error:
            if urls:
                raise _hidden_download(class_path, urls) from error
            raise LoadError(
                f"{class_path} could not be built: {describe(error)}",
                "are the arguments in `args` those of its constructor?"
                if isinstance(error, TypeError)
                else "",
            ) from error


def load_strictly(model: Any, tensors: Tensors, class_path: str = "the model") -> None:
    """Load a state dict; every name and every shape must be the model's. Raises LoadError."""
    if not hasattr(model, "state_dict"):
        raise LoadError(f"{class_path} made a {type(model).__name__}, not a torch module")
    wanted = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    differing = strict.differences(found, wanted)
    if differing:
        raise LoadError(differing, strict.advice(found, wanted))
    try:
        model.load_state_dict(dict(tensors), strict=True)
    except Exception as error:  # such as a module that loads in its own way
        raise LoadError(f"the checkpoint cannot be loaded: {describe(error)}") from error


def _folder(root: Path, name: str) -> Path:
    folder = root / name
    if not folder.is_dir():
        raise LoadError(f"paths: there is no folder {folder}", "it is relative to the root")
    return folder.resolve()


def _import(class_path: str, module: str) -> Any:
    return _running(class_path, module, lambda: importlib.import_module(module))


def _from_file(class_path: str, module: str, file: Path) -> Any:
    """Import one file, whatever else may have its name."""
    name = module if module not in sys.modules else f"project_{module}"
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise LoadError(f"{class_path}: {file} cannot be imported")
    loader, made = spec.loader, importlib.util.module_from_spec(spec)
    sys.modules[name] = made
    _running(class_path, module, lambda: loader.exec_module(made))
    return made


def _check_origin(class_path: str, module: str, folders: Sequence[Path]) -> None:
    """Refuse a module of Python or of a library that hides the project's of the same name."""
    top = module.partition(".")[0]
    origin = getattr(sys.modules.get(top), "__file__", None)
    for folder in folders:
        there = [folder / f"{top}.py", folder / top / "__init__.py"]
        if any(path.exists() for path in there):
            if origin is None or Path(origin).resolve() not in [p.resolve() for p in there]:
                raise LoadError(
                    f"{class_path}: {top} is {origin or 'a part of Python'}, which hides the "
                    "project's module of that name",
                    f"name the file: {class_path.rpartition('.')[0].replace('.', '/')}.py:"
                    f"{class_path.rpartition('.')[2]}",
                )
            return


def _running(class_path: str, module: str, load: Callable[[], Any]) -> Any:
    try:
        return load()
    except ModuleNotFoundError as error:
        if error.name and module.startswith(error.name):
            raise LoadError(
                f"{class_path}: no module {error.name!r} in the project",
                "name the folder that it is in, relative to the root, in `paths`",
            ) from error
        raise LoadError(
            f"{class_path}: the project's code needs {error.name!r}, which {sys.executable} lacks",
            "install the project's requirements; a module of its own is found through `paths`",
        ) from error
    except Exception as error:
        raise LoadError(f"{class_path} cannot be imported: {describe(error)}") from error


@contextmanager
def _noticed_downloads() -> Iterator[list[str]]:
    """Note what torch.hub is asked to download; the network refuses it in any case."""
    urls: list[str] = []
    try:
        hub: Any = importlib.import_module("torch.hub")
    except ImportError:
        yield urls
        return
    real = hub.download_url_to_file

    def noting(url: str, *args: Any, **named: Any) -> Any:
        urls.append(url)
        return real(url, *args, **named)

    hub.download_url_to_file = noting
    try:
        yield urls
    finally:
        hub.download_url_to_file = real


def _hidden_download(class_path: str, urls: Sequence[str]) -> LoadError:
    hub: Any = importlib.import_module("torch.hub")
    name = urls[0].rpartition("/")[2]
    return LoadError(
        f"{class_path} downloads {urls[0]} when it is built, and a probe has no network",
        f"declare {name} as an artifact and lay it out in {Path(hub.get_dir(), 'checkpoints')}, "
        "or give `args` that build without pretrained weights",
    )
