"""Whether a class can be imported: tried in a child process of the project's interpreter.

The class's module is somebody's code; it is never imported into this process. A library's class is
the library's, whatever file of the project has its name: only what no library has is looked up in
the project, whose modules then come first, as in its own scripts.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fetcher.fs.private_files import scratch_folder
from fetcher.i18n import t
from fetcher.project.spellings import METHODS
from fetcher.verify.host import child_process
from fetcher.verify.host.environment import child_environment, interpreter

_SECONDS = 120

_CODE = """
import importlib, json, os, sys
path, methods, root = sys.argv[1], sys.argv[2].split(","), sys.argv[3]
sys.path[:] = filter(None, sys.path)
out = os.fdopen(os.dup(1), "w"); os.dup2(2, 1)
def found():
    parts = path.replace(":", ".").split(".")
    error = None
    for width in range(len(parts) - 1, 0, -1):
        name = ".".join(parts[:width])
        try:
            thing = importlib.import_module(name)
        except ModuleNotFoundError as wrong:
            if wrong.name is None or not (name + ".").startswith(wrong.name + "."):
                raise
            error = wrong
            continue
        for part in parts[width:]:
            if not hasattr(thing, part):
                raise AttributeError("module %s has no %s" % (name, ".".join(parts[width:])))
            thing = getattr(thing, part)
        return thing
    raise error or ImportError("a module and a class are needed, such as package.module.Class")
def found_in_project():
    for name in [name for name in sys.modules if name not in before]:
        if name.split(".")[0] == top:
            del sys.modules[name]
    os.chdir(root)
    sys.path[:0] = [*sys.argv[4:], root]
    return found()
before, top = set(sys.modules), path.replace(":", ".").split(".")[0]
try:
    try:
        thing = found()
    except Exception:
        thing = found_in_project()
    if not isinstance(thing, type):
        raise TypeError("%s is a %s, not a class" % (path, type(thing).__name__))
    bases = [base.__module__.split(".")[0] for base in thing.__mro__]
    answer = {"ok": True, "methods": [m for m in methods if callable(getattr(thing, m, None))],
              "bases": bases}
except BaseException as wrong:
    answer = {"ok": False, "error": "%s: %s" % (type(wrong).__name__, wrong),
              "missing": isinstance(wrong, ModuleNotFoundError)}
json.dump(answer, out); out.close()
"""


@dataclass(frozen=True)
class ImportCheck:
    """What the child found: `error` in words, or the interface and framework of the class.

    `missing` tells an error that a module is not there from one of the class itself.
    """

    python: str
    error: str = ""
    interface: tuple[str, ...] = ()
    framework: str = ""
    missing: bool = False


def check(
    class_path: str, root: Path, python: str | None = None, folders: Sequence[Path] = ()
) -> ImportCheck:
    """Import a class under the project's interpreter, in the project's folder.

    Its modules are looked up in `folders` first, where no library has the class.
    """
    chosen = interpreter(python)
    with scratch_folder() as scratch:
        environment = child_environment(Path(scratch), 0, None)
        command = [chosen, "-c", _CODE, class_path, ",".join(METHODS), str(root.absolute())]
        command += [str(folder.absolute()) for folder in folders]
        try:
            done = child_process.run(command, timeout=_SECONDS, environ=environment)
        except TimeoutError:
            return ImportCheck(
                chosen, t("importing it takes longer than {seconds} s", seconds=_SECONDS)
            )
        except OSError as error:
            return ImportCheck(
                chosen,
                t("{chosen} cannot be started: {strerror}", chosen=chosen, strerror=error.strerror),
            )
    try:
        answer = json.loads(done.out)
    except ValueError:
        last = (done.err.strip().splitlines() or [t("exit code {code}", code=done.status)])[-1]
        return ImportCheck(chosen, t("the import ended the process: {last}", last=last[:200]))
    if not answer.get("ok"):
        missing = answer.get("missing") is True
        return ImportCheck(chosen, str(answer.get("error"))[:300], missing=missing)
    bases = set(answer["bases"])
    framework = next(
        (name for name, top in (("pytorch", "torch"), ("tensorflow", "keras"), ("jax", "flax"))
         if top in bases),
        "",
    )  # fmt: skip
    return ImportCheck(chosen, "", tuple(answer["methods"]), framework)
