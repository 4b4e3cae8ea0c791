"""The manual page is what the commands say, and one that man reads without a complaint."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from fetcher.commands import COMMANDS
from tests.man_page import PAGE, page


def test_the_page_is_in_step_with_the_commands() -> None:
    assert PAGE.read_text("utf-8") == page(), "run `make man`"
    assert all(f'.SS "fetch {name}' in page() for name in COMMANDS)


@pytest.mark.parametrize(
    "command",
    [["mandoc", "-T", "lint", "-W", "warning"], ["man", "--warnings", "-Tutf8", "-l"]],
    ids=["mandoc", "man"],
)
def test_nothing_is_wrong_with_it(command: list[str]) -> None:
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed: the manual page is not read by it")
    run = subprocess.run([*command, str(PAGE)], capture_output=True, text=True, check=False)
    told = run.stdout + run.stderr if command[0] == "mandoc" else run.stderr
    assert run.returncode == 0 and told == "", told[:2000]
