"""The command line: one file per command, imported only when it runs."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import click

from fetcher import __version__
from fetcher.i18n import LANGUAGES, current, echo, local, t, unknown

# name: (module, the line that `fetch --help` shows); a module must not hide a built-in name
COMMANDS = {
    "all": ("all_", t("Download, verify and lay out everything a project needs.")),
    "get": ("get", t("Bring one model or file, without a project.")),
    "lock": ("lock", t("Resolve manifests to exact files and write fetch.lock.")),
    "diff": ("diff", t("Show what two locks differ in.")),
    "outdated": ("outdated", t("Ask what has moved upstream since fetch.lock.")),
    "update": ("update", t("Move fetch.lock on to what the sources say now.")),
    "plan": ("plan", t("Show what `fetch all` would do.")),
    "status": ("status", t("Show what is there, quickly.")),
    "check": ("check", t("Compare every file with the lock.")),
    "verify": ("verify", t("Load each model and run one inference.")),
    "access": ("access", t("Ask which repositories may be had, and what is still to be done.")),
    "recommend": ("recommend", t("Say which models fit this machine's GPU.")),
    "runtime": ("runtime", t("Show which model the runtime settings come to, and why.")),
    "report": ("report", t("Rank what has been measured.")),
    "list": ("list_", t("List the artifacts in reach.")),
    "show": ("show", t("Show one artifact.")),
    "tree": ("tree", t("Show the target tree.")),
    "sbom": ("sbom", t("Write a bill of materials (CycloneDX) of what is locked.")),
    "adopt": ("adopt", t("Take files that are already on this machine.")),
    "init": ("init", t("Start a project.")),
    "add": ("add", t("Register a model or dataset.")),
    "remove": ("remove", t("Take an artifact out of manifest, layout, lock and tree.")),
    "import": ("import_", t("Write manifest and layout from a script, page or list.")),
    "mirror": ("mirror", t("Carry artifacts to other sites: bundles, registries, signatures.")),
    "serve": ("serve", t("Serve models and datasets to clients of the Hub, GitHub and fetch.")),
    "prune": ("prune", t("Take away what was placed once and is not wanted now.")),
    "gc": ("gc", t("Remove what no project needs from the store.")),
    "store": ("store", t("Look into the store: du, ls, check.")),
    "config": ("config", t("Show every setting and where it comes from.")),
    "doctor": ("doctor", t("Check this machine: disk, tokens, endpoints, tools.")),
    "completion": ("completion", t("Print the script that completes names in bash, zsh or fish.")),
    "schema": ("schema", t("Print the JSON Schema of manifests, layouts or fetch.yaml.")),
}


_COMPLETE = "_FETCH_COMPLETE"  # set by the scripts of `fetch completion`


class _Commands(click.Group):
    """A group that knows its commands' names and imports them one by one."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command = import_module(f"fetcher.commands.{COMMANDS[cmd_name][0]}").command
        assert isinstance(command, click.Command)
        _take_verbosity(command)
        if _COMPLETE in os.environ:
            from fetcher.commands.completing import offer_values

            offer_values(command)
        if (language := current()) != "en":
            from fetcher.commands.help_texts import speak

            speak(command, language)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            from fetcher.commands.other_words import unknown

            raise unknown(args, COMMANDS)
        return super().resolve_command(ctx, args)

    def shell_complete(
        self, ctx: click.Context, incomplete: str
    ) -> list[click.shell_completion.CompletionItem]:
        """Names of commands, none of which is imported for that; and options."""
        from click.shell_completion import CompletionItem

        names = [
            CompletionItem(name, help=line)
            for name, (_, line) in COMMANDS.items()
            if name.startswith(incomplete)
        ]
        return [*names, *click.Command.shell_complete(self, ctx, incomplete)]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section(local(t("Commands"))):
            formatter.write_dl([(name, local(line)) for name, (_, line) in COMMANDS.items()])


def _set_verbosity(ctx: click.Context, _: click.Parameter, count: int) -> None:
    """`-v` before and after the command's name add up."""
    if count:
        from fetcher.ui import log

        ctx.meta["fetcher.verbosity"] = count + ctx.meta.get("fetcher.verbosity", 0)
        log.to_stderr(ctx.meta["fetcher.verbosity"])
        log.opening(__version__, ctx.find_root().obj or ())


_INTERRUPTED = t("interrupted: run the same command again to go on")
_VERBOSE = t("Say what is being done, and why; -vv: every request and decision.")


def _take_verbosity(command: click.Command) -> None:
    """Let a command, and those in it, take -v as well."""
    if all(param.name != "verbose" for param in command.params):
        option = click.Option(
            ["-v", "--verbose"],
            count=True,
            expose_value=False,
            is_eager=True,
            callback=_set_verbosity,
            help=_VERBOSE,
        )
        command.params.append(option)
    if isinstance(command, click.Group):
        for inner in command.commands.values():
            _take_verbosity(inner)


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    invoke_without_command=True,
)
@click.version_option(__version__, prog_name="fetch")
@click.option(
    *("-v", "--verbose"),
    count=True,
    expose_value=False,
    is_eager=True,
    callback=_set_verbosity,
    help=_VERBOSE,
)
@click.pass_context
def cli(ctx: click.Context) -> int:
    """Set up the models and datasets of a machine-learning project.

    `fetch all` downloads, verifies and lays out everything that the manifests name; `fetch` alone
    says what can be done in this folder.
    """
    if ctx.invoked_subcommand is not None:
        return 0
    from fetcher.commands.here import show

    return show()


