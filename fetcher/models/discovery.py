"""Which models a project has: laid out from manifests, or in folders below LOCAL_MODELS_DIR."""

from __future__ import annotations

import os
import shlex
import threading
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from fetcher.config import settings as all_settings
from fetcher.config.boundaries import outside
from fetcher.config.settings import Settings
from fetcher.errors import InvalidDocument, UsageError
from fetcher.fs.nearest import nearest
from fetcher.i18n import join, t
from fetcher.models import local_folders, registry
from fetcher.models.model_errors import ModelError
from fetcher.models.registry import Registered
from fetcher.models.spec import ModelSpec
from fetcher.operations import ensure
from fetcher.probes import defaults
from fetcher.probes.run import placed
from fetcher.project import lockfile
from fetcher.project import names as naming
from fetcher.project.names import Pair
from fetcher.project.project import Project
from fetcher.tree.plan import ArtifactPlan
from fetcher.verify.contract.probe_errors import ProbeError
from fetcher.verify.weights.folders import folder_of

_BY_PROBE = {
    "causal-lm": ("chat", "transformers"),
    "sentence-transformer": ("embedding", "sentence-transformers"),
    "diffusion": ("image", "diffusers"),
    "compression": ("compression", "codec"),
}
_BY_TASK = {
    "text-generation": _BY_PROBE["causal-lm"],
    "retrieval-embedding": _BY_PROBE["sentence-transformer"],
    "image-generation": _BY_PROBE["diffusion"],
    "image-compression": _BY_PROBE["compression"],
}
_MARKERS = ("adapter_config.json", "model_index.json", "modules.json", "config.json", "model.onnx")


