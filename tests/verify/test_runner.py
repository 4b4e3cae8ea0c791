"""What a probe's process may do, and what the run makes of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fetcher.verify import Check, ProbeRequest, ProbeResult, run_probes
from fetcher.verify.contract.protocol import METRICS

from .conftest import misbehave, misbehaving

pytestmark = pytest.mark.usefixtures("plugins")

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")


def test_a_pass_has_checks_and_all_metrics() -> None:
    result = misbehave("passes")
    assert (result.state, result.reason, result.hint, result.log) == ("passed", "", "", "")
    assert result.checks == (Check("works", True, "as it should"),)
    assert set(METRICS) <= set(result.metrics)
    assert result.metrics["parameters"] == 3
    assert result.metrics["seconds"] > 0
    assert result.metrics["libraries"]["python"] == ".".join(map(str, sys.version_info[:3]))
    assert result.metrics["python"] == sys.executable
    assert ProbeResult.from_json(json.loads(json.dumps(result.to_json()))) == result


def test_the_first_failed_check_is_the_reason() -> None:
    result = misbehave("fails")
    assert result.state == "failed"
    assert result.reason == "second: it is broken (and 1 more)"
    assert result.hint == "mend it"
    assert [check.ok for check in result.checks] == [True, False, False]


@pytest.mark.parametrize(
    ("do", "state", "reason", "hint"),
    [
        ("checks_nothing", "failed", "the probe checked nothing", ""),
        ("skips", "skipped", "not here", "go elsewhere"),
        ("says_why", "failed", "a sentence", "a hint"),
        ("raises_without_message", "failed", "EOFError", ""),
        ("leaves", "failed", "the model's code ended the process (exit status 7)", ""),
        ("asks", "failed", "EOFError: EOF when reading a line", ""),
    ],
)
def test_outcomes(do: str, state: str, reason: str, hint: str) -> None:
    result = misbehave(do)
    assert (result.state, result.reason, result.hint) == (state, reason, hint)


def test_an_unexpected_exception_leaves_its_traceback_in_the_log() -> None:
    assert "in raises_without_message" in misbehave("raises_without_message").log


def test_a_segfault_is_a_result_with_its_place() -> None:
    result = misbehave("segfaults")
    assert result.state == "failed"
    assert result.reason == "crashed with SIGSEGV while reading a wrong address"
    assert result.checks == (Check("before", True),), "what was found before is kept"
    assert "in segfaults" in result.log, "faulthandler shows the stack"


def test_a_kill_from_outside_is_told_as_want_of_memory() -> None:
    result = misbehave("kills_itself")
    assert result.state == "failed"
    assert "killed by the system" in result.reason
    assert "memory" in result.reason


def test_a_hard_exit_shows_the_last_words() -> None:
    result = misbehave("leaves_hard")
    assert "exit status 9" in result.reason
    assert result.log == "last words"


def test_a_hang_ends_with_the_timeout_and_takes_its_helpers_along(tmp_path: Path) -> None:
    begun = time.monotonic()
    result = misbehave("hangs", timeout=1.5, pids=str(tmp_path / "pids"))
    assert time.monotonic() - begun < 10
    assert result.state == "failed"
    assert result.reason == "no result after 1.5 s, while waiting for nothing"
    assert "in hangs" in result.log, "the stack shows where"
    for pid in (tmp_path / "pids").read_text().split():
        assert _is_gone(int(pid))


def test_a_hang_of_an_import_names_the_library() -> None:
    result = misbehave("imports_what_hangs", timeout=1.0)
    assert result.reason == "no result after 1 s, while importing slow_lib"


def test_what_goes_on_after_the_result_does_not_matter() -> None:
    begun = time.monotonic()
    assert misbehave("leaves_a_thread").state == "passed"
    assert time.monotonic() - begun < 10


@linux
def test_memory_above_the_ceiling_ends_the_probe() -> None:
    result = misbehave("eats_memory", memory_limit=200 << 20)
    assert result.state == "failed"
    assert "the ceiling is 200 MiB" in result.reason
    assert "while eating" in result.reason
    assert 200 << 20 < result.metrics["peak_memory_bytes"] < 1500 << 20


@linux
def test_memory_of_helpers_counts() -> None:
    result = misbehave("helper_eats_memory", memory_limit=150 << 20)
    assert result.state == "failed"
    assert "the ceiling is 150 MiB" in result.reason


@linux
def test_mapped_files_do_not_count() -> None:
    result = misbehave("maps_a_file", memory_limit=100 << 20)
    assert result.state == "passed", result.reason
    assert result.metrics["peak_memory_bytes"] < 100 << 20
    assert result.metrics["peak_resident_bytes"] > 300 << 20


def test_noise_on_stdout_and_closed_descriptors_do_not_matter() -> None:
    result = misbehave("pollutes")
    assert (result.state, result.checks) == ("passed", (Check("still works", True),))


def test_garbage_in_the_result_is_a_failure() -> None:
    result = misbehave("writes_garbage")
    assert result.state == "failed"
    assert "without a result" in result.reason


def test_the_log_is_short() -> None:
    assert len(misbehave("leaves_hard").log.splitlines()) <= 30


def test_one_failure_does_not_stop_the_others() -> None:
    wanted = ["passes", "segfaults", "kills_itself", "fails", "passes"]
    seen: list[str] = []
    results = run_probes(
        [misbehaving(do) for do in wanted],
        python=sys.executable,
        jobs=3,
        on_result=lambda number, result: seen.append(f"{number} {result.artifact}"),
    )
    assert [result.artifact for result in results] == wanted, "the order of the requests"
    assert sorted(seen) == [f"{n} {name}" for n, name in enumerate(wanted)]
    assert [r.state for r in results] == ["passed", "failed", "failed", "failed", "passed"]


def test_jobs_run_at_the_same_time(tmp_path: Path) -> None:
    wanted = [misbehaving("meets", timeout=60, folder=str(tmp_path), count=4)] * 4
    results = run_probes(wanted, python=sys.executable, jobs=4)
    assert len(list(tmp_path.iterdir())) == 4, results
    assert not [result for result in results if "no result after" in result.reason]


def test_no_requests() -> None:
    assert run_probes([]) == []


def test_an_exception_of_the_callback_kills_the_children() -> None:
    def stop(_: int, __: ProbeResult) -> None:
        raise RuntimeError("enough")

    begun = time.monotonic()
    with pytest.raises(RuntimeError, match="enough"):
        run_probes(
            [misbehaving("hangs"), misbehaving("passes"), misbehaving("hangs")],
            python=sys.executable,
            jobs=2,
            on_result=stop,
        )
    assert time.monotonic() - begun < 10


def test_missing_libraries_are_named_with_the_install_line() -> None:
    request = ProbeRequest("a", "needy", Path("/"), {})
    result = run_probes([request], python=sys.executable)[0]
    assert result.reason == f"no_such_a and no_such_b are not installed for {sys.executable}"
    assert result.hint == f"{sys.executable} -m pip install pip-a pip-b"
    result = misbehave("needs_a_library")
    assert result.reason == f"no_such_library is not installed for {sys.executable}"
    assert result.hint.endswith("-m pip install no-such-library-on-the-index")


def test_a_library_that_cannot_be_imported_is_not_called_missing() -> None:
    result = misbehave("needs_a_broken_library")
    assert "cannot be imported: RuntimeError: nms does not exist" in result.reason
    assert "--force-reinstall broken_lib" in result.hint


def test_a_probe_from_a_package_uses_its_own_modules() -> None:
    request = ProbeRequest("a", "packaged", Path("/"), {})
    result = run_probes([request], python=sys.executable)[0]
    assert result.checks == (Check("from a package", True),), result.reason


@pytest.mark.parametrize(
    ("kind", "reason", "hint"),
    [
        ("statedict", "unknown probe type 'statedict'", "did you mean 'state-dict'?"),
        ("broken", "this plug-in cannot be imported", ""),
        ("gone", "no_such_module:PROBE, which is not there", ""),
    ],
)
def test_a_probe_that_is_not_there_is_a_result(kind: str, reason: str, hint: str) -> None:
    result = run_probes([ProbeRequest("a", kind, Path("/"), {})], python=sys.executable)[0]
    assert result.state == "failed"
    assert reason in result.reason
    assert result.hint == hint


def test_invalid_options_are_told_before_anything_starts() -> None:
    result = misbehave("nothing_known")
    assert result.reason == "invalid probe options: do: no such thing"


def test_an_interpreter_that_is_not_there_is_a_result(tmp_path: Path) -> None:
    missing = str(tmp_path / "python")
    result = run_probes([misbehaving("passes")], python=missing)[0]
    assert (
        result.reason == f"the interpreter {missing} cannot be started: No such file or directory"
    )
    assert "--python" in result.hint


def test_a_program_that_is_no_interpreter_is_a_result() -> None:
    result = run_probes([misbehaving("passes")], python="/bin/false")[0]
    assert result.reason == ("the process ended without a result (exit status 1) while starting")


def _start_hanging_run(plugin_path: list[str], pids: Path) -> subprocess.Popen[str]:
    code = (
        "from tests.verify.conftest import misbehaving\n"
        "from fetcher.verify import run_probes\n"
        f"run_probes([misbehaving('hangs', timeout=60, pids={str(pids)!r})])\n"
    )
    root = str(Path(__file__).parents[2])
    environ = dict(os.environ, PYTHONPATH=os.pathsep.join([*plugin_path, root, *sys.path]))
    environ["TMPDIR"] = str(pids.parent)  # what a killed run leaves behind goes with the test
    process = subprocess.Popen(
        [sys.executable, "-c", code], env=environ, stderr=subprocess.PIPE, text=True
    )
    until = time.monotonic() + 30
    while not (pids.exists() and len(pids.read_text().split()) == 2):
        assert process.poll() is None and time.monotonic() < until
        time.sleep(0.05)
    return process


def test_ctrl_c_kills_the_children(plugin_path: list[str], tmp_path: Path) -> None:
    process = _start_hanging_run(plugin_path, tmp_path / "pids")
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=20)
    assert "KeyboardInterrupt" in said
    for pid in (tmp_path / "pids").read_text().split():
        assert _is_gone(int(pid))


@linux
def test_a_killed_parent_takes_the_probe_along(plugin_path: list[str], tmp_path: Path) -> None:
    process = _start_hanging_run(plugin_path, tmp_path / "pids")
    process.kill()
    process.communicate(timeout=20)
    probe, helper = (int(pid) for pid in (tmp_path / "pids").read_text().split())
    assert _is_gone(probe)
    os.kill(helper, signal.SIGKILL)  # its group had no one left to end it


def _is_gone(pid: int) -> bool:
    """Tell whether a process ends within a moment; one that nobody reaps counts as gone."""
    for _ in range(100):
        try:
            os.kill(pid, 0)
            if "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text():
                return True
        except OSError:
            return True
        time.sleep(0.05)
    return False
