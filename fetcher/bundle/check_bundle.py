"""`fetch mirror check` and `sign`: reading all of a bundle, and vouching for it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypedDict

from fetcher.bundle import publisher_signatures
from fetcher.errors import Failure, Problem, from_os_error
from fetcher.fs.atomic import write_atomically
from fetcher.i18n import join, t
from fetcher.mirror import trust
from fetcher.mirror.bundle import (
    TOOL,
    ArtifactSummary,
    Bundle,
    open_bundle,
    open_bundles,
    summary_of,
)
from fetcher.mirror.claims import disputes
from fetcher.mirror.verify_bundle import BundleVerifier
from fetcher.ui.progress import Progress
from fetcher.ui.units import human_bytes

_log = logging.getLogger(__name__)


class BundleSummary(TypedDict):
    """A bundle in the report; `absent` counts the contents that a delta builds on."""

    bundle: str
    digest: str
    delta: bool
    absent: int
    signature: bool
    tool: bool


@dataclass
class CheckResult:
    """What a check found."""

    artifacts: list[ArtifactSummary] = field(default_factory=list)
    bundles: list[BundleSummary] = field(default_factory=list)
    files: int = 0
    bytes: int = 0
    signed: bool | None = None
    problems: list[Problem] = field(default_factory=list)


@dataclass
class SignResult:
    """What signing did: files and bytes that were proved, and the signatures' paths.

    `tool`: fetch itself is in the bundle.
    """

    files: int = 0
    bytes: int = 0
    signature: str = ""
    sums_signature: str = ""
    tool: bool = False
    problems: list[Problem] = field(default_factory=list)


def prove(bundle: Bundle, progress: Progress) -> tuple[list[Problem], int, int]:
    """Everything that is wrong with a bundle, every byte read; and how many files and bytes."""
    _log.info("proving %s: %d files", bundle.label, len(bundle.container.sizes))
    problems = bundle.structure()
    proof = BundleVerifier(bundle, progress.advance, volumes=True)
    try:
        problems += proof.run()
    except Failure as failure:
        problems.append(failure.problem)
    problems = _once(problems)
    wrong = f"{len(problems)} problems" if problems else "all sound"
    _log.info("%s: %d files, %d bytes read: %s", bundle.label, proof.files, proof.bytes, wrong)
    return problems, proof.files, proof.bytes


def _once(problems: list[Problem]) -> list[Problem]:
    """One problem for each file: the first says enough."""
    seen: dict[tuple[str, str], Problem] = {}
    for problem in problems:
        seen.setdefault((problem.file, problem.code if not problem.file else ""), problem)
    return list(seen.values())


def has_tool(bundle: Bundle) -> bool:
    """Whether fetch itself is in the bundle."""
    return any(name.startswith(TOOL) for name in bundle.sums)


def check(arguments: Sequence[str], key: Path | None, progress: Progress) -> CheckResult:
    """Prove bundles. What cannot be opened at all raises Failure, UsageError."""
    found = CheckResult()
    bundles = open_bundles(arguments)
    try:
        sizes = [bundle.container.sizes for bundle in bundles]
        progress.begin(sum(map(len, sizes)), sum(sum(item.values()) for item in sizes))
        for bundle in bundles:
            problems, files, size = prove(bundle, progress)
            if key is not None:
                try:
                    trust.require_signature(bundle, key)
                    found.signed = found.signed is not False
                    _log.info("%s: the signature holds", bundle.label)
                except Failure as failure:
                    problems.append(failure.problem)
                    found.signed = False
                    _log.info("%s: %s", bundle.label, failure.message)
            found.problems += problems or publisher_signatures.of_bundle(bundle)
            found.files += files
            found.bytes += size
            absent = bundle.absent()
            found.bundles.append(
                {
                    "bundle": bundle.label,
                    "digest": f"sha256:{bundle.digest}",
                    "delta": bundle.contents.delta,
                    "absent": len(absent) if bundle.contents.delta else 0,
                    "signature": Path(bundle.signature).is_file(),
                    "tool": has_tool(bundle),
                }
            )
            found.artifacts += [summary_of(artifact) for artifact in bundle.artifacts()]
        found.problems += _contradictions(bundles)
    finally:
        for bundle in bundles:
            bundle.close()
    return found


def _contradictions(bundles: Sequence[Bundle]) -> list[Problem]:
    """What two of these bundles say differently of one commit of a source."""
    claims = [replace(item, party=one.label) for one in bundles for item in one.artifacts()]
    hint = t("ask who made them which is right")
    return [Problem("conflict", one.message, hint, file=one.path) for one in disputes(claims)]


def lines(found: CheckResult) -> list[str]:
    """The same for people."""
    shown = []
    for item in found.bundles:
        facts = [t("digest {digest}", digest=item["digest"])]
        if item["delta"]:
            facts.append(
                t("delta: {absent:,} contents must be there already", absent=item["absent"])
            )
        if found.signed is not None:
            facts.append(t("signature holds") if found.signed else t("signature does not hold"))
        elif item["signature"]:
            facts.append(t("signed (not checked: --verify-key)"))
        else:
            facts.append(t("not signed"))
        if item["tool"] and not found.signed:
            facts.append(
                t("nothing here proves who made tool/install.sh: see INDEX.txt before you run it")
            )
        shown.append(join((item["bundle"], join(facts)), ": "))
    for artifact in found.artifacts:
        shown.append(
            t(
                "  {manifest}/{id}  {files:,} files, {bytes}  {source}{which}",
                manifest=artifact["manifest"],
                id=artifact["id"],
                files=artifact["files"],
                bytes=human_bytes(artifact["bytes"]),
                source=artifact["source"],
                which=f"  {artifact['license']}" if artifact["license"] else "",
            )
        )
    sound = t("all sound") if not found.problems else t("not sound")
    shown.append(
        t(
            "{files:,} files read, {bytes}: {sound}",
            files=found.files,
            bytes=human_bytes(found.bytes),
            sound=sound,
        )
    )
    return shown


def sign(path: str, key: Path, progress: Progress) -> SignResult:
    """Prove a bundle, then sign it. Raises Failure, UsageError."""
    from fetcher.mirror import signing

    done = SignResult()
    bundle = open_bundle(path)
    try:
        sizes = bundle.container.sizes
        progress.begin(len(sizes), sum(sizes.values()))
        done.problems, done.files, done.bytes = prove(bundle, progress)
        if done.problems:
            return done
        name = Path(path).absolute().name
        signing.sign(bundle.sealed_digests(), name, key, Path(bundle.signature))
        made = signing.sign_detached(bundle.sums_bytes, key)
        write_atomically(Path(bundle.sums_signature), made)
        done.signature, done.sums_signature = bundle.signature, bundle.sums_signature
        done.tool = has_tool(bundle)
        _log.info("%s is signed: %s", bundle.label, bundle.signature)
    except OSError as error:
        raise from_os_error(error, t("writing {signature}", signature=bundle.signature)) from error
    finally:
        bundle.close()
    return done