class Discovery:
    """The models of a project; safe for threads. `tree` is what layouts are relative to."""

    def __init__(self, root: Path, tree: Path) -> None:
        self.root = root
        self.tree = tree
        self.project = Project(root)
        self._lock = threading.Lock()
        self._read: dict[bool, tuple[Any, list[Pair]]] = {}

    def settings(self) -> Settings:
        """The settings as they are now: default, fetch.yaml, .env, environment."""
        with _first_problem():
            return all_settings.load(self.root)

    def may_run(self, name: str) -> bool:
        """Whether the person's own settings let the code of the model of this name run."""
        return self.settings().allowed.may_run(self.root, name)

    def pairs(self, everything: bool = False) -> list[Pair]:
        """The artifacts of the project's own manifests and of those in its lock; or all in reach.

        Read again when a file of theirs has changed.
        """
        own = self.project.own_manifests()
        names = [str(path) for path in own]
        locked = {manifest for manifest, _ in lockfile.read(self.root).artifacts}
        if everything:
            names += [n for n in self.project.names() if n not in {path.stem for path in own}]
        else:
            known = set(self.project.names()) - {path.stem for path in own}
            names += sorted(locked & known)
        if not names:
            return []
        marks = [(str(path), _stamp(path)) for path in self.project.inputs(names)]
        with self._lock:
            before = self._read.get(everything)
            if before is None or before[0] != marks:
                with _first_problem():
                    before = marks, naming.pairs_of(self.project.load(names))
                self._read[everything] = before
            return before[1]

    def specs(self, settings: Settings | None = None) -> list[ModelSpec]:
        """Every model that is there, laid-out ones first."""
        settings = settings or self.settings()
        pairs = [pair for pair in self.pairs() if pair[1].info.get("kind", "model") == "model"]
        pairs = ensure.locked(pairs, lockfile.read(self.root))
        parts = ensure.laid_out(self.project, pairs, settings, self.tree)
        ids = Counter(part.artifact.id for part in parts)
        found = [_laid_out(part, self.tree, ids[part.artifact.id] > 1, settings) for part in parts]
        taken = {spec.folder.resolve() for spec in found if spec.folder}
        plain = self._scan(settings).all_below(settings.local_models_dir)
        found += [spec for spec in plain if spec.folder and spec.folder.resolve() not in taken]
        return [self._set(spec, settings) for spec in found]

    def _scan(self, settings: Settings) -> local_folders.Scan:
        theirs = _is_persons_own(settings)
        may_read = local_folders.anywhere if theirs else partial(_may_read, settings)
        return local_folders.Scan(self.root, may_read)

    def _set(self, spec: ModelSpec, settings: Settings) -> ModelSpec:
        """A model as the settings have it loaded; what the person allows is theirs, by its name."""
        allowed = settings.allowed
        return replace(
            spec,
            device=settings.model_device,
            dtype=settings.model_dtype,
            trust_code=any(allowed.may_run(self.root, name) for name in spec.consent_names),
            pickles=allowed.pickles,
        )

    def known(self, settings: Settings | None = None, name: str = "") -> list[ModelSpec]:
        """Every model that is there, and every one that a class is registered for: what lies in a
        folder of that name is loaded by it, whatever its format. Packages plug in for `name` alone.
        """
        settings = settings or self.settings()
        there, found = self.specs(settings), list[ModelSpec]()
        makers = registry.registered()
        if plugged := registry.plugged_in(name.partition("@")[0]):
            makers = [*makers, plugged]
        for spec in there:
            own = [one for one in makers if spec.answers_to(one.name)]
            found += [_by_class(spec, one) for one in own]
            if all(one.kind not in {spec.kind, ""} for one in own) and (spec.loader or not own):
                found.append(spec)
        for one in makers:
            if not any(spec.answers_to(one.name) for spec in there):
                folders = self._scan(settings).named(settings.local_models_dir, one.name)
                nowhere = ModelSpec(one.name, "other", "", root=self.root)
                found += [_by_class(spec, one) for spec in folders or [nowhere]]
        return [self._set(spec, settings) for spec in found]

    def find(self, name: str, kind: str, settings: Settings | None = None) -> ModelSpec:
        """The model of a name, an alias, or either with `@version`; of several versions the last.

        Raises UsageError for a name that no model of this kind has, and for one in a folder of the
        project's that leads out of it.
        """
        specs = self.known(settings, name)
        found = matching(specs, name)
        of_kind = [
            spec
            for spec in found
            if spec.kind == kind
            # Of what a function makes, the kind is the one that is asked for.
            or (spec.loader == "custom" and registry.maker_of(spec.name, kind) is not None)
        ]
        if not of_kind:
            for spec in found:  # of a kind that nobody may look for there
                _refuse_outside(spec, settings or self.settings())
            raise self._unknown(name, kind, specs, found)
        spec = replace(of_kind[-1], kind=kind)
        _refuse_outside(spec, settings or self.settings())
        if spec.loader != "custom":
            spec = self.with_base(spec, specs)
        if spec.base is not None:
            _refuse_outside(spec.base, settings or self.settings())
        return spec

    def one(self, name: str) -> ModelSpec:
        """The model of a name, of any kind. Raises UsageError."""
        specs = self.known(name=name)
        found = matching(specs, name)
        if not found:
            raise self._unknown(name, "", specs, found)
        return found[-1]

    def _reads(self, spec: ModelSpec) -> local_folders.MayRead:
        """What may be read to tell what a model is: its own files, and what does not lead out."""
        settings = self.settings()
        if spec.origin != "tree":
            return self._scan(settings).may_read
        placed = set(spec.files.values())
        return lambda path: path in placed or _may_read(settings, path)

    def with_base(self, spec: ModelSpec, specs: Sequence[ModelSpec]) -> ModelSpec:
        """An adapter with the model that it acts on: named by the manifest's probe, else by its
        own configuration. Raises ModelError if that is not there.
        """
        if spec.folder is None or not (spec.folder / "adapter_config.json").is_file():
            return spec
        named = spec.options.get("base")
        adapter = spec.folder / "adapter_config.json"
        told = named or local_folders.read_json(adapter, self._reads(spec)).get(
            "base_model_name_or_path"
        )
        told = str(told or "").replace("\\", "/").rstrip("/")
        last = told.rpartition("/")[2]
        whole = [one for one in specs if one.kind == "chat" and one.key != spec.key]
        found = [one for called in (told, last) for one in matching(whole, called)]
        if not found:
            raise ModelError(
                t(
                    "{name} is an adapter, and its base {base!r} is not there",
                    name=spec.name,
                    base=told or "(none named)",
                ),
                t(
                    "lay it out, or put it into {folder}",
                    folder=self.settings().local_models_dir / (last or "NAME"),
                ),
            )
        return replace(spec, base=found[-1] if "@" in told else _last(found, found[0].name))

    def _unknown(
        self, name: str, kind: str, specs: Sequence[ModelSpec], found: Sequence[ModelSpec]
    ) -> UsageError:
        if found and not found[-1].loader:
            return UsageError(
                t(
                    "{name} has a format that no class here loads: {folder}",
                    name=name,
                    folder=found[-1].folder,
                ),
                t(
                    "write a class for it: manager.get_{kind}_model({name!r}, MyModel)",
                    kind=kind,
                    name=name,
                ),
            )
        if found:
            return UsageError(
                t(
                    "{name} is no {kind} model, but of kind {other}",
                    name=name,
                    kind=kind,
                    other=found[-1].kind,
                ),
                t("{kind} models are: {names}", kind=kind, names=_names(specs, kind) or t("none")),
            )
        pairs = self.pairs(everything=True)
        known, note = naming.matching(pairs, name.partition("@")[0])
        if known:
            artifact = known[0][1]
            told = t("{artifact} is not in the tree", artifact=artifact.full_name)
            return UsageError(
                t("{told} ({note})", told=told, note=note) if note else told,
                f"fetch all {artifact.id}",
            )
        return UsageError(
            t("no {kind} model {name!r}", kind=kind, name=name)
            if kind
            else t("no model {name!r}", name=name),
            self._what_there_is(name, kind, specs),
        )

    def _what_there_is(self, name: str, kind: str, specs: Sequence[ModelSpec]) -> str:
        """The hint for a name of no model: the nearest, those that can be loaded, and those of the
        project's manifests that are still to be laid out."""
        there = [spec.key for spec in specs if spec.kind == kind]
        aliases = [alias for spec in specs for alias in spec.aliases]
        absent = self._not_laid_out(kind, {spec.name for spec in specs})
        close = nearest(name, [*there, *(spec.name for spec in specs), *aliases, *absent])
        told = [t("did you mean {close!r}?", close=close)] if close else []
        if names := _names(specs, kind):
            told.append(t("there are: {names}", names=names))
        if absent:
            told.append(
                t(
                    "not in the tree yet: {names} (`fetch all {first}`)",
                    names=", ".join(absent),
                    first=absent[0],
                )
            )
        elif not names:
            told.append(
                t(
                    "there is none: lay one out with fetch all, or put it into {folder}",
                    folder=self.settings().local_models_dir / "NAME",
                )
            )
        return join(told, " ")

    def _not_laid_out(self, kind: str, there: Collection[str]) -> list[str]:
        """The project's artifacts of a kind ("" for any) of which nothing stands in the tree."""
        return [
            artifact.id
            for _, artifact in self.pairs()
            if kind in {"", _BY_TASK.get(str(artifact.info.get("task")), ("other", ""))[0]}
            and artifact.id not in there
        ]


