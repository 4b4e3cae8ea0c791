"""One registration: a draft, what upstream says of it, and the changes that it comes to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fetcher.errors import USAGE, Failure, FetchError, InvalidDocument, Problem
from fetcher.i18n import join, t
from fetcher.network.session import Network
from fetcher.project.project import Project
from fetcher.register import changes, checkpoint, importcheck, repository_info, targets
from fetcher.register.changes import Change
from fetcher.register.checkpoint import Checkpoint
from fetcher.register.draft import Draft
from fetcher.register.form import BY_KEY, EXTRA
from fetcher.register.ids import propose
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
    """

    project: Project
    manifest: str
    network: Network
    store: Store
    draft: Draft = field(default_factory=Draft)
    found: repository_info.Upstream | None = None
    checkpoint: Checkpoint | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def root(self) -> Path:
        """The project's root."""
        return self.project.root

    def set_checkpoint(self, text: str, upload: bool = False) -> None:
        """Take the checkpoint, and fill empty fields with what upstream says of it.

        Raises UsageError, Failure (a repository that is not there, or not readable).
        """
        if upload:
            path = Path(text.removeprefix("local:")).expanduser()
            taken = checkpoint.upload(path, self.root, self.store)
        else:
            taken = checkpoint.of_text(text, self.root, self.network.hub)
        self.checkpoint = taken
        self.draft.source = taken.yaml
        self.draft.errors.pop("source", None)
        if taken.files is not None:
            self.draft.set_value("files", taken.files)
        self._ask_upstream(taken)

    def _ask_upstream(self, taken: Checkpoint) -> None:
        try:
            self.found = repository_info.read(taken.source, self.network)
        except Failure as failure:
            if failure.problem.code not in _UNREACHABLE or not self.draft.values.get("name"):
                raise
            self.notes.append(t("not read upstream: {message}", message=failure.message))
            return
        self.notes += self.found.notes
        if self.found.files:
            count = len(self.found.files)
            self.notes.append(
                t("{count} files, {size}", count=count, size=human_bytes(self.found.size))
            )
        if self.found.gated:
            self.notes.append(t("gated ({gated}): see `fetch access`", gated=self.found.gated))
        if self.found.base:
            self._propose_base(self.found)
        for key, value in self.found.values.items():
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
        """Import `class_path` in a child; its framework and interface fill empty fields."""
        path = self.draft.values.get("class_path")
        if not path:
            return None
        checked = importcheck.check(str(path), self.root, python)
        if checked.error:
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
        if checked.framework and "framework" not in self.draft.values:
            self.draft.set_value("framework", checked.framework)
        return checked

    def settle(self) -> None:
        """Choose the id if none is, and note what is missing. Raises InvalidForm."""
        draft = self.draft
        draft.values.setdefault("kind", "model")
        if not draft.id and draft.values.get("name"):
            draft.id = self.proposed_id()
        elif draft.id:
            draft.set_id(draft.id, targets.taken_ids(self.root, self.manifest))
        wrong = {**draft.errors, **draft.missing()}
        if wrong:
            raise InvalidForm(wrong)

    def changes(self, folder: str = "") -> list[Change]:
        """The files as they will be. Raises InvalidForm, InvalidDocument."""
        self.settle()
        found = targets.changes_for(
            self.root, self.manifest, self.draft.id, self.draft.record(), folder
        )
        if problems := changes.problems(found):
            raise InvalidDocument(problems)
        return found

    def write(self, folder: str = "") -> list[Change]:
        """Write the changes, and return them."""
        found = self.changes(folder)
        changes.write(self.root, found)
        return found


def values_of(record: Mapping[str, Any]) -> dict[str, Any]:
    """A record's values by field key: what a form shows of it."""
    flat = {f"io.{key}": value for key, value in (record.get("io") or {}).items()}
    return {**flat, **{key: record[key] for key in (*BY_KEY, *EXTRA) if key in record}}
