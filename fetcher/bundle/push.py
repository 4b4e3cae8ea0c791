"""`fetch mirror push`: a bundle's blobs and documents into a registry or a bucket."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass, field

from fetcher.errors import Failure, Problem, UsageError
from fetcher.fs.extents import Extent, read
from fetcher.i18n import t
from fetcher.mirror import oci_documents, trust
from fetcher.mirror.bundle import (
    MAX_SIGNATURE,
    SIGNATURE,
    SUMS,
    ArtifactSummary,
    Bundle,
    blob_name,
    open_bundle,
    summary_of,
)
from fetcher.mirror.oci_documents import MANIFEST_TYPE, Image
from fetcher.mirror.oci_registry import (
    SIGNATURE_TYPE,
    Reference,
    Registry,
    parse_reference,
    signature_tag,
    upload_url,
)
from fetcher.mirror.s3 import Bucket
from fetcher.mirror.upload_body import UploadBody
from fetcher.network.session import Network, Response
from fetcher.ui.progress import Progress
from fetcher.verify.contract.regular import read_regular

_log = logging.getLogger(__name__)


@dataclass
class PushResult:
    """What a push did. `index`: the sha256 of the index.json that the tag stands at; `replaced`:
    of that at which it stood, "" if it is the same or new."""

    target: str
    index: str = ""
    replaced: str = ""
    artifacts: list[ArtifactSummary] = field(default_factory=list)
    sent: int = 0
    sent_bytes: int = 0
    already: int = 0
    problems: list[Problem] = field(default_factory=list)


def push(path: str, target: str, network: Network, progress: Progress) -> PushResult:
    """Send a bundle. Raises Failure, UsageError."""
    if not target.startswith(("oci://", "s3://")):
        raise UsageError(
            t("{target} is neither a registry nor a bucket", target=target),
            t("write oci://HOST/REPOSITORY[:TAG] or s3://BUCKET/PREFIX"),
        )
    reference = parse_reference(target) if target.startswith("oci://") else None
    if reference is not None and reference.digest:
        raise UsageError(
            t("{target}: a digest names what is there, not where to put it", target=target),
            t("leave out what stands after @"),
        )
    bundle = open_bundle(path)
    try:
        trust.require(bundle, network.settings.verify_key)
        done = PushResult(str(reference or target))
        done.artifacts = [summary_of(item) for item in bundle.artifacts()]
        if reference is not None:
            _RegistryPush(bundle, reference, network, progress, done).run()
        else:
            _to_bucket(bundle, Bucket(target, network), progress, done, network.settings.jobs)
        _log.info(
            "%s: %d sent, %d bytes; %d were there",
            *(done.target, done.sent, done.sent_bytes, done.already),
        )
    finally:
        bundle.close()
    return done


def _in_parallel(
    names: Sequence[str], one: Callable[[str], int], jobs: int, progress: Progress, done: PushResult
) -> None:
    """Run `one` for every name; it gives the bytes sent, -1 for what was there. Raises Failure."""
    pool = ThreadPoolExecutor(jobs, thread_name_prefix="push")
    running = {pool.submit(one, name) for name in names}
    try:
        while running:
            finished, running = wait(running, timeout=0.2, return_when=FIRST_COMPLETED)
            for future in finished:
                count = future.result()
                done.already += count < 0
                done.sent += count >= 0
                done.sent_bytes += max(count, 0)
                progress.advance(max(count, 0), 1)
            progress.tick()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


class _RegistryPush:
    def __init__(
        self,
        bundle: Bundle,
        reference: Reference,
        network: Network,
        progress: Progress,
        done: PushResult,
    ) -> None:
        self.bundle = bundle
        self.reference = reference
        self.progress = progress
        self.done = done
        self.jobs = network.settings.jobs
        self._network = network
        self._registry = Registry(reference, network, push=True)

    def run(self) -> None:
        """Blobs first, then what refers to them: a tag never stands for half a bundle."""
        contents = self.bundle.contents
        manifests = {image.descriptor.sha256 for image in contents.all_images()}
        blobs = sorted(({*contents.metadata(), *contents.payload()}) - manifests)
        sizes = self.bundle.container.sizes
        total = sum(sizes.get(blob_name(sha256), 0) for sha256 in blobs)
        _log.info("pushing %s to %s: %d blobs", self.bundle.label, self.reference, len(blobs))
        self.progress.begin(len(blobs), total)
        self._registry.headers()
        _in_parallel(blobs, self._blob, self.jobs, self.progress, self.done)
        for image in contents.all_images():
            self._manifest(image)
        self.done.index = hashlib.sha256(contents.index).hexdigest()
        before = self._registry.manifest(self.reference.tag)
        if before is not None and before != contents.index:
            self.done.replaced = hashlib.sha256(before).hexdigest()
        self._put_manifest(self.reference.tag, contents.index, oci_documents.INDEX_TYPE)
        self._signature()

    def _send(
        self,
        method: str,
        url: str,
        headers: Sequence[tuple[str, str]] = (),
        body: bytes | Sequence[Extent] = b"",
    ) -> Response:
        """One request with the token of the moment; never to another host than the registry's."""
        data = body if isinstance(body, bytes) else UploadBody(body)
        for attempt in (1, 2):
            ours = url.startswith(self.reference.base + "/")
            token = self._registry.headers() if ours else []
            answer = self._network.request(
                url, method=method, headers=[*headers, *token], data=data, follow=False
            )
            if answer.status != 401 or attempt == 2:
                break
            _log.info("%s refused the token: asking with a newer one", self.reference.host)
            self._registry.forget()
        if answer.status in {401, 403}:
            text = t(
                "{reference}: may not be written (HTTP {status})",
                reference=self.reference,
                status=answer.status,
            )
            raise Failure("auth", text, t("docker login {host}", host=self.reference.host))
        return answer

    def _has(self, sha256: str) -> bool:
        return self._send("HEAD", self.reference.url(f"blobs/sha256:{sha256}")).status == 200

    def _blob(self, sha256: str) -> int:
        name = blob_name(sha256)
        if self._has(sha256):
            _log.debug("%s has blob %s", self.reference, sha256)
            return -1
        if name not in self.bundle.container.sizes:
            raise Failure(
                "missing",
                t(
                    "{label} is a delta, and {reference} lacks what it builds on: {owner_of}",
                    label=self.bundle.label,
                    reference=self.reference,
                    owner_of=self.bundle.owner_of(name)[1] or name,
                ),
                t("push the base first"),
                file=name,
            )
        extents = self.bundle.container.extents(name)
        size = self.bundle.container.sizes[name]
        self._upload(sha256, extents or b"", name)
        _log.debug("%s: blob %s sent, %d bytes", self.reference, sha256, size)
        return size

    def _upload(self, sha256: str, body: bytes | Sequence[Extent], name: str) -> None:
        begun = self._send("POST", self.reference.url("blobs/uploads/"))
        location = begun.headers.get("location", "")
        if begun.status != 202 or not location:
            text = t(
                "{reference}: an upload is refused (HTTP {status})",
                reference=self.reference,
                status=begun.status,
            )
            raise Failure("network", text, t("check the repository's name, and the disk there"))
        url = upload_url(begun.url, location, sha256)
        answer = self._send("PUT", url, [("Content-Type", "application/octet-stream")], body)
        if answer.status == 400 and b"DIGEST_INVALID" in answer.body:
            problem = self.bundle.problem_of("modified", name, t("has other bytes than listed"))
            raise Failure(problem.code, problem.message, problem.hint, problem.artifact, name)
        if answer.status != 201:
            raise Failure(
                "network",
                t(
                    "{reference}: {name}: HTTP {status}",
                    reference=self.reference,
                    name=name,
                    status=answer.status,
                ),
            )

    def _manifest(self, image: Image) -> None:
        name = blob_name(image.descriptor.sha256)
        data = self.bundle.container.read(name)
        self._put_manifest(image.descriptor.digest, data, MANIFEST_TYPE)
        if image.descriptor.tag:
            self._put_manifest(image.descriptor.tag, data, MANIFEST_TYPE)

    def _put_manifest(self, tag: str, data: bytes, media_type: str) -> None:
        url = self.reference.url(f"manifests/{tag}")
        answer = self._send("PUT", url, [("Content-Type", media_type)], data)
        if answer.status != 201:
            body = " ".join(answer.body[:200].decode("utf-8", "replace").split())
            text = t(
                "{reference}: manifest {tag} is refused (HTTP {status}): {body}",
                reference=self.reference,
                tag=tag,
                status=answer.status,
                body=body or "-",
            )
            raise Failure("refused", text)
        _log.info("%s: manifest %s is in place", self.reference, tag)

    def _signature(self) -> None:
        """SHA256SUMS and the signature as an artifact of its own, which refers to the index."""
        if not os.path.isfile(self.bundle.signature):
            return
        parts = {
            SUMS: self.bundle.container.read(SUMS),
            SIGNATURE: read_regular(self.bundle.signature, MAX_SIGNATURE),
        }
        builder = oci_documents.DocumentBuilder()
        config = builder.blob(oci_documents.EMPTY_TYPE, b"{}")
        layers = [builder.file(name, data) for name, data in parts.items()]
        subject = builder.blob(oci_documents.INDEX_TYPE, self.bundle.contents.index)
        for sha256, data in builder.blobs.items():
            if data != self.bundle.contents.index and not self._has(sha256):
                self._upload(sha256, data, SIGNATURE)
        manifest = oci_documents.image_manifest(SIGNATURE_TYPE, config, layers)
        manifest["subject"] = subject
        tag = signature_tag(self.reference.tag)
        self._put_manifest(tag, oci_documents.as_json(manifest), MANIFEST_TYPE)


