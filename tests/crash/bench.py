"""A folder in which runs crash, and what must be true of it afterwards."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import stat as stats
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from tests.crash import power, shim
from tests.crash.zygote import Ended, Order

ROOT = Path(__file__).resolve().parents[2]
_KEPT = ("PATH", "LANG", "LC_ALL", "VIRTUAL_ENV", "PYTHONPATH", "SYSTEMROOT")
_HEX = re.compile(r"[0-9a-f]{64}")
# Names that hold a time, a process or chance, in what a run leaves for good.
_VARIABLE = (
    (re.compile(r"^(store|home/\.cache/fetch)/stamps/.+$"), r"\1/stamps/*"),
    (re.compile(r"^store/projects/[0-9a-f]{24}(\.\w+)$"), r"store/projects/*\1"),
    (re.compile(r"^store/released/[0-9a-f]{24}\.tsv$"), "store/released/*.tsv"),
    (re.compile(r"/kept/\d+T\d+-\d+/"), "/kept/*/"),
)
# What may hold anything, or be left out: caches and locks, which nobody misses.
_CONTENT_VARIES = re.compile(
    r"^(?:project/\.fetch/(?:id|state\.db|.*\.json)|(?:store|home/\.cache/fetch)/stamps/.*"
    r"|store/(?:projects/.*\.(?:json|needs)|released/.*\.tsv|imported/.*/import\.json)|(?!project/fetch\.lock$).*\.lock(?:\..+)?|.*\.pyc)$"
)
_MAY_BE = re.compile(
    r"^(?!project/fetch\.lock$)(?:.*\.lock(?:\.holder|\.soft)?"
    r"|project/\.fetch/(?:id|lock|lock\.holder|state\.db-journal|state\.db(?:-journal)?\.damaged)"
    # Empty folders of a move that failed, or a copy too many where its record could not be written.
    r"|project/\.fetch/kept/[^/]*/(?:[^/]+/)*[^/]*"
    r"|tmp/(?:fetch-)?[a-z0-9_]{8}/?"  # of Python's tempfile, which the system clears away
    r"|store/runs/.*\.run|store/(?:stamps|damaged)/?.*|home/\.cache/(?:fetch/(?:stamps/?.*)?)?"
    r"|store/released/[^/]*"  # when contents were let go of: a note for gc
    r"|store/upstream/(?:.*/)?(?:upstream\.json|[^/]*\.pages)?)$"  # asked for again where needed
)
# Whether a file is a link to a read-only blob, or to a user's own, or a copy depends on what else
# is a link already.
_MODE = 0o500
SECONDS = 60.0


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@dataclass(frozen=True)
class Entry:
    """What is at a path: its kind and mode, and a digest or a link's text."""

    mode: int
    content: str


Snapshot = dict[str, Entry]


def snapshot(root: Path) -> Snapshot:
    """Everything below a folder, under names that do not vary; folders end in a slash."""
    found = {}
    for folder, names, others in os.walk(root):
        for name in [*names, *others]:
            path = Path(folder, name)
            stat = path.lstat()
            key = path.relative_to(root).as_posix()
            if stats.S_ISDIR(stat.st_mode):
                key, content = f"{key}/", ""
            elif stats.S_ISLNK(stat.st_mode):
                content = os.readlink(path)
            else:
                content = "" if _CONTENT_VARIES.match(key) else digest(path.read_bytes())
            for pattern, text in _VARIABLE:
                key = pattern.sub(text, key)
            found[key] = Entry(stats.S_IFMT(stat.st_mode) | stat.st_mode & _MODE, content)
    return found


@dataclass
class Scenario:
    """One command that crashes.

    `patches` are constants of the tool, by their full name. `again` is what is run after a crash,
    the same command if it is empty. `precious` are paths below the box that no crash may harm.
    `once`: what was done is not to be done again. `shrinks`: the lock is to have less.
    """

    name: str
    argv: Sequence[str]
    again: Sequence[str] = ()
    cwd: str = "project"
    patches: Mapping[str, int] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    precious: Sequence[str] = ()
    once: bool = False
    shrinks: bool = False
    clean: Snapshot = field(default_factory=dict)
    before: Snapshot = field(default_factory=dict)


