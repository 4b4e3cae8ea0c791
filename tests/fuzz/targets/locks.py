"""fetch.lock: what is read is written and read as the same; everything else is a LockError.

What has conflict markers has two sides, whatever stands between them.
"""

from __future__ import annotations

import io

from fetcher.errors import LockError
from fetcher.fs.safe_paths import check_relative
from fetcher.project.lock_merge import sides
from fetcher.project.lockfile import conflicting, dumps, loads, stream_lock
from tests.fuzz.kit import ROOT, Target, seed, text_of

SHA = "ab" * 32


def check(data: bytes) -> None:
    text = text_of(data)
    streamed = stream_lock(io.StringIO(text))
    assert streamed is None or streamed == loads(text)
    try:
        found = loads(text)
    except LockError as error:
        assert error.message and error.hint
        assert all(name.count("/") == 1 for name in conflicting(text))
        sides(text)
        return
    for locked in found.artifacts.values():
        assert len({file.path for file in locked.files}) == len(locked.files)
        for file in locked.files:
            assert check_relative(file.path) == file.path
            assert file.size is None or 0 <= file.size < 2**63
    written = dumps(found)
    written.encode("utf-8")
    again = loads(written)
    assert again == found
    assert dumps(again) == written


TARGET = Target(
    check,
    [
        seed('{"schema": "fetch.lock/1", "manifests": {"m": {"a": {"source": "hf:o/m@main", '
             '"revision": "r", "files": [{"path": "x", "size": 1, "sha256": "' + SHA + '"}, '
             '{"path": "y", "git_blob": "' + SHA[:40] + '", "lfs": true, "md5": "' + SHA[:32] +
             '"}]}}}}'),
        seed('{"schema": "fetch.lock/1", "manifests": {}}'),
        seed("<<<<<<< ours\n{}\n>>>>>>> theirs\n"),
    ],
    ['"schema": "fetch.lock/1"', '"manifests": {', '"files": [', '{"path": "', '"size": ', "1e3", "-1",
     '"sha256": "' + SHA + '"', '"\\ud800"', "\\u0000", "NaN", "Infinity", "null", "true", "[" * 50,
     '"a": {', "}", "]", ", ", "9" * 20, "9" * 5000, '"source": ""', "\u2028", "<<<<<<< "],
    longest=8000,
    also=lambda: [(ROOT / "fetch.lock").read_bytes()[:8000]],
)  # fmt: skip
