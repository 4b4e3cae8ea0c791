"""Compares what probes found with fetch.golden.json, and says what an update of it replaces."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from fetcher.errors import Problem
from fetcher.i18n import join, t
from fetcher.probes import golden
from fetcher.project.manifest import Artifact
from fetcher.verify.contract.built_in_probes import NONE
from fetcher.verify.contract.fingerprints import (
    difference,
    outlives_a_conversion,
    tolerance_of,
)
from fetcher.verify.contract.protocol import Check, ProbeResult

_UNKNOWN = "unknown"  # the number type of what has none

Entries = dict[golden.Key, golden.GoldenEntry]


@dataclass(frozen=True)
class Replacement:
    """What an update of fetch.golden.json would put in place of something else, and how it differs.

    `outputs` are sentences, one for each output or fact that is another one.
    """

    artifact: Artifact
    outputs: tuple[str, ...]


@dataclass(frozen=True)
class Commands:
    """The command lines that are about one artifact, in the tree that was looked at."""

    update_golden: str
    check_deep: str


@dataclass(frozen=True)
class _Stored:
    """The entry that a result is compared with, and its number type."""

    dtype: str
    entry: golden.GoldenEntry


def compare(
    result: ProbeResult,
    artifact: Artifact,
    stored: Mapping[golden.Key, golden.GoldenEntry],
    commands: Commands,
) -> tuple[ProbeResult, str]:
    """A result with the comparison in it, and its word: same, differs, stale, none or "".

    Stale: stored for other options or for another probe. Both fail, as nothing is compared.
    """
    if result.state == "skipped" and result.type not in ("", NONE):
        return result, ""
    outdated = _outdated(result, artifact, stored)
    if outdated:
        check = Check(join((golden.NAME, t("belongs to this probe")), " "), False, outdated)
        if result.state == "skipped":
            result = replace(result, state="failed", reason="")
        return failing(result, check, _renew(commands)), "stale"
    if result.state == "skipped":
        return result, ""
    found = _stored_for(result, artifact, stored)
    if found is None:
        given = result.fingerprints or result.facts
        return result, "none" if given and result.state == "passed" else ""
    if result.state == "failed" and not result.fingerprints and not result.facts:
        return result, ""  # it did not come so far: that is its failure
    return _judged(result, found, commands)


def _judged(result: ProbeResult, found: _Stored, commands: Commands) -> tuple[ProbeResult, str]:
    how = "same"
    told = differences(result, found.entry, found.dtype)
    for name in (*found.entry.prints, *found.entry.facts):
        title = t("{name} as before ({golden_name})", name=name, golden_name=golden.NAME)
        check = Check(title, name not in told, told.get(name, ""))
        if check.ok:
            result = replace(result, checks=(*result.checks, check))
        else:
            how = "differs"
            result = failing(result, check, _changed(commands))
    new = [one.name for one in result.fingerprints if one.name not in found.entry.prints]
    new += [one.name for one in result.facts if one.name not in found.entry.facts]
    if new and how == "same":
        told_new = t(
            "not stored yet, so not compared: {names}; `{command}` adds them",
            names=", ".join(new),
            command=commands.update_golden,
        )
        check = Check(golden.NAME, True, told_new, warning=True)
        result = replace(result, checks=(*result.checks, check))
    return result, how


def differences(result: ProbeResult, entry: golden.GoldenEntry, dtype: str) -> dict[str, str]:
    """How a result's outputs and facts differ from an entry's, by their names; {} if they do not.

    `dtype` is the number type that the entry was stored with.
    """
    prints = {one.name: one for one in result.fingerprints}
    facts = {one.name: one.value for one in result.facts}
    found = {}
    for name, then in entry.prints.items():
        if name not in prints:
            found[name] = t("it was not found")
        elif told := difference(then, prints[name], dtype, type_of(result)):
            found[name] = told
    for name, before in entry.facts.items():
        if name not in facts:
            if dtype == type_of(result) or outlives_a_conversion(name):
                found[name] = t("it was not found")
        elif facts[name] != before:
            found[name] = t("it is {now!r}, it was {before!r}", now=facts[name], before=before)
    return found


def update(result: ProbeResult, artifact: Artifact, stored: Entries) -> tuple[str, Replacement]:
    """Put what a passed result found into `stored`; returns the word, and what it replaced.

    What is the same as before, and nothing new, is left as it stands, so that a diff is quiet.
    """
    nothing = Replacement(artifact, ())
    if result.state != "passed" or not (result.fingerprints or result.facts):
        return "", nothing
    told: list[str] = []
    outdated = _outdated(result, artifact, stored)
    found = None if outdated else _stored_for(result, artifact, stored)
    if outdated:
        told.append(outdated)
    elif found is not None:
        apart = differences(result, found.entry, found.dtype)
        told += [join((name, how), ": ") for name, how in apart.items()]
        if not apart and found.dtype == type_of(result) and _is_complete(result, found.entry):
            return "same", nothing
    if told:  # what was stored for other number types is of the old answers too
        for key in [key for key in stored if key[0] == artifact.full_name]:
            del stored[key]
    stored[artifact.full_name, result.type, type_of(result)] = golden.GoldenEntry(
        golden.fingerprint_options(artifact.probe or {}),
        {one.name: one for one in result.fingerprints},
        {one.name: one.value for one in result.facts},
    )
    return "stored", Replacement(artifact, tuple(told))


def without_golden(result: ProbeResult, commands: Commands) -> ProbeResult:
    """A passed result that fails since nothing is stored to compare it with."""
    check = Check(golden.NAME, False, t("nothing is stored of it"))
    hint = t("`{command}` stores it", command=commands.update_golden)
    return failing(result, check, hint)


def kept(artifact: str, commands: Commands) -> Problem:
    """What is told of an artifact whose stored answers nobody agreed to replace."""
    return Problem(
        "probe",
        t("other answers are stored of it in {name}, and they were kept", name=golden.NAME),
        t("`{command} --yes` replaces them", command=commands.update_golden),
        artifact,
    )


def type_of(result: ProbeResult) -> str:
    """The number type of the weights, as fetch.golden.json has it."""
    return str(result.metrics.get("dtype") or _UNKNOWN)


def _is_complete(result: ProbeResult, entry: golden.GoldenEntry) -> bool:
    return all(
        one.name in entry.prints and (entry.prints[one.name].sketch or not one.sketch)
        for one in result.fingerprints
    ) and all(one.name in entry.facts for one in result.facts)


def _outdated(
    result: ProbeResult, artifact: Artifact, stored: Mapping[golden.Key, golden.GoldenEntry]
) -> str:
    """Why what is stored of an artifact cannot be compared; "" if it can, or nothing is stored."""
    entries = {key: one for key, one in stored.items() if key[0] == artifact.full_name}
    if not entries:
        return ""
    if artifact.probe is None:
        return t("{name} has its answers, but it has no probe any more", name=golden.NAME)
    kinds = sorted({kind for _, kind, _ in entries})
    if result.type not in kinds:
        return t("stored for the probe {kinds}, not {kind}", kinds=kinds[0], kind=result.type)
    options = golden.fingerprint_options(artifact.probe)
    if all(one.options != options for (_, kind, _), one in entries.items() if kind == result.type):
        return t("stored for other options of the probe")
    return ""


def _stored_for(
    result: ProbeResult, artifact: Artifact, stored: Mapping[golden.Key, golden.GoldenEntry]
) -> _Stored | None:
    """The entry of the same probe and options: of this number type, else of the finest."""
    options = golden.fingerprint_options(artifact.probe or {})
    fitting = [
        _Stored(dtype, entry)
        for (name, kind, dtype), entry in stored.items()
        if (name, kind) == (artifact.full_name, result.type) and entry.options == options
    ]
    now = type_of(result)
    fitting.sort(key=lambda one: (one.dtype != now, tolerance_of(one.dtype)))
    return fitting[0] if fitting else None


def failing(result: ProbeResult, check: Check, hint: str) -> ProbeResult:
    """A result that fails with this check too; it is the reason if there was none."""
    checks = (*result.checks, check)
    told = f"{check.name}: {check.detail}"
    if result.state == "passed":
        return replace(result, state="failed", reason=told, hint=hint, checks=checks)
    reason = t("{reason}; {told}", reason=result.reason, told=told) if result.reason else told
    return replace(result, reason=reason, hint=result.hint or hint, checks=checks)


def _renew(commands: Commands) -> str:
    return t("if the change is meant, `{command}` stores it anew", command=commands.update_golden)


def _changed(commands: Commands) -> str:
    return t(
        "the weights are other ones under the same name (swapped, retrained or damaged): `{look}` "
        "compares every byte; if the change is meant, run `{command}`",
        look=commands.check_deep,
        command=commands.update_golden,
    )
