"""What the catalog shows: artifacts with their files, where these stand, and the last proof."""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from fetcher.config.settings import Settings
from fetcher.errors import FetchError, InvalidDocument, LockMismatch
from fetcher.i18n import t
from fetcher.mirror.inventory import ArtifactRecord, HeldArtifact, SourceFields
from fetcher.operations.workspace import Options, Workspace
from fetcher.project.lockfile import read as read_lock
from fetcher.project.names import Pair, described
from fetcher.project.project import Project, Selection
from fetcher.reporting import saved
from fetcher.server.served_inventory import InventoryView, ServedInventory
from fetcher.server.tokens import Identity
from fetcher.tree.plan import ArtifactPlan
from fetcher.ui.progress import Progress
from fetcher.yamldoc.json_fields import JsonFields

STATES = ("complete", "partial", "missing", "modified", "conflict")
FACETS = ("task", "framework", "tag", "owner", "gated", "state")
# A tree is looked at again after this long, and never more than a twentieth of the time.
_LOOK_SECONDS = 5.0


@dataclass(frozen=True)
class CatalogFile:
    """One file: its digest, and where the layout puts it."""

    path: str
    size: int | None
    sha256: str | None
    targets: tuple[str, ...] = ()


@dataclass(frozen=True)
class CatalogCard:
    """One artifact. `verified` is its latest result of `fetch verify`, as the report has it.

    `unmarked`: nothing is said of who may see it; its record then has what that counts as.
    """

    manifest: str
    id: str
    record: ArtifactRecord
    source: str
    revision: str
    files: tuple[CatalogFile, ...]
    state: str
    held: bool
    repo: str = ""
    verified: JsonFields | None = None
    haystack: str = ""
    unmarked: bool = False

    @property
    def full_name(self) -> str:
        """The id with its manifest."""
        return f"{self.manifest}/{self.id}"

    @property
    def name(self) -> str:
        """The name for people."""
        return self.record.text("name") or self.id

    @property
    def size(self) -> int:
        """Bytes of all files, as far as sizes are known."""
        return sum(file.size or 0 for file in self.files)

    @property
    def gated(self) -> bool:
        """Whether its source wants a token."""
        return self.record.get("requires_auth") is True

    @property
    def proof(self) -> str:
        """passed, failed, skipped, or "" if nothing was ever proven."""
        return self.verified.text("state") if self.verified else ""

    @property
    def proven_on(self) -> str:
        """The day of the latest result, "" if it is not known."""
        return self.verified.text("time")[:10] if self.verified else ""

    def values(self, facet: str) -> tuple[str, ...]:
        """What it has of one facet."""
        if facet == "tag":
            return tuple(self.record.texts("tags"))
        if facet == "gated":
            return ("yes",) if self.gated else ("no",)
        if facet == "state":
            return (self.state,)
        value = self.record.text(facet)
        return (value,) if value else ()

    def fits(self, wanted: Mapping[str, str]) -> bool:
        """Whether it has every word of `q` and the value of every facet that is wanted."""
        words = wanted.get("q", "").lower().split()
        if any(word not in self.haystack for word in words):
            return False
        return all(not wanted.get(f) or wanted[f] in self.values(f) for f in FACETS)


@dataclass
class Catalog:
    """The catalog at one time. `problems` say what could not be read."""

    cards: list[CatalogCard] = field(default_factory=list)
    pairs: list[Pair] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def visible(self, identity: Identity) -> list[CatalogCard]:
        """The artifacts that exist for somebody, by name."""
        return [
            card
            for card in self.cards
            if identity.may_see(card.full_name, card.record)
            or (identity.unmarked and card.unmarked)
        ]


def facets(cards: Iterable[CatalogCard]) -> dict[str, list[tuple[str, int]]]:
    """The values of each facet with their numbers; the hundred most frequent, by name."""
    cards = list(cards)
    found = {}
    for name in FACETS:
        counted = Counter(value for card in cards for value in card.values(name))
        found[name] = sorted(counted.most_common(100))
    return found


