"""Every artifact of `wrong/`: what must fail fails, by itself or against stored answers."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import pytest
from fetcher.verify import ProbeResult

from tests.verify.probing import golden_differences, run_in_this_process
from tests.verify.wrong import Case, Make, all_cases

CASES = all_cases()
_PAGE = Path(__file__).parents[2] / "docs" / "wrong-artifacts.md"


@pytest.fixture(scope="session")
def right_ones(tmp_path_factory: pytest.TempPathFactory) -> dict[Make, ProbeResult]:
    """What right artifacts gave, each run once."""
    return {}


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.probe}: {case.what}")
def test_it_is_seen(
    case: Case,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    right_ones: dict[Make, ProbeResult],
) -> None:
    if case.unmet:
        pytest.skip(case.unmet)
    if case.right is not None and case.right not in right_ones:
        made = case.right(tmp_path_factory.mktemp("right") / "m")
        right_ones[case.right] = run_in_this_process(made)
        assert right_ones[case.right].state == "passed", right_ones[case.right].reason
    found = run_in_this_process(case.make(tmp_path / "m"))
    if case.says:
        told = [f"{check.name}: {check.detail}" for check in found.checks if not check.ok]
        assert found.state == "failed", "it passes"
        assert any(case.says in one for one in [*told, found.reason]), (told, found.reason)
    else:
        assert found.state == "passed", f"{found.reason}: it fails by itself, say so"
    if case.right is not None and not case.says:
        assert golden_differences(right_ones[case.right], found), "stored answers do not see it"


@lru_cache(maxsize=1)
def _documented() -> set[tuple[str, str, str]]:
    rows = set()
    page = _PAGE.read_text(encoding="utf-8")
    for line in page.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 3 and cells[2] in {"fails", "golden", "passes"}:
            rows.add((cells[0].strip("`"), cells[1], cells[2]))
    return rows


def test_the_page_has_the_same_table() -> None:
    tried = {(case.probe, case.what, case.verdict) for case in CASES}
    assert tried == _documented(), (
        "docs/wrong-artifacts.md: `python -m tests.verify.wrong` writes it"
    )
