"""Registering in the browser and by JSON: the same session that `fetch add` goes through."""

from __future__ import annotations

import asyncio
import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypedDict

from fetcher.config.settings import Settings
from fetcher.errors import FetchError, InvalidDocument
from fetcher.i18n import t
from fetcher.network.session import Network
from fetcher.project.manifest import ARTIFACT
from fetcher.project.project import Project
from fetcher.project.spellings import REPOSITORY_TYPES, label_of
from fetcher.register import changes, targets
from fetcher.register.changes import Change
from fetcher.register.draft import Draft, from_json
from fetcher.register.form import BY_KEY, FIELDS, FormField
from fetcher.register.ids import propose
from fetcher.register.registration import InvalidForm, Session
from fetcher.register.repository import HUB_FILE, Places
from fetcher.register.values import judge, node_of_value, printable, with_hint
from fetcher.store.store import Store
from fetcher.web.i18n import Translator
from fetcher.web.labels import HELP, KINDS, OWN_FIELDS, STEPS
from fetcher.web.render import TemplateValues
from fetcher.web.uploads import Uploads
from fetcher.yamldoc.schema import ListOf

SOURCES = ("upload", "local", "huggingface", "github", "url")
_USUAL = "huggingface"
_ADVANCED = {"files", "exclude", "type", "params", "attributes", "max_batch_size", "citation"}
_AREAS = {"description", "citation"}
_REPO = re.compile(r"[\w.-]+(/[\w.-]+)?")
_PARTS = {
    "huggingface": ("hf_repo", "hf_revision", "hf_path"),
    "github": ("gh_repo", "gh_ref", "gh_path"),
}
_HOSTS = {"huggingface": {"huggingface.co", "hf.co"}, "github": {"github.com"}}
_WHERE = {
    **{"huggingface": "hf_repo", "github": "gh_repo", "url": "url"},
    **{"local": "server_path", "upload": "upload"},
}
_OUTSIDE = t("is not below a folder that this server allows")


@dataclass
class RegistrationResult:
    """What a submission came to: `errors` by field, `diff` what is or was written."""

    id: str = ""
    manifest: str = ""
    errors: dict[str, list[str]] = field(default_factory=dict)
    diff: str = ""
    notes: list[str] = field(default_factory=list)
    record: Mapping[str, object] = field(default_factory=dict)
    written: bool = False


class FieldError(Exception):
    """One field is wrong."""

    def __init__(self, key: str, words: str) -> None:
        super().__init__(words)
        self.key = key


