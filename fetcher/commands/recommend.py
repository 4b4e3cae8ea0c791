"""`fetch recommend`: which models fit this GPU."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

import click

from fetcher.catalog import recommend
from fetcher.catalog.recommend import Choice, Fit
from fetcher.commands import common
from fetcher.errors import UsageError
from fetcher.fs.nearest import nearest
from fetcher.hardware import gpu, memory_estimate
from fetcher.hardware.gpu import Gpu
from fetcher.i18n import t
from fetcher.project.manifest import Artifact
from fetcher.project.project import Project, find_root
from fetcher.reporting import envelope
from fetcher.tree.hint_commands import is_elsewhere, names_of
from fetcher.ui.table import Column, print_table, print_text
from fetcher.ui.units import human_bytes

_COLUMNS = (
    Column(t("ARTIFACT"), least=12, at="middle"),
    Column(t("TASK"), rank=3, least=10),
    Column(t("PARAMETERS"), rank=2),
    Column(t("FITS")),
    Column(t("WHY"), rank=1, least=12),
)


def _card(name: str | None, memory: str | None, python: str | None) -> Gpu:
    """The card to recommend for: as given, else this machine's largest."""
    if memory is not None:
        size = memory_estimate.bytes_of(memory, "G")
        if not size:
            raise UsageError(
                t("--vram {memory}: expected gigabytes, such as 24 or 24G", memory=memory)
            )
        return Gpu(name or "", size, "--vram")
    if name is not None:
        size = memory_estimate.memory_of(name)
        if size is None:
            close = nearest(name, memory_estimate.cards())
            known = ", ".join(memory_estimate.cards())
            raise UsageError(
                t("--gpu {name}: the memory of this card is not known", name=name),
                t("did you mean {close!r}? else give it: --vram 24", close=close)
                if close
                else t("give it: --vram 24; known cards: {known}", known=known),
            )
        return Gpu(name, size, "--gpu")
    found = gpu.detect(python)
    if not found:
        raise UsageError(
            t("no GPU is found (asked nvidia-smi and torch)"),
            t("say for which card: --gpu T4, or --vram 24"),
        )
    return found[0]


@click.command("recommend")
@common.manifests_argument
@click.option("--gpu", "name", metavar="NAME", help="For this card, such as T4 or A100-80GB.")
@click.option("--vram", "memory", metavar="GB", help="For this much GPU memory, such as 24.")
@click.option(
    "--dtype",
    type=click.Choice(list(memory_estimate.BYTES)),
    default="float16",
    show_default=True,
    help="Number type that the weights are loaded as.",
)
@click.option("--task", metavar="TASK", help="Look only at models for this task.")
@click.option("--python", metavar="PATH", help="The interpreter whose torch is asked.")
@click.option("--fetch", "fetch", is_flag=True, help="Go on to fetch what is recommended.")
@common.json_option
def command(
    manifests: tuple[str, ...],
    name: str | None,
    memory: str | None,
    dtype: str,
    task: str | None,
    python: str | None,
    fetch: bool,
    as_json: bool,
) -> int:
    """Say which models fit this machine's GPU, which to use together, and why others do not fit.

    The card is found by nvidia-smi or the project's torch, or given. Combinations that a manifest
    lists for a card come first; for other cards, the largest that fit by the estimate.
    """
    project = Project(find_root(Path.cwd()))
    units, pairs = common.chosen(project, manifests)
    card = _card(name, memory, python)
    known = [
        found
        for found in recommend.fits(pairs, card.memory, dtype)
        if task in {None, found.artifact.info.get("task")}
    ]
    choice = recommend.choose(units, card.name, card.memory, dtype) if task is None else None
    if task is not None:
        choice = _largest_of(known)
    if not as_json:
        # (Of named manifests alone nobody has looked whether others have these ids.)
        _print(card, dtype, known, choice, [] if manifests else [item for _, item in pairs])
    if fetch:
        return _fetch(choice, as_json)
    result = envelope.Answer(
        {
            "gpu": card.name or None,
            "vram_bytes": card.memory,
            "origin": card.origin,
            "dtype": dtype,
            "estimate": memory_estimate.ESTIMATE,
            "recommended": [a.full_name for a in choice.artifacts] if choice else [],
            "recommended_by": choice.origin if choice else None,
        },
        results=[found.to_json(_is_chosen(found, choice)) for found in known],
    )
    if as_json:
        envelope.print_json(result)
    return 0


def _largest_of(known: Sequence[Fit]) -> Choice | None:
    fitting = [found for found in known if found.fits and found.parameters]
    if not fitting:
        return None
    best = max(fitting, key=lambda found: found.parameters or 0)
    return Choice(
        (best.artifact,), "estimate", t("the largest that fits: {reason}", reason=best.reason)
    )


def _is_chosen(found: Fit, choice: Choice | None) -> bool:
    return choice is not None and any(found.artifact is item for item in choice.artifacts)


def _print(
    card: Gpu, dtype: str, known: Sequence[Fit], choice: Choice | None, among: Sequence[Artifact]
) -> None:
    what = f"{card.name}, " if card.name else ""
    print_text(
        t(
            "{what}{memory} of GPU memory ({origin}), {dtype}",
            what=what,
            memory=human_bytes(card.memory),
            origin=card.origin,
            dtype=dtype,
        )
    )
    print_text(t("estimate: {estimate}\n", estimate=memory_estimate.ESTIMATE))
    rows = []
    for found in known:
        count = memory_estimate.human_count(found.parameters) if found.parameters else "?"
        fits = t("yes *") if _is_chosen(found, choice) else t("yes") if found.fits else t("no")
        task = str(found.artifact.info.get("task", ""))
        rows.append((found.artifact.id, task, count, fits, found.reason))
    print_table(_COLUMNS, rows)
    if choice is None:
        print_text(t("\nnothing to recommend: no combination of the catalog fits"))
        return
    names = " + ".join(artifact.id for artifact in choice.artifacts)
    print_text(t("\n* recommended: {names} ({reason})", names=names, reason=choice.reason))
    gated = [artifact for artifact in choice.artifacts if artifact.info.get("requires_auth")]
    if gated:
        print_text(
            t(
                "  gated: {gated}; check with: fetch access {gated2}",
                gated=", ".join(artifact.id for artifact in gated),
                gated2=shlex.join(names_of(gated, among)),
            )
        )
    words = names_of(choice.artifacts, among)
    words += [word for name in _only(choice) for word in ("--only", name)]
    print_text(t("  fetch all {id}", id=shlex.join(words)))


def _only(choice: Choice) -> list[str]:
    """What of a manifest that is named as a whole is recommended."""
    return [artifact.id for artifact in choice.artifacts if is_elsewhere(artifact)]


def _fetch(choice: Choice | None, as_json: bool) -> int:
    from fetcher.operations.fetch_all import fetch_all

    if choice is None:
        raise UsageError(
            t("nothing fits, so there is nothing to fetch"), t("see --dtype int8 or int4")
        )
    with common.workspace(names_of(choice.artifacts, []), only=_only(choice)) as space:
        found = fetch_all(space)
        if as_json:
            envelope.print_json(found)
        else:
            print_text(envelope.summary_line(found))
        envelope.print_problems(found.problems)
        return found.exit_code
