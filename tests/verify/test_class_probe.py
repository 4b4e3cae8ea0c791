"""The class probe: code of a project's clone, only where it is trusted."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from fetcher.verify.loaders import LoadError
from fetcher.verify.loaders import class_path as loader
from fetcher.verify.probes.class_probe import PROBE

import fetcher

from ..servers.weights import jpeg
from .makers import RunsCode
from .probing import failures, named, probe_all, request, run_in_this_process

torch = pytest.importorskip("torch")

NETS = '''
import os
import torch
from shared.parts import head

open(os.environ["MARKER"], "w").close() if "MARKER" in os.environ else None

class Gender(torch.nn.Module):
    def __init__(self, width=4, activate=True):
        super().__init__()
        self.conv = torch.nn.Conv2d(3, width, 3)
        self.drop = torch.nn.Dropout(0.5)
        self.fc = head(width)
        self.activate = activate

    def forward(self, x):
        x = self.fc(self.drop(torch.relu(self.conv(x)).mean((2, 3))))
        return torch.sigmoid(x) if self.activate else x

class Restless(Gender):
    def forward(self, x):
        return super().forward(x) + 0.1 * torch.rand(x.shape[0], 1)

class Deaf(Gender):
    def forward(self, x):
        return super().forward(torch.zeros_like(x))

class Faces(Gender):
    """Takes pictures, a dict of labels and a task, and answers several things, as FaceXFormer."""

    def forward(self, images, labels, task):
        assert labels["headpose"].shape == (1, 3) and task.dtype == torch.int64
        return {"score": super().forward(images), "maps": [images[:, :1], labels["headpose"]]}

    def decode(self, x):
        return x * self.fc.bias.sum()

class Downloads(Gender):
    def __init__(self):
        super().__init__()
        torch.hub.load_state_dict_from_url("https://download.pytorch.org/models/swin_b-68.pth")

class Needs(Gender):
    def __init__(self):
        super().__init__()
        import no_such_library

class NoModule:
    pass

class Quits(Gender):
    def __init__(self):
        raise SystemExit(3)
'''


HEAD = "def head(width):\n    return torch.nn.Linear(width, 1)\n"


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clone of a project: its code, a module shared beside it, and two checkpoints."""
    root = tmp_path / "clone"
    (root / "cnn").mkdir(parents=True)
    (root / "cnn/nets.py").write_text(NETS)
    (root / "common/shared").mkdir(parents=True)
    (root / "common/shared/parts.py").write_text(f"import torch\n{HEAD}")
    (root / "models").mkdir()
    torch.manual_seed(0)
    for fold in range(2):
        torch.save(weights(), root / f"models/fold_{fold}.pt")
    torch.save({"epoch": 3, "model": {"net": weights()}}, root / "models/nested.pt")
    return root


def weights() -> dict[str, Any]:
    return {
        "conv.weight": torch.randn(4, 3, 3, 3),
        "conv.bias": torch.randn(4),
        "fc.weight": torch.randn(1, 4),
        "fc.bias": torch.ones(1),
    }


def options(name: str = "Gender", **more: Any) -> dict[str, Any]:
    return {
        "class_path": f"cnn.nets.{name}",
        "paths": [".", "common"],
        "checkpoint": "models/fold_*.pt",
        "inputs": [1, 3, 16, 16],
        "trust": "project",
        "_trust_code": True,
        **more,
    }


def test_nothing_is_imported_that_is_not_trusted_twice(clone: Path) -> None:
    manifest = request("class", clone, **options(_trust_code=False))
    flag = request("class", clone, **{k: v for k, v in options().items() if k != "trust"})
    (clone / "cnn/nets.py").write_text(f"open({str(clone / 'marker')!r}, 'w').close()")
    first, second = probe_all(manifest, flag)
    assert (first.state, second.state) == ("skipped", "skipped")
    assert first.hint.startswith(
        f"if you trust it: fetch config allow code {first.artifact}, or once"
    )
    assert first.hint.endswith(f"fetch verify {first.artifact} --trust-project-code")
    assert second.reason.endswith("the project's own code, and the manifest does not trust it")
    assert not (clone / "marker").exists()


