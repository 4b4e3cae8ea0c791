"""Where the log goes: to stderr above the bar (`-v`, `-vv`) and into a file (`FETCH_LOG`).

This module is imported only where a log is wanted: `logging` itself costs some milliseconds.
"""

from __future__ import annotations

import logging
import os
import shlex
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

from fetcher.errors import UsageError
from fetcher.fs.safe_paths import printable
from fetcher.i18n import t
from fetcher.ui import screen, terminal
from fetcher.ui.redact import Redactor, of_environment, of_files

OURS = "fetcher"
_DIM, _PLAIN = "\x1b[2m", "\x1b[0m"

_log = logging.getLogger("fetcher.run")
_redactor = Redactor()
_began: list[float] = []  # when the run was told of, and when in detail
_handlers: dict[str, logging.Handler] = {}
_plain_factory = logging.getLogRecordFactory()
# huggingface_hub writes its log by itself, and looks here for how much.
_HUB, _HUB_LEVEL = "huggingface_hub", "HF_HUB_VERBOSITY"
_hub_level = os.environ.get(_HUB_LEVEL)

_ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]


def redact(text: str) -> str:
    """A text without the secrets of this run."""
    return _redactor(text)


def keep_secret(secrets: Iterable[str]) -> None:
    """These values never stand in a log."""
    _redactor.keep_secret(*secrets)


def to_stderr(verbosity: int, stream: TextIO | None = None) -> None:
    """Show what a run does: 1 the steps, 2 all. Calling it again changes how much."""
    handler = _handlers.get("stderr")
    if handler is None:
        handler = _handlers["stderr"] = _OnScreen(stream or sys.stderr)
    handler.setLevel(logging.DEBUG if verbosity > 1 else logging.INFO)
    handler.filters[:] = [] if verbosity > 1 else [_no_chatter]
    _set_up()


def to_file(path: Path) -> None:
    """Append all there is to a file that only its owner may read. Raises UsageError."""
    if "file" in _handlers:
        return
    try:
        number = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        stream = open(number, "a", encoding="utf-8", errors="backslashreplace")  # noqa: PTH123, SIM115
    except OSError as error:
        raise UsageError(
            t("FETCH_LOG={path} cannot be written: {strerror}", path=path, strerror=error.strerror),
            t("name a file in a folder that is there, or unset FETCH_LOG"),
        ) from error
    _handlers["file"] = _InFile(stream)
    _set_up()


def opening(version: str, arguments: Sequence[str]) -> None:
    """Say, once, what was asked for and where."""
    if not _began:
        _began.append(time.monotonic())
        _log.info("fetch %s %s", version, shlex.join(arguments))
    if len(_began) < 2 and _log.isEnabledFor(logging.DEBUG):
        _began.append(time.monotonic())
        _log.debug("Python %s in %s, folder %s", sys.version.split()[0], sys.prefix, Path.cwd())


def told(text: str) -> None:
    """Keep in the file what people have seen on the screen."""
    _log.info("%s", text, extra={"seen": True})


def file_event(text: str, *values: object) -> None:
    """One file has come, or will not; there may be very many."""
    _log.debug(text, *values)


def raised(error: BaseException) -> None:
    """Keep where an error comes from."""
    _log.debug("%s ends the run", type(error).__name__, exc_info=error)


def closing(code: int) -> None:
    """Say how it ended, and stop."""
    if _began:
        _log.info("exit code %d after %.2f s", code, time.monotonic() - _began[0])
        _began.clear()
    stop()


def wanted() -> bool:
    """Whether anybody reads a log."""
    return bool(_handlers)


def stop() -> None:
    """Close what is open, and leave `logging` as it was found."""
    root = logging.getLogger()
    for handler in _handlers.values():
        root.removeHandler(handler)
        handler.close()
    _handlers.clear()
    logging.setLogRecordFactory(_plain_factory)
    root.setLevel(logging.WARNING)
    logging.getLogger(OURS).setLevel(logging.NOTSET)
    if _hub_level is None:
        os.environ.pop(_HUB_LEVEL, None)
    else:
        os.environ[_HUB_LEVEL] = _hub_level