class Registrar:
    """Writes records into a project's manifests. `folders` are those that may be named by path."""

    def __init__(
        self, root: Path, settings: Settings, uploads: Uploads, folders: tuple[Path, ...] = ()
    ) -> None:
        self.root = root
        self.settings = settings
        self.uploads = uploads
        self.folders = tuple(folder.resolve() for folder in folders)
        self._writing = asyncio.Lock()

    def manifests(self) -> list[str]:
        """The manifests that can take a record."""
        return [path.stem for path in Project(self.root).own_manifests()]

    def propose_id(self, name: str, manifest: str) -> str:
        """An id for a name, unlike those that the manifest has."""
        target = self._manifest(manifest)
        return propose(name[:500], targets.taken_ids(self.root, target)) if name.strip() else ""

    def _manifest(self, wanted: str) -> str:
        own = self.manifests()
        chosen = wanted if wanted or len(own) < 2 else own[0]
        if chosen and own and chosen not in own:
            raise FieldError("manifest", t("there is no manifest {chosen!r}", chosen=chosen))
        return targets.manifest_for(Project(self.root), chosen)

    def _session(self, manifest: str) -> Session:
        settings = self.settings
        project = Project(self.root)
        return Session(project, self._manifest(manifest), Network(settings), Store.of(settings))

    async def from_form(
        self, form: Mapping[str, list[str]], owner: str, write: bool
    ) -> RegistrationResult:
        """Take what the form holds."""

        def fill(session: Session) -> None:
            _fill(session.draft, form)
            try:
                self._checkpoint_of_form(session, form, owner)
            except FetchError as error:
                raise FieldError(_WHERE[_source_kind(form)], _words(error)) from error
            self._code_of_form(session, form)

        place = _one(form, "place")
        return await self._run(_one(form, "manifest"), place, owner, fill, write)

    async def from_json(self, data: object, owner: str, write: bool) -> RegistrationResult:
        """Take a JSON record, as `fetch add --from-json` does; `upload` names a finished upload."""
        told = data if isinstance(data, Mapping) else {}
        inner = {k: v for k, v in told.items() if k not in {"upload", "place"}}

        def fill(session: Session) -> None:
            session.draft, places = from_json(inner if isinstance(data, Mapping) else data)
            session.draft.values.pop("owner", None)
            for mirror in session.draft.values.get("mirrors", ()):
                self._guard(mirror, "mirrors")
            if session.draft.source is not None and "source" not in session.draft.errors:
                self._guard(session.draft.source, "source")
            if session.draft.code is not None and "repository" not in session.draft.errors:
                self._guard(session.draft.code, "repository")
            try:
                places = self._guarded(places)
                if "upload" in told:
                    found = self.uploads.find(owner, str(told["upload"]))
                    if not found.path:
                        raise FieldError("upload", t("it is not finished yet"))
                    session.set_checkpoint(f"./{found.path}", upload=True)
                    places = replace(places, checkpoint="", checkpoint_source="")
                session.take(places)
            except FetchError as error:
                raise FieldError("source", _words(error)) from error

        manifest, place = (str(told.get(key) or "") for key in ("manifest", "place"))
        return await self._run(manifest, place, owner, fill, write)

    async def _run(
        self,
        manifest: str,
        place: str,
        owner: str,
        fill: Callable[[Session], None],
        write: bool,
    ) -> RegistrationResult:
        async with self._writing:
            return await asyncio.to_thread(self._work, manifest, place, owner, fill, write)

    def _work(
        self,
        manifest: str,
        place: str,
        owner: str,
        fill: Callable[[Session], None],
        write: bool,
    ) -> RegistrationResult:
        outcome = RegistrationResult()
        session = None
        try:
            session = self._session(manifest)
            session.draft.set_value("owner", owner)
            try:
                fill(session)
            except FieldError as wrong:
                session.draft.errors.setdefault(wrong.key, []).append(str(wrong))
            session.draft.set_value("owner", owner)
            found = self._changes(session, place, outcome)
            if found is not None and write:
                changes.write(self.root, found)
                outcome.written = True
        except FieldError as wrong:
            outcome.errors.setdefault(wrong.key, []).append(str(wrong))
        except FetchError as error:
            outcome.errors.setdefault("manifest", []).append(_words(error))
        finally:
            if session is not None:
                session.store.close()
                outcome.notes = session.notes
        return outcome

    def _changes(
        self, session: Session, place: str, outcome: RegistrationResult
    ) -> list[Change] | None:
        wrong = dict(session.draft.errors)
        if any(key in wrong for key in _WHERE.values()):
            wrong.pop("source", None)
            session.draft.source = session.draft.source or {}
        try:
            found = session.changes(place)
        except InvalidForm as invalid:
            outcome.errors = {**invalid.errors}
            return None
        except InvalidDocument as invalid:
            outcome.errors = {"place": [str(problem) for problem in invalid.found[:5]]}
            return None
        outcome.id, outcome.manifest = session.draft.id, session.manifest
        outcome.diff, outcome.record = _own_lines(changes.diff(found)), session.draft.record()
        return found

    # Checkpoints

    def _checkpoint_of_form(
        self, session: Session, form: Mapping[str, list[str]], owner: str
    ) -> None:
        kind = _source_kind(form)
        where = _WHERE[kind]
        if kind in _PARTS:
            text = _repository(kind, form, session.draft.values.get("kind"))
            if text:
                session.set_checkpoint(text)
        elif kind == "url":
            text = _one(form, "url")
            if text and not text.lower().startswith(("http://", "https://")):
                raise FieldError(where, t("expected an http or https address"))
            if text:
                session.set_checkpoint(text)
        elif kind == "upload":
            if uploaded := _one(form, "uploaded"):
                if not self.uploads.owns(owner, uploaded):
                    raise FieldError(where, _OUTSIDE)
                session.set_checkpoint(f"./{uploaded}", upload=True)
        elif text := _one(form, "server_path"):
            session.set_checkpoint(self._local(text, where))
        if session.draft.source is None and not _one(form, "repository"):
            raise FieldError(where, t("is needed: a repository, a URL or a file"))

    def _code_of_form(self, session: Session, form: Mapping[str, list[str]]) -> None:
        """Where the code is; the checkpoint too, if no other was named."""
        told = Places(_one(form, "repository_type"), _one(form, "repository"))
        told.fetch_code = bool(_one(form, "fetch_code"))
        try:
            session.take(self._guarded(told))
        except FetchError as error:
            raise FieldError("repository", _words(error)) from error

    def _guarded(self, places: Places) -> Places:
        """The places, if they lead to no file of the server that is not allowed."""
        text, checkpoint = places.repository, places.checkpoint
        if text and places.kind == "local":
            text = self._local(text, "repository")
        elif text and not (places.kind and _REPO.fullmatch(text)):
            text = self._sound(text, "repository")
        if checkpoint and places.origin != HUB_FILE:
            checkpoint = self._sound(checkpoint, "source")
        return replace(places, repository=text, checkpoint=checkpoint)

    def _local(self, text: str, key: str) -> str:
        """A path on the server, if it is below a folder that is allowed; links are followed."""
        try:
            path = (self.root / text.removeprefix("local:")).resolve()
            allowed = any(path.is_relative_to(folder) for folder in self.folders)
        except (OSError, ValueError, RuntimeError):
            allowed = False
        if not allowed:
            raise FieldError(key, _OUTSIDE)
        return str(path)

    def _sound(self, text: str, key: str) -> str:
        """A checkpoint's text that leads to no file of the server, unless that is allowed."""
        if re.match(r"(hf:|github:|https?://)", text):
            return text
        if re.fullmatch(r"[\w-][\w.-]*/[\w.-]+", text) and not (self.root / text).exists():
            return f"hf:{text}"
        return self._local(text, key)

    def _guard(self, written: object, key: str) -> None:
        """Refuse a source that leads to a file of the server which is not allowed."""
        field = "mirrors" if key == "mirrors" else "source"
        written = [written] if key == "mirrors" else written
        found, wrong = judge(node_of_value(written), ARTIFACT.fields[field].type)
        if wrong:
            return  # said elsewhere
        source = found[0] if key == "mirrors" else found
        if source.type == "local":
            self._local(str(source.path), key)
        elif source.type == "mirror" and "://" not in source.location:
            self._local(source.location, key)
        elif str(getattr(source, "url", "")).lower().startswith("file:"):
            raise FieldError(key, _OUTSIDE)


