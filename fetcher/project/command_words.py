"""How command lines that hints name reach an artifact.

Without a manifest's name, commands look into the project's own manifests alone. `reach` is what
names another one: the built-in catalog's by its name, any other by its path; "" for the project's.
"""

from __future__ import annotations

import shlex


def command_words(artifact: str, reach: str) -> str:
    """What `fetch lock --update` is to be followed by."""
    return shlex.join([artifact, *filter(None, [reach])])


def as_words(artifact: str, path: str, reach: str) -> str:
    """What `fetch adopt FILE --as` is to be followed by: the file `path` of the artifact."""
    return shlex.join([f"{artifact}/{path}", *(["--manifest", reach] if reach else [])])