def _set_up() -> None:
    """Let the loggers pass what some handler wants, and hide secrets where records are made."""
    keep_secret([*of_environment(), *of_files()])
    logging.setLogRecordFactory(_safe_record)
    level = min(handler.level for handler in _handlers.values())
    root = logging.getLogger()
    for handler in _handlers.values():
        if handler not in root.handlers:
            root.addHandler(handler)
    # Other people's packages tell little below a warning, unless everything is asked for.
    root.setLevel(level if level == logging.DEBUG else logging.WARNING)
    logging.getLogger(OURS).setLevel(level)
    if level == logging.DEBUG:
        os.environ[_HUB_LEVEL] = "debug"


def _no_chatter(record: logging.LogRecord) -> bool:
    """What a person who follows a run wants: our steps, and others' warnings."""
    ours = record.name == OURS or record.name.startswith(f"{OURS}.")
    return ours or record.levelno >= logging.WARNING


def _safe_record(
    name: str,
    level: int,
    path: str,
    line: int,
    message: object,
    args: tuple[object, ...] | Mapping[str, object] | None,
    exc_info: _ExcInfo | None,
    func: str | None = None,
    sinfo: str | None = None,
    **more: Any,
) -> logging.LogRecord:
    """A record in which nothing is secret: no handler, ours or another's, sees what was there."""
    if name.partition(".")[0] == _HUB:
        logging.getLogger(_HUB).handlers.clear()  # it comes once, through ours
    record = _plain_factory(name, level, path, line, message, args, exc_info, func, sinfo, **more)
    try:
        text = record.getMessage()
    except Exception as error:  # a wrong format is no reason to lose what was said
        text = f"{message} {args!r} ({error})"
    record.msg, record.args = redact(text), None
    if exc_info and exc_info[0] is not None:
        record.exc_text = redact(logging.Formatter().formatException(exc_info))
        record.exc_info = None
    if sinfo:
        record.stack_info = redact(sinfo)
    return record


def short_name(name: str) -> str:
    """A logger's name without what all of ours have in common."""
    return name.removeprefix(f"{OURS}.")


def _text(record: logging.LogRecord, indent: str) -> str:
    """What a record says. Lines after its first are indented: none can pass for a record."""
    parts = [record.getMessage(), record.exc_text or "", record.stack_info or ""]
    found = "\n".join(filter(None, parts)).split("\n")
    return f"\n{indent}".join(printable(line) for line in found)


class _InFile(logging.StreamHandler[TextIO]):
    """Lines with date, level and place. A file that cannot be written any more is left alone."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self.setLevel(logging.DEBUG)
        self._lost = False

    def format(self, record: logging.LogRecord) -> str:
        moment = time.localtime(record.created)
        zone = time.strftime("%z", moment)
        when = f"{time.strftime('%Y-%m-%dT%H:%M:%S', moment)}.{record.msecs:03.0f}"
        head = f"{when}{zone[:3]}:{zone[3:]} {record.levelname:<7} {short_name(record.name)}"
        return f"{head}: {_text(record, '    ')}"

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        if not self._lost:
            self._lost = True
            error = sys.exc_info()[1]
            screen.write_line(
                t("FETCH_LOG cannot be written any more: {error}", error=error), sys.stderr
            )

    def close(self) -> None:
        super().close()
        try:
            self.stream.close()
        except OSError:
            pass


class _OnScreen(logging.Handler):
    """Lines above the bar."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self.stream = stream
        dim = terminal.has_colour(stream)
        self._dim, self._plain = (_DIM, _PLAIN) if dim else ("", "")

    def emit(self, record: logging.LogRecord) -> None:
        if getattr(record, "seen", False):
            return
        moment = time.strftime("%H:%M:%S", time.localtime(record.created))
        level = f" {record.levelname.lower()}" if record.levelno >= logging.WARNING else ""
        head = f"{self._dim}{moment}.{record.msecs:03.0f}{level} {short_name(record.name)}:"
        try:
            screen.write_line(f"{head}{self._plain} {_text(record, '    ')}", self.stream)
        except (OSError, ValueError):
            pass  # nobody reads stderr
