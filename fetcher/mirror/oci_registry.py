"""OCI registries, as the distribution specification has them: names, tokens, manifests, blobs."""

from __future__ import annotations

import hashlib
import re
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from urllib.parse import quote, urlencode

from fetcher.config.project_choices import choose_yourself
from fetcher.errors import Failure, UsageError
from fetcher.fs.safe_paths import printable
from fetcher.i18n import t
from fetcher.mirror import oci_documents
from fetcher.mirror.docker_login import DOCKER_HUB, REFRESH_TOKEN, login_for
from fetcher.mirror.inventory import HeldArtifact
from fetcher.mirror.oci_documents import INDEX_TYPE, MANIFEST_TYPE, Contents, Descriptor
from fetcher.mirror.remote_signature import SignedBundle
from fetcher.network.credentials import Login, basic
from fetcher.network.session import Network, Response
from fetcher.network.urls import host_of, joined, origin_of
from fetcher.sources.base import Candidate, DeferredCandidate, FileEntry, UrlCandidate
from fetcher.verify.contract import json_text

DEFAULT_TAG = "latest"
SIGNATURE_TYPE = "application/vnd.fetch.signature.v1"
_REFERENCE = re.compile(
    r"oci://(?P<host>[A-Za-z0-9.-]+(?::\d{1,5})?|\[[0-9a-fA-F:]+\](?::\d{1,5})?)"
    r"/(?P<repo>[a-z0-9]+(?:(?:[._]|__|-+|/)[a-z0-9]+)*)(?::(?P<tag>[A-Za-z0-9_][\w.-]{0,127}))?"
    r"(?:@(?P<digest>sha256:[0-9a-f]{64}))?"
)
_LOCAL = re.compile(r"(?:localhost|127(?:\.\d+){3}|\[::1\])(?::\d+)?")
_PARAMETER = re.compile(r'(?<![a-zA-Z_])([a-zA-Z_]+)="([^"]*)"')
Header = tuple[str, str]


@dataclass(frozen=True)
class Reference:
    """A repository in a registry, a tag in it, and what the tag must stand at, "" for anything."""

    host: str
    repository: str
    tag: str = DEFAULT_TAG
    digest: str = ""

    @property
    def base(self) -> str:
        """The address of the registry; a registry on this machine is asked over plain HTTP."""
        host = "registry-1.docker.io" if self.host in DOCKER_HUB else self.host
        return f"{'http' if _LOCAL.fullmatch(host) else 'https'}://{host}"

    def url(self, tail: str) -> str:
        """An address below the repository."""
        return f"{self.base}/v2/{self.repository}/{tail}"

    def __str__(self) -> str:
        pin = f"@{self.digest}" if self.digest else ""
        return f"oci://{self.host}/{self.repository}:{self.tag}{pin}"


def parse_reference(location: str) -> Reference:
    """`oci://host/repository[:tag][@sha256:…]`. Raises UsageError."""
    found = _REFERENCE.fullmatch(location)
    if found is None:
        raise UsageError(
            t("{location} is no registry's address", location=printable(location)),
            t("write oci://HOST[:PORT]/REPOSITORY[:TAG], the repository in lower case"),
        )
    tag = found["tag"] or DEFAULT_TAG
    return Reference(found["host"], found["repo"], tag, found["digest"] or "")


