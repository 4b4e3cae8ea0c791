"""Verifications that run as processes of their own: queued, followed, ended with the server."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_hex
from typing import TypedDict

from fetcher.i18n import t
from fetcher.server.http import refusal
from fetcher.verify.host import child_process
from fetcher.yamldoc.json_fields import JsonFields

_log = logging.getLogger(__name__)

_AT_ONCE = 1
_WAITING = 20
_KEPT = 200
_LARGEST = 64 << 20


class VerifyJobJson(TypedDict):
    """A verification as the API shows it; `report` is what `fetch verify --json` wrote."""

    id: str
    artifact: str
    state: str
    seconds: float
    progress: list[str]
    exit_code: int | None
    report: Mapping[str, object] | None


@dataclass
class VerifyJob:
    """One run of `fetch verify`. `state` is queued, running, passed, skipped or failed."""

    artifact: str
    id: str = field(default_factory=lambda: token_hex(16))
    state: str = "queued"
    began: float = field(default_factory=time.monotonic)
    ended: float | None = None
    lines: deque[str] = field(default_factory=lambda: deque(maxlen=60))
    report: Mapping[str, object] | None = None
    exit_code: int | None = None

    def to_json(self) -> VerifyJobJson:
        """The job as the API shows it."""
        return {
            "id": self.id,
            "artifact": self.artifact,
            "state": self.state,
            "seconds": round((self.ended or time.monotonic()) - self.began, 1),
            "progress": list(self.lines),
            "exit_code": self.exit_code,
            "report": self.report,
        }


class VerifyJobs:
    """Verifications of one project, a single one at a time: each may need all of the machine."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._jobs: dict[str, VerifyJob] = {}
        self._turn = asyncio.Semaphore(_AT_ONCE)
        self._tasks: set[asyncio.Task[None]] = set()
        self._children: set[asyncio.subprocess.Process] = set()

    def find(self, name: str) -> VerifyJob | None:
        """A job by its id."""
        return self._jobs.get(name)

    def verify(self, artifact: str) -> VerifyJob:
        """Start `fetch verify ARTIFACT`, or join the one that is not over. Raises HttpError."""
        active = [job for job in self._jobs.values() if job.ended is None]
        for job in active:
            if job.artifact == artifact:
                return job
        if len(active) >= _WAITING:
            raise refusal(429, t("too many verifications wait"), headers={"Retry-After": "60"})
        job = VerifyJob(artifact)
        self._jobs[job.id] = job
        over = [key for key, item in self._jobs.items() if item.ended is not None]
        for key in over[: max(len(self._jobs) - _KEPT, 0)]:
            del self._jobs[key]
        task = asyncio.ensure_future(self._run(job))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return job

    def close(self) -> None:
        """End every child."""
        for child in self._children:
            if child.returncode is None:
                child.terminate()
        for task in self._tasks:
            task.cancel()

    async def _run(self, job: VerifyJob) -> None:
        async with self._turn:
            job.state = "running"
            _log.info("verifying %s", job.artifact)
            try:
                await self._child(job)
            except OSError as error:
                job.lines.append(t("cannot be started: {strerror}", strerror=error.strerror))
            finally:
                job.ended = time.monotonic()
                if job.state == "running":
                    job.state = "failed"
                _log.info("verified %s: %s", job.artifact, job.state)

    async def _child(self, job: VerifyJob) -> None:
        child = await child_process.start_own(
            *("fetcher", "verify", job.artifact, "--json"),
            folder=self.root,
            NO_COLOR="1",
            FETCH_LANG="en",
        )
        self._children.add(child)
        try:
            assert child.stdout is not None and child.stderr is not None
            out, _ = await asyncio.gather(_whole(child.stdout), _follow(child.stderr, job))
            job.exit_code = await child.wait()
        finally:
            self._children.discard(child)
        try:
            report = JsonFields.of(json.loads(out))
        except (ValueError, RecursionError):
            return
        job.report = report.values
        states = {item.text("state") for item in report.objects("results")}
        fine = job.exit_code == 0
        job.state = "failed" if not fine else "skipped" if states <= {"skipped"} else "passed"


async def _whole(stream: asyncio.StreamReader) -> bytes:
    data = bytearray()
    while block := await stream.read(1 << 16):
        if len(data) < _LARGEST:
            data += block
    return bytes(data)


async def _follow(stream: asyncio.StreamReader, job: VerifyJob) -> None:
    """Keep the last lines; one without an end is cut."""
    rest = b""
    while block := await stream.read(4096):
        *lines, rest = (rest + block).split(b"\n")
        job.lines.extend(line.decode("utf-8", "replace")[:500] for line in lines)
        rest = rest[-4096:]
    if rest:
        job.lines.append(rest.decode("utf-8", "replace")[:500])
