"""`fetch completion`: the script that lets a shell complete commands and names."""

from __future__ import annotations

import click


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> int:
    """Print the script that completes commands, options and names with TAB.

    \b
    fetch completion bash > ~/.local/share/bash-completion/completions/fetch
    fetch completion zsh > FOLDER/_fetch     (FOLDER stands in $fpath)
    fetch completion fish > ~/.config/fish/completions/fetch.fish
    """
    from fetcher.commands.completing import SCRIPTS

    click.echo(SCRIPTS[shell], nl=False)
    return 0