def _own_lines(diff: str) -> str:
    """The changed lines alone: those around them may be about artifacts that are private."""
    return "".join(line for line in diff.splitlines(True) if line[:1] in {"+", "-"})


def _words(error: FetchError) -> str:
    return with_hint(error.message, error.hint)


def _one(form: Mapping[str, list[str]], key: str) -> str:
    return form.get(key, [""])[-1].strip()


def _source_kind(form: Mapping[str, list[str]]) -> str:
    kind = _one(form, "kind_of_source")
    return kind if kind in SOURCES else _USUAL


def _repository(kind: str, form: Mapping[str, list[str]], record_kind: object) -> str:
    """The short form of a repository; "" if none was named."""
    repo, revision, path = (_one(form, key) for key in _PARTS[kind])
    if repo.startswith(("http://", "https://")):
        if not revision and not path:
            return repo
        host, _, repo = repo.partition("://")[2].rstrip("/").partition("/")
        if host not in _HOSTS[kind]:
            raise FieldError(_WHERE[kind], t("expected owner/name"))
    if not repo:
        return ""
    repo = repo.removeprefix("hf:").removeprefix("github:")
    needs_owner = kind == "github" and "/" not in repo
    if not _REPO.fullmatch(repo) or needs_owner:
        raise FieldError(_WHERE[kind], t("expected owner/name"))
    prefix = "github:" if kind == "github" else "hf:"
    prefix += "datasets/" if kind == "huggingface" and record_kind == "dataset" else ""
    return prefix + repo + (f"@{revision}" if revision else "") + (f":{path}" if path else "")


