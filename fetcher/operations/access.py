"""Which repositories may be had with this machine's tokens: one request each, at the same time."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TypedDict

from fetcher.errors import Failure, Problem
from fetcher.i18n import join
from fetcher.network.session import Network
from fetcher.sources.base import Source

MOST_AT_ONCE = 16

# What a repository's answer comes to; `label` is how the command prints it.
OK, GATED, MISSING, ERROR, UNKNOWN = "ok", "need-approval", "not-found", "error", "unknown"
LABELS = {
    OK: "[OK]",
    GATED: "[NEED APPROVAL]",
    MISSING: "[ERROR]",
    ERROR: "[ERROR]",
    UNKNOWN: "[NOT ASKED]",
}


@dataclass(frozen=True)
class Question:
    """One artifact, or a repository that was named outright (`artifact` is then "").

    `needed` tells if a refusal makes the command fail.
    """

    source: Source
    artifact: str = ""
    manifest: str = ""
    needed: bool = True


class AccessResult(TypedDict):
    """One entry of the JSON report's `results`; None where there is nothing to say."""

    id: str | None
    manifest: str | None
    repository: str
    state: str
    accessible: bool
    detail: str | None
    needed: bool
    page: str | None
    reason: str | None
    hint: str | None


@dataclass(frozen=True)
class AccessAnswer:
    """What the question came to. `detail` tells refusals apart: no-token, not-approved, pending,
    rejected, narrow-token, bad-token, no-repository; "" elsewhere."""

    question: Question
    state: str
    page: str
    detail: str = ""
    problem: Problem | None = None

    @property
    def name(self) -> str:
        """How to call it in a list."""
        return self.question.artifact or self.question.source.describe()

    @property
    def failing(self) -> Problem | None:
        """The problem that the command fails with, if this is needed."""
        if self.problem is None or not self.question.needed:
            return None
        # A repository that is not there cannot be told from one that is not shown to us.
        code = "auth" if self.problem.code == "not-found" else self.problem.code
        return self.problem._replace(code=code, artifact=self.question.artifact)

    def to_json(self) -> AccessResult:
        """One entry of the JSON report's `results`."""
        return {
            "id": self.question.artifact or None,
            "manifest": self.question.manifest or None,
            "repository": self.question.source.describe(),
            "state": self.state,
            "accessible": self.state == OK,
            "detail": self.detail or None,
            "needed": self.question.needed,
            "page": self.page or None,
            "reason": self.problem.message if self.problem else None,
            "hint": self.problem.hint if self.problem else None,
        }


def _whole(source: Source) -> Source:
    """The source without what does not matter for access, so that one request serves several."""
    plain = {"path": "", "revision": "main", "ref": "HEAD", "release": ""}
    fields = getattr(source, "__dataclass_fields__", {})
    if source.type not in {"huggingface", "github"}:
        return source
    return replace(source, **{k: v for k, v in plain.items() if k in fields})  # type: ignore[type-var]


def _ask(source: Source, network: Network) -> tuple[str, str, Problem | None]:
    """(state, detail, problem)."""
    try:
        return (OK if source.check_access(network) else UNKNOWN), "", None
    except Failure as failure:
        problem = failure.problem
        if problem.code == "gated":
            return GATED, failure.detail, problem
        if failure.detail == "no-repository" or problem.code == "not-found":
            return MISSING, failure.detail, problem
        return ERROR, failure.detail, problem
    except Exception as error:
        text = join((source.describe(), type(error).__name__, str(error)), ": ")
        return ERROR, "", Problem("internal", text)


def ask_all(questions: Sequence[Question], network: Network) -> list[AccessAnswer]:
    """Ask every repository once, however many artifacts come from it; answers in order."""
    sources = list(dict.fromkeys(_whole(question.source) for question in questions))
    if not sources:
        return []
    with ThreadPoolExecutor(max_workers=min(MOST_AT_ONCE, len(sources))) as pool:
        try:
            told = list(pool.map(lambda source: _ask(source, network), sources))
        except BaseException:
            network.interrupt()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    outcomes = dict(zip(sources, told, strict=True))
    answers = []
    for question in questions:
        state, detail, problem = outcomes[_whole(question.source)]
        page = question.source.page(network)
        answers.append(AccessAnswer(question, state, page, detail, problem))
    return answers
