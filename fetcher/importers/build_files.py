"""Dockerfiles and Makefiles as shell, line for line: what they would run, where they run it."""

from __future__ import annotations

import json
import posixpath
import re
import shlex

from fetcher.importers.document_paths import ROOT

_INSTRUCTION = re.compile(r"\s*([A-Za-z]+)\s+(.*)", re.DOTALL)
_ASSIGNMENT = re.compile(r"\s*(?:export\s+|override\s+)?([A-Za-z_]\w*)\s*(\?=|:{0,3}=)\s*(.*)\Z")


def of_dockerfile(text: str) -> str:
    """What a Dockerfile runs. The folder that the project is copied to is its root."""
    out: list[str] = []
    project = _project_folder(text)
    heredoc = ""
    for lines in _joined(text):
        if heredoc:
            ended = lines[0].strip() == heredoc
            out += ["" if ended else _in_project(lines[0], project), *lines[1:]]
            heredoc = "" if ended else heredoc
            continue
        found = _INSTRUCTION.match("\n".join(lines))
        name, rest = (found[1].upper(), found[2]) if found else ("", "")
        if name == "RUN" and (start := re.match(r"<<-?[\"']?(\w+)[\"']?\s*\Z", rest)):
            heredoc = start[1]
        shell = _instruction(name, rest)
        # What stands on several lines stays there.
        made = _in_project(shell, project).split("\n") if shell else []
        out += made + [""] * (len(lines) - len(made))
    return "\n".join(out) + "\n"


def _instruction(name: str, rest: str) -> str:
    if name == "FROM":
        return "cd /"
    if name == "WORKDIR":
        folder = " ".join(rest.replace("\\\n", " ").split())  # it is written twice
        return f"mkdir -p {folder}; cd {folder}"
    if name in {"ENV", "ARG"}:
        plain = re.match(r"(\w+)\s+(?![^\s=]+=)(.+)", rest)
        return (
            f'{plain[1]}="{plain[2]}"' if plain and "=" not in rest.split(maxsplit=1)[0] else rest
        )
    if name == "ADD" and re.search(r"\bhttps?://", rest):
        *sources, target = [word for word in rest.split() if not word.startswith("--")]
        option = "-P" if target.endswith(("/", ".")) else "-O"
        return " && ".join(f"wget {option} {target} {source}" for source in sources)
    if name != "RUN" or rest.startswith("<<"):
        return ""
    rest = re.sub(r"\A(?:--\w+=\S+\s+)+", "", rest)
    try:
        words = json.loads(rest) if rest.startswith("[") else None
    except ValueError:
        words = None
    if isinstance(words, list) and all(isinstance(word, str) for word in words):
        return shlex.join(words)
    return f"({rest})"  # the next one runs in the folder of WORKDIR again


def _joined(text: str) -> list[list[str]]:
    """The lines of each instruction; comments between them are no part of it."""
    found: list[list[str]] = []
    continues = False
    for line in text.splitlines():
        comment = line.lstrip().startswith("#")
        if continues:
            found[-1].append("\\" if comment or not line.strip() else line)
        else:
            found.append(["" if comment else line])
        continues = line.rstrip().endswith("\\") if not comment else continues
    return found


def _project_folder(text: str) -> str:
    """Where `COPY . FOLDER` puts the project, "" for none."""
    folder = "/"
    for line in text.splitlines():
        found = _INSTRUCTION.match(line)
        name, words = (found[1].upper(), found[2].split()) if found else ("", [])
        if name == "WORKDIR" and words:
            folder = posixpath.join(folder, words[0])
        words = [word for word in words if not word.startswith("--")]
        if name in {"COPY", "ADD"} and words[:1] in (["."], ["./"]) and len(words) == 2:
            return posixpath.normpath(posixpath.join(folder, words[1])).rstrip("/")
    return ""


def _in_project(text: str, project: str) -> str:
    if not project or "$" in project:
        return text
    return re.sub(rf"(?<![\w./-]){re.escape(project)}(?=/|[\s;&|\"')]|\Z)", ROOT, text)


def of_makefile(text: str) -> str:
    """What a Makefile's rules run, each line of a recipe in the root."""
    out: list[str] = []
    target, first = "", ""
    for lines in _joined(text):
        whole = "\n".join(lines)
        made = ""
        if whole.startswith("\t"):
            recipe = re.sub(r"\A[@+-]+", "", whole.lstrip())
            # A pattern stands for any name: what needs it is a remark.
            called = "${target}" if "%" in target else target
            made = f"({_expanded(recipe, called, first).replace('$*', '${stem}')})"
        elif found := _ASSIGNMENT.match(whole):
            value = _expanded(found[3].strip(), "", "").replace('"', '\\"')
            made = f'{found[1]}="{value}"'
        elif (rule := whole.partition(":"))[1] and rule[0].strip() and "=" not in whole:
            target, first = rule[0].split()[0], (rule[2].split() or [""])[0]
        kept = made.split("\n") if made else []
        out += kept + [""] * (len(lines) - len(kept))
    return "\n".join(out) + "\n"


def _expanded(text: str, target: str, first: str) -> str:
    """make's `$(NAME)`, `$@` and `$$` as shell has them."""
    text = text.replace("$$", "\0").replace("$@", target).replace("$<", first)
    for name in ("$(@D)", "$(dir $@)"):
        text = text.replace(name, posixpath.dirname(target) or ".")
    text = text.replace("$(@F)", posixpath.basename(target))
    return re.sub(r"\$[({](\w+)[)}]", r"${\1}", text).replace("\0", "$")