def _report_error(error: Exception, as_json: bool) -> int:
    from fetcher.errors import FetchError, Problem
    from fetcher.reporting import envelope

    if isinstance(error, FetchError):
        problems, code = error.problems(), error.exit_code
    else:
        hint = getattr(error, "hint", "")
        problems, code = [Problem("usage", str(error), hint)], 2
    if as_json:
        envelope.print_json(envelope.Answer(problems=problems))
    envelope.print_problems(problems)
    return code


def _crash(error: BaseException, as_json: bool) -> int:
    import traceback

    place = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{os.path.basename(place.filename)}:{place.lineno}"
    text = t(
        "internal error: {name}: {error} ({where})",
        name=type(error).__name__,
        error=error,
        where=where,
    )
    try:
        from fetcher.errors import Problem
        from fetcher.reporting import envelope
        from fetcher.ui.redact import Redactor, of_environment
    except ImportError:  # the installation itself is broken
        echo(
            t("internal error: {name} ({where})", name=type(error).__name__, where=where),
            file=sys.stderr,
        )
        return 1
    hint = t("run again with -vv, and report what it prints")
    if path := os.environ.get("FETCH_LOG"):
        hint = t("report it with what {path} says", path=path)
    problem = Problem("internal", Redactor(of_environment())(text), hint)
    if as_json:
        envelope.print_json(envelope.Answer(problems=[problem]))
    envelope.print_problems([problem])
    return 1


def _terminate_like_interrupt() -> None:
    """Let SIGTERM, as CI systems send it, end a run in the same orderly way as Ctrl-C."""
    import signal
    import threading

    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.default_int_handler)


def _output_lost(error: OSError) -> int:
    """stdout cannot be written (a full disk): say so once, and write nothing more there."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    echo(
        t("error: the output cannot be written: {strerror}", strerror=error.strerror),
        file=sys.stderr,
    )
    return 9


def _nobody_reads() -> int:
    """The reader of our output (head, less) has gone: nothing is wrong."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    try:
        sys.stderr.flush()
    except OSError:  # it read both
        os.dup2(nowhere, 2)
    return 0


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code; all errors end here."""
    if shell := os.environ.get(_COMPLETE):
        from fetcher.commands.completing import answer

        return answer(cli, shell)
    _terminate_like_interrupt()
    if strange := unknown(os.environ):
        known = ", ".join(LANGUAGES)
        told = t("FETCH_LANG={text}: not one of {known}", text=strange[:20], known=known)
        echo(told, file=sys.stderr)
    try:
        if (language := current()) == "en":
            code = _run(arguments, "--json" in arguments)
        else:
            from fetcher.commands.help_texts import click_in, speak

            speak(cli, language)
            with click_in(language):
                code = _run(arguments, "--json" in arguments)
    except BrokenPipeError:
        code = _nobody_reads()
    if (log := _log()) is not None:
        log.closing(code)
    return code


def _command_of(arguments: Sequence[str]) -> str:
    """The command that was typed, as far as it is one: some of click's errors do not know it."""
    command: click.Command | None = cli
    path = ["fetch"]
    for word in arguments:
        if isinstance(command, click.Group) and not word.startswith("-"):
            command = command.get_command(click.Context(command), word)
            if command is None:
                break
            path.append(word)
    return " ".join(path)


def _log() -> ModuleType | None:
    """The log's module if somebody asked for a log: else it need not be loaded."""
    return sys.modules.get("fetcher.ui.log")


def _open_log(arguments: Sequence[str]) -> None:
    if path := os.environ.get("FETCH_LOG"):
        from fetcher.config.boundaries import check_output
        from fetcher.project.project import find_root
        from fetcher.ui import log

        check_output(find_root(Path.cwd()), Path(path))
        log.to_file(Path(path))
        log.opening(__version__, arguments)


def _run(arguments: Sequence[str], as_json: bool) -> int:
    stdout = sys.stdout
    try:
        _open_log(arguments)
        outcome: Any = cli.main(
            list(arguments), prog_name="fetch", standalone_mode=False, obj=list(arguments)
        )
        sys.stdout.flush()
        return outcome if isinstance(outcome, int) else 0
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.exceptions.NoArgsIsHelpError as no_args:
        echo(no_args.format_message())
        return 2
    except click.ClickException as wrong:
        from fetcher.errors import UsageError

        context = getattr(wrong, "ctx", None)
        command = context.command_path if context else _command_of(arguments)
        return _report_error(
            UsageError(wrong.format_message(), t("{command} --help", command=command)), as_json
        )
    except (KeyboardInterrupt, click.Abort) as stop:
        # A question that was not answered: nothing has been done yet.
        unanswered = isinstance(stop.__context__, EOFError)
        echo(t("no answer: nothing was changed") if unanswered else _INTERRUPTED, file=sys.stderr)
        return 130
    except SystemExit as stop:
        if sys.stdout is not stdout:  # click wraps it when it sees the reader go
            raise BrokenPipeError from stop
        raise
    except BrokenPipeError:
        raise
    except Exception as error:
        from fetcher.errors import FetchError, from_os_error

        if (log := _log()) is not None:
            log.raised(error)
        if isinstance(error, FetchError):
            return _report_error(error, as_json)
        if isinstance(error, OSError) and not error.filename:
            return _output_lost(error)
        if isinstance(error, OSError):
            return _report_error(from_os_error(error, str(error.filename)), as_json)
        return _crash(error, as_json)
