"""Signatures over bundles, and over models by their publishers: OpenSSF Model Signing.

The bytes are not read again for a signature: what is signed are the digests that the bundle lists,
every file of it included. A folder's signature can be checked by `model_signing verify`, too.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from fetcher.errors import Failure, UsageError, from_os_error
from fetcher.fs.safe_paths import printable
from fetcher.i18n import t
from fetcher.mirror.bundle import MAX_SIGNATURE, SUMS_SIGNATURE
from fetcher.mirror.signer import Signer
from fetcher.verify.contract.regular import read_regular

_MAX_DETACHED = 1024
_MAX_KEY = 1 << 20
# How model-signing names what differs: extra and missing files in a row, others one by one.
_NAMES = re.compile(
    r"files (?:found )?in model \\?'[^']*': ([^\"']*)|Hash mismatch for \\?'([^'\\]*)"
)


class _KnownDigests:
    """Stands where model-signing would hash a folder: the digests are known already."""

    def __init__(self, name: str, digests: Mapping[str, str], ignored: tuple[str, ...]) -> None:
        self._name = name
        self._digests = digests
        self._ignored = [Path(path) for path in ignored]

    def add_ignored_paths(self, **_: Any) -> None:
        """Which files count is decided by who gave the digests."""

    def hash(self, model_path: Any, files_to_hash: Any = None) -> Any:
        """The manifest of model-signing."""
        from model_signing import manifest

        digest = manifest.hashing.Digest
        items = [
            manifest.FileManifestItem(
                path=PurePosixPath(name), digest=digest("sha256", bytes.fromhex(sha256))
            )
            for name, sha256 in sorted(self._digests.items())
        ]
        kind = manifest._FileSerialization("sha256", False, self._ignored)
        return manifest.Manifest(self._name, items, kind)


@contextlib.contextmanager
def _library(what: str) -> Iterator[Any]:
    """model-signing, its output kept off stdout, its errors as ours."""
    try:
        import model_signing.signing
        import model_signing.verifying
    except ImportError as error:
        from fetcher.installation.commands import install_extra

        text = t("{what} needs the package model-signing", what=what)
        line = install_extra("sign", "model-signing")
        hint = t("install it: {command}", command=line)
        raise UsageError(t("{text} ({error})", text=text, error=error), hint) from error
    with contextlib.redirect_stdout(io.StringIO()):
        yield model_signing


def sign(digests: Mapping[str, str], name: str, key: Path, signature: Path) -> None:
    """Sign a list of digests with a private EC key (PEM). Raises Failure, UsageError, OSError.

    A key with a password has it in FETCH_KEY_PASSWORD.
    """
    password: Any = os.environ.get("FETCH_KEY_PASSWORD")
    _readable(key)
    with _library("signing") as library:
        config = library.signing.Config()
        try:
            # The library hands the password on as it is, and what it hands it to wants bytes.
            secret = password.encode() if password else None
            config.use_elliptic_key_signer(private_key=key, password=secret)
        except AttributeError as error:  # of a key of another kind it asks for the curve
            raise _no_key(key, TypeError(t("it is no EC key"))) from error
        except (ValueError, TypeError) as error:
            raise _no_key(key, error) from error
        ignored = (signature.name, SUMS_SIGNATURE)
        config.set_hashing_config(_KnownDigests(name, digests, ignored))
        config.sign(Path(name), signature)


def sign_detached(data: bytes, key: Path) -> bytes:
    """A signature over these bytes as `openssl dgst -sha256 -verify` checks it: ECDSA, in DER.

    `key` is a private EC key (PEM), its password in FETCH_KEY_PASSWORD. Raises UsageError.
    """
    with _library("signing"):
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec
    password = os.environ.get("FETCH_KEY_PASSWORD")
    secret = password.encode() if password else None
    try:
        found = serialization.load_pem_private_key(_key(key), secret)
        if not isinstance(found, ec.EllipticCurvePrivateKey):
            raise TypeError(t("it is no EC key"))
    except (ValueError, TypeError) as error:
        raise _no_key(key, error) from error
    return found.sign(data, ec.ECDSA(hashes.SHA256()))


def verify_detached(data: bytes, label: str, key: Path, signature: Path) -> None:
    """Prove what `sign_detached` made, by the public key. Raises Failure ('signature')."""
    with _library(t("verifying a signature")):
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec
    try:
        with signature.open("rb") as stream:
            made = stream.read(_MAX_DETACHED)
        found = serialization.load_pem_public_key(_key(key))
        if not isinstance(found, ec.EllipticCurvePublicKey):
            raise TypeError(t("it is no EC key"))
        found.verify(made, data, ec.ECDSA(hashes.SHA256()))
    except OSError as error:
        raise from_os_error(error, t("reading {signature}", signature=signature)) from error
    except (ValueError, TypeError, InvalidSignature) as error:
        raise _does_not_hold(label, signature, _reason(error)) from error


def verify(digests: Mapping[str, str], label: str, key: Path, signature: Path) -> None:
    """Prove that `signature` covers exactly these digests, by this public key.

    Raises Failure ('signature'), UsageError.
    """
    _readable(key)
    if not signature.is_file():
        raise Failure(
            "signature",
            t("{label} is not signed: {signature} is not there", label=label, signature=signature),
            t("bring the signature along, or have the bundle signed: fetch mirror sign"),
        )
    with _library(t("verifying a signature")) as library:
        config = library.verifying.Config()
        try:
            config.use_elliptic_key_verifier(public_key=key)
        except (ValueError, TypeError, AttributeError) as error:
            raise UsageError(
                t("--verify-key {key}: {error}", key=key, error=_first(error)),
                t("the public half of an EC key, in PEM: openssl ec -in KEY -pubout"),
            ) from error
        config.set_hashing_config(_KnownDigests(label, digests, (signature.name,)))
        _run(config, label, signature)


def verify_publisher(
    digests: Mapping[str, str], label: str, signature: Path, signer: Signer, root: Path
) -> None:
    """Prove a publisher's own signature over a model's files. Raises Failure, UsageError."""
    with _library(t("verifying a signature")) as library:
        config = library.verifying.Config()
        try:
            if signer.key:
                config.use_elliptic_key_verifier(public_key=_readable(root / signer.key))
            elif signer.certificates:
                paths = [_readable(root / item) for item in signer.certificates]
                config.use_certificate_verifier(certificate_chain=paths)
            else:
                config.use_sigstore_verifier(identity=signer.identity, oidc_issuer=signer.issuer)
        except UsageError:
            raise
        except Exception as error:  # Sigstore fetches its root of trust here
            raise Failure(
                "signature",
                t("{label}: the signer cannot be had: {error}", label=label, error=_first(error)),
            ) from (error)
        config.set_hashing_config(_KnownDigests(label, digests, (signature.name,)))
        _run(config, label, signature)


def _run(config: Any, label: str, signature: Path) -> None:
    try:
        if signature.stat().st_size > MAX_SIGNATURE:
            raise ValueError(t("the file is too large for a signature"))
        config.verify(Path(label), signature)
    except OSError as error:
        raise from_os_error(error, t("reading {signature}", signature=signature)) from error
    except Exception as error:  # whatever the library's parsers make of a hostile file
        raise _does_not_hold(label, signature, _reason(error)) from error


def _does_not_hold(label: str, signature: Path, why: str) -> Failure:
    return Failure(
        "signature",
        t(
            "{label}: the signature {name} does not hold: {error}",
            label=label,
            name=signature.name,
            error=why,
        ),
        t("do not use it: it was changed, or signed by somebody else; ask who sent it"),
    )


def _no_key(key: Path, error: Exception) -> UsageError:
    return UsageError(
        t("--key {key}: {error}", key=key, error=_first(error)),
        t(
            "an EC key in PEM, such as `openssl ecparam -genkey -name prime256v1 -noout` "
            "makes; a password goes into FETCH_KEY_PASSWORD"
        ),
    )


def _readable(key: Path) -> Path:
    _key(key)
    return key


def _key(path: Path) -> bytes:
    """A key or certificate; a project may have named it, so that it may be no file at all."""
    try:
        return read_regular(path, _MAX_KEY)
    except OSError as error:
        raise UsageError(
            t("the key {key} cannot be read: {strerror}", key=path, strerror=error.strerror)
        ) from error


def _first(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return printable(lines[0] if lines else type(error).__name__)[:300]


def _reason(error: Exception) -> str:
    text = _first(error)
    cause: BaseException = error
    while cause.__cause__ is not None:
        cause = cause.__cause__
    if type(cause).__name__ == "InvalidSignature":
        return t("it was made by another key, or changed")
    if isinstance(error, KeyError | TypeError | AttributeError | UnicodeDecodeError):
        return t("the file is no such signature")
    if "public key hash" in text:
        return t("it was made by another key")
    if "Signature mismatch" in text:
        names = [part for found in _NAMES.findall(str(error)) for part in found if part]
        return t("not what was signed: {names}", names=printable(", ".join(names)[:300]))
    return text
