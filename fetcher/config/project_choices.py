"""What a project itself sets of where things come from and lie, for the person who runs it to see.

A clone's fetch.yaml and .env are a stranger's until one has looked: what they choose is named by
the command that goes by it. What the person has set outranks them, and is not named.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import TypedDict

from fetcher.config import person
from fetcher.config.settings import PUBLIC_HUB, SPECS, Settings
from fetcher.fs.safe_paths import printable
from fetcher.i18n import join, t

ON_DISK = ("store", "hub_cache")
NAMED = (
    *("hf_endpoint", "mirrors", "rewrite", "verify_key", "github_host"),
    *(name for name, spec in SPECS.items() if spec.secret),
    *ON_DISK,
)
_LONGEST = 200
_HIDDEN = re.compile(r"(?<=://)[^/@\s]*@|\?\S*")  # logins and queries of URLs


class ProjectChoice(TypedDict):
    """One setting of a project's own: `value` is "" for a secret; `origin` is the file."""

    name: str
    value: str
    origin: str


def choices(settings: Settings, names: Collection[str] = NAMED) -> list[ProjectChoice]:
    """Those of these settings that the project has chosen, in the order of the settings."""
    return [
        {"name": name, "value": _shown(settings, name), "origin": settings.origin(name)}
        for name in SPECS
        if name in names and settings.is_from_project(name) and not _is_default(settings, name)
    ]


def _is_default(settings: Settings, name: str) -> bool:
    text = settings.text(name).strip()
    return not text or (name == "hf_endpoint" and text.rstrip("/") == PUBLIC_HUB)


def _shown(settings: Settings, name: str) -> str:
    if SPECS[name].secret:
        return ""
    text = _HIDDEN.sub("", " ".join(settings.text(name).split()))
    return printable(text if len(text) <= _LONGEST else text[:_LONGEST] + "…")


def sentence(found: Collection[ProjectChoice]) -> str:
    """One line about them, "" for none."""
    lines = []
    for origin in dict.fromkeys(choice["origin"] for choice in found):
        said = (
            f"{choice['name']}: {choice['value']}" if choice["value"] else choice["name"]
            for choice in found
            if choice["origin"] == origin
        )
        lines.append(t("this project's {origin} sets {what}", origin=origin, what="; ".join(said)))
    return join(lines, "; ") if lines else ""


def choose_yourself(name: str) -> str:
    """How a place that a project chose gets a login of the person's: once they choose it."""
    return t(
        "If you trust it, set {name} to it yourself: as {variable}, or in {path}",
        name=name,
        variable=SPECS[name].env[0],
        path=person.path() or person.VARIABLE,
    )