def _to_bucket(
    bundle: Bundle, bucket: Bucket, progress: Progress, done: PushResult, jobs: int
) -> None:
    """Every file of the bundle under its own name; what makes it a bundle comes last."""
    container = bundle.container
    blobs = [name for name in container.names() if name.startswith("blobs/")]
    rest = sorted(
        (name for name in container.names() if name not in {*blobs, SIGNATURE}),
        key=lambda name: (name == SUMS, name),
    )
    for sha256 in sorted(bundle.absent()):
        if bucket.size(blob_name(sha256)) is None:
            raise Failure(
                "missing",
                t(
                    "{label} is a delta, and {bucket_label} lacks what it builds on: {owner_of}",
                    label=bundle.label,
                    bucket_label=bucket.label,
                    owner_of=bundle.owner_of(blob_name(sha256))[1],
                ),
                t("push the base first"),
            )
    _log.info("pushing %s to %s: %d files", bundle.label, bucket.label, len(container.sizes))
    progress.begin(len(container.sizes), sum(container.sizes.values()))

    def blob(name: str) -> int:
        size = container.sizes[name]
        if bucket.size(name) == size:
            _log.debug("%s has %s", bucket.label, name)
            return -1
        _proven_put(bundle, bucket, name)
        _log.debug("%s: %s sent, %d bytes", bucket.label, name, size)
        return size

    _in_parallel(blobs, blob, jobs, progress, done)
    for name in rest:
        bucket.put(name, container.read(name))
        done.sent += 1
        done.sent_bytes += container.sizes[name]
    if os.path.isfile(bundle.signature):
        bucket.put(SIGNATURE, read_regular(bundle.signature, MAX_SIGNATURE))


def _proven_put(bundle: Bundle, bucket: Bucket, name: str) -> None:
    """Send a blob, and take care that no damaged one stays there under its name."""
    from fetcher.mirror.copying import digest_of

    extents = bundle.container.extents(name)
    if digest_of(extents) != bundle.sums[name]:
        problem = bundle.problem_of("modified", name, t("has other bytes than listed"))
        raise Failure(problem.code, problem.message, problem.hint, problem.artifact, name)
    bucket.put(name, read(extents) if extents else b"")