@pytest.mark.usefixtures("importing")
def test_every_fold_loads_and_answers(clone: Path) -> None:
    (clone / "face.jpg").write_bytes(jpeg(70))
    requests = (
        request("class", clone, **options(outputs=[[1, 1]], output_range=[0, 1])),
        request(
            "class",
            clone,
            **options(
                class_path="cnn/nets.py:Gender",
                paths="common",
                checkpoint="models/nested.pt",
                key="model.net",
            ),
        ),
        request(
            "class",
            clone,
            **options(
                "Faces",
                checkpoint="models/fold_0.pt",
                inputs={
                    "images": [1, 3, 16, 16],
                    "labels": {"headpose": {"shape": [1, 3], "range": [-1, 1]}},
                    "task": {"value": [0]},
                },
                outputs={"score": [1, 1], "maps.0": [1, 1, 16, -1]},
            ),
        ),
        request(
            "class",
            clone,
            **options("Faces", args={"width": 4}, call="decode", checkpoint="models/fold_0.pt"),
        ),
        request(
            "class",
            clone,
            **{
                key: value
                for key, value in options(image="face.jpg", size=[20, 24]).items()
                if key != "inputs"
            },
        ),
    )
    flat, nested, several, method, pictured = map(run_in_this_process, requests)
    assert flat.state == "passed", (flat.reason, flat.log)
    assert flat.metrics["parameters"] == 2 * 117
    assert named(flat)["models/fold_1.pt: loads"].detail == (
        "cnn.nets.Gender: 4 tensors, 117 parameters"
    )
    assert named(flat)["models/fold_0.pt: repeatable"].ok, "dropout is off"
    assert nested.state == "passed", (nested.reason, nested.log)
    assert several.state == "passed", (several.reason, several.log)
    assert named(several)["models/fold_0.pt: shapes"].detail == (
        "score [1, 1], maps.0 [1, 1, 16, 16], maps.1 [1, 3]"
    )
    assert method.state == "passed", (method.reason, method.log)
    assert pictured.state == "passed", (pictured.reason, pictured.log)


def test_the_docs_example_works_as_shown(tmp_path: Path) -> None:
    page = (Path(fetcher.__file__).parent.parent / "docs/verify.md").read_text("utf-8")
    bodies = re.findall(r"^```yaml\n(.*?)^```", page, re.M | re.S)
    (shown,) = (yaml.safe_load(body)["probe"] for body in bodies if "type: class\n" in body)
    code = tmp_path / "stylegan_and_segmentation/cnn"
    code.mkdir(parents=True)
    (code / "nets.py").write_text(NETS.replace("from shared.parts import head", HEAD))
    with (code / "nets.py").open("a") as stream:
        stream.write("GenderCNN = Gender\n")
    torch.save(weights(), tmp_path / "gender_model_0.pt")
    (result,) = probe_all(
        request(shown.pop("type"), tmp_path, "gender_model_0.pt", _trust_code=True, **shown)
    )
    assert result.state == "passed", (result.reason, result.log)


@pytest.mark.usefixtures("importing")
def test_what_goes_wrong_is_said(clone: Path) -> None:
    cases: list[tuple[str, dict[str, Any], str, str]] = [
        (
            "Gender",
            {"args": [5]},
            "3 shapes differ: conv.weight is [4, 3, 3, 3], the model has [5",
            "is this the right file, for this class and these arguments?",
        ),
        (
            "Gender",
            {"inputs": [1, 4, 16, 16]},
            "the model failed on its input: RuntimeError",
            "are `inputs` what it takes",
        ),
        (
            "Gender",
            {"outputs": [[1, 7]], "args": [4, False], "output_range": [8, 9]},
            "shapes: output is [1, 1], expected [1, 7] (and 1 more)",
            "is this",
        ),
        ("Restless", {}, "repeatable: it moves by", "in eval mode a model must not draw"),
        ("Deaf", {}, "the input acts: another input moves the answer by 0", "every input gets"),
        ("Quits", {}, "the model's code ended the process (exit status 3)", ""),
    ]
    requests = [
        request("class", clone, **{**options(name, checkpoint="models/fold_0.pt"), **more})
        for name, more, _, _ in cases
    ]
    *here, quits = requests  # the last one would end this process
    results = [*map(run_in_this_process, here), *probe_all(quits)]
    for result, (_, _, reason, hint) in zip(results, cases, strict=True):
        assert result.state == "failed"
        assert reason in result.reason
        assert result.hint.startswith(hint)


