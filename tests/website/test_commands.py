"""Every shell block of every page is run, or stands in a table here with the reason."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import Cli, write_project
from tests.servers.hub import HubServer
from tests.servers.registry import PROGRAM, registry
from website import markdown, navigation
from website.markdown import Fence
from website.navigation import ROOT

SHELL = {"sh", "bash", "console", "shell", "zsh", "fish"}

# Pages whose blocks another test runs as they are written. It reads the page itself, and is called
# `test_PAGE_docs.py`, or stands here.
ELSEWHERE = {
    "README.md": "tests/e2e/test_docs.py",
    "docs/offline.md": "tests/bundle/test_wheelhouse.py",
}
ELSEWHERE |= {
    page: test.relative_to(ROOT).as_posix()
    for page in navigation.pages()
    for test in (ROOT / "tests").glob(f"*/test_{Path(page).stem.replace('-', '_')}_docs.py")
}

# Blocks that nothing runs, by page and how they begin. A new one changes the number below as well.
NOT_RUN = {
    ("README.md", "make quickstart"): "it installs PyTorch; `make test` is what runs this",
    ("README.md", "git clone ADDRESS"): "`make release-check` runs these lines",
    ("CONTRIBUTING.md", "make .venv-test/.installed"): "they run the tests themselves",
    ("docs/tried.md", "python -m benchmarks.gpu"): "tests/test_gpu_rows.py runs it",
    ("docs/serve.md", "export HF_ENDPOINT="): "tests/server/ runs these clients",
    (
        "docs/settings.md",
        "$ fetch all",
    ): "tests/hostile/test_project_settings.py has such a project",
}
MOST_NOT_RUN = 6

# Programs that are not here, or not to be run: what stands for them, and who runs them for real.
STANDS_FOR = """
set -e
pip() {                           # installs: tests/test_release.py
  [ "$1" != uninstall ] || [ "${@: -1}" = model-fetcher ]; echo "pip $*"
}
sbatch() {                        # runs what it wraps at once
  while [ $# -gt 0 ]; do case $1 in --wrap=*) eval "${1#--wrap=}" >&2;; esac; shift; done; echo 7
}
srun() {                          # two nodes
  while [[ $1 = --* ]]; do shift; done; "$@" & local one=$!; "$@" & wait "$one" && wait "$!"
}
nginx() { test -f "$2/$4"; }      # tests/server/test_nginx.py
fetch() {
  if [ "$1" = serve ] && [[ "$*" != *--nginx-config* ]]; then
    command fetch "${@/8000/0}" --port 0 > served.txt 2>&1 & echo $! >> "$SERVERS"
    for _ in $(seq 300); do
      SERVED=$(grep -om1 'http://127[^/ ]*' served.txt || true)
      [ -n "$SERVED" ] && return 0
      sleep 0.1
    done
    cat served.txt; return 1
  fi
  command fetch "$@"
}
"""


def shell_pages() -> list[str]:
    """Pages with shell blocks; translations have those of their originals."""
    pages = [*navigation.pages(), navigation.INDEX, "README.md"]
    originals = [page for page in pages if not navigation.is_translated(page)]
    return [page for page in originals if "/reference/" not in page and blocks(page)]


def blocks(page: str) -> list[Fence]:
    found = markdown.fences((ROOT / page).read_text("utf-8"))
    return [fence for fence in found if fence.language in SHELL]


def exempt(page: str, fence: Fence) -> list[tuple[str, str]]:
    """The entry of the table that says why a block is not run, if any."""
    return [(name, begin) for name, begin in NOT_RUN
            if name == page and fence.body.startswith(begin)]  # fmt: skip


def is_run_here(page: str, fence: Fence) -> bool:
    return page not in ELSEWHERE and not exempt(page, fence)


def test_the_table_says_what_is_not_run_and_does_not_grow() -> None:
    found = [one for page in shell_pages() for fence in blocks(page) for one in exempt(page, fence)]
    assert sorted(found) == sorted(NOT_RUN), "an entry is for one block, and the block is there"
    assert len(NOT_RUN) == MOST_NOT_RUN and all(NOT_RUN.values())
    for page, test in ELSEWHERE.items():
        if (ROOT / page).exists() and blocks(page):
            assert Path(page).name in (ROOT / test).read_text("utf-8"), (
                f"{test} does not read {page}"
            )


def test_no_block_hides_its_commands() -> None:
    """What begins with a command of ours is in a block that says so, or in one that shows text."""
    for page in [*navigation.pages(), "README.md"]:
        if navigation.is_translated(page):
            continue
        for fence in markdown.fences((ROOT / page).read_text("utf-8")):
            if fence.language not in SHELL | {"text", "python", "yaml"}:
                assert not re.match(
                    r"(\$ )?fetch (?!config allow pickles 9d2f4c1e…)", fence.body
                ), f"{page}:{fence.line}: say sh or console"


@dataclass
class World:
    """A project that was fetched, in git, beside a Hub; what pages call by name stands for it."""

    root: Path
    hub: HubServer
    cli: Cli
    names: dict[str, str]

    def named(self, text: str) -> str:
        for name, here in self.names.items():
            text = text.replace(name, here)
        return text


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    torch = pytest.importorskip("torch")
    from safetensors.torch import save

    names = ("tokenizer.json", "tokenizer_config.json")
    files = {name: f'{{"name": "{name}"}}'.encode() for name in names}
    files |= {
        "config.json": b"{}",
        "vocab.txt": b"a\n",
        "README.md": b"---\nlicense: apache-2.0\n---\n",
    }
    with HubServer() as server:
        weights = save({"a": torch.ones(3)})
        server.add_repo(
            "sentence-transformers/all-MiniLM-L6-v2", {**files, "model.safetensors": weights}
        )
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        yield server


def git(root: Path, *words: str) -> None:
    who = ("-c", "user.name=A", "-c", "user.email=a@example.org")
    subprocess.run(["git", *who, *words], cwd=root, check=True, capture_output=True)


def made(root: Path, cli: Cli, hub: HubServer, home: Path) -> None:
    """The project that pages go on from: two artifacts, fetched, committed twice, with a remote."""
    (root / "src").mkdir()
    (root / "src/old.bin").write_bytes(b"old")
    write_project(root, "old", "artifacts: {old-model: {name: Old, source: 'local:src'}}\n",
                  "tree: {old/: old-model}\n")  # fmt: skip
    for words in (["init"], ["add", "hf:sentence-transformers/all-MiniLM-L6-v2"]):
        assert cli(*words, cwd=root).code == 0
    git(root, "init", "--quiet", "--initial-branch=main")
    for step in ("lock", "all"):
        result = cli(step, cwd=root)
        assert result.code == 0, result.err
        git(root, "add", ".")
        git(root, "commit", "--quiet", "--allow-empty", "--message", step)
    git(root, "clone", "--quiet", "--bare", ".", str(home / "origin.git"))
    git(root, "remote", "add", "origin", str(home / "origin.git"))
    git(root, "fetch", "--quiet", "origin")
    git(root, "branch", "--quiet", "--set-upstream-to=origin/main")
    address = f"{hub.url}/sentence-transformers/all-MiniLM-L6-v2/resolve/main/config.json"
    (root / "download.sh").write_text(f"wget {address} -P weights\n")
    (root / "tokens").write_text("ann read,upload s3cret-t0ken-of-ann\n")
    (root / "train.sh").write_text("true\n")
    (home / "Downloads").mkdir()
    shutil.copy(root / "models/all-minilm-l6-v2/config.json", home / "Downloads/download (1)")


@pytest.fixture
def world(
    tmp_path: Path, cli: Cli, hub: HubServer, hermetic: Path, monkeypatch: pytest.MonkeyPatch
) -> World:
    root = tmp_path / "demo"
    root.mkdir()
    (tmp_path / "tmp").mkdir()
    for name, value in (
        ("TMPDIR", str(tmp_path / "tmp")),
        ("TOKEN", "s3cret-t0ken-of-ann"),
        ("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"),
        ("COLUMNS", "200"),
    ):
        monkeypatch.setenv(name, value)
    assert hermetic.is_relative_to(tmp_path.parents[1]), "what is removed is a test's own"
    allowed = tmp_path / "allowed"
    allowed.mkdir()
    names = {
        "/data/models": str(allowed),
        "/srv/checkpoints": str(allowed),
        "http://node1:8000": "$SERVED",
        "http://127.0.0.1:8000": "$SERVED",
        "10.0.0.5": "127.0.0.1",
        "0.0.0.0": "127.0.0.1",
        "https://huggingface.co": hub.url,
    }
    return World(root, hub, cli, names)


def commands(fence: Fence) -> list[tuple[str, list[str]]]:
    """(command, lines that it must print); a `sh` block shows no output."""
    found: list[tuple[str, list[str]]] = []
    for line in fence.body.replace("\\\n", " ").splitlines():
        if fence.language == "console" and not line.startswith("$ "):
            found[-1][1].append(line)
        elif line.strip() and not line.startswith("#"):
            found.append((line.removeprefix("$ "), []))
    return found


def is_plain(command: str) -> bool:
    """Whether it is one command of ours that no shell is needed for."""
    bare = re.sub(r"'[^']*'| {2,}#.*", "", command)
    return command.startswith("fetch ") and not re.search(r"[|<>$;&~=()]|fetch serve", bare)


def keeps_state(script: list[str]) -> bool:
    """Whether what follows needs the same shell."""
    return any(re.match(r"export |\w+=|cd |fetch serve", line) for line in script)


def printed(wanted: str, told: str) -> bool:
    """Whether a line was printed. `…` stands for anything; numbers differ on each machine."""

    def even(text: str) -> str:
        return re.sub(r"\d+([.,]\d+)*", "0", " ".join(text.split()))

    pattern = ".*".join(map(re.escape, even(wanted).split("…")))
    return any(re.fullmatch(pattern + ".*", even(line)) for line in told.splitlines())


def run_page(page: str, world: World, run_here: Callable[[Fence], bool]) -> int:
    """Run the blocks of a page in order; how many commands there were."""
    count = 0
    script: list[str] = []
    for fence in filter(run_here, blocks(page)):
        for command, output in commands(fence):
            count += 1
            if is_plain(command) and not keeps_state(script):
                if script:
                    run_shell(page, script, world.root)
                    script = []
                result = world.cli(*shlex.split(world.named(command), comments=True)[1:],
                                   cwd=world.root)  # fmt: skip
                assert result.code == 0, f"{page}: {command}: {result.code}\n{result.err}"
                told = result.out + result.err
                for line in output:
                    assert printed(line, told), (
                        f"{page}: {command} does not print {line!r}:\n{told}"
                    )
            else:
                script.append(world.named(command))
                if output:
                    told = run_shell(page, script, world.root)
                    script = []
                    for line in output:
                        assert printed(line, told), f"{page}: {command}: no {line!r}:\n{told}"
    if script:
        run_shell(page, script, world.root)
    return count


@contextmanager
def ending_servers(file: Path) -> Iterator[None]:
    try:
        yield
    finally:
        for process in file.read_text().split() if file.exists() else ():
            os.kill(int(process), signal.SIGTERM)


def run_shell(page: str, script: list[str], root: Path) -> str:
    servers = root.parent / "servers"
    with ending_servers(servers):
        done = subprocess.run(
            ["bash", "-xc", STANDS_FOR + "\n".join(script)],
            cwd=root,
            env={**os.environ, "SERVERS": str(servers)},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
    assert done.returncode == 0, f"{page}: exit code {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr


NEEDS = {"docs/json.md": "jq", "docs/web.md": "curl"}
HERE = [page for page in shell_pages() if any(is_run_here(page, fence) for fence in blocks(page))]


@pytest.mark.heavy
@pytest.mark.parametrize("page", HERE)
def test_the_page_s_commands_do_what_it_says(
    page: str, world: World, hermetic: Path, tmp_path: Path
) -> None:
    if page in NEEDS and not shutil.which(NEEDS[page]):
        pytest.skip(f"{NEEDS[page]} is not installed")
    if page != "docs/start.md":
        made(world.root, world.cli, world.hub, hermetic)
    if page == "docs/commands.md":
        if PROGRAM is None or not shutil.which("jq"):
            pytest.skip("docker-registry or jq is not installed")
        (tmp_path / "registry").mkdir()
        with registry(tmp_path / "registry") as host:
            world.names["registry.example"] = host
            assert run_page(page, world, lambda fence: is_run_here(page, fence)) >= 30
    else:
        assert run_page(page, world, lambda fence: is_run_here(page, fence))
    if page == "docs/start.md":
        shown = (ROOT / page).read_text("utf-8")
        for body in re.findall(r"^```yaml\n# (\S+)\n(.*?)^```", shown, re.M | re.S):
            text = (world.root / body[0]).read_text()
            for line in body[1].splitlines():
                assert line in text, f"fetch add writes {text}, not {line}"


def test_what_is_not_printed_is_seen() -> None:
    assert printed("6 files, … B", "x\n7  files, and 12 B of 3")
    assert not printed("6 files", "of 6 files") and not printed("a … b", "a c")
