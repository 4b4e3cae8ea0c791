"""`fetch` and `python -m fetcher`: parse the command line, run one command."""

import gc
import io
import os
import sys

_STREAMS = "fetch_streams"  # -X option: the encoding that streams had in the terminal's locale


def main() -> None:
    """Run the command line and exit with the contract's exit code."""
    _settle_encodings()
    # An entry that is empty or no whole path leads into whatever folder one stands in, and some
    # libraries start programs by themselves.
    path = os.environ.get("PATH", os.defpath).split(os.pathsep)
    os.environ["PATH"] = os.pathsep.join(filter(os.path.isabs, path))
    _forget_where_one_stands(os.environ.get("PYTHONPATH", ""))
    # A run builds large tables that live to its end: looking through them for garbage again and
    # again costs a tenth of its time.
    gc.set_threshold(300_000, 20, 50)

    from fetcher.commands import run

    code = run(sys.argv[1:])
    # Python remembers an interrupt that came amid an exec of text, such as a namedtuple's or a
    # dataclass's, though it was handled: `python -m` would end by that signal. Another forgets it.
    exec("")
    gc.freeze()  # the tables go with the process: nobody need search through them once more
    sys.exit(code)


def _settle_encodings() -> None:
    """Let no name or word end a run because of the locale.

    Names of files are UTF-8, whatever the terminal shows: Python settles that as it starts. What a
    stream cannot show is escaped.
    """
    xoptions = getattr(sys, "_xoptions", {})
    if sys.getfilesystemencoding() != "utf-8" and not sys.flags.utf8_mode and sys.executable:
        shown = getattr(sys.stdout, "encoding", None) or "ascii"
        options = ["-X", "utf8", "-X", f"{_STREAMS}={shown}"]
        os.execv(sys.executable, [sys.executable, *options, *sys.orig_argv[1:]])
    encoding = xoptions.get(_STREAMS)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            named = encoding if isinstance(encoding, str) else None
            stream.reconfigure(encoding=named, errors="backslashreplace")


def _forget_where_one_stands(python_path: str) -> None:
    """Take out of sys.path what is no whole path in PYTHONPATH.

    Python has made it one by now, and libraries and plug-ins would be a stranger's.
    """
    for folder in python_path.split(os.pathsep) if python_path else ():
        entry = os.path.abspath(folder)
        if not os.path.isabs(folder) and entry in sys.path and not entry.startswith(sys.prefix):
            sys.path.remove(entry)


if __name__ == "__main__":
    main()