class Registry:
    """One repository, with the right to read it (`push`: and to write it); safe among threads."""

    def __init__(
        self, reference: Reference, network: Network, push: bool = False, mine: bool = True
    ) -> None:
        self.reference = reference
        self._mine = mine  # whether the person named it, and it may have their login
        self.network = network
        self._scope = f"repository:{reference.repository}:pull" + (",push" if push else "")
        self._guard = threading.Lock()
        self._header: list[Header] = []
        self._expires = 0.0

    def headers(self) -> list[Header]:
        """The Authorization header that the registry wants now. Raises Failure."""
        with self._guard:
            if time.monotonic() >= self._expires:
                self._header, seconds = self._authorize()
                self._expires = time.monotonic() + seconds
            return self._header

    def forget(self) -> None:
        """The registry refused the token: ask for another one."""
        with self._guard:
            self._expires = 0.0

    def _authorize(self) -> tuple[list[Header], float]:
        url = f"{self.reference.base}/v2/"
        answer = self.network.request(url, patience=5)
        if answer.status == 200:
            return [], 3600.0
        challenge = answer.headers.get("www-authenticate", "")
        kind = challenge.partition(" ")[0].lower()
        if answer.status != 401 or kind not in {"basic", "bearer"}:
            raise Failure(
                "network",
                t(
                    "{host} is no registry (HTTP {status} for /v2/)",
                    host=self.reference.host,
                    status=answer.status,
                ),
                t("check the address; plain HTTP is used for this machine only"),
            )
        login = login_for(self.reference.host) if self._mine else None
        if kind == "basic":
            if login is None:
                raise self._denied(t("wants a login"))
            return [("Authorization", basic(login))], 3600.0
        return self._token(dict(_PARAMETER.findall(challenge)), login)

    def _token(self, challenge: dict[str, str], login: Login | None) -> tuple[list[Header], float]:
        realm = challenge.get("realm", "")
        scheme, host = origin_of(realm)[0], host_of(realm)
        if scheme != "https" and not _LOCAL.fullmatch(host):
            raise Failure(
                "refused",
                t("{host} wants the login sent over plain HTTP", host=self.reference.host),
            )
        query = {"scope": self._scope, "service": challenge.get("service", "")}
        if login is not None and login[0] == REFRESH_TOKEN:
            fields = {"grant_type": "refresh_token", "refresh_token": login[1]}
            body = urlencode({**query, **fields, "client_id": "fetch"})
            answer = self.network.request(realm, method="POST", data=body.encode(), patience=5)
        else:
            joint = "&" if "?" in realm else "?"
            headers = [] if login is None else [("Authorization", basic(login))]
            answer = self.network.request(f"{realm}{joint}{urlencode(query)}", headers=headers)
        if answer.status != 200:
            raise self._denied(t("refuses the login") if login else t("wants a login"))
        found = answer.json()
        token = found.get("token") or found.get("access_token") if isinstance(found, dict) else None
        if not isinstance(token, str) or not token.isascii() or not token.isprintable():
            raise Failure("refused", t("{realm} gives no token", realm=host_of(realm)))
        seconds = found.get("expires_in")
        lasts = seconds if isinstance(seconds, int) and 0 < seconds < 86400 else 60
        return [("Authorization", f"Bearer {token}")], lasts * 0.8

    def _denied(self, what: str) -> Failure:
        host = self.reference.host
        hint = t("docker login {host} (or podman, oras login)", host=host)
        if not self._mine:
            hint = t(
                "the project chose this mirror, so it gets no login of yours. {advice}",
                advice=choose_yourself("mirrors"),
            )
        return Failure("auth", t("{host} {what}", host=host, what=what), hint)

    # Reading

    def get(self, tail: str, accept: Sequence[str] = ()) -> Response:
        """GET below the repository, with another token if the first has run out."""
        headers = [("Accept", ", ".join(accept))] if accept else []
        for attempt in (1, 2):
            answer = self.network.request(
                self.reference.url(tail), headers=[*headers, *self.headers()]
            )
            if answer.status != 401 or attempt == 2:
                break
            self.forget()
        if answer.status in {401, 403}:
            raise self._denied(
                t(
                    "denies {repository} (HTTP {status})",
                    repository=self.reference.repository,
                    status=answer.status,
                )
            )
        return answer

    def manifest(self, reference: str) -> bytes | None:
        """A manifest or index by tag or digest; None if it is not there."""
        answer = self.get(f"manifests/{reference}", [INDEX_TYPE, MANIFEST_TYPE])
        if answer.status == 404:
            return None
        return self._body(answer, t("manifest {reference}", reference=reference))

    def blob(self, descriptor: Descriptor) -> bytes:
        """A small blob's bytes."""
        return self._body(
            self.get(f"blobs/{descriptor.digest}"), t("blob {digest}", digest=descriptor.digest)
        )

    def _body(self, answer: Response, what: str) -> bytes:
        if answer.status != 200:
            text = f"{self.reference}: {what}: HTTP {answer.status}"
            raise Failure("not-found" if answer.status == 404 else "network", text)
        return answer.body

    @cached_property
    def index(self) -> bytes:
        """What the tag stands at, asked for once: a tag that moves meanwhile moves nothing here.

        Raises Failure.
        """
        wanted = self.reference.digest
        index = self.manifest(wanted or self.reference.tag)
        if index is None:
            raise Failure(
                "not-found",
                t("{reference} is not there", reference=self.reference),
                t("check repository and tag; fetch mirror push makes it"),
            )
        if wanted and f"sha256:{hashlib.sha256(index).hexdigest()}" != wanted:
            raise Failure(
                "modified",
                t("{reference}: the registry gives something else", reference=self.reference),
                t("do not use it: ask who runs the registry"),
            )
        return index

    def contents(self) -> Contents:
        """Everything that the tag's index leads to. Raises Failure."""
        return oci_documents.parse(self.index, self.document, str(self.reference))

    def document(self, descriptor: Descriptor) -> bytes:
        """A document of a bundle: a manifest lies elsewhere than a config or a lock."""
        if not descriptor.manifest:
            return self.blob(descriptor)
        found = self.manifest(descriptor.digest)
        if found is None:
            raise Failure(
                "missing",
                t(
                    "{reference} lacks manifest {digest}",
                    reference=self.reference,
                    digest=descriptor.digest,
                ),
            )
        return found

    def candidate(self, origin: str, sha256: str) -> DeferredCandidate:
        """A blob for the engine, which asks for a token right before each transfer."""
        return DeferredCandidate(origin, partial(self._prepare, sha256))

    def _prepare(self, sha256: str, network: Network) -> UrlCandidate:
        if network.offline:
            host = self.reference.host
            raise Failure(
                "offline", t("{host} is needed, but the network may not be used", host=host)
            )
        url = self.reference.url(f"blobs/sha256:{sha256}")
        return UrlCandidate("mirror", url, tuple(self.headers()))