class Listing:
    """Keeps the catalog of a server and, where there is one, of its project."""

    def __init__(self, inventory: ServedInventory, root: Path | None, settings: Settings) -> None:
        self.inventory = inventory
        self.root = root
        self.settings = settings
        self._shown: Catalog | None = None
        self._stale = False
        self._signature: object = None
        self._checked = 0.0
        self._looked = 0.0
        self._cost = 0.0
        self._making: asyncio.Task[None] | None = None

    def invalidate(self) -> None:
        """The next look waits for what is there then."""
        self._stale = True

    async def shown(self) -> Catalog:
        """The catalog; looked at again in the background, waited for only where it must be."""
        if time.monotonic() - self._checked > 1 and self._making is None:
            self._making = asyncio.ensure_future(self._make(self._stale))
        while self._shown is None or self._stale:
            if self._making is None:
                self._making = asyncio.ensure_future(self._make(True))
            await asyncio.shield(self._making)
        return self._shown

    async def _make(self, anew: bool) -> None:
        self._stale = False
        started = time.monotonic()
        try:
            view = self.inventory.view
            signature = await asyncio.to_thread(self._sign, view)
            old = started - self._looked > max(_LOOK_SECONDS, 20 * self._cost)
            if anew or old or self._shown is None or signature != self._signature:
                before = self._shown.problems if self._shown else []
                self._shown = await asyncio.to_thread(self._look, view)
                for problem in self._shown.problems:
                    if problem not in before:
                        self.inventory.say(
                            t("the catalog is not shown as a whole: {problem}", problem=problem)
                        )
                self._signature = signature
                self._looked = time.monotonic()
                self._cost = self._looked - started
        except Exception as error:  # what was shown before is shown on
            self.inventory.say(
                t(
                    "the catalog cannot be read: {name}: {error}",
                    name=type(error).__name__,
                    error=error,
                )
            )
            self._shown = self._shown or Catalog()
        finally:
            self._checked = time.monotonic()
            self._making = None

    def _sign(self, view: InventoryView) -> object:
        if self.root is None:
            return id(view)
        manifests = self.root / "manifests"
        paths = [self.root / "fetch.lock", saved.folder_of(self.root) / "verify.json"]
        paths += sorted(manifests.iterdir()) if manifests.is_dir() else []
        return id(view), [(str(path), _time(path)) for path in paths]

    def _look(self, view: InventoryView) -> Catalog:
        shown = Catalog()
        cards: dict[str, CatalogCard] = {}
        held = {item.full_name: item for item in view.artifacts}
        for source in view.inventories:
            for item in source.artifacts():
                cards[item.full_name] = _card_of_held(item, held.get(item.full_name))
        if self.root is not None:
            self._add_project(self.root, shown, cards, held)
            _add_proofs(cards, self.root)
        shown.cards = sorted(cards.values(), key=lambda card: (card.name.lower(), card.full_name))
        return shown

    def _add_project(
        self,
        root: Path,
        shown: Catalog,
        cards: dict[str, CatalogCard],
        held: Mapping[str, HeldArtifact],
    ) -> None:
        project = Project(root)
        try:
            locked = {manifest for manifest, _ in read_lock(root).artifacts}
            own = [str(path) for path in project.own_manifests()]
            names = own + sorted(locked - {Path(path).stem for path in own})
            if not names:
                return
            units = project.load(names)
            options = Options(root.absolute(), Selection(optional=True))
            space = Workspace(
                project, units, self.settings, options, Progress(quiet=True), True, tuple(names)
            )
        except (FetchError, OSError) as error:
            shown.problems += _words(error)
            return
        try:
            plan = space.planner(quick=True).plan(space.wanted, space.lock)
            for part in plan.artifacts:
                card = _card_of_part(part, part.artifact.full_name in held)
                cards[card.full_name] = card
                shown.pairs.append((part.unit, part.artifact))
        except (FetchError, OSError) as error:
            shown.problems += _words(error)
        finally:
            space.close()


def _words(error: FetchError | OSError) -> list[str]:
    """What is wrong, the first of many mistakes in words."""
    if isinstance(error, InvalidDocument):
        return [str(problem) for problem in error.found[:5]]
    if isinstance(error, LockMismatch):
        return [problem.message for problem in error.found[:5]]
    return [error.message if isinstance(error, FetchError) else str(error)]


def _time(path: Path) -> tuple[int, int] | None:
    try:
        stat = os.stat(path)
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size


def _haystack(full_name: str, record: ArtifactRecord, source: str) -> str:
    fields = ("name", "description", "task", "framework", "owner", "license", "parameters")
    texts = [full_name, source, *map(record.text, fields)]
    texts += record.texts("tags") + record.texts("aliases")
    return "\n".join(texts).lower()


def _card_of_held(item: HeldArtifact, there: HeldArtifact | None) -> CatalogCard:
    files = tuple(CatalogFile(f.path, f.size, f.sha256) for f in item.files)
    present = len(there.files) if there else 0
    state = "complete" if files and present == len(files) else "partial" if present else "missing"
    record = ArtifactRecord({**item.record.values, "visibility": item.record.visibility})
    return CatalogCard(
        item.manifest,
        item.id,
        record,
        item.source,
        item.revision,
        files,
        state,
        bool(present),
        _repo(item.origin),
        haystack=_haystack(item.full_name, record, item.source),
        unmarked=not item.record.text("visibility"),
    )


def _repo(origin: SourceFields) -> str:
    """The repository's id, where Hub clients find it here."""
    return origin.repo if origin.type == "huggingface" else ""


def _card_of_part(part: ArtifactPlan, held: bool) -> CatalogCard:
    artifact = part.artifact
    targets: dict[str, list[str]] = {}
    for item in part.items:
        targets.setdefault(item.file.path, []).append(item.target)
    entries = list(part.locked.files) if part.locked else []
    entries = entries or list((artifact.request.known or {}).values())
    files = tuple(
        CatalogFile(entry.path, entry.size, entry.sha256, tuple(targets.get(entry.path, ())))
        for entry in entries
    )
    source, record = artifact.source.describe(), ArtifactRecord(described(artifact))
    return CatalogCard(
        artifact.manifest,
        artifact.id,
        record,
        source,
        part.locked.revision if part.locked else "",
        files,
        part.state,
        held,
        _repo(SourceFields.of_source(artifact.source)),
        haystack=_haystack(artifact.full_name, record, source),
        unmarked="visibility" not in artifact.info,
    )


def _add_proofs(cards: dict[str, CatalogCard], root: Path) -> None:
    """Note the results of `fetch verify`; one that may be about a private artifact of the same
    id elsewhere is left out."""
    by_id: dict[str, list[CatalogCard]] = {}
    for card in cards.values():
        by_id.setdefault(card.id, []).append(card)
    for result in saved.read(saved.folder_of(root) / "verify.json").results:
        manifest, _, name = result.text("artifact").rpartition("/")
        manifest = manifest or result.text("manifest")
        named = [card for card in by_id.get(name, ()) if manifest in {"", card.manifest}]
        closed = any(card.record.visibility != "public" for card in named)
        if len(named) > 1 and closed:
            continue
        for card in named:
            cards[card.full_name] = replace(card, verified=result)