def _refuse_outside(spec: ModelSpec, settings: Settings) -> None:
    """Raise UsageError if a link in the project's own folder of models leads out of the project.

    One that the person names by its whole path, as LOCAL_MODELS_DIR or in their settings, is theirs
    with its links.
    """
    # What is laid out is judged when it is placed.
    if _is_persons_own(settings) or spec.origin == "tree":
        return
    for path in (spec.folder, *spec.files.values()):
        if path and not _may_read(settings, path):
            real = Path(os.path.realpath(path))
            folder = real if real.is_dir() else real.parent
            raise UsageError(
                t("{path} leads to {real}, outside the project", path=path, real=real),
                t("if you want it: fetch config allow local {real}", real=shlex.quote(str(folder))),
            )


def _is_persons_own(settings: Settings) -> bool:
    """Whether the person named the folder of models themselves, by its whole path."""
    own = settings.origin("local_models_dir") in {"default", *all_settings.FROM_PROJECT}
    return not own and os.path.isabs(os.path.expanduser(settings.text("local_models_dir")))


def _may_read(settings: Settings, path: Path) -> bool:
    """Whether a path is in the project, or leads where the person lets it."""
    real = outside(settings, path)
    allowed = settings.allowed
    return real is None or allowed.may_take_from(real) or allowed.may_lead_to(real)


