"""The workflow files that `fetch init --ci` writes."""

from __future__ import annotations

from pathlib import Path

# For each service: where its file lies in a project.
PLACES = {"github": ".github/workflows/fetch.yml", "gitlab": ".gitlab-ci.yml"}


def text(service: str) -> str:
    """The workflow for `service`, one of PLACES."""
    return (Path(__file__).parent / "ci" / f"{service}.yml").read_text("utf-8")
