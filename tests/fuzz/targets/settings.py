"""fetch.yaml, .env and the person's own file: refused in words, and never more than they may."""

from __future__ import annotations

import os

from fetcher.config import person, settings
from fetcher.errors import InvalidDocument, UsageError
from tests.fuzz.kit import Target, parts_of, scratch, seed
from tests.fuzz.targets.yaml_tree import WORDS


def check(data: bytes) -> None:
    project, env, own = parts_of(data, 3)
    root = scratch() / "settings"
    root.mkdir(exist_ok=True)
    for name, content in (("fetch.yaml", project), (".env", env), ("own.yaml", own)):
        (root / name).write_bytes(content)
    before = os.environ.get(person.VARIABLE)
    os.environ[person.VARIABLE] = str(root / "own.yaml")
    try:
        _loads(root)
    finally:
        os.environ.pop(person.VARIABLE)
        if before is not None:
            os.environ[person.VARIABLE] = before


def _loads(root: os.PathLike[str]) -> None:
    from pathlib import Path

    try:
        found = settings.load(Path(root))
        found.check()
    except InvalidDocument as error:
        assert error.found and all(item.line >= 1 and item.message for item in error.found)
        return
    except UsageError as error:
        assert error.message and error.hint
        return
    assert 1 <= found.jobs <= 256 and found.limit_rate >= 0
    assert found.origin("hf_token") != "fetch.yaml"
    allowed = found.allowed
    assert all(folder.is_absolute() for folder in (*allowed.links, *allowed.local, *allowed.code))


TARGET = Target(
    check,
    [
        seed("jobs: 4\nlink: copy\nmirrors: [a, oci://h/r]\nlimit_rate: 50M\n", "HF_TOKEN=x\n", ""),
        seed("runtime: {primary_model: a, fallback_models: [b]}\n", "export A='b c'\n", "jobs: 3\n"),
        seed("hf_endpoint: http://h:1\nrewrite: https://a/=https://b/\n", "", "allow: {links: [/a], "
             "local: ~/x, pickles: {" + "0" * 64 + ": [a.b]}, code: {/p: [a]}}\n"),
    ],
    [*WORDS, "jobs: ", "link: ", "store: ", "offline: ", "limit_rate: ", "mirrors: ", "rewrite: ",
     "hf_endpoint: http://", "verify_key: ", "xet: ", "allow: ", "links: ", "pickles: ", "code: ",
     "HF_TOKEN=", "HF_ENDPOINT=", "GH_HOST=", "FETCH_JOBS=", "~nobody/", "\xff", "[::1", "9" * 30],
    longest=1000,
)  # fmt: skip