class Bench:
    """A box of folders (home, store, project, tmp, other) that is made anew for each crash."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.box = self.folder / "box"
        self.output = self.folder / "output"
        self.log = self.folder / "log"
        self.grave = self.folder / "grave"
        self.env: dict[str, str] = {}
        self.control = shim.Control(self.folder / "control")
        library = shim.build(self.folder)
        environment = {name: os.environ[name] for name in _KEPT if name in os.environ}
        environment |= {
            "LD_PRELOAD": str(library),
            "CRASH_CONTROL": str(self.control.path),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        self._zygote = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.zygote"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=environment,
        )
        self._warm: set[str] = set()

    def __enter__(self) -> Bench:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._zygote.stdin and self._zygote.stdout
        self._zygote.stdin.close()
        self._zygote.wait(10)
        self._zygote.stdout.close()

    # Running

    def _ask(self, order: Order) -> Ended:
        assert self._zygote.stdin and self._zygote.stdout
        self._zygote.stdin.write(json.dumps(order) + "\n")
        self._zygote.stdin.flush()
        answer: Ended = json.loads(self._zygote.stdout.readline())
        return answer

    def run(
        self,
        argv: Sequence[str],
        scenario: Scenario | None = None,
        fault: shim.Fault | None = None,
        cwd: str = "project",
        modules: str = "",
    ) -> tuple[Ended, str]:
        """Run `fetch ARGV`; with a fault, calls below the box are counted and may fail."""
        self.output.unlink(missing_ok=True)
        self.log.unlink(missing_ok=True)
        self.control.set(fault or shim.Fault(), self.box, self.log, self.grave)
        box = self.box
        env = {
            "HOME": str(box / "home"),
            "TMPDIR": str(box / "tmp"),
            "FETCH_STORE": str(box / "store"),
            "FETCH_CONFIG": str(box / "home/none.yaml"),
            "HF_HOME": str(box / "home/huggingface"),
            "NO_COLOR": "1",
            **self.env,
            **(scenario.env if scenario else {}),
        }
        order = Order(
            argv=list(argv),
            cwd=str(box / (scenario.cwd if scenario else cwd)),
            env=env,
            output=str(self.output),
            armed=fault is not None,
            patches=dict(scenario.patches) if scenario else {},
            seconds=SECONDS,
            modules=modules,
        )
        ended = self._ask(order)
        text = self.output.read_text("utf-8", "replace") if self.output.exists() else ""
        return ended, text

    def must(self, *argv: str, cwd: str = "project", scenario: Scenario | None = None) -> str:
        """Run a command that has to succeed, to prepare something."""
        ended, text = self.run(argv, scenario, cwd=cwd)
        assert ended["status"] == 0, f"{argv}: {ended}\n{text}"
        return text

    # The box

    def empty(self) -> None:
        """An empty box."""
        shutil.rmtree(self.box, ignore_errors=True)
        for name in ("home", "store", "project", "tmp", "other"):
            (self.box / name).mkdir(parents=True)

    def keep_template(self, scenario: Scenario) -> None:
        """Remember the box as where this scenario starts, and what a clean run makes of it."""
        template = self._template(scenario)
        shutil.rmtree(template, ignore_errors=True)
        self.box.rename(template)
        self.reset(scenario)
        scenario.before = snapshot(self.box)
        # Imported once, before the fork, instead of in each run.
        modules = self.folder / "modules"
        ended, text = self.run(scenario.argv, scenario, modules=str(modules))
        assert ended["status"] == 0, text
        scenario.clean = snapshot(self.box)
        self._ask(
            Order(
                argv=[],
                cwd="",
                env={},
                output="",
                armed=False,
                patches={},
                seconds=0,
                modules=str(modules),
            )
        )

    def _template(self, scenario: Scenario) -> Path:
        return self.folder / f"template-{re.sub('[^a-z0-9]', '-', scenario.name)}"

    def reset(self, scenario: Scenario) -> None:
        """Make the box as the scenario starts; hard links stay hard links."""
        shutil.rmtree(self.box, ignore_errors=True)
        shutil.rmtree(self.grave, ignore_errors=True)
        self.grave.mkdir()
        subprocess.run(["cp", "-a", str(self._template(scenario)), str(self.box)], check=True)

    def count(self, scenario: Scenario, mask: int) -> int:
        """How many calls of these kinds a clean run makes."""
        self.reset(scenario)
        ended, text = self.run(scenario.argv, scenario, shim.Fault(mask=mask))
        assert ended["status"] == 0, text
        return ended["calls"]

    # One crash

    def crash(self, scenario: Scenario, fault: shim.Fault) -> list[str]:
        """Crash at one point, and run again; what is wrong then."""
        self.reset(scenario)
        ended, text = self.run(scenario.argv, scenario, fault)
        status = ended["status"]
        wrong = self._harmed(scenario)
        if fault.action in {shim.KILL_ALL, shim.KILL_ONE}:
            if fault.action == shim.KILL_ALL and status not in {-9, 0}:
                wrong.append(f"a killed run ended with {status}: {text[-600:]}")
        else:
            wrong += self._failed_badly(scenario, status, text)
        return wrong + self._again(scenario)

    def cut_power(self, scenario: Scenario, target: int, seed: int, model: str) -> list[str]:
        """Cut the power at one point, lose what was not on disk, and run again."""
        self.reset(scenario)
        before = power.Disk.scan(self.box)
        flags = shim.NO_SYNC | shim.LOG
        self.run(scenario.argv, scenario, shim.Fault(shim.KILL_ALL, target, flags=flags))
        power.lose(before, power.read_log(self.log), self.box, self.grave, seed, model)
        shutil.rmtree(self.grave)
        return self._harmed(scenario) + self._again(scenario)

    # What must be true

    def _failed_badly(self, scenario: Scenario, status: int, text: str) -> list[str]:
        wrong = []
        unreadable = status == 2 and "cannot be read: Input/output error" in text
        if status not in {0, 3, 4, 5, 7, 9} and not unreadable:
            wrong.append(f"a failing disk ended it with {status}: {text[-1500:]}")
        if "Traceback" in text or "None" in text or "internal error" in text:
            wrong.append(f"what it says: {text[-1500:]}")
        if status == 0:
            # The store's list of projects is told again by the next run, which is not skipped.
            wrong += [
                text
                for text in self._differs(scenario, "though it said that all went well")
                if not text.startswith("store/projects/")
            ]
        return wrong

    def _harmed(self, scenario: Scenario) -> list[str]:
        """Whether something stands for what it is not, or is gone."""
        wrong = []
        now = snapshot(self.box)
        for name, entry in now.items():
            blob = name.rpartition("/")[2]
            if name.startswith("store/blobs/sha256/") and _HEX.fullmatch(blob):
                if entry.content != blob:
                    wrong.append(f"{name} has other bytes than its name says")
            elif name.startswith("project/") and not name.endswith("/"):
                known = {scenario.before.get(name), scenario.clean.get(name)} - {None}
                contents = {item.content for item in known if item}
                if known and entry.content not in contents and name != "project/fetch.lock":
                    # (The lock grows step by step: that is looked at below.)
                    wrong.append(f"{name} is neither what it was nor what it is to be")
        for name in scenario.precious:
            if name in scenario.before and now.get(name) != scenario.before[name]:
                wrong.append(f"{name} was harmed")
        if "project/fetch.lock" in scenario.before and not scenario.shrinks:
            wrong += self._lost_from_lock(scenario)
        return wrong

    def _lost_from_lock(self, scenario: Scenario) -> list[str]:
        """Artifacts that are no longer in the lock, or have fewer files there."""
        path = "project/fetch.lock"
        before = json.loads((self._template(scenario) / path).read_text())["manifests"]
        try:
            now = json.loads((self.box / path).read_text())["manifests"]
        except (OSError, ValueError, KeyError) as error:
            return [f"{path}: {error}"]
        return [
            f"{path} has lost {manifest}/{name}"
            for manifest, artifacts in before.items()
            for name, artifact in artifacts.items()
            if name not in now.get(manifest, {})
            or len(now[manifest][name]["files"]) < len(artifact["files"])
        ]

    def _again(self, scenario: Scenario) -> list[str]:
        if scenario.once and not self._differs(scenario, ""):
            return []
        ended, text = self.run(scenario.again or scenario.argv, scenario)
        if ended["status"]:
            return [f"run again, it ends with {ended['status']}: {text[-1500:]}"]
        return self._differs(scenario, "after it ran again")

    def _differs(self, scenario: Scenario, when: str) -> list[str]:
        """How the box differs from what a run that nothing disturbed makes of it."""
        now, clean = snapshot(self.box), scenario.clean
        wrong = [
            f"{name} is left over {when}"
            for name in sorted(now.keys() - clean.keys())
            if not _MAY_BE.match(name)
        ]
        wrong += [
            f"{name} is missing {when}"
            for name in sorted(clean.keys() - now.keys())
            if not _MAY_BE.match(name)
        ]
        wrong += [
            f"{name} is {now[name]} instead of {clean[name]} {when}"
            for name in sorted(now.keys() & clean.keys())
            if now[name] != clean[name] and not _MAY_BE.match(name)
        ]
        return wrong
