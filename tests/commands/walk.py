"""Every parameter of every command."""

from __future__ import annotations

from collections.abc import Iterator

import click


def parameters(command: click.Command) -> Iterator[tuple[str, click.Parameter]]:
    """Each with the name of its command, those of subcommands too."""
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            yield from parameters(inner)
        return
    yield from ((command.name or "", parameter) for parameter in command.params)
