"""Reading a bundle once from front to back, and comparing every file with SHA256SUMS."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from functools import partial

from fetcher.errors import Failure, Problem
from fetcher.fs.atomic import sha256_of
from fetcher.i18n import t
from fetcher.mirror.bundle import SIGNATURE, SUMS, SUMS_SIGNATURE, Bundle
from fetcher.mirror.copying import SMALL, HashPool, digest_of

_log = logging.getLogger(__name__)

_Key = str | tuple[str, str]  # a file of the bundle, or a volume with its digest
# Gets each file while it is hashed: (name, its bytes if it is small).
Receiver = Callable[[str, bytes | None], None]


class BundleVerifier:
    """One reading of a bundle. `volumes`: prove what it is packed in as well."""

    def __init__(
        self, bundle: Bundle, tick: Callable[[int, int], None], volumes: bool = False
    ) -> None:
        self.bundle = bundle
        self.problems: list[Problem] = []
        self.files = self.bytes = 0
        self._tick = tick
        self._volumes = volumes

    def run(self, take: Receiver | None = None) -> list[Problem]:
        """Read all; what is wrong. Raises Failure where nothing can be read any more."""
        hashes: HashPool[_Key] = HashPool(self._proven)
        try:
            for name in self.bundle.container.names():
                self._one(name, hashes, take)
            for path, sha256 in self.bundle.container.packing() if self._volumes else ():
                hashes.submit((path, sha256), partial(sha256_of, path))
            hashes.finish(lambda: self._tick(0, 0))
        except EOFError as error:
            raise Failure(
                "bundle", t("{label}: {error}", label=self.bundle.label, error=error)
            ) from error
        finally:
            hashes.close()
        return self.problems

    def _one(self, name: str, hashes: HashPool[_Key], take: Receiver | None) -> None:
        container = self.bundle.container
        if container.sizes[name] > SMALL:
            extents = container.extents(name)
            hashes.submit(name, lambda: digest_of(extents))
            if take is not None:
                take(name, None)
            return
        data = container.read(name)
        if take is not None:
            take(name, data)
        self._proven(name, hashlib.sha256(data).hexdigest())

    def _proven(self, key: _Key, found: str) -> None:
        if isinstance(key, tuple):
            if found != key[1]:
                self.problems.append(self.bundle.container.packing_problem(key[0]))
            return
        sums, size = self.bundle.sums, self.bundle.container.sizes[key]
        self.files += 1
        self.bytes += size
        _log.debug("%s: %s has sha256 %s", self.bundle.label, key, found)
        if key not in {SUMS, SIGNATURE, SUMS_SIGNATURE} and key in sums and sums[key] != found:
            text = t("has other bytes than listed")
            self.problems.append(self.bundle.problem_of("modified", key, text))
        self._tick(size, 1)
