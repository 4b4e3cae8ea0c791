"""Signatures that publishers ship with their models (`model.sig`), compared with what is locked.

What the signature says of each file is compared here; whether it was made by whom the manifest
names is model-signing's to prove. A model may be fetched in part: signed files that are not
wanted need not be there, but every file that is there must be signed.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from pathlib import Path

from fetcher.errors import Failure
from fetcher.i18n import t
from fetcher.mirror import signing
from fetcher.mirror.signer import DEFAULT, Signer
from fetcher.sources.base import FileEntry
from fetcher.verify.contract import json_text
from fetcher.verify.contract.regular import read_regular

_V1 = "https://model_signing/signature/v1.0"
_OLD = "https://model_signing/Digests/v0.1"
_IGNORED = (".git", ".gitattributes", ".github", ".gitignore")
_MAX = 256 << 20


def check(
    label: str,
    files: Iterable[FileEntry],
    signature: Path,
    signer: Signer | None,
    root: Path,
) -> None:
    """Prove that the files are those that were signed, and with a `signer` also by whom.

    `root` is the folder that a key's path in the manifest is relative to. Raises Failure
    ('signature'), UsageError.
    """
    listed, ignored = _statement(signature, label)
    name = signer.file if signer else DEFAULT
    folder = name.rpartition("/")[0]
    differing = []
    for file in files:
        path = file.path if not folder else file.path.removeprefix(f"{folder}/")
        outside = bool(folder) and path == file.path
        if outside or file.path == name or any(_below(path, item) for item in ignored):
            continue
        if listed.get(path) != file.sha256:
            differing.append(
                t(
                    "{path} ({which})",
                    path=file.path,
                    which=t("other bytes") if path in listed else t("not signed"),
                )
            )
    if differing:
        shown = ", ".join(differing[:5]) + (" …" if len(differing) > 5 else "")
        raise Failure(
            "signature",
            t(
                "{label}: not what its publisher signed in {name}: {shown}",
                label=label,
                name=name,
                shown=shown,
            ),
            t("do not trust it: compare with the publisher's own page"),
        )
    if signer is not None:
        signing.verify_publisher(listed, label, signature, signer, root)


def _below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(f"{folder}/")


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """An object; a key that stands twice could be read in two ways."""
    if len({key for key, _ in pairs}) != len(pairs):
        raise ValueError(t("a key stands twice"))
    return dict(pairs)


def _statement(signature: Path, label: str) -> tuple[dict[str, str], tuple[str, ...]]:
    """(digest by name, names that do not count) of a signed statement, not yet proven."""
    try:
        bundle = json_text.loads(read_regular(signature, _MAX), object_pairs_hook=_object)
        payload = base64.b64decode(bundle["dsseEnvelope"]["payload"], validate=True)
        statement = json_text.loads(payload, object_pairs_hook=_object)
        if statement["predicateType"] == _OLD:
            old = {item["name"]: item["digest"]["sha256"] for item in statement["subject"]}
            return old, _IGNORED
        if statement["predicateType"] != _V1:
            raise ValueError(
                t("a statement of type {predicatetype!r}", predicatetype=statement["predicateType"])
            )
        how = statement["predicate"]["serialization"]
        if how["method"] != "files" or how["hash_type"] != "sha256":
            raise ValueError(t("digests of another kind than sha256 of whole files"))
        found = {item["name"]: item["digest"] for item in statement["predicate"]["resources"]}
        return found, (*_IGNORED, *map(str, how.get("ignore_paths", ())))
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise Failure(
            "signature",
            t(
                "{label}: the publisher's signature cannot be read: {error}",
                label=label,
                error=error,
            ),
            t("is it a signature of OpenSSF Model Signing?"),
        ) from error
