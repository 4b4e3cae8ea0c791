"""Mistakes in the options of a manifest's probes, each with its place.

The rules are those by which the probes themselves judge
(`fetcher.verify.contract.built_in_probes`); nothing that would run a probe is imported for them.
Probes of other packages are code of theirs: they are asked only where probes are going to run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from fetcher.i18n import t
from fetcher.project.manifest import PROBE, Manifest
from fetcher.yamldoc.nodes import Document, Node
from fetcher.yamldoc.schema import INVALID, node_of

if TYPE_CHECKING:
    from fetcher.verify.contract.foreign import ProbeOptions
    from fetcher.verify.contract.options import Problem

_Judge = Callable[[str, "ProbeOptions"], "Iterable[Problem]"]


def examine(manifest: Manifest, document: Document) -> None:
    """Note what is wrong with the options of fetch's own probes.

    Another type is no mistake here: the package that brings it may be missing on this machine.
    """
    _examine(manifest, document, _built_in)


def examine_all(manifest: Manifest, document: Document) -> None:
    """Note what is wrong with any probe's options; those of other packages are imported."""
    _examine(manifest, document, _any)


def _built_in(kind: str, options: ProbeOptions) -> Iterable[Problem]:
    from fetcher.verify.contract.built_in_probes import BUILT_IN, problems_of

    return problems_of(kind, options) if kind in BUILT_IN else ()


def _any(kind: str, options: ProbeOptions) -> Iterable[Problem]:
    from fetcher.verify.contract.options import Problem
    from fetcher.verify.contract.probe_registry import is_built_in, load_probe

    if is_built_in(kind):
        return _built_in(kind, options)
    try:
        found = load_probe(kind).validate_options(options)
        return [problem for problem in found if isinstance(problem, Problem)]
    except Exception:  # not there, or broken: told as this probe's result, and others are run
        return ()


def _examine(manifest: Manifest, document: Document, judge: _Judge) -> None:
    for name, artifact, probe in _probes(document):
        found = _options(manifest, name, probe)
        if found is None:
            continue
        kind, options, whole = found
        for problem in judge(kind, options):
            given = problem.option in options
            if given or whole:
                place = _place(problem, artifact, probe) if given else probe
                document.problem(place, *_told(problem, kind, given))


def _probes(document: Document) -> Iterator[tuple[str, Node, Node]]:
    """Each artifact's id, its node and its probe's."""
    if document.root is None:
        return
    artifacts = node_of(document.root, "artifacts")
    for key, artifact in artifacts.pairs if artifacts is not document.root else ():
        probe = node_of(artifact, "probe")
        if probe is not artifact and probe.kind == "mapping":
            yield key.text, artifact, probe


def _options(manifest: Manifest, name: str, probe: Node) -> tuple[str, ProbeOptions, bool] | None:
    """The probe's type, its options, and whether these are all; None if it cannot be read.

    Of an artifact with other mistakes only the probe itself is known, not what its record adds.
    """
    artifact = manifest.artifacts.get(name)
    if artifact is not None and artifact.probe is not None:
        from fetcher.probes.defaults import options_of

        return str(artifact.probe["type"]), options_of(artifact), True
    values = PROBE.decode(probe, Document(""))
    return None if values is INVALID else (values.pop("type"), values, False)


def _told(problem: Problem, kind: str, given: bool) -> tuple[str, str]:
    """Message and hint."""
    if problem.unknown:
        return t(
            "probe {kind!r} has no option {option!r}", kind=kind, option=problem.option
        ), problem.hint
    if given:
        return t(
            "probe {kind!r}: {option}: {message}",
            kind=kind,
            option=problem.option,
            message=problem.message,
        ), problem.hint
    hint = t("add it beside `type: {kind}`", kind=kind)
    return t(
        "probe {kind!r}: {option} {message}",
        kind=kind,
        option=problem.option,
        message=problem.message,
    ), problem.hint or hint


def _place(problem: Problem, artifact: Node, probe: Node) -> Node:
    """The option's name or value, or the part of the value that is wrong."""
    for key, value in probe.pairs:
        if key.text == problem.option:
            return key if problem.unknown else _inner(value, problem.path)
    return _inner(_in_record(problem.option, artifact, probe), problem.path)


def _inner(node: Node, path: Iterable[str | int]) -> Node:
    """The node that a path leads to, as far as there is one."""
    for step in path:
        if isinstance(step, int):
            if not 0 <= step < len(node.items):
                break
            node = node.items[step]
        else:
            node = node_of(node, step)
    return node


def _in_record(option: str, artifact: Node, probe: Node) -> Node:
    """Where the artifact's record says what the probe leaves out."""
    from fetcher.probes.defaults import IN_RECORD

    places = IN_RECORD.get(node_of(probe, "type").text or "", {})
    return _inner(artifact, places.get(option, ()))
