"""S3 buckets, Amazon's and others', through obstore (the extra `s3`).

Keys and region come from the AWS_… variables; AWS_ENDPOINT_URL names another service.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from datetime import timedelta
from functools import partial
from typing import Any
from urllib.parse import quote, urlsplit

from fetcher.config.project_choices import choose_yourself
from fetcher.errors import Failure, UsageError
from fetcher.fs.safe_paths import printable
from fetcher.i18n import t
from fetcher.mirror.bundle import blob_name
from fetcher.mirror.remote_folder import RemoteFolder
from fetcher.network.session import Network
from fetcher.sources.base import Candidate, DeferredCandidate, UrlCandidate

_LOCATION = re.compile(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:/([^\x00-\x20\\]*))?")
# Long enough for a large blob at a slow site: a signed address is asked for right before use.
_SIGNED_FOR = timedelta(hours=6)


class Bucket(RemoteFolder):
    """A bundle's files below a prefix."""

    def __init__(self, location: str, network: Network, mine: bool = True) -> None:
        found = _LOCATION.fullmatch(location)
        if found is None:
            raise UsageError(
                t("{location} is no bucket's address", location=printable(location)),
                t("write s3://BUCKET/PREFIX"),
            )
        try:
            import obstore
            from obstore.store import S3Store
        except ImportError as error:
            from fetcher.installation.commands import install_extra

            text = t(
                "{location} needs the package obstore ({error})", location=location, error=error
            )
            hint = t("install it: {command}", command=install_extra("s3", "obstore"))
            raise UsageError(text, hint) from error
        self.label = location
        endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL", "")
        self._network = network
        prefix = (found[2] or "").strip("/")
        self._address = "/".join(filter(None, (_service(endpoint), found[1], quote(prefix))))
        self._mine = mine  # whether the person named it, and it may have requests of their keys
        self._obstore = obstore
        try:
            self._store = S3Store(
                found[1],
                prefix=prefix or None,
                client_options={"allow_http": urlsplit(endpoint).scheme == "http"},
                retry_config={"max_retries": 4},
                skip_signature=not mine,
                **({"endpoint": endpoint} if endpoint else {}),
            )
        except Exception as error:  # obstore's own kinds
            raise UsageError(
                t("{location}: {error}", location=location, error=_first(error)), self._hint
            ) from error

    @property
    def _hint(self) -> str:
        if self._mine:
            return _HINT
        return t(
            "the project chose this bucket, so it is asked without your keys. {advice}",
            advice=choose_yourself("mirrors"),
        )

    def _call(self, doing: str, work: Any) -> Any:
        """Run one request; its error as ours, None for what is not there."""
        if self._network.offline:
            raise Failure(
                "offline", t("{label} is needed, but the network may not be used", label=self.label)
            )
        try:
            return work()
        except FileNotFoundError as error:
            if "NoSuchBucket" in str(error):
                raise Failure(
                    "not-found", t("{label}: there is no such bucket", label=self.label)
                ) from error
            return None
        except Exception as error:  # obstore's own kinds
            denied = type(error).__name__ in {"PermissionDeniedError", "UnauthenticatedError"}
            code = "auth" if denied else "network"
            raise Failure(
                code,
                t("{label}: {doing}: {error}", label=self.label, doing=doing, error=_first(error)),
                self._hint,
            ) from error

    def get(self, name: str) -> bytes | None:
        """A small file's bytes."""
        found = self._call(
            t("reading {name}", name=name), lambda: self._obstore.get(self._store, name)
        )
        return None if found is None else bytes(found.bytes())

    def size(self, name: str) -> int | None:
        """A file's size, None if it is not there."""
        found = self._call(
            t("asking for {name}", name=name), lambda: self._obstore.head(self._store, name)
        )
        return None if found is None else int(found["size"])

    def put(self, name: str, data: bytes | Iterable[bytes]) -> None:
        """Write a file, a large one in parts."""
        body = data if isinstance(data, bytes) else iter(data)
        done = self._call(
            t("writing {name}", name=name), lambda: self._obstore.put(self._store, name, body)
        )
        if done is None:
            raise Failure(
                "not-found",
                t("{label}: {name} cannot be written there", label=self.label, name=name),
                self._hint,
            )

    def candidate(self, sha256: str) -> Candidate:
        """A signed address, made right before the transfer."""
        return DeferredCandidate("mirror", partial(self._prepare, sha256))

    def _prepare(self, sha256: str, network: Network) -> UrlCandidate:
        name = blob_name(sha256)
        if not self._mine:
            # obstore would ask the machine itself for keys to sign with.
            return UrlCandidate("mirror", f"{self._address}/{quote(name)}")
        url = self._call(
            t("signing {name}", name=name),
            lambda: self._obstore.sign(self._store, "GET", name, _SIGNED_FOR),
        )
        return UrlCandidate("mirror", str(url))


_HINT = t("check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION and AWS_ENDPOINT_URL")


def _service(endpoint: str) -> str:
    """Where buckets are, for requests that nobody signs."""
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"
    return endpoint.rstrip("/") or f"https://s3.{region}.amazonaws.com"


def _first(error: Exception) -> str:
    """The first line of an error, without what a signed address could have in it."""
    line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return printable(re.sub(r"\?\S*", "", line))[:300]