@contextmanager
def _first_problem() -> Iterator[None]:
    """Let a wrong file say in one sentence what is wrong with it, as UsageError."""
    try:
        yield
    except InvalidDocument as error:
        first, more = error.found[0], len(error.found) - 1
        told = (
            t("{first} (and {more} more: `fetch config` shows all)", first=first, more=more)
            if more
            else str(first)
        )
        raise UsageError(told, first.hint) from None


def matching(specs: Sequence[ModelSpec], name: str) -> list[ModelSpec]:
    """The models of a name, in the order of their versions; `name@version` takes the beginning of
    a revision, from 4 characters on.
    """
    exact = [spec for spec in specs if spec.answers_to(name)]
    if exact or "@" not in name:
        return exact
    plain, _, version = name.rpartition("@")
    if not version:
        return []
    versions = [spec for spec in specs if spec.answers_to(plain)]
    return [spec for spec in versions if spec.version == version] or [
        spec for spec in versions if len(version) >= 4 and spec.version.startswith(version)
    ]


def _last(specs: Sequence[ModelSpec], name: str) -> ModelSpec:
    return [spec for spec in specs if spec.name == name][-1]


def _names(specs: Sequence[ModelSpec], kind: str) -> str:
    """The names of models of a kind; of all for ""."""
    return ", ".join(dict.fromkeys(spec.name for spec in specs if kind in {spec.kind, ""}))


def _by_class(spec: ModelSpec, made: Registered) -> ModelSpec:
    """A model as the class that is registered for its name loads it."""
    return replace(
        spec,
        name=made.name,
        aliases=tuple(name for name in (*spec.aliases, spec.name) if name != made.name),
        kind=made.kind or spec.kind,
        loader="custom",
        origin="registered",
    )


def _stamp(path: Path) -> tuple[int, int]:
    try:
        found = os.stat(path)
    except OSError:
        return 0, 0
    return found.st_mtime_ns, found.st_size


def _laid_out(part: ArtifactPlan, tree: Path, full: bool, settings: Settings) -> ModelSpec:
    """The model that an artifact is; with its manifest in front where two have its id."""
    artifact, files = part.artifact, placed(part)
    options = defaults.options_of(artifact)
    folder = _folder(files)
    told = str((artifact.probe or {}).get("type", ""))
    kind, loader = (
        _BY_PROBE.get(told) or _BY_TASK.get(str(artifact.info.get("task"))) or ("other", "")
    )
    ours = {folder, *files.values()}  # a link beside them is a stranger's
    seen = folder and local_folders.recognise(
        folder, lambda path: path in ours or _may_read(settings, path)
    )
    if seen and (kind == "other" or (kind == seen.kind and seen.loader == "onnx")):
        kind, loader = seen.kind, seen.loader
        options = {**seen.options, **options}
    repository = str(getattr(artifact.source, "repo", ""))
    others = [artifact.full_name, *artifact.info.get("aliases", ()), repository]
    return ModelSpec(
        artifact.full_name if full else artifact.id,
        kind,
        loader,
        folder=folder,
        version=part.locked.revision if part.locked else "",
        origin="tree",
        files=files,
        aliases=tuple(name for name in others if name),
        source=artifact.source.describe(),
        size=sum(item.file.size or 0 for item in part.items if not item.outside),
        info=artifact.info,
        options=options,
        root=(tree / part.unit.layout.root).absolute(),
        artifact=artifact.full_name,
    )


def _folder(files: Mapping[str, Path]) -> Path | None:
    """The folder that libraries load an artifact from; None if its files are not together."""
    for marker in _MARKERS:
        named = sorted((n for n in files if n.rpartition("/")[2] == marker), key=len)
        if named:
            try:
                return folder_of(files, named[0], "a model")
            except ProbeError:
                return None
    return None
