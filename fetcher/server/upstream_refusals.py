"""What an upstream refuses, cannot give now or tells wrongly: how clients hear it, and how long.

Its own no is passed on with its status and code. That it cannot be reached is 503, that it lies
502: neither says that something does not exist. All are remembered for a while, so that clients
that ask again and again do not make this server do the same.
"""

from __future__ import annotations

import time
from dataclasses import replace

from fetcher.errors import Problem
from fetcher.i18n import t
from fetcher.network.retry import retry_after
from fetcher.network.session import Response
from fetcher.server.http import HttpError, refusal

UNREACHABLE_SECONDS = 5.0
ABSENT_SECONDS = 20.0
NONSENSE_SECONDS = 60.0
LIE_SECONDS = 300.0
_MOST = 10_000
_LONGEST_WAIT = 300.0
# Codes that the Hub's clients go by; any other text of an upstream's is not passed on.
_CODES = {"RepoNotFound", "RevisionNotFound", "EntryNotFound", "GatedRepo", "DisabledRepo"}
_PASSED_ON = {401, 403, 404, 410, 451}
PASSING = {502, 503, 504}


class Refusals:
    """Refusals by what was asked, each until its time is over. For any thread."""

    def __init__(self) -> None:
        self._known: dict[object, tuple[float, HttpError]] = {}

    def check(self, key: object) -> None:
        """Raise the HttpError that is remembered for this, if one is."""
        until, error = self._known.get(key, (0.0, None))
        if error is not None and time.monotonic() < until:
            raise _again(error)

    def keep(self, key: object, error: HttpError, seconds: float) -> HttpError:
        """Remember a refusal, and give it."""
        now = time.monotonic()
        if len(self._known) >= _MOST:
            self._known = {k: v for k, v in self._known.copy().items() if v[0] > now}
        if len(self._known) < _MOST:
            self._known[key] = now + seconds, error
        return _again(error)

    def forget(self, key: object) -> None:
        """It is no longer refused."""
        self._known.pop(key, None)


def _again(error: HttpError) -> HttpError:
    """The same refusal for another request: what is sent is its own."""
    response = replace(error.response, headers=dict(error.response.headers))
    return HttpError(response, error.message)


def unreachable(upstream: str, why: str, wait: float = UNREACHABLE_SECONDS) -> HttpError:
    """Nothing is known of what was asked, as upstream does not answer."""
    text = t(
        "This mirror's upstream {upstream} cannot be reached now, and what was asked for is not "
        "held here: {why}",
        upstream=upstream,
        why=why,
    )
    return refusal(503, text, headers={"Retry-After": str(max(1, round(wait)))})


def of_problem(problem: Problem, upstream: str, detail: str = "") -> tuple[HttpError, float]:
    """A failed request or transfer as clients hear it, and for how many seconds.

    `detail` is that of the Failure (see `HuggingFace.failure`).
    """
    code, why = problem.code, problem.message
    if detail == "no-repository":
        return refusal(404, why, "RepoNotFound"), ABSENT_SECONDS
    if code in {"network", "offline", "busy"}:
        return unreachable(upstream, why), UNREACHABLE_SECONDS
    if code == "gated":
        return refusal(403, why, "GatedRepo"), ABSENT_SECONDS
    if code == "revision-not-found":
        return refusal(404, why, "RevisionNotFound"), ABSENT_SECONDS
    if code in {"not-found", "missing-upstream"}:
        return refusal(404, why, "EntryNotFound"), ABSENT_SECONDS
    if code in {"disk-space", "permission"}:
        return refusal(507, why), UNREACHABLE_SECONDS
    if code == "auth":
        return _locked_out(upstream, why), ABSENT_SECONDS
    lie = code in {"digest-mismatch", "size-mismatch"}
    return _wrong(upstream, why), LIE_SECONDS if lie else NONSENSE_SECONDS


def of_answer(answer: Response, upstream: str, what: str) -> tuple[HttpError, float] | None:
    """What an answer that is none means for `what`, and for how many seconds; None: it is one."""
    status = answer.status
    if status == 200:
        return None
    code = answer.headers.get("x-error-code", "")
    if status in _PASSED_ON and code in _CODES:
        text = t(
            "{what}: upstream answers {code} (HTTP {status})", what=what, code=code, status=status
        )
        return refusal(status, text, code), ABSENT_SECONDS
    if status in {404, 410}:  # a simple server, which knows no codes
        text = t("{what}: not there upstream (HTTP {status})", what=what, status=status)
        return refusal(404, text, "RepoNotFound"), ABSENT_SECONDS
    why = t("it answers HTTP {status}", status=status)
    if status in {401, 403, 407}:
        return _locked_out(upstream, why), ABSENT_SECONDS
    if status in {408, 425, 429} or status >= 500:
        wait = min(retry_after(answer.headers) or UNREACHABLE_SECONDS, _LONGEST_WAIT)
        return unreachable(upstream, why, wait), min(wait, UNREACHABLE_SECONDS)
    return _wrong(upstream, why), NONSENSE_SECONDS


def _locked_out(upstream: str, why: str) -> HttpError:
    text = t(
        "This mirror's upstream {upstream} lets it not in: {why}. Its operator can set HF_TOKEN",
        upstream=upstream,
        why=why,
    )
    return refusal(502, text)


def _wrong(upstream: str, why: str) -> HttpError:
    text = t(
        "This mirror's upstream {upstream} gives what is wrong: {why}", upstream=upstream, why=why
    )
    return refusal(502, text)