class RegistryPlace:
    """A repository as a mirror. With a key, its signature is checked first."""

    def __init__(self, location: str, network: Network, key: Path | None, mine: bool) -> None:
        self._registry = Registry(parse_reference(location), network, mine=mine)
        self._signed: set[str] | None = None
        if key is not None:
            self._signed = signed_blobs(self._registry, key)

    def candidates(self, file: FileEntry) -> list[Candidate]:
        """The blob, if its sha256 is known (and signed, where that is asked for)."""
        if not file.sha256 or (self._signed is not None and file.sha256 not in self._signed):
            return []
        return [self._registry.candidate("mirror", file.sha256)]

    def artifacts(self) -> Sequence[HeldArtifact]:
        """What the tag's index leads to. Raises Failure."""
        return self._registry.contents().artifacts


def signature_tag(tag: str) -> str:
    """The tag under which a bundle's signature lies beside it."""
    return f"{tag[:120]}.sig"


def signed_blobs(registry: Registry, key: Path) -> set[str]:
    """Digests of all blobs that a repository's signature covers. Raises Failure, UsageError."""
    label, tag = str(registry.reference), registry.reference.tag
    index, raw = registry.index, registry.manifest(signature_tag(tag))
    if raw is None:
        raise Failure(
            "signature",
            t("{label} is not signed", label=label),
            t("sign the bundle, then push it again"),
        )
    sums, signature = (registry.blob(layer) for layer in _signature_layers(raw, label))
    return SignedBundle(label, index, sums, signature).blobs(key)


def _signature_layers(raw: bytes, label: str) -> list[Descriptor]:
    """Descriptors of SHA256SUMS and the signature."""
    try:
        manifest = json_text.loads(raw)
        if manifest["artifactType"] != SIGNATURE_TYPE:
            raise ValueError(t("another type"))
        layers = [Descriptor(item["digest"], item["size"]) for item in manifest["layers"]]
        if len(layers) != 2 or not all(re.fullmatch(r"sha256:[0-9a-f]{64}", d) for d, *_ in layers):
            raise ValueError(t("other layers"))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise Failure(
            "signature",
            t("{label}: the signature cannot be read: {error}", label=label, error=error),
        ) from error
    return layers


def upload_url(base: str, location: str, sha256: str) -> str:
    """Where to PUT a blob, after what the registry answered to the beginning of an upload."""
    url = joined(base, location)
    return f"{url}{'&' if '?' in url else '?'}digest={quote(f'sha256:{sha256}')}"
