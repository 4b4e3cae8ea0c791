"""Whether a bundle is whole and genuine, as far as that can be told without reading contents."""

from __future__ import annotations

from pathlib import Path

from fetcher.errors import Failure, UsageError
from fetcher.i18n import t
from fetcher.mirror.bundle import Bundle


def require(bundle: Bundle, key: Path | None) -> None:
    """Raise Failure unless every file is listed and there, and, with a key, signed with it.

    What a file contains is then known by a digest that can be trusted, and is proven when read.
    """
    if problems := bundle.structure():
        first, more = problems[0], len(problems) - 1
        text = first.message
        if more:
            text = t("{message} (and {more:,} more)", message=text, more=more)
        raise Failure(first.code, text, first.hint, first.artifact, first.file)
    if key is not None:
        require_signature(bundle, key)


def require_signature(bundle: Bundle, key: Path) -> None:
    """Raise Failure unless the bundle's list of digests is signed with this key.

    The signature for openssl need not be there; where it is, it must hold as well.
    """
    from fetcher.mirror import signing

    signing.verify(bundle.sealed_digests(), bundle.label, key, Path(bundle.signature))
    beside = Path(bundle.sums_signature)
    if beside.is_file():
        signing.verify_detached(bundle.sums_bytes, bundle.label, key, beside)


def refuse_unsigned(location: str, key: Path | None) -> None:
    """Raise UsageError for a place that cannot be signed, if signatures are asked for."""
    if key is not None:
        raise UsageError(
            t(
                "{location} is no bundle and has no signature, and --verify-key asks for one",
                location=location,
            ),
            t(
                "use a signed bundle, or drop --verify-key: digests are checked by fetch.lock all "
                "the same"
            ),
        )
