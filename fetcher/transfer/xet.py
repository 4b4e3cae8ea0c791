"""Bytes from Xet storage through hf_xet, where the person has chosen it (`xet: 1`).

Our own session asks the Hub for a file's Xet hash and for the short-lived token; hf_xet gets the
bytes into a private file of the store, which is then proven like any other. Whatever goes wrong,
the next candidate is the same file by plain HTTP.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable
from functools import cached_property
from typing import Any, NamedTuple

from fetcher.errors import Failure
from fetcher.fs.private_files import remove_quietly
from fetcher.fs.safe_paths import printable
from fetcher.i18n import t
from fetcher.network.outgoing import USER_AGENT
from fetcher.network.retry import REDIRECTS
from fetcher.network.session import Network, Response
from fetcher.network.urls import host_of, joined, origin_of, public_url
from fetcher.sources.base import FileEntry, XetCandidate
from fetcher.store.store import Store

_log = logging.getLogger(__name__)

_HASH = re.compile(r"[0-9a-f]{64}")
_WORD = re.compile(r"[\x21-\x7e]{1,8192}")
_MOVES = 3  # redirects of a repository that has another name now
_EARLY = 60  # seconds before its end at which a token is no longer used
_STALLED = 60.0  # seconds without a byte, its own retries included, after which it is given up
_LOOK = 0.05
_PATIENCE = 5.0  # seconds to go on asking the Hub: plain HTTP has patience of its own
# hf_xet may hold 6 GB in buffers, tries for six minutes, and reports how it fares to the storage.
_CONFIG = {
    "client.retry_base_delay": "1s",
    "client.retry_max_attempts": 2,
    "client.retry_max_duration": "30s",
    "reconstruction.download_buffer_limit": 512 << 20,
    "reconstruction.download_buffer_perfile_size": 64 << 20,
    "reconstruction.download_buffer_size": 256 << 20,
    "telemetry.enabled": False,
}


class _Access(NamedTuple):
    """The way into a storage: its address, a token, and when that ends (seconds of the epoch)."""

    endpoint: str
    token: str
    ends: int


class XetStorage:
    """The Xet downloads of one run; `fetch` may be called by several threads."""

    def __init__(self, network: Network, store: Store) -> None:
        self._network = network
        self._store = store
        self._lock = threading.Lock()
        self._session: Any = None
        self._access: dict[str, _Access | Failure] = {}
        self._down: dict[str, Failure] = {}  # storages that never delivered, by address
        self._received: dict[str, int] = {}  # bytes of files in the making, by private file
        self._coming: dict[str, str] = {}  # private files, by what is asked for
        self._ended = threading.Event()

    @cached_property
    def _unusable(self) -> Failure | None:
        return missing()

    @property
    def received(self) -> int:
        """Bytes of files that are not whole yet."""
        return sum(list(self._received.values()))

    def received_for(self, url: str) -> int:
        """Bytes of one file that is not whole yet."""
        return self._received.get(self._coming.get(url, ""), 0)

    def stop(self) -> None:
        """End every download."""
        self._ended.set()

    def fetch(self, candidate: XetCandidate, file: FileEntry) -> str | None:
        """A private file of the store with what the storage says the file is; not proven.

        None if the Hub does not offer the file through Xet. Raises Failure, OSError.
        """
        if self._network.offline:
            raise Failure("offline", t("Xet storage is needed, but the network may not be used"))
        if self._unusable is not None:
            raise self._unusable
        xet_hash = self._hash_of(candidate.url)
        access = self._access_by(candidate.token_url) if xet_hash else None
        if access is None:
            _log.debug("not offered through Xet: %s", public_url(candidate.url))
            return None
        if failure := self._down.get(access.endpoint):
            raise failure
        path = self._coming[candidate.url] = self._store.temporary()
        try:
            self._download(candidate, access, xet_hash, file, path)
        except BaseException as error:
            remove_quietly(path)
            _log.info("Xet given up for %s: %s", public_url(candidate.url), error)
            raise
        finally:
            self._received.pop(path, None)
            self._coming.pop(candidate.url, None)
        return path

    # What the Hub says

    def _hash_of(self, url: str) -> str:
        """The Xet hash that the Hub states for a file, "" if it states none."""
        for _ in range(_MOVES):
            answer = self._network.request(url, method="HEAD", follow=False, patience=_PATIENCE)
            found = answer.headers.get("x-xet-hash", "")
            if _HASH.fullmatch(found):
                return found
            location = answer.headers.get("location", "")
            if answer.status not in REDIRECTS or not location:
                return ""
            url = joined(answer.url, location)
            if origin_of(url) != origin_of(answer.url):
                return ""
        return ""

    def _access_by(self, url: str) -> _Access | None:
        """The way in, asked for once for each revision; None where plain HTTP explains better.

        Raises Failure.
        """
        with self._lock:
            known = self._access.get(url)
            if isinstance(known, Failure):
                raise known
            if known is not None and known.ends > time.time() + _EARLY:
                return known
            answer = self._network.request(url, patience=_PATIENCE)
            if answer.status in {401, 403}:
                return None
            try:
                found = _access_of(answer)
                found = found._replace(endpoint=self._network.rewrite(found.endpoint))
                self._access[url] = found
            except Failure as failure:
                self._access[url] = failure
                raise
            return found

    # What hf_xet does

    def _download(
        self, candidate: XetCandidate, access: _Access, xet_hash: str, file: FileEntry, path: str
    ) -> None:
        from hf_xet import XetFileInfo

        # The token is renewed at the Hub by hf_xet itself, with what the Hub alone may see.
        renew = self._network.rewrite(candidate.token_url)
        own = self._network.authorization(renew)
        group = self._open_session().new_file_download_group(
            endpoint=access.endpoint,
            token=access.token,
            token_expiry_unix_secs=access.ends,
            token_refresh_url=renew,
            token_refresh_headers={
                "user-agent": USER_AGENT,
                **({"authorization": own} if own else {}),
            },
            custom_headers={"user-agent": USER_AGENT},
        )
        _log.debug("Xet storage %s: %s", host_of(access.endpoint), xet_hash)
        group.start_download_file(XetFileInfo(xet_hash, file.size), path)
        outcome: list[Exception | None] = []
        thread = threading.Thread(target=_wait, args=(group, outcome.append), daemon=True)
        thread.start()
        try:
            self._watch(group, path, access, outcome)
        except BaseException:
            group.abort()
            thread.join(5)  # nothing may write into the file when it is removed
            raise

    def _watch(
        self, group: Any, path: str, access: _Access, outcome: list[Exception | None]
    ) -> None:
        """Wait for the end, as long as bytes come."""
        moved, seen = time.monotonic(), 0
        while not outcome:
            if self._ended.wait(_LOOK):
                raise Failure("network", t("interrupted"))
            progress = group.progress()
            there = progress.total_bytes_completed + progress.total_transfer_bytes_completed
            self._received[path] = progress.total_bytes_completed
            if there > seen:
                moved, seen = time.monotonic(), there
            elif time.monotonic() - moved > _STALLED:
                text = t(
                    "Xet storage {host}: no byte for {seconds:.0f} s",
                    host=host_of(access.endpoint),
                    seconds=_STALLED,
                )
                raise self._note(access, seen, Failure("network", text))
        error = outcome[0]
        if error is not None:
            text = t(
                "Xet storage {host}: {error}",
                host=host_of(access.endpoint),
                error=_words(error),
            )
            raise self._note(access, seen, Failure("network", text)) from error

    def _note(self, access: _Access, received: int, failure: Failure) -> Failure:
        """Remember a storage that gave nothing at all: nobody waits for it twice."""
        if not received:
            self._down.setdefault(access.endpoint, failure)
        return failure

    def _open_session(self) -> Any:
        with self._lock:
            if self._session is None:
                import hf_xet

                config = hf_xet.XetConfig()
                known = set(config.keys())
                chosen = {key: value for key, value in _CONFIG.items() if key in known}
                timeout = self._network.settings.connect_timeout
                chosen["client.connect_timeout"] = f"{timeout}s"
                self._session = hf_xet.XetSession(config.with_config(chosen))
            return self._session


def _wait(group: Any, tell: Callable[[Exception | None], None]) -> None:
    try:
        group.wait_to_finish()
    except Exception as error:
        tell(error)
    else:
        tell(None)


def _access_of(answer: Response) -> _Access:
    """The way in that the Hub has answered with. Raises Failure."""
    host = host_of(answer.url)
    if answer.status != 200:
        raise Failure(
            "network",
            t(
                "{host} gives no token for Xet storage (HTTP {status})",
                host=host,
                status=answer.status,
            ),
        )
    endpoint = answer.headers.get("x-xet-cas-url", "")
    token = answer.headers.get("x-xet-access-token", "")
    ends = answer.headers.get("x-xet-token-expiration", "")
    # hf_xet also knows local: and memory:, by which a server would choose files of this machine.
    scheme = origin_of(endpoint)[0]
    if not _WORD.fullmatch(token) or not re.fullmatch(r"[0-9]{1,12}", ends):
        raise Failure("refused", t("{host} gives no sound token for Xet storage", host=host))
    if scheme not in {"http", "https"} or (
        scheme == "http" and origin_of(answer.url)[0] == "https"
    ):
        raise Failure(
            "refused",
            t(
                "{host} names {scheme}:// for Xet storage, which is refused",
                host=host,
                scheme=scheme,
            ),
        )
    return _Access(endpoint.rstrip("/"), token, int(ends))


def _words(error: Exception) -> str:
    """What hf_xet says, in one short line without what stands in signed addresses."""
    text = re.sub(r"\?[^\s)\"']*", "", str(error).partition("\n")[0])
    text = text.removeprefix("Task error: ").removeprefix("File reconstruction error: ")
    return printable(text if len(text) <= 300 else text[:300] + "…")


def missing() -> Failure | None:
    """Why Xet cannot be used here, or None if it can."""
    try:
        import hf_xet
    except ImportError:
        from fetcher.installation.commands import install

        text = t("Xet storage: hf_xet is not installed ({command})", command=install("hf-xet"))
        return Failure("network", text)
    if not hasattr(hf_xet, "XetSession"):
        from fetcher.installation.commands import install

        command = install("hf-xet", upgrade=True)
        text = t("Xet storage: hf_xet is older than 1.5 ({command})", command=command)
        return Failure("network", text)
    return None
