"""huggingface_hub itself, oldest and newest, as the judge of what we read and write."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

# A folder with the oldest huggingface_hub that must be able to read what we lay out.
OLDEST = os.environ.get("FETCH_TEST_OLDEST_HUB", "")
CLIENTS = [
    pytest.param("", id="newest"),
    pytest.param(
        OLDEST,
        id="oldest",
        marks=pytest.mark.skipif(
            not OLDEST, reason="FETCH_TEST_OLDEST_HUB is not set: `make test` sets it"
        ),
    ),
]


def client(code: str, *arguments: str, path: str, **variables: str) -> str:
    """What a program prints that uses the huggingface_hub in the folder `path` ("": the newest)."""
    environment = {**os.environ, "HF_HUB_DISABLE_XET": "1", **variables}
    if path:
        environment["PYTHONPATH"] = path
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env=environment,
        text=True,
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
