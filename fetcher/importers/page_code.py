"""Code on a page that downloads: blocks of shell and Python, and lines within sentences."""

from __future__ import annotations

import posixpath
import re

from fetcher.i18n import t
from fetcher.importers.document_paths import join
from fetcher.importers.origins import Place, of_file, of_repo
from fetcher.importers.page_paths import PagePaths
from fetcher.importers.programs import BY_HAND
from fetcher.importers.target_tree import RepoOrigin, TargetTree

_SHELL = {"bash", "sh", "shell", "console", "zsh", "shell-session", "terminal", "cmd"}
_BRINGS = re.compile(
    r"^[ \t]*(?:\$ |> |! ?|sudo )*"
    r"(wget|curl|gdown|aria2c|axel|hf|huggingface-cli|modelscope|git (lfs )?clone|unzip|tar"
    r"|(ba)?sh \S+\.sh|python3? \S*(download|fetch)\w*\.py)\b",
    re.M,
)
_MAY_BRING = re.compile(
    r"download|fetch|wget|curl|gdown|weights|checkpoint|pretrain|model|data", re.I
)
_CLONE_LINE = re.compile(
    r"\s*git clone\b.*github\.com[:/][\w.-]+/([\w.-]+?)(?:\.git)?/?(?:\s+(\S+))?\s*(&&.*)?$"
)
# A script that a sentence says to run.
_RUNS = re.compile(
    r"(?:(?:ba|z)?sh\s+|\./|source\s+)\S+\.sh(\s.*)?|python3?\s+\S+\.py(\s.*)?"
    r"|(wget|curl|gdown|hf download|huggingface-cli download|modelscope download|git clone)\s.+"
)
_DOWNLOADER = re.compile(r"python3?\s+(\S*/)?\w*(download|fetch|get_)\w*\.py", re.I)
_USES = re.compile(
    r"\s*(fetch(?=\s+[a-z]+(\s|$))|python3?|torchrun|accelerate|streamlit|gradio|make|npm|docker|CUDA_VISIBLE_DEVICES\S*)\b"
)
_PYTHON = re.compile(
    r"snapshot_download|hf_hub_download|urlretrieve|gdown\.|wget\.download|requests\.get"
    r"|download_url_to_file|load_state_dict_from_url|load_file_from_url|download_url\("
    r"|from_pretrained|SentenceTransformer\(|CrossEncoder\("
)
_PYTHON_USES = re.compile(r"from_pretrained|SentenceTransformer\(|CrossEncoder\(")
# Names that examples have in a repository's place.
_EXAMPLE = re.compile(
    r"(path|your|my|some|local|saved?|outputs?|results?|checkpoints?|ckpts?|weights|models?"
    r"|pretrained(_models?)?|runs?|exp|logs?|data|username|user|org)[\w.-]*/",
    re.IGNORECASE,
)


class PageCode:
    """Reads the code of one page into its tree. `chosen` gets the folders that it puts something
    into, and where that comes from."""

    def __init__(self, tree: TargetTree, paths: PagePaths, chosen: list[tuple[str, Place]]) -> None:
        self._tree = tree
        self._paths = paths
        self._used: list[RepoOrigin] = []  # what examples load
        self._chosen = chosen

    def read_line(self, code: str, line: int, folders: list[str]) -> None:
        """Read what a sentence says to run, if that may download; else do nothing."""
        if _RUNS.fullmatch(code) and _MAY_BRING.search(code):
            self._shell(code, line, folders)

    def read(self, text: str, language: str, line: int, folders: list[str]) -> None:
        """Read a block; `folders` are those that its section names."""
        before = len(self._tree.repos), set(self._tree.files), len(self._tree.unpacked)
        if language in {"python", "py", "python3"}:
            if _PYTHON.search(text):
                self._python(text, line)
        elif language in _SHELL or (not language and _BRINGS.search(text)):
            self._shell(text, line, folders)
        self._note(*before)

    def _note(self, repos: int, files: set[str], unpacked: int) -> None:
        """Note where code has put something since there was so much."""
        tree = self._tree
        self._chosen += [(folder, of_repo(repo)) for folder, repo in tree.repos[repos:]]
        self._chosen += [
            (posixpath.dirname(path), of_file(origin)[0])
            for path, origin in tree.files.items()
            if path not in files
        ]
        self._chosen += [
            (item.folder, of_file(item.archive)[0]) for item in tree.unpacked[unpacked:]
        ]

    def _python(self, text: str, line: int) -> None:
        """A block of Python. Examples load models besides: what they load comes by the Hub's
        cache, and what else of them is not read is no matter."""
        from fetcher.importers import python_script

        remarks, cached = len(self._tree.remarks), len(self._tree.cached)
        python_script.read(text, self._tree, "", line)
        if _PYTHON_USES.search(text):
            self._tree.remarks[remarks:] = [
                remark
                for remark in self._tree.remarks[remarks:]
                if _PYTHON.search(remark.text) and not _PYTHON_USES.search(remark.text)
            ]
            self._used += self._tree.cached[cached:]

    def leave_out_loaded(self) -> None:
        """Of what examples load, only what nothing else brings, and what is no local path."""
        placed = {repo.repo for _, repo in self._tree.repos}
        placed |= {of_file(origin)[0].address for origin in self._tree.files.values()}
        self._tree.cached[:] = [
            repo
            for repo in self._tree.cached
            if repo not in self._used
            or not (repo.repo in placed or _EXAMPLE.match(repo.repo) or self._tree.knows(repo.repo))
        ]

    def _shell(self, text: str, line: int, folders: list[str]) -> None:
        """A block of shell. Of what it runs besides, only what may fetch something is told."""
        from fetcher.importers import shell

        before = len(self._tree.remarks)
        files = set(self._tree.files)
        shell.read(self._as_script(text), self._tree, "", line)
        self._tree.remarks[before:] = [
            remark
            for remark in self._tree.remarks[before:]
            if remark.reason != BY_HAND or _MAY_BRING.search(remark.text)
        ]
        brought = [path for path in self._tree.files if path not in files]
        if brought and len(folders) == 1 and not any("/" in path for path in brought):
            why = t("the text beside it names {folder}: it is put there", folder=folders[0])
            self._tree.remark(line, why)
            for path in brought:
                self._tree.carry(path, join(folders[0], path))

    def _as_script(self, text: str) -> str:
        """Shell as people type it: without prompts, and without going into the clone itself."""
        return "".join(self._as_typed(line) + "\n" for line in text.splitlines())

    def _as_typed(self, line: str) -> str:
        text = re.sub(r"^\s*(?:\$|>|!|%)\s+(?=\S)|^!(?=\S)", "", line)
        if clone := _CLONE_LINE.match(text):
            text = re.sub(r"^\s*&&\s*", "", clone[3] or "")
        entered = re.match(r"\s*(?:cd|pushd)\s+(\S+)(.*)$", text)
        if entered:
            project, _, below = entered[1].strip("\"'").removeprefix("./").partition("/")
            if project.lower() in self._paths.projects:
                text = re.sub(r"^\s*(&&|;)\s*", "", entered[2])
                text = f"cd {below} {entered[2]}" if below.strip("/") else text
        # What uses the project comes after its files.
        brings = re.search(r"-c |zipfile|gdown", text) or _DOWNLOADER.search(text)
        return "" if _USES.match(text) and not brings else text
