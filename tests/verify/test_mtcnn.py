"""The mtcnn probe on the real weights, and on what may stand in their place."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from fetcher.verify import ProbeResult
from fetcher.verify.nets.mtcnn_nets import NETS
from fetcher.verify.probes.mtcnn import PROBE

from .makers import RunsCode
from .probing import failures, named, probe, probe_all, request, run_here

torch = pytest.importorskip("torch")

REAL = Path(__file__).parents[1] / "data/facenet-mtcnn"


@pytest.fixture(scope="module")
def good() -> ProbeResult:
    return probe("mtcnn", REAL)


def test_the_real_weights_pass(good: ProbeResult) -> None:
    assert good.state == "passed", (good.reason, good.log)
    assert good.metrics["parameters"] == 495_850
    told = {name: check.detail for name, check in named(good).items()}
    assert told["pnet.pt: loads"] == "pnet: 13 tensors, 6,632 parameters"
    assert told["onet.pt: loads"] == "onet: 21 tensors, 389,040 parameters"
    assert "off by" in told["pnet.pt: probabilities sum to one"]


def test_the_nets_say_what_they_always_said(good: ProbeResult) -> None:
    # As they did when they were compared with facenet-pytorch 2.6.0, which they equal to 1e-7.
    prints = {one.name: one for one in good.fingerprints}
    heads = [f"{net}: {head}" for net, s in NETS.items() for head, _ in s.heads]
    weights = {f"{net}: weights" for net in NETS}
    assert set(prints) == {*heads, *(f"{head} of a known face" for head in heads), *weights}
    assert prints["rnet: dense5_2"].mean == pytest.approx(0.02996612, abs=1e-6)
    assert prints["onet: dense6_3"].std == pytest.approx(0.1919276, abs=1e-6)


def test_a_net_sees_by_width_and_height(tmp_path: Path) -> None:
    # With height before width the dense layer would get its inputs in the wrong order.
    weights = torch.load(REAL / "onet.pt", weights_only=True)
    from fetcher.verify.nets.mtcnn_nets import answer

    picture = torch.linspace(-1, 1, 48).view(1, 1, 1, 48).expand(1, 3, 48, 48)
    upright = answer(torch, NETS["onet"], weights, picture)
    lying = answer(torch, NETS["onet"], weights, picture.transpose(2, 3))
    assert not torch.allclose(upright[2], lying[2], atol=1e-3)


def test_swapped_and_damaged_files_fail(tmp_path: Path) -> None:
    def copy(name: str, **sources: str) -> Path:
        root = tmp_path / name
        root.mkdir()
        for net in NETS:
            shutil.copy(REAL / f"{sources.get(net, net)}.pt", root / f"mtcnn_{net}.pt")
        return root

    swapped = copy("swapped", pnet="rnet", rnet="pnet")
    damaged = copy("damaged")
    marker = {"w": torch.zeros(1), "x": RunsCode(damaged / "marker")}
    torch.save(marker, damaged / "mtcnn_pnet.pt")
    weights = torch.load(damaged / "mtcnn_rnet.pt", weights_only=True)
    weights["dense4.bias"][5] = float("inf")
    torch.save(weights, damaged / "mtcnn_rnet.pt")
    (damaged / "mtcnn_onet.pt").write_bytes((REAL / "onet.pt").read_bytes()[:700_000])
    deaf = copy("deaf")
    weights["dense4.weight"] = torch.zeros(128, 576)
    weights["dense4.bias"] = torch.zeros(128)
    torch.save(weights, deaf / "mtcnn_rnet.pt")
    results = probe_all(*(request("mtcnn", root) for root in (swapped, damaged, deaf)))
    told = {result.artifact: failures(result) for result in results}
    assert all(result.state == "failed" for result in results)
    assert told["swapped"]["mtcnn_pnet.pt: loads"].startswith("not pnet: 4 of 13 tensors are miss")
    assert results[0].hint == "it is rnet: were two files swapped?"
    assert "mtcnn_onet.pt: probabilities sum to one" in named(results[0]), "others are proven"
    assert "it may be truncated or damaged" in told["damaged"]["mtcnn_onet.pt: loads"]
    assert told["damaged"]["mtcnn_rnet.pt: finite"] == "NaN or infinity in dense4.bias"
    assert "posix.mkdir" in told["damaged"]["mtcnn_pnet.pt: loads"]
    assert not (damaged / "marker").exists()
    assert next(iter(told["deaf"])) == "mtcnn_rnet.pt: the picture acts"
    (deaf / "mtcnn_pnet.pt").rename(deaf / "first.pt")
    error = run_here(request("mtcnn", deaf))
    assert error.reason == "pnet: no file is it, and first.pt is no other net"
    assert error.hint == "name it in the probe's `pnet`"


def test_options() -> None:
    assert not PROBE.validate_options({"pnet": "a.pt", "rnet": "b.pt", "onet": "c.pt"})
    (problem,) = PROBE.validate_options({"p_net": "a.pt"})
    assert str(problem) == "p_net: no such option; did you mean 'pnet'?"
