"""Opens the weight files that it is given as probes do, and tells what ran.

Started with a folder: each `N.json` there has the manifest's word for `N.pt`. Writes `told.json`:
for each file how it ended, and every event that loading plain data has no business with.
"""

import importlib
import json
import sys
from pathlib import Path

from fetcher.verify.contract.context import Context
from fetcher.verify.contract.probe_errors import ProbeError
from fetcher.verify.contract.protocol import ProbeRequest
from fetcher.verify.weights.weights import open_weights

_EVENTS = """
exec compile import os.system os.exec os.posix_spawn os.spawn os.fork os.forkpty os.remove
os.rename os.rmdir os.mkdir os.chmod os.link os.symlink os.truncate os.putenv os.unsetenv
os.startfile os.kill subprocess.Popen pty.spawn shutil.rmtree shutil.move ctypes.dlopen
ctypes.dlsym code.__new__ function.__new__ pickle.find_class marshal.loads marshal.load
sys.settrace sys.setprofile builtins.input builtins.breakpoint webbrowser.open tempfile.mkstemp
tempfile.mkdtemp gc.get_objects cpython.run_command
"""
FORBIDDEN = _EVENTS.split()
WRITING = ("w", "a", "x", "+")


def main(folder: Path) -> None:
    seen: list[str] = []
    active = False

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal active
        if not active:
            return
        if (
            event in FORBIDDEN
            or event.startswith("socket.")
            or (event == "open" and any(c in str(arguments[1] or "") for c in WRITING))
        ):
            seen.append(f"{event} {arguments!r}"[:200])

    def opened(path: Path, word: object) -> str:
        options = {"allow_globals": word} if word else {}
        request = ProbeRequest("x", "state-dict", folder, {path.name: path}, options)
        context = Context(request, lambda _: None, folder)
        try:
            found = open_weights(context, path, path.name)
            return f"opened {sorted(found.tensors)} {found.note}"
        except ProbeError as error:
            return f"{error.reason} | {error.hint}"

    names = sorted(folder.glob("*.pt"), key=lambda path: int(path.stem))
    words = {path: json.loads(path.with_suffix(".json").read_text()) for path in names}
    for path in names[:3]:  # what the libraries themselves import when they are first used
        opened(path, words[path])
    # Python's own codec of a zip's odd names is among them.
    for late in ("encodings.cp437", "torch._dynamo", "torch.distributed.tensor", "doctest"):
        importlib.import_module(late)
    sys.addaudithook(hook)
    told = {}
    for path in names:
        seen.clear()
        active = True
        end = opened(path, words[path])
        active = False
        told[path.stem] = {"end": end, "events": list(seen)}
    (folder / "told.json").write_text(json.dumps(told))


main(Path(sys.argv[1]))