@pytest.fixture
def importing(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Imports of this process are forgotten afterwards."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name.partition(".")[0] in {"cnn", "shared", "nets", "project_nets", "project_json"}:
            del sys.modules[name]


@pytest.mark.usefixtures("importing")
@pytest.mark.parametrize(
    ("class_path", "paths", "told", "hint"),
    [
        ("cnn.nets.Gendre", ["common"], "there is no 'Gendre' in it", "did you mean 'Gender'?"),
        ("cnn.nets.Gender", [], "the project's code needs 'shared', which", "install the"),
        ("cnn.net.Gender", ["common"], "no module 'cnn.net' in the project", "name the folder"),
        ("cnn/net.py:Gender", [], "cnn/net.py:Gender: no file", "the path is relative"),
        ("cnn.nets.Gender", ["no"], "paths: there is no folder", "it is relative to the root"),
        (
            "json.Net",
            ["."],
            "which hides the project's module of that name",
            "name the file: json.py:",
        ),
    ],
)
def test_a_class_that_cannot_be_found(
    clone: Path, class_path: str, paths: list[str], told: str, hint: str
) -> None:
    (clone / "json.py").write_text("class Net: pass")
    with pytest.raises(LoadError) as raised:
        loader.find(class_path, clone, [".", *paths] if paths else paths)
    assert told in raised.value.reason
    assert raised.value.hint.startswith(hint)


@pytest.mark.usefixtures("importing")
def test_a_file_is_imported_whatever_hides_its_name(clone: Path) -> None:
    (clone / "json.py").write_text("class Net: where = 'here'")
    assert loader.find("json.py:Net", clone).where == "here"  # type: ignore[attr-defined]


@pytest.mark.usefixtures("importing")
@pytest.mark.parametrize(
    ("name", "args", "told", "hint"),
    [
        ("Gender", {"wide": 5}, "could not be built: TypeError", "are the arguments in `args`"),
        ("Needs", None, "could not be built: ModuleNotFoundError: No module named", ""),
        (
            "Downloads",
            None,
            "downloads https://download.pytorch.org/models/swin_b-68.pth when it "
            "is built, and a probe has no network",
            "declare swin_b-68.pth as an artifact and lay",
        ),
    ],
)
def test_a_class_that_cannot_be_built(
    clone: Path, name: str, args: Any, told: str, hint: str
) -> None:
    found = loader.find(f"cnn.nets.{name}", clone, [".", "common"])
    with pytest.raises(LoadError) as raised:
        loader.construct(found, f"cnn.nets.{name}", args)
    assert told in raised.value.reason
    assert raised.value.hint.startswith(hint)


@pytest.mark.usefixtures("importing")
def test_what_is_no_module_and_wrapped_checkpoints(clone: Path) -> None:
    found = loader.find("cnn.nets.NoModule", clone, [".", "common"])
    with pytest.raises(LoadError, match="made a NoModule, not a torch module"):
        loader.load_strictly(found(), {}, "cnn.nets.NoModule")
    model = loader.find("cnn.nets.Gender", clone, [".", "common"])()
    wrapped = {f"module.{name}": tensor for name, tensor in weights().items()}
    with pytest.raises(LoadError) as raised:
        loader.load_strictly(model, wrapped)
    assert raised.value.hint.startswith("every name begins with 'module.': save the inner")
    with pytest.raises(LoadError) as raised:
        loader.load_strictly(model, {"w": torch.zeros(1)})
    assert raised.value.hint == "none of the names fits: this is another model's file"


def test_bad_checkpoints_fail(clone: Path) -> None:
    bad = weights()
    bad["conv.weight"][0, 0, 0, 0] = float("nan")
    torch.save(bad, clone / "models/nan.pt")
    lost = weights()
    del lost["fc.bias"]
    lost["fc2.bias"] = torch.zeros(1)
    torch.save(lost, clone / "models/lost.pt")
    torch.save({"w": torch.zeros(1), "x": RunsCode(clone / "marker")}, clone / "models/code.pt")
    (clone / "models/cut.pt").write_bytes((clone / "models/fold_0.pt").read_bytes()[:-300])
    (result,) = probe_all(
        request("class", clone, **options(checkpoint=["models/[nlc]*[nte].pt", "models/fold_1.pt"]))
    )
    told = failures(result)
    assert told["models/nan.pt: finite"] == "NaN or infinity in conv.weight"
    assert told["models/lost.pt: loads"] == (
        "1 of 4 tensors are missing: fc.bias; 1 tensors are not the model's: fc2.bias"
    )
    assert "posix.mkdir" in told["models/code.pt: loads"]
    assert "truncated" in told["models/cut.pt: loads"]
    assert not (clone / "marker").exists()
    assert named(result)["models/fold_1.pt: the input acts"].ok


def test_stored_answers_see_weights_that_do_little(tmp_path: Path) -> None:
    (tmp_path / "nets.py").write_text(DISOBEDIENT)
    held = {key: torch.ones(one.shape) for key, one in torch.nn.Linear(4, 8).state_dict().items()}
    tensors = {f"a.{key}": one for key, one in held.items()}
    tensors |= {"b.weight": torch.ones(2, 8), "b.bias": torch.ones(2), "head.bias": torch.ones(2)}
    for number in (0, 1):
        idle = torch.full((2, 8), 0.5 + 0.001 * number)
        torch.save({**tensors, "head.weight": idle}, tmp_path / f"{number}.pt")
    asked = {"class_path": "nets.Idle", "trust": "project", "inputs": [3, 4], "_trust_code": True}
    right, other = probe_all(
        *(request("class", tmp_path, checkpoint=f"{n}.pt", **asked) for n in (0, 1))
    )
    assert (right.state, other.state) == ("passed", "passed"), (right.reason, other.reason)
    kept = [{one.name[6:]: one.samples for one in found.fingerprints} for found in (right, other)]
    assert kept[0]["output"] == kept[1]["output"]
    assert kept[0]["weights"] != kept[1]["weights"]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"inputs": [1]}, "class_path: is needed"),
        ({"class_path": "a.B"}, "inputs or image: is needed"),
        ({"class_path": "a.B", "inputs": "1x3"}, "inputs: expected a shape such as"),
        (
            {"class_path": "a.B", "inputs": [[1, 2], {"shape": [1], "rnage": [0, 1]}]},
            "inputs: an input has shape, range, dtype or value, not rnage",
        ),
        (
            {"class_path": "a.B", "inputs": {"x": {"shape": [2], "dtype": "int63"}}},
            "inputs: dtype 'int63' is none of",
        ),
        ({"class_path": "a.B", "inputs": [10**6, 10**6]}, "inputs: [1000000, 1000000] is too"),
        ({"class_path": "a.B", "inputs": [1], "outputs": [1]}, "outputs: expected a list of sha"),
        ({"class_path": "a.B", "inputs": [1], "output_range": [1, 0]}, "output_range: expected"),
        ({"class_path": "a.B", "inputs": [1], "call": "__del__"}, "call: expected the name of a"),
        ({"class_path": "../a.py:B", "inputs": [1], "trust": True}, "trust: the only value is"),
    ],
)
def test_wrong_options(given: dict[str, Any], told: str) -> None:
    (problem,) = PROBE.validate_options(given)
    assert str(problem).startswith(told)


