"""`fetch runtime`: which model of the chain is used, and why."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

import click

from fetcher.catalog import fallback, prompts
from fetcher.catalog.fallback import NoneUsable, NotUsable, Passed, Runtime, Used
from fetcher.commands import common
from fetcher.config import settings
from fetcher.config.project_choices import NAMED, ON_DISK
from fetcher.errors import UsageError, from_os_error
from fetcher.hardware import gpu, memory_estimate
from fetcher.i18n import echo, t
from fetcher.operations import ensure
from fetcher.operations.open_project import keep_secrets
from fetcher.project import names
from fetcher.project.manifest import Artifact
from fetcher.project.names import Pair
from fetcher.project.project import Project, find_root
from fetcher.reporting import envelope, saved
from fetcher.tree.hint_commands import fetch_these
from fetcher.tree.plan import KEEP


@dataclass(frozen=True)
class _Obtain:
    """Look for one model of the chain in the tree, and fetch it if that is wanted."""

    pairs: list[Pair]
    config: Runtime
    memory: int | None
    into: Path | None
    fetch: bool

    def __call__(self, name: str) -> Artifact:
        """The artifact, laid out. Raises NotUsable."""
        _, artifact = fallback.find(self.pairs, name)
        if "type" in artifact.info or "class_path" in artifact.info:
            try:
                self.config.pipeline_class(artifact)
            except UsageError as error:
                raise NotUsable("unknown", error.message, error.hint) from error
        fallback.check_fits(artifact, self.config, self.memory)
        with common.workspace(
            [artifact.full_name], into=self.into, quiet=not self.fetch, readonly=not self.fetch
        ) as space:
            plan = space.planner(quick=True).plan(space.wanted, space.lock)
            items = list(plan.items)
            if items and all(item.action == KEEP for item in items):
                return artifact
            if not self.fetch:
                text = t("is not in the tree") if not items else t("is not complete in the tree")
                among = [one for _, one in self.pairs]
                command = fetch_these(
                    space.project.root, space.options.into, [artifact], among, bare=False
                )
                hint = t("{command}; or add --fetch here", command=command)
                raise NotUsable("missing", text, hint)
            ensure.carry_out(space)
        return artifact


def _memory(name: str | None, size: str | None) -> int | None:
    if size is not None:
        if found := memory_estimate.bytes_of(size, "G"):
            return found
        raise UsageError(t("--vram {size}: expected gigabytes, such as 24 or 24G", size=size))
    if name is not None:
        if found := memory_estimate.memory_of(name):
            return found
        raise UsageError(
            t("--gpu {name}: the memory of this card is not known", name=name),
            t("give it: --vram 24"),
        )
    cards = gpu.detect(ask_torch=False)
    return cards[0].memory if cards else None


# A functional form, for the key `class`.
LoadSettings = TypedDict(
    "LoadSettings",
    {
        "class": str,
        "params": dict[str, object],
        "memory": dict[str, bool],
        "prompts": list[str],
        "max_prompt_tokens": int | None,
    },
)


def _settings_of(artifact: Artifact, config: Runtime) -> LoadSettings:
    """What loading this model goes by."""
    return {
        "class": config.pipeline_class(artifact),
        "params": {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in artifact.info.get("params", {}).items()
        },
        "memory": {key: True for key, on in vars(config.memory).items() if on},
        "prompts": prompts.explain(config),
        "max_prompt_tokens": config.prompt_limit(artifact),
    }


@click.command("runtime")
@common.into_option
@click.option("--fetch", is_flag=True, help="Fetch the first model of the chain that can be had.")
@click.option("--gpu", "name", metavar="NAME", help="Judge by this card, such as T4.")
@click.option("--vram", "size", metavar="GB", help="Judge by this much GPU memory.")
@common.json_option
def command(
    into: Path | None, fetch: bool, name: str | None, size: str | None, as_json: bool
) -> int:
    """Show which model the project's `runtime:` settings come to, and why.

    The primary model is tried first, then the fallback models; one that is gated, missing, too
    large for the GPU or of an unknown type is passed over, and the reason is kept in
    .fetch/reports/runtime.json.
    """
    started = time.monotonic()
    root = find_root(Path.cwd())
    found = settings.load(root)
    found.check()
    keep_secrets(found)
    common.tell_choices(found, NAMED if fetch else ON_DISK)
    config = fallback.load(found)
    pairs = names.pairs_of(Project(root).load_everything())
    look = _Obtain(pairs, config, _memory(name, size), into, fetch)
    result = envelope.Answer({"chain": list(config.chain), "origin": found.origin("primary_model")})
    used: Used[Artifact] | None = None
    try:
        used = fallback.first_usable(config.chain, look)
        passed = used.passed
    except NoneUsable as failure:
        passed, result.problems = failure.passed, failure.problems()
    result.summary |= {
        "used": used.value.full_name if used else None,
        "fallback": bool(used and passed),
        "seconds": round(time.monotonic() - started, 3),
    }
    about = _settings_of(used.value, config) if used else None
    result.results = [
        *({**item.to_json(), "state": "passed-over"} for item in passed),
        *([{"model": used.model, "state": "used", **about}] if used and about else []),
    ]
    try:
        saved.save(into or root, "runtime", result)
    except OSError as error:
        result.problems.append(
            from_os_error(error, t("writing {path}", path=saved.folder_of(into or root))).problem
        )
    if as_json:
        envelope.print_json(result)
    else:
        _print(config, found.origin("primary_model"), passed)
        if used and about:
            _print_used(used.model, about)
    envelope.print_problems(result.problems)
    return result.exit_code


def _print(config: Runtime, origin: str, passed: Sequence[Passed]) -> None:
    echo(
        t(
            "chain: {chain} (primary model from {origin})",
            chain=", ".join(config.chain),
            origin=origin,
        )
    )
    for item in passed:
        echo(
            t(
                "passed over  {model}: {reason}: {message}",
                model=item.model,
                reason=item.reason,
                message=item.message,
            )
        )


def _print_used(model: str, about: LoadSettings) -> None:
    echo(t("used         {model}: {class_name}", model=model, class_name=about["class"]))
    for key, values in (("params", about["params"]), ("memory", about["memory"])):
        if values:
            echo(f"             {key}: {values}")
    if (most := about["max_prompt_tokens"]) is not None:
        echo(t("             prompts up to {max_prompt_tokens} tokens", max_prompt_tokens=most))
    for line in about["prompts"]:
        echo(f"             {line}")
