"""What is typed at the site before anything of a bundle runs: the commands that prove the tool.

Nothing but a shell, tar, sed, sha256sum and openssl, and something that travelled apart from the
bundle: the public key, or the digest of SHA256SUMS on paper. In an empty folder, and only with
files that the proven list names: what else lies in the bundle is never even unpacked. The commands
hang together with `&&`, so that none runs after one that failed.
"""

from __future__ import annotations

import os
import shlex
from enum import Enum

from fetcher.mirror.bundle import SUMS, SUMS_SIGNATURE
from fetcher.mirror.volumes import sums_path

# The list's lines are sound once it is proven: fetch lists no name with a newline or backslash.
_LISTED = r"sed -n 's/^[0-9a-f]\{64\}  \(tool\/.*\)$/\1/p' SHA256SUMS > listed"
_FILES = '-T "$PWD/listed"'


class Form(Enum):
    """What a bundle is packed in."""

    FOLDER = "folder"
    TAR = "tar"
    VOLUMES = "volumes"


def form_of(bundle: str) -> Form:
    """The form of a bundle that is there."""
    if os.path.isdir(bundle):
        return Form.FOLDER
    return Form.VOLUMES if os.path.isfile(sums_path(bundle)) else Form.TAR


def _unpack(form: Form, what: str) -> str:
    if form is Form.FOLDER:  # links in it are read, not copied
        return f'tar chf - -C "$bundle" {what} | tar xf -'
    if form is Form.VOLUMES:
        return f'cat "$bundle".[0-9]* | tar xf - {what}'
    return f'tar xf "$bundle" {what}'


def commands(form: Form, bundle: str, key: str = "", digest: str = "") -> list[str]:
    """The lines to type: proven by the signature if a key is given, else by the digest.

    `bundle` is an absolute path, `key` the name of the public key's file where one types them.
    """
    beside = "$bundle/" if form is Form.FOLDER else "$bundle."
    if key:
        proof = f'openssl dgst -sha256 -verify "$key" -signature "{beside}{SUMS_SIGNATURE}" {SUMS}'
    else:
        proof = f'echo "$digest  {SUMS}" | sha256sum -c -'
    return [
        f"bundle={shlex.quote(bundle)}",
        f'key="$PWD"/{shlex.quote(key)}' if key else f"digest={digest}",
        "mkdir fetch-check && cd fetch-check &&",
        f"{_unpack(form, SUMS)} &&",
        f"{proof} &&",
        f"{_LISTED} &&",
        f"{_unpack(form, _FILES)} &&",
        f"grep '  tool/' {SUMS} | sha256sum --strict -c - &&",
        "sh tool/install.sh ../fetch-tool &&",
        # Only then: a `fetch-tool` may lie ready where the lines are typed.
        'cd .. && export PATH="$PWD/fetch-tool/bin:$PATH"',
    ]
