"""How `requests` opens connections: with our authorities, and so that they can be ended."""

from __future__ import annotations

import contextlib
import logging
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from http.client import HTTPException, HTTPResponse
from typing import Any
from weakref import WeakMethod

from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection

from fetcher.network.credentials import Trust
from fetcher.network.sockets import end_waiting

_MOST_AHEAD = 100  # of answers, before the one that counts
_MOST_LINES, _LONGEST_LINE = 100, 1 << 16
_SWEEP_SECONDS = 0.25
_POOL = 64  # connections kept open to a host, hosts kept in mind

# Threads that are in one of our requests. urllib3's own lines about these show whole addresses,
# with what signs them: ours are logged by the session, other code's are left alone.
_threads: set[int] = set()


def _is_anothers(record: logging.LogRecord) -> bool:
    return record.thread not in _threads


for _name in ("connectionpool", "poolmanager", "util.retry"):
    logging.getLogger(f"urllib3.{_name}").addFilter(_is_anothers)


class Activity:
    """The requests under way, each with the moment at which it must end.

    A timeout bounds each wait for bytes; what sends one byte now and then is ended from here, and
    so is everything when the run is interrupted.
    """

    def __init__(self, ended: Callable[[], bool]) -> None:
        self._ended = ended
        self._guard = threading.Lock()
        self._deadlines: dict[int, float] = {}  # by thread
        self._connections: dict[int, HTTPConnection] = {}
        self._sweeping = False

    @contextlib.contextmanager
    def until(self, deadline: float) -> Iterator[None]:
        """A request of this thread, which ends at `deadline` on the monotonic clock."""
        me = threading.get_ident()
        _threads.add(me)
        with self._guard:
            self._deadlines[me] = deadline
            if not self._sweeping:
                self._sweeping = True
                threading.Thread(target=self._sweep, name="deadlines", daemon=True).start()
        try:
            yield
        finally:
            _threads.discard(me)
            with self._guard:
                self._deadlines.pop(me, None)
                self._connections.pop(me, None)

    def use(self, connection: HTTPConnection) -> None:
        """This thread's request goes over this connection."""
        with self._guard:
            if threading.get_ident() in self._deadlines:
                self._connections[threading.get_ident()] = connection

    def end_all(self) -> None:
        """Cut every request short."""
        with self._guard:
            for connection in self._connections.values():
                _cut(connection)

    def _sweep(self) -> None:
        """End what is too late, as long as there is anything."""
        while True:
            time.sleep(_SWEEP_SECONDS)
            now = time.monotonic()
            with self._guard:
                if not self._deadlines:
                    self._sweeping = False
                    return
                for thread, connection in self._connections.items():
                    if self._ended() or self._deadlines[thread] < now:
                        _cut(connection)


def _cut(connection: HTTPConnection) -> None:
    end_waiting(getattr(connection, "sock", None))


def tls_context(trust: Trust) -> ssl.SSLContext:
    """What libcurl checks, neither more nor less: see `fetcher.network.curl`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(trust.file or None, trust.folder or None)
    context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
    context.verify_flags &= ~ssl.VerifyFlags.VERIFY_X509_STRICT
    return context


class RuledAdapter(HTTPAdapter):
    """For one scheme. Retries and redirects are the session's."""

    def __init__(self, activity: Activity, trust: Callable[[], Trust] | None = None) -> None:
        self._pools = _pools(activity)
        self._trust = trust
        self._context: ssl.SSLContext | None = None
        self._guard = threading.Lock()
        super().__init__(pool_connections=_POOL, pool_maxsize=_POOL)
        self.poolmanager.pool_classes_by_scheme = self._pools

    def _tls(self) -> ssl.SSLContext | None:
        """Made when it is needed: reading all authorities takes a while."""
        with self._guard:
            if self._context is None and self._trust is not None:
                self._context = tls_context(self._trust())
            return self._context

    def proxy_manager_for(self, proxy: str, **proxy_kwargs: Any) -> Any:
        """A manager with our connections."""
        if proxy not in self.proxy_manager:
            if proxy.lower().startswith("https"):
                proxy_kwargs["proxy_ssl_context"] = self._tls()
            manager = super().proxy_manager_for(proxy, **proxy_kwargs)
            if not proxy.lower().startswith("socks"):
                manager.pool_classes_by_scheme = self._pools
        return self.proxy_manager[proxy]

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """The context has all authorities; certifi's are not added."""
        if url.lower().startswith("https"):
            conn.cert_reqs = "CERT_REQUIRED"

    def build_connection_pool_key_attributes(
        self, request: Any, verify: Any, cert: Any = None
    ) -> tuple[Any, Any]:
        """The host, and our context in place of one that requests would make."""
        host, _ = super().build_connection_pool_key_attributes(request, verify, cert)
        if host["scheme"] != "https":
            return host, {}
        return host, {"ssl_context": self._tls(), "cert_reqs": "CERT_REQUIRED"}


class _Final(HTTPResponse):
    """An answer, without those that servers send ahead of it: the library skips 100 alone."""

    def _read_status(self) -> tuple[str, int, str]:
        for _ in range(_MOST_AHEAD):
            found: tuple[str, int, str] = super()._read_status()  # type: ignore[misc]
            if not 101 < found[1] < 200:
                return found
            for _ in range(_MOST_LINES):
                if self.fp.readline(_LONGEST_LINE) in {b"\r\n", b"\n", b""}:
                    break
        raise HTTPException("got too many answers ahead of one")


def _pools(activity: Activity) -> dict[str, type[HTTPConnectionPool]]:
    # A pool's open connections are known to the process until the pool is gone: what they refer to
    # would be kept by them, the pool itself and its sockets among it.
    uses = WeakMethod(activity.use)

    def under_way(connection: HTTPConnection) -> None:
        if (use := uses()) is not None:
            use(connection)

    class Plain(HTTPConnection):
        response_class = _Final

        def putrequest(self, *args: Any, **kwargs: Any) -> Any:
            under_way(self)
            return super().putrequest(*args, **kwargs)

    class Secure(HTTPSConnection):
        response_class = _Final

        def putrequest(self, *args: Any, **kwargs: Any) -> Any:
            under_way(self)
            return super().putrequest(*args, **kwargs)

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = Secure

    return {"http": PlainPool, "https": SecurePool}
