"""One registration: a draft, what upstream says of it, and the changes that it comes to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from fetcher.config.boundaries import taken_from
from fetcher.errors import USAGE, Failure, FetchError, InvalidDocument, Problem, UsageError
from fetcher.fs.home import expanded
from fetcher.i18n import join, t
from fetcher.network.session import Network
from fetcher.project.layout import folder_of
from fetcher.project.manifest import ARTIFACT, Artifact
from fetcher.project.names import Pair, code_folders, pairs_of
from fetcher.project.project import Project
from fetcher.register import (
    changes,
    checkpoint,
    file_names,
    importcheck,
    proposals,
    repository,
    repository_info,
    targets,
)
from fetcher.register.changes import Change
from fetcher.register.checkpoint import Checkpoint
from fetcher.register.draft import Draft
from fetcher.register.form import BY_KEY
from fetcher.register.ids import propose
from fetcher.register.repository import HUB_FILE, UPLOAD, Places
from fetcher.register.targets import Entry
from fetcher.register.values import judge, node_of_value, with_hint
from fetcher.sources.base import Source
from fetcher.sources.local import Local
from fetcher.store.store import Store
from fetcher.ui.units import human_bytes

# Asked of a repository in vain where these say that it cannot be reached.
_UNREACHABLE = {"network", "offline"}


class InvalidForm(FetchError):
    """Fields are wrong; `errors` are words by field key."""

    exit_code = USAGE

    def __init__(self, errors: Mapping[str, list[str]], flags: bool = False) -> None:
        self.errors = dict(errors)
        self.flags = flags
        super().__init__(
            join((join((key, join(words)), ": ") for key, words in errors.items()), "; ")
        )

    def problems(self) -> list[Problem]:
        """One problem a mistake, with the field in front."""
        found = []
        for key, words in self.errors.items():
            known = BY_KEY.get(key)
            label = known.flag if known and self.flags else key
            hint = t("such as {example}", example=known.example) if known and known.example else ""
            found += [
                Problem("usage", t("{label}: {text}", label=label, text=text), hint)
                for text in words
            ]
        return found


@dataclass
class Session:
    """What `fetch add`, or a web form, goes through. Nothing is written before `write`.

    `notes` are lines for people. `manifest` is the name of the one that takes the record.
    `class_named`: the person themself named the class, and not a file.
    """

    project: Project
    manifest: str
    network: Network
    store: Store
    draft: Draft = field(default_factory=Draft)
    found: repository_info.Upstream | None = None
    checkpoint: Checkpoint | None = None
    notes: list[str] = field(default_factory=list)
    fetch_code: bool = False
    class_named: bool = False
    _known: list[Pair] | None = None
    _joins: str = ""  # the artifact that gets one more file

    @property
    def root(self) -> Path:
        """The project's root."""
        return self.project.root

    def take(self, places: Places) -> None:
        """Take what was said of code and checkpoint. Raises UsageError, Failure.

        Where no checkpoint is named, it is in the repository.
        """
        self.fetch_code = places.fetch_code
        origin = places.origin
        if origin and not places.checkpoint:
            raise UsageError(
                t("{origin}: Checkpoint Path or File is needed", origin=origin), t("name the file")
            )
        if places.repository:
            code = repository.code_of(places, self.root, self.network.hub)
            if not places.checkpoint and self.draft.source is None:
                self._take_checkpoint(code)
                return
            self.draft.code = code.yaml
        elif places.kind not in {"", "local"}:
            raise UsageError(
                t("{type}: Repository URL is needed", type=places.repository_type), t("name it")
            )
        if places.checkpoint:
            text = places.hub_file if origin == HUB_FILE else places.checkpoint
            if origin and origin != HUB_FILE:
                checkpoint.of_path(_path(text), self.root)
            self.set_checkpoint(text, origin == UPLOAD)

    def set_checkpoint(self, text: str, upload: bool = False) -> None:
        """Take the checkpoint, and fill empty fields with what upstream says of it.

        Raises UsageError, Failure (a repository that is not there, or not readable).
        """
        if upload:
            taken = checkpoint.upload(_path(text), self.root, self.store)
        else:
            taken = checkpoint.of_text(text, self.root, self.network.hub)
        self._take_checkpoint(taken)

    def _take_checkpoint(self, taken: Checkpoint) -> None:
        self.checkpoint = taken
        self.draft.source = taken.yaml
        self._note_outside(taken)
        self.draft.errors.pop("source", None)
        if taken.files is not None:
            self.draft.set_value("files", taken.files)
        elif taken.only and "files" not in self.draft.values:
            self.draft.set_value("files", [taken.only])
        self._ask_upstream(taken)

    def _note_outside(self, taken: Checkpoint) -> None:
        """Naming a path here is the person's word for now; the manifest's needs it for good."""
        if not isinstance(taken.source, Local):
            return
        try:
            taken_from(self.network.settings, taken.source.place(self.root))
        except Failure as failure:
            self.notes.append(with_hint(failure.message, failure.hint))

    def _ask_upstream(self, taken: Checkpoint) -> None:
        try:
            self.found = repository_info.read(taken.source, self.network)
        except Failure as failure:
            if failure.problem.code not in _UNREACHABLE or not self.draft.values.get("name"):
                raise
            self.notes.append(t("not read upstream: {message}", message=failure.message))
            return
        self.notes += self.found.notes
        if self.found.files and not taken.only:
            count = len(self.found.files)
            self.notes.append(
                t("{count} files, {size}", count=count, size=human_bytes(self.found.size))
            )
        if self.found.gated:
            self.notes.append(t("gated ({gated}): see `fetch access`", gated=self.found.gated))
        if self.found.base:
            self._propose_base(self.found)
        only = taken.only and {"exclude"}
        for key, value in self.found.values.items():
            if key in (only or ()):
                continue
            if key not in self.draft.values and key not in self.draft.errors:
                self.draft.set_value(key, value)
                self.draft.errors.pop(key, None)  # upstream's mistake is nobody's here
        if not {"name"} & {*self.draft.values, *self.draft.errors} and taken.name:
            self.draft.set_value("name", self.found.name if self.found.values else taken.name)

    def _propose_base(self, found: repository_info.Upstream) -> None:
        """An adapter is loaded onto its base model: name it if it is here, else say so."""
        if not found.adapter or found.values.get("task", "text-generation") != "text-generation":
            self.notes.append(t("made from {base}", base=found.base))
            return
        base = targets.id_of_repository(self.root, self.manifest, found.base)
        if base:
            found.values["probe"] = {"type": "causal-lm", "base": base}
            self.notes.append(
                t(
                    "an adapter of {base}: its probe loads it onto {base2}",
                    base=found.base,
                    base2=base,
                )
            )
        else:
            self.notes.append(
                t(
                    "an adapter of {base}: add that too (fetch add hf:{base}), and name it here "
                    "as `probe: {{type: causal-lm, base: ID}}`",
                    base=found.base,
                )
            )

    def proposed_id(self) -> str:
        """An id from the name that nothing else in the manifest has."""
        name = str(self.draft.values.get("name", ""))
        return propose(name, targets.taken_ids(self.root, self.manifest))

    def check_class(self, python: str | None) -> importcheck.ImportCheck | None:
        """Import `class_path` in a child; its framework and interface fill empty fields.

        It is looked up in the code that the record names, as far as that is here. To import it is
        to run code: of one that a file named, nothing is imported without the person's word.
        """
        path = self.draft.values.get("class_path")
        if not path:
            return None
        if not (self.class_named or self._may_run()):
            note = t(
                "{path} is not imported, which would run its code: a file names it, not you. If "
                "you trust it: --class-path {path}",
                path=path,
            )
            self.notes += [note] * (note not in self.notes)
            return None
        folders = self._code_folders()
        checked = importcheck.check(str(path), self.root, python, folders)
        if checked.error:
            if self.draft.code is not None and not folders and checked.missing:
                where = _source(self.draft.code).describe()
                self.notes.append(
                    t(
                        "{path} is not checked: its code, {code}, is not here yet",
                        path=path,
                        code=where,
                    )
                )
                return checked
            words = t(
                "{path} cannot be imported by {python}: {error}",
                path=path,
                python=checked.python,
                error=checked.error,
            )
            self.draft.errors["class_path"] = [words]
            return checked
        self.draft.errors.pop("class_path", None)
        if checked.interface and "interface" not in self.draft.values:
            self.draft.set_value("interface", list(checked.interface))
        declared = self.draft.values.get("interface", ())
        if absent := [name for name in declared if name not in checked.interface]:
            self.draft.errors["interface"] = [
                t("{path} has no method {methods}", path=path, methods=", ".join(absent))
            ]
        if checked.framework and "framework" not in self.draft.values:
            self.draft.set_value("framework", checked.framework)
        return checked

    def _may_run(self) -> bool:
        """Whether the person's own settings let the code of this artifact run."""
        own = self.draft.id or self.proposed_id()
        allowed = self.network.settings.allowed
        return any(allowed.may_run(self.root, name) for name in (own, f"{self.manifest}/{own}"))

    def _code_folders(self) -> list[Path]:
        """Where the record's code lies: the folder itself, or where an artifact of it was put."""
        if self.draft.code is None:
            return []
        source = _source(self.draft.code)
        if source.type == "local":
            return [self.root / str(getattr(source, "path", ""))]
        found = [self.root / folder for folder in code_folders(self._pairs(), source)]
        return [folder for folder in found if folder.is_dir()]

    def command_name(self) -> str:
        """What commands call the artifact, once it is written."""
        try:
            found = pairs_of(self.project.load())
        except FetchError:  # of another manifest: both names are right in any case
            return f"{self.manifest}/{self.draft.id}"
        here = {one.id: one.called for _, one in found if one.manifest == self.manifest}
        return here.get(self.draft.id) or self.draft.id

    def _pairs(self) -> list[Pair]:
        """Everything in reach that is known; nothing where a manifest is wrong."""
        if self._known is None:
            try:
                self._known = pairs_of(self.project.load_everything())
            except FetchError:
                self._known = []  # what is wrong is said where that file is read
        return self._known

    def settle(self) -> None:
        """Choose the id if none is, and note what is missing. Raises InvalidForm."""
        draft = self.draft
        draft.values.setdefault("kind", "model")
        # Nothing is seen because a field was left out.
        draft.values.setdefault("visibility", "private")
        self._settle_evaluation()
        if not draft.id and draft.values.get("name"):
            draft.id = self.proposed_id()
        elif draft.id:
            draft.set_id(draft.id, targets.taken_ids(self.root, self.manifest))
        wrong = {**draft.errors, **draft.missing()}
        if wrong:
            raise InvalidForm(wrong)

    def propose(self) -> list[str]:
        """Fill what the task proposes and nobody has said; lines about it."""
        on_hub = self.checkpoint is not None and self.checkpoint.source.type == "huggingface"
        listed = [entry.path for entry in self.found.files] if self.found else []
        files = file_names.known(self.checkpoint, listed, self.draft, self.network)
        return proposals.apply(self.draft, on_hub, files)

    def _settle_evaluation(self) -> None:
        draft = self.draft
        proposals.settle_benchmarks(draft, self._pairs())
        for line in (*proposals.unknown(draft, self._pairs()), *self.propose()):
            if line not in self.notes:
                self.notes.append(line)
        task, kind = draft.values.get("task"), draft.values.get("kind")
        codec = task in proposals.COMPRESSION and kind == "model"
        offers = draft.values.get("interface", ())
        if codec and "reconstruct" not in offers and "interface" not in draft.errors:
            draft.errors["interface"] = [t("a compression model must offer reconstruct")]

    def _entries(self, folder: str) -> list[Entry]:
        """The record, and one for its code where that is fetched as well."""
        draft = self.draft
        found = [Entry(draft.id, draft.record(), folder)]
        if self.fetch_code:
            if draft.code is None:
                raise InvalidForm({"fetch_code": [t("there is no repository to fetch")]})
            taken = targets.taken_ids(self.root, self.manifest) | {draft.id}
            record: dict[str, Any] = {
                "name": f"Code of {draft.values['name']}",
                "kind": "code",
                **{k: draft.values[k] for k in ("owner", "visibility") if k in draft.values},
                "source": draft.code,
            }
            found.append(Entry(propose(f"{draft.id}-code", taken), record))
        return [self._with_own_folder(entry) for entry in found]

    def _with_own_folder(self, entry: Entry) -> Entry:
        """Where nobody chose a folder, one in which no other manifest of the project has files."""
        own = self.project.own_manifests()
        units = [pair for pair in self._pairs() if pair[0].manifest.path in own]
        taken = {
            folder_of(unit.layout, one.target)
            for unit, artifact in units
            if unit.manifest.name != self.manifest
            for one in unit.layout.entries_of(artifact.id)
            if not one.root
        }
        mine = [unit.layout for unit, _ in units if unit.manifest.name == self.manifest]
        place = folder_of(mine[0], entry.target) if mine else f"{entry.target}/"
        if entry.folder or place not in taken:
            return entry
        folder, _, name = entry.target.rpartition("/")
        return replace(entry, folder=f"{folder}/{self.manifest}/{name}")

    def changes(self, folder: str = "") -> list[Change]:
        """The files as they will be. Raises InvalidForm, InvalidDocument."""
        chosen = folder or (self.draft.id and self.draft.id != self._joins)
        joined = None if chosen else self._joined()
        if joined is not None:
            name = self.checkpoint.only if self.checkpoint else ""
            self.draft.id = self._joins = joined.id
            note = t("{name}: one more file of {id}", name=name, id=joined.id)
            self.notes += [note] * (note not in self.notes)
            found = targets.changes_joining(self.root, self.manifest, joined, name)
        else:
            self.settle()
            found = targets.changes_for(self.root, self.manifest, self._entries(folder))
        if problems := changes.problems(found):
            raise InvalidDocument(problems)
        return found

    def _joined(self) -> Artifact | None:
        """The artifact that has other files of the same source, where one file is added."""
        taken = self.checkpoint
        if taken is None or not taken.only or self.fetch_code:
            return None
        if self.draft.values.get("files") != [taken.only]:
            return None
        return targets.joinable(self.root, self.manifest, taken.source)

    def write(self, folder: str = "") -> list[Change]:
        """Write the changes, and return them."""
        found = self.changes(folder)
        changes.write(self.root, found)
        return found


def _path(text: str) -> Path:
    return expanded(text.removeprefix("local:"))


def _source(written: Any) -> Source:
    """What stands under `code`, decoded; it has been judged before."""
    found, wrong = judge(node_of_value(written), ARTIFACT.fields["code"].type)
    if wrong or not isinstance(found, Source):
        raise InvalidForm({"repository": wrong or [t("is no source")]})
    return found