DISOBEDIENT = '''
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(4, 8), nn.Linear(8, 2)

    def forward(self, x):
        return self.b(torch.relu(self.a(x)))

class Right(Net):
    pass

class NoGradient(Net):
    @torch.no_grad()
    def forward(self, x):
        return super().forward(x)

class Choice(Net):
    def forward(self, x):
        return super().forward(x).argmax(1), x.mean(1, keepdim=True)

class Merges(Net):
    """Merges one layer into another in eval mode, and takes that back in train mode."""

    def train(self, mode=True):
        with torch.no_grad():
            if mode != self.training:
                self.a.weight += self.a.weight.new_tensor(0.5 if not mode else -0.5)
        return super().train(mode)

class Idle(Net):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(8, 2)

class IdleNoGradient(Idle):
    @torch.no_grad()
    def forward(self, x):
        return super().forward(x)

class LoadsNothing(Net):
    def load_state_dict(self, tensors, strict=True):
        return None

class SkipsALayer(Net):
    def _load_from_state_dict(self, *args):
        pass

    def __init__(self):
        super().__init__()
        self.b._load_from_state_dict = lambda *args: None

class EvalInitialises(Net):
    def eval(self):
        nn.init.normal_(self.a.weight)
        return super().eval()

class SaysOtherwise(Net):
    """Keeps the file's tensors for show."""

    def load_state_dict(self, tensors, strict=True):
        self.__dict__["shown"] = dict(tensors)

    def state_dict(self, *args, **more):
        return self.__dict__.get("shown") or super().state_dict(*args, **more)

class ForwardInitialises(Net):
    def forward(self, x):
        torch.manual_seed(0)
        self.a.reset_parameters()
        return super().forward(x)

torch.manual_seed(5)
GLOBAL = Net().eval()

class Elsewhere(Net):
    def forward(self, x):
        return GLOBAL(x)

class Leaks(Net):
    def forward(self, x):
        return torch.ones(1, 2) + 1e-3 * x.mean() + 0 * super().forward(x)
'''
_OTHERS = "the file's weights"


