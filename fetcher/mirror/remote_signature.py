"""What a signature covers, of a bundle that lies elsewhere: registries and remote folders alike."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from fetcher.errors import Failure
from fetcher.fs.private_files import scratch_folder
from fetcher.i18n import t
from fetcher.mirror.bundle import INDEX, SIGNATURE, SUMS
from fetcher.mirror.volumes import parse_sums

_BLOBS = "blobs/sha256/"


@dataclass(frozen=True)
class SignedBundle:
    """The three documents that tell; `label` is the place, for messages."""

    label: str
    index: bytes
    sums: bytes
    signature: bytes

    def blobs(self, key: Path) -> set[str]:
        """Digests of all blobs that the signature covers. Raises Failure, UsageError."""
        from fetcher.mirror import signing

        listed = parse_sums(self.sums.decode("utf-8", "replace"), f"{self.label}: {SUMS}")
        with scratch_folder() as folder:
            path = Path(folder, SIGNATURE)
            path.write_bytes(self.signature)
            own = hashlib.sha256(self.sums).hexdigest()
            signing.verify({**listed, SUMS: own}, self.label, key, path)
        if listed.get(INDEX) != hashlib.sha256(self.index).hexdigest():
            raise Failure(
                "signature",
                t("{label}: {index} is not the one that was signed", label=self.label, index=INDEX),
                t("do not use it: it was moved to, or replaced by, something else"),
            )
        return {name.removeprefix(_BLOBS) for name in listed if name.startswith(_BLOBS)}