def _several(item: FormField) -> bool:
    return isinstance(item.type, ListOf) and bool(item.choices)


def _fill(draft: Draft, form: Mapping[str, list[str]]) -> None:
    for item in FIELDS:
        if item.key == "owner":
            continue
        if _several(item):
            others = _one(form, f"{item.key}+").split(",")
            chosen = [text.strip() for text in (*form.get(item.key, ()), *others)]
            if values := list(dict.fromkeys(filter(None, chosen))):
                draft.set_value(item.key, values)
            continue
        text = _one(form, item.key).replace("\r\n", "\n")
        if text and not printable(text):
            draft.errors[item.key] = [t("holds control characters")]
        elif text:
            draft.set_text(item, text)
    single = _one(form, "hf_file")
    if single and _source_kind(form) == "huggingface" and "files" not in draft.values:
        draft.set_value("files", [single])
    draft.id = _one(form, "id")


class _FormRow(TypedDict):
    """A field in the form's template; `kind` is the control: text, area, select, choices, owner.

    `choices` are names with their labels.
    """

    key: str
    label: str
    help: str
    kind: str
    choices: Sequence[tuple[str, str]]
    closed: bool
    required: bool
    example: str
    advanced: bool
    chosen: list[str]


def view(
    form: Mapping[str, list[str]], outcome: RegistrationResult, registrar: Registrar, tr: Translator
) -> TemplateValues:
    """What the form's template shows; what was typed stays."""
    steps: list[list[_FormRow]] = [[] for _ in range(5)]
    for item in FIELDS:
        kind = "select" if item.closed else "area" if item.key in _AREAS else "text"
        kind = "owner" if item.key == "owner" else "choices" if _several(item) else kind
        steps[item.step].append(
            {
                "key": item.key,
                "label": item.label,
                "help": HELP[item.key],
                "kind": kind,
                "choices": [(name, label_of(name)) for name in item.choices],
                "closed": item.closed,
                "required": item.required,
                "example": item.example,
                "advanced": item.key in _ADVANCED,
                "chosen": form.get(item.key, []),
            }
        )
    errors: dict[str, list[str]] = defaultdict(list)
    for key, words in outcome.errors.items():
        errors[key] += [tr.say(text) for text in words]
    values: dict[str, str] = defaultdict(str, {key: _one(form, key) for key in form})
    values["kind_of_source"] = _source_kind(form)
    labels = {key: tr.say(item.label) for key, item in BY_KEY.items()} | {
        key: tr.say(label) for key, label in OWN_FIELDS.items()
    }
    mistakes = [(key, labels.get(key, key), "; ".join(errors[key])) for key in errors]
    return {
        "steps": steps,
        "form": values,
        "errors": errors,
        "mistakes": mistakes,
        "kinds": {kind: KINDS[kind] for kind in SOURCES},
        "repository_types": tuple(REPOSITORY_TYPES),
        "names": STEPS,
        "folders": [str(folder) for folder in registrar.folders],
        "most": registrar.uploads.most,
        "manifests": registrar.manifests(),
        "open_advanced": any(key in _ADVANCED or key in {"place", "manifest"} for key in errors),
        "preview": outcome.diff,
        "notes": [tr.say(note) for note in outcome.notes],
    }