@pytest.mark.usefixtures("importing")
def test_a_class_answers_by_its_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "nets.py").write_text(DISOBEDIENT)
    layer = {"weight": (8, 4), "bias": (8,)}
    tensors = {f"a.{k}": torch.randn(s) for k, s in layer.items()}
    tensors |= {"b.weight": torch.randn(2, 8), "b.bias": torch.randn(2)}
    torch.save(tensors, tmp_path / "w.pt")
    torch.save(
        {**tensors, "head.weight": torch.randn(2, 8), "head.bias": torch.randn(2)},
        tmp_path / "idle.pt",
    )
    right = ("Right", "NoGradient", "Choice", "Merges", "Idle", "IdleNoGradient")
    wrong = {
        "LoadsNothing": f"{_OTHERS} are loaded",
        "SkipsALayer": f"{_OTHERS} are loaded",
        "SaysOtherwise": f"{_OTHERS} are loaded",
        "EvalInitialises": f"{_OTHERS} stay in eval mode",
        "ForwardInitialises": f"{_OTHERS} stay when it answers",
        "Elsewhere": "the weights act",
        "Leaks": "the weights act",
    }
    results = [
        run_in_this_process(
            request(
                "class",
                tmp_path,
                class_path=f"nets.{name}",
                trust="project",
                inputs=[3, 4],
                checkpoint="idle.pt" if "Idle" in name else "w.pt",
                _trust_code=True,
                _artifact=name,
            )
        )
        for name in (*right, *wrong)
    ]
    for result in results:
        told = failures(result)
        if result.artifact in wrong:
            assert any(wrong[result.artifact] in name for name in told), (result.artifact, told)
        else:
            assert result.state == "passed", (result.artifact, result.reason, result.log)
        warned = [check.detail for check in result.checks if check.warning]
        assert bool(warned) == ("Idle" in result.artifact), (result.artifact, warned)
        assert all("head.weight, head.bias" in detail for detail in warned)
