"""What a command judged, case by case: what all reports for CI systems are made from."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from fetcher.errors import INTERNAL, INTERRUPTED, USAGE, Problem, hint_of

# Suites of what is about no artifact: no id has parentheses.
NOT_OURS, PROJECT, MACHINE = "(not ours)", "(project)", "(machine)"
NOTHING = "nothing"
LICENSE_UNKNOWN = "license-unknown"
_NOTHING_TOLD = "nothing was looked at: no artifact is chosen, or none has been fetched"
_DIGITS = re.compile(r"[0-9]+")

ERROR, WARNING, NOTE = "error", "warning", "note"


@dataclass(frozen=True)
class Place:
    """Where in the repository somebody can mend it: a path relative to its root, with slashes;
    line and column count from 1."""

    path: str
    line: int = 1
    column: int = 1


@dataclass(frozen=True)
class Case:
    """One thing that was judged. `kind` is ok, skipped, or the code of what is wrong.

    `suite` is an artifact, as id or manifest/id. `advice` names what is worth knowing of a case
    that is no failure. `file` is the file in the tree, `document` the project's file that is
    wrong, with `line` and `column` (from 1, 0 is unknown): paths as the command has them, until
    `place` says where it is to be mended. `seconds` is the time it took, None if nobody measured.
    """

    suite: str
    name: str
    kind: str = "ok"
    message: str = ""
    details: str = ""
    seconds: float | None = None
    hint: str = ""
    advice: str = ""
    file: str = ""
    document: str = ""
    line: int = 0
    column: int = 0
    place: Place | None = None

    @property
    def failed(self) -> bool:
        """Whether the command fails by it."""
        return self.kind not in {"ok", "skipped"}

    @property
    def rule(self) -> str:
        """What kind of finding it is, "" if it is none."""
        return self.kind if self.failed else self.advice

    @property
    def level(self) -> str:
        """How bad the finding is: error, warning or note."""
        if self.failed:
            return WARNING if self.kind == "extra" else ERROR
        return WARNING if self.advice in {NOTHING, WARNING, LICENSE_UNKNOWN} else NOTE

    @property
    def artifact(self) -> str:
        """The id of the artifact, "" if it is about none."""
        return "" if self.suite.startswith("(") else self.suite.rpartition("/")[2]

    @property
    def text(self) -> str:
        """The message, without the place that mistakes in documents have in front of it."""
        place = f"{self.document}:{self.line}:"
        column = f"{place}{self.column}: "
        return self.message.removeprefix(column).removeprefix(f"{place} ")

    @property
    def sentence(self) -> str:
        """The message with the artifact that it is about."""
        named = self.text.partition(": ")[0].rpartition("/")[2] == self.artifact
        return self.text if named or not self.artifact else f"{self.artifact}: {self.text}"


@dataclass(frozen=True)
class Verdict:
    """All cases of one run of a command. `told` are sentences that say how it went; `seconds` is
    how long it took."""

    command: str
    exit_code: int
    cases: Sequence[Case]
    seconds: float
    told: Sequence[str] = ()

    @property
    def findings(self) -> list[Case]:
        """The cases that somebody should look at."""
        return [case for case in self.cases if case.rule]

    @property
    def ran(self) -> bool:
        """Whether the command could judge at all."""
        return self.exit_code not in {INTERNAL, USAGE, INTERRUPTED}


def with_problems(cases: Sequence[Case], problems: Sequence[Problem]) -> list[Case]:
    """Cases that say what the exit code says: each problem is a failure in the report.

    A problem of an artifact whose case was only skipped makes a failure of that case; others that
    no failure tells of get a case of their own. Without any case, one says that there was none.
    """
    found = list(cases)
    told = {(case.artifact, str(case.message)): n for n, case in enumerate(cases) if case.failed}
    for problem in problems:
        if (at := told.get((problem.artifact, str(problem.message)))) is not None:
            found[at] = replace(found[at], hint=found[at].hint or hint_of(problem))
            continue
        case = _of_problem(problem)
        alike = [
            n
            for n, case in enumerate(found)
            if case.kind == "skipped" and case.artifact == problem.artifact
        ]
        for n in alike:
            found[n] = replace(found[n], kind=problem.code, hint=case.hint)
        if not alike:
            found.append(case)
    return found or [Case(PROJECT, NOTHING, "skipped", _NOTHING_TOLD, advice=NOTHING)]


def with_end(cases: Sequence[Case], problems: Sequence[Problem], exit_code: int) -> list[Case]:
    """The same, where the command ended with this exit code: it is never without a failure."""
    found = with_problems(cases, problems)
    if not exit_code or any(case.failed for case in found):
        return found
    told = "interrupted before the end" if exit_code == INTERRUPTED else f"exit code {exit_code}"
    return [
        *(case for case in found if case.name != NOTHING),
        Case(PROJECT, "end", "internal", told),
    ]


def _of_problem(problem: Problem) -> Case:
    return Case(
        problem.artifact or PROJECT,
        problem.file or problem.code,
        problem.code,
        problem.message,
        hint=hint_of(problem),
        document=problem.document,
        line=problem.line,
        column=problem.column,
    )


def of_artifacts(
    artifacts: Iterable[tuple[str, str]], name: str, problems: Sequence[Problem]
) -> list[Case]:
    """A case called `name` for each artifact, given as (manifest, id), that no problem is about."""
    wrong = {problem.artifact for problem in problems}
    pairs = list(artifacts)
    ids = [id for _, id in pairs]
    return [
        Case(id if ids.count(id) == 1 else f"{manifest}/{id}", name)
        for manifest, id in pairs
        if id not in wrong
    ]


def fingerprints(cases: Iterable[Case], root: str = "") -> list[str]:
    """A name for each finding that is the same in every run while the finding is: no line, size
    or time is part of it, and no path above `root`.

    Findings that are alike are numbered, so that no two have one name.
    """
    seen: dict[str, int] = {}
    found = []
    for case in cases:
        path = case.place.path if case.place else ""
        # A document's name is as the command's folder has it; its place is not.
        what = "" if case.document else case.name
        about = [case.rule, case.artifact, what, case.file, path, _lasting(case, root)]
        name = json.dumps(about)
        number = seen[name] = seen.get(name, 0) + 1
        found.append(hashlib.sha256(f"{name}{number}".encode()).hexdigest())
    return found


def _lasting(case: Case, root: str) -> str:
    """What of a message does not change from run to run."""
    if case.document:
        return case.text.replace(f"{root}/", "") if root else case.text
    template = getattr(case.message, "template", "")
    return template or _DIGITS.sub("0", case.message)


RULES = {
    "internal": "the command did not come to its end",
    "usage": "the command line or a setting is wrong",
    "invalid-document": "a manifest, a layout or fetch.yaml has a mistake",
    "layout-mismatch": "a layout does not fit what its manifest has",
    "download": "a file could not be downloaded",
    "network": "a host could not be reached, or gave up",
    "not-found": "an address leads to nothing",
    "revision-not-found": "a source does not have the revision",
    "missing-upstream": "a source does not have a file that the manifest names",
    "refused": "a source is not used as it would have to be",
    "not-a-file": "an address answers with a page, not with the file",
    "link-expired": "a signed address has ended",
    "busy": "another run holds what this one needs",
    "quota": "a host gives no more for now",
    "digest-mismatch": "the bytes of a file are not those of its digest",
    "size-mismatch": "a file does not have its stated size",
    "unproven": "nothing proves the bytes of a file",
    "count": "an artifact does not have the number of files that its manifest states",
    "conflict": "a file that fetch did not place stands in the way",
    "modified": "a file is not what fetch.lock says",
    "missing": "a file that fetch.lock names is not there",
    "blocked": "a file was not looked at: its folder is not allowed",
    "extra": "a file belongs to no artifact",
    "bad-path": "a path leads where it may not",
    "archive": "an archive is broken, or holds what it may not",
    "edit": "an edit of a file could not be made",
    "bundle": "a bundle is not whole",
    "signature": "a signature is missing or wrong",
    "license": "a licence is not allowed, or is told differently upstream",
    "offline": "a file is needed, and the network may not be used",
    "gated": "a repository has to be asked for access",
    "auth": "a token is missing, or does not suffice",
    "lock": "fetch.lock is missing, or is not what the manifests want",
    "lock-mismatch": "fetch.lock contradicts what a manifest states",
    "difference": "upstream is not as fetch.lock has it",
    "probe": "a probe could not load the model, or its answer is wrong",
    "memory": "a model needs more memory than there is",
    "disk-space": "the disk is full",
    "permission": "a file or folder may not be read or written",
    "moved": "upstream has moved since fetch.lock was written",
    WARNING: "a probe passed, with a warning",
    NOTE: "worth knowing",
    NOTHING: "nothing was looked at",
}
