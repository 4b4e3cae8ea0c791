"""The order of the pages. A page that is in no group is a mistake that a test names."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from website import markdown

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"


@dataclass(frozen=True)
class Group:
    """Pages under one caption, each with what a reader finds there."""

    caption: str
    pages: dict[str, str]


GROUPS = (
    Group(
        "Start",
        {
            "docs/start.md": "install, name a model, fetch, check",
            "docs/adopting.md": "a project that downloads its models by hand today",
            "docs/ohlora.md": "a large project from a fresh clone to loaded models",
            "docs/faq.md": "short answers",
            "docs/troubleshooting.md": "look a message up as it was printed",
        },
    ),
    Group(
        "Use",
        {
            "docs/commands.md": "what each command is for, by subject",
            "docs/manifests.md": "what to fetch, where from, and where it stands",
            "docs/sources.md": "each kind of source: forms, login, limits",
            "docs/catalog.md": "gated models, what fits a GPU, fallbacks, registering a model",
            "docs/verify.md": "proves that models load: every kind of probe and its options",
            "docs/wrong-artifacts.md": "some 500 of them, and which of them each probe sees",
            "docs/licenses.md": "licences, a policy for them, and an SBOM",
            "docs/python.md": "scripts, notebooks, reports",
            "docs/models.md": "chat, embeddings and images for applications",
            "docs/shell.md": "completion, man page, editors",
        },
    ),
    Group(
        "Run elsewhere",
        {
            "docs/ci.md": "GitHub, GitLab, pre-commit, Docker",
            "docs/offline.md": "bundles, signatures, registries, proxies",
            "docs/clusters.md": "Slurm, Ray, shared stores and homes, many nodes",
            "docs/serve.md": "`fetch serve`, for unmodified clients of the Hub",
            "docs/web.md": "pages, a form that registers models, a leaderboard, a JSON API",
        },
    ),
    Group(
        "Reference",
        {
            "docs/reference/cli.md": "every command and option",
            "docs/reference/manifest.md": "every key of a manifest",
            "docs/reference/layout.md": "every key of a layout",
            "docs/reference/settings.md": "every setting and variable",
            "docs/settings.md": "which one wins, and what a project may choose",
            "docs/exit-codes.md": "what each number means, and what to do",
            "docs/json.md": "what `--json` prints",
        },
    ),
    Group(
        "Background",
        {
            "docs/design.md": "lock, store, transfer, what survives what",
            "docs/comparison.md": "beside other tools, by features and by the clock",
            "docs/security.md": "who can send what, and what stops them",
            "docs/upgrade.md": "upgrade, go back, uninstall; what is where on the disk",
            "docs/tried.md": "systems, services and versions that were tried",
            "docs/licenses.md": "licences, a policy of them, bills of materials",
            "docs/shell.md": "completion, the manual page, editors",
            "docs/dependencies.md": "what each package is for",
            "CONTRIBUTING.md": "a map of the code, and where to change what",
            "SECURITY.md": "how to report a fault",
            "CHANGELOG.md": "what changed in each version",
            "benchmarks/results/transfer.md": "all measurements",
            "benchmarks/results/far.md": "transfers from far servers",
        },
    ),
    Group(
        "한국어",
        {
            "README.ko.md": "개요",
            "docs/ko/start.md": "5분 만에 시작하기",
            "docs/ko/adopting.md": "기존 프로젝트에 적용하기",
            "docs/ko/ohlora.md": "Oh-LoRA",
            "docs/ko/troubleshooting.md": "문제 해결",
        },
    ),
)
INDEX = "docs/README.md"


def pages() -> dict[str, str]:
    """Every page that is there, by its path in the repository: what a reader finds on it."""
    named = {page: line for group in GROUPS for page, line in group.pages.items()}
    return {page: line for page, line in named.items() if (ROOT / page).exists()}


def is_translated(page: str) -> bool:
    """Whether a page is a translation: its commands are those of the original."""
    return "/ko/" in page or page.endswith(".ko.md")


def unlisted() -> list[str]:
    """Pages below docs/ that no group names."""
    there = {path.relative_to(ROOT).as_posix() for path in DOCS.rglob("*.md")}
    return sorted(there - set(pages()) - {INDEX})


def title(page: str) -> str:
    """A page's first heading, without the marks of code."""
    found = markdown.headings((ROOT / page).read_text("utf-8"))
    return found[0][1].replace("`", "") if found else "Measurements"


def index() -> str:
    """docs/README.md: the pages in their groups."""
    lines = [
        "# Documentation",
        "",
        "`fetch` sets up the models and datasets of a machine-learning project with one command.",
        "New here? [Five minutes](start.md) take you from nothing to a checked project.",
        "Something went wrong? [Look the message up](troubleshooting.md).",
    ]
    for group in GROUPS:
        there = {page: line for page, line in group.pages.items() if (ROOT / page).exists()}
        if there:
            lines += ["", f"## {group.caption}", ""]
        for page, line in there.items():
            link = page.removeprefix("docs/") if page.startswith("docs/") else f"../{page}"
            lines.append(f"- [{title(page)}]({link}): {line}")
    return "\n".join([*lines, ""])
