"""Which choice of each variant a command is about, and who says so."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from fetcher.config.settings import Settings
from fetcher.hardware import memory_estimate
from fetcher.i18n import t
from fetcher.project.manifest import Manifest
from fetcher.project.project import Selection, Unit
from fetcher.project.variants import AUTO, Variant, parsed, refuse_unknown, that_fits


class Chosen(NamedTuple):
    """One variant's choice; `why` says in a few words who chose."""

    manifest: str
    variant: Variant
    choice: str
    why: str

    @property
    def sentence(self) -> str:
        """The same for people."""
        others = ", ".join(name for name in self.variant.choices if name != self.choice)
        return t(
            "{variant}: {choice} ({why}; also: {others})",
            variant=self.variant.name,
            choice=self.choice,
            why=self.why,
            others=others,
        )


@dataclass(frozen=True)
class Choices:
    """All variants' choices. `left_out` are (manifest, id) of what is not fetched with them;
    `by_hardware`: the machine itself had a say."""

    chosen: tuple[Chosen, ...] = ()
    left_out: frozenset[tuple[str, str]] = field(default_factory=frozenset)
    by_hardware: bool = False


def choose(
    units: Sequence[Unit],
    settings: Settings,
    selection: Selection,
    owners: Callable[[], set[str]],
) -> Choices:
    """Decide for every variant: the command line, what it names, settings, what stands in the tree,
    the GPU's memory, the default. `owners` tells of which artifacts the tree has files, where that
    counts.

    Raises UsageError for a variant or choice that there is not.
    """
    manifests = [unit.manifest for unit in units if unit.manifest.variants]
    variants = [variant for manifest in manifests for variant in manifest.variants]
    flags = parsed(selection.variants)
    refuse_unknown(flags, variants, "--variant")
    if not variants:
        return Choices()
    known = {variant.name for variant in variants}
    said = {name: choice for name, choice in settings.variants.items() if name in known}
    refuse_unknown(said, variants, settings.origin("variants"))
    one = _Chooser(settings, selection, flags, said, owners)
    chosen = tuple(one.choose(m, variant) for m in manifests for variant in m.variants)
    left_out = {(c.manifest, name) for c in chosen for name in c.variant.left_out(c.choice)}
    return Choices(chosen, frozenset(left_out), one.by_hardware)


class _Chooser:
    """Chooses for one command."""

    def __init__(
        self,
        settings: Settings,
        selection: Selection,
        flags: Mapping[str, str],
        said: Mapping[str, str],
        owners: Callable[[], set[str]],
    ) -> None:
        self._settings = settings
        self._selection = selection
        self._flags = flags
        self._said = said
        self._owners = owners
        self._placed: set[str] | None = None
        self._memory: int | None = None
        self._asked = False
        self.by_hardware = False

    def choose(self, manifest: Manifest, variant: Variant) -> Chosen:
        """The choice of one variant."""
        choice, why = self._decide(manifest, variant)
        return Chosen(manifest.name, variant, choice, why)

    def _decide(self, manifest: Manifest, variant: Variant) -> tuple[str, str]:
        flag = self._flags.get(variant.name, "")
        if flag in variant.choices:
            return flag, t("--variant")
        if flag != AUTO:
            if named := self._only(variant, self._named(manifest)):
                return named, t("as it was named")
            said = self._said.get(variant.name, "")
            if said in variant.choices:
                return said, self._settings.origin("variants")
            if said != AUTO:
                standing = {
                    name for name in variant.artifacts if f"{manifest.name}/{name}" in self.placed
                }
                if there := self._only(variant, standing):
                    return there, t("it stands in the tree")
                if not variant.auto:
                    return variant.default, t("by default")
        return self._that_fits(manifest, variant)

    def _named(self, manifest: Manifest) -> set[str]:
        return {*self._selection.exact.get(manifest.name, ()), *self._selection.only}

    @staticmethod
    def _only(variant: Variant, names: set[str]) -> str:
        """The one choice that has these artifacts, as far as they take turns; "" for none."""
        wanted = names & variant.artifacts
        found = [choice for choice, ids in variant.choices.items() if wanted <= set(ids)]
        return found[0] if wanted and len(found) == 1 else ""

    @property
    def placed(self) -> set[str]:
        """Artifacts, by full name, of which something was placed in the tree."""
        if self._placed is None:
            self._placed = self._owners()
        return self._placed

    def _that_fits(self, manifest: Manifest, variant: Variant) -> tuple[str, str]:
        self.by_hardware = True
        memory = self._gpu_memory()

        def needs(name: str) -> int | None:
            artifact = manifest.artifacts.get(name)
            stated = str(artifact.info.get("min_vram", "")) if artifact else ""
            return memory_estimate.bytes_of(stated)

        if memory is None:
            return variant.default, t("by default: no GPU is found")
        return that_fits(variant, needs, memory), t("by the GPU's memory")

    def _gpu_memory(self) -> int | None:
        if not self._asked:
            from fetcher.hardware import gpu

            self._asked = True
            cards = gpu.detect(ask_torch=False)
            self._memory = cards[0].memory if cards else None
        return self._memory
