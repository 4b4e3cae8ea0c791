"""Bytes that no network brings: files on this machine, and pieces of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress

from fetcher.errors import Failure
from fetcher.fs.atomic import copy, make_read_only, reflink
from fetcher.fs.extents import Extent
from fetcher.fs.owners import hard_link
from fetcher.fs.private_files import remove_quietly
from fetcher.i18n import t
from fetcher.store.store import Store


def copy_of(source: str, store: Store, link: bool, begun: Callable[[str], None]) -> str:
    """A private copy of a local file in the store, or a hard link to it if `link`.

    Where its bytes are copied, `begun` is told before into which file.
    Only a regular file that nobody else may write is linked. It becomes read-only, so that nobody
    changes it here or there. Raises Failure, OSError.
    """
    try:
        with open(source, "rb"):  # noqa: PTH123
            pass
    except FileNotFoundError as error:
        raise Failure("not-found", t("{source} is not there", source=source)) from error
    except OSError as error:
        raise Failure(
            "not-found",
            t("{source} cannot be read: {strerror}", source=source, strerror=error.strerror),
        ) from error
    path = store.temporary()
    if link:
        with suppress(OSError):
            if hard_link(source, path):
                make_read_only(path)
                return path
        remove_quietly(path)
    try:
        if not reflink(source, path):
            begun(path)
            copy(source, path)
    except OSError:
        remove_quietly(path)
        raise
    return path


def copy_of_extents(extents: Sequence[Extent], store: Store, begun: Callable[[str], None]) -> str:
    """A private copy, in the store, of pieces of local files; `begun` is told into which file.

    Raises Failure, OSError.
    """
    from fetcher.mirror.copying import copy_into  # with the first bundle that is read

    path = store.temporary()
    try:
        begun(path)
        with open(path, "xb", buffering=0) as stream:  # noqa: PTH123
            copy_into(stream.fileno(), extents)
    except FileNotFoundError as error:
        remove_quietly(path)
        raise Failure(
            "not-found", t("{filename} is not there any more", filename=error.filename)
        ) from error
    except EOFError as error:
        remove_quietly(path)
        raise Failure("bundle", str(error)) from error
    except BaseException:
        remove_quietly(path)
        raise
    return path
