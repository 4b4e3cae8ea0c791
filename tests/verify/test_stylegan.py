"""The stylegan probe, on files in GenForce's format with random weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fetcher.verify import ProbeResult
from fetcher.verify.contract.fingerprints import difference
from fetcher.verify.nets.stylegan_net import Discriminator, Generator
from fetcher.verify.nets.stylegan_sizes import discriminator_sizes, generator_sizes
from fetcher.verify.probes.stylegan import PROBE

from .makers import RunsCode
from .probing import failures, named, probe, probe_all, request, run_here
from .stylegan_files import discriminator, generator

torch = pytest.importorskip("torch")

# Variants at a width of 16; Oh-LoRA's are 512 wide, with labels embedded in 16 or 24.
VARIANTS: dict[str, dict[str, int]] = {
    "plain": {},
    "v1": {"label": 7, "embedding": 4},
    "v3": {"label": 7, "embedding": 6},
    "v6": {"label": 3, "embedding": 4},
    "v5": {"label": 3},
    "v9": {"label": 7, "embedding": 4, "added": 64},
}


def shapes(tensors: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


# the architecture


@pytest.mark.parametrize("resolution", [8, 64, 256, 1024])
@pytest.mark.parametrize("variant", VARIANTS)
def test_sizes_are_read_from_the_keys(resolution: int, variant: str) -> None:
    made = generator(torch, resolution, 32, **VARIANTS[variant])
    sizes = generator_sizes(shapes(made))
    assert sizes.table() == shapes(made)
    assert (sizes.pyramid.resolution, sizes.z, sizes.label) == (
        resolution,
        32,
        VARIANTS[variant].get("label", 0),
    )
    judge = discriminator(torch, resolution, 32, VARIANTS[variant].get("label", 0))
    assert discriminator_sizes(shapes(judge)).table() == shapes(judge)


def test_a_generator_of_full_size_has_genforces_tensors() -> None:
    with torch.device("meta"):
        sizes = generator_sizes(
            {
                "mapping.dense0.weight": (512, 536),
                **{f"mapping.dense{n}.weight": (512, 512) for n in range(1, 8)},
                "mapping.label_weight": (7, 24),
                "synthesis.layer0.const": (1, 512, 4, 4),
                "synthesis.layer0.style.weight": (1024, 512),
                **{
                    f"synthesis.output{n}.weight": (3, 512 >> max(0, n - 3), 1, 1) for n in range(7)
                },
            }
        )
    table = sizes.table()
    assert len(table) == 123
    assert str(sizes) == "generator 256x256, labels of 7 embedded in 24"
    assert table["synthesis.layer12.weight"] == (64, 128, 3, 3)
    assert table["synthesis.layer13.apply_noise.noise"] == (1, 1, 256, 256)


def test_what_the_formulas_promise() -> None:
    made = generator(torch, 128, 16)
    net = Generator(torch, made, generator_sizes(shapes(made)))
    z = torch.randn(3, 16, generator=torch.Generator().manual_seed(1))
    images = net(z)
    assert images.shape == (3, 3, 128, 128)
    # z counts by direction alone
    assert torch.allclose(net(3 * z), images, atol=1e-3)
    # one by one, or all at once
    assert torch.allclose(net(z[1:2]), images[1:2], atol=1e-4)
    # truncation: of no layer, or by nothing, is none; wholly, it gives the picture of the mean w
    assert torch.equal(net(z, psi=0.5), images)
    assert torch.equal(net(z, psi=1.0, layers=12), images)
    mean = net.draw(made["truncation.w_avg"].repeat(1, 12, 1))
    assert torch.allclose(net(z, psi=0.0, layers=12), mean.expand(3, -1, -1, -1), atol=1e-4)
    half = net.truncated(net.mapped(z), 0.5, 2)
    w = net.mapped(z)
    assert torch.allclose(half[:, 1], (w + made["truncation.w_avg"]) / 2)
    assert torch.equal(half[:, 2], w)


def test_a_level_of_detail_draws_coarser() -> None:
    made = generator(torch, 64, 16)
    net = Generator(torch, made, generator_sizes(shapes(made)))
    z = torch.randn(1, 16, generator=torch.Generator().manual_seed(1))
    pictures = {}
    for level in (1.0, 1.5, 2.0):
        made["synthesis.lod"] = torch.tensor(level)
        pictures[level] = net(z)
        assert pictures[level].shape == (1, 3, 64, 64)
    blocks = pictures[1.0].unfold(2, 2, 2).unfold(3, 2, 2)
    assert torch.equal(blocks.amax((-1, -2)), blocks.amin((-1, -2))), "pixels are doubled"
    between = (pictures[1.0] + pictures[2.0]) / 2
    assert torch.allclose(pictures[1.5], between, atol=1e-4)


def test_a_discriminator_judges_each_picture_by_itself_and_by_its_group() -> None:
    made = discriminator(torch, 128, 16, label=3)
    net = Discriminator(torch, made, discriminator_sizes(shapes(made)))
    pictures, label = torch.randn(4, 3, 128, 128), torch.zeros(4, 3)
    scores = net(pictures, label)
    assert scores.shape == (4, 1)
    swapped = net(pictures.flip(0), label).flip(0)
    assert torch.allclose(scores, swapped, atol=1e-4)
    assert not torch.allclose(scores, net(pictures, label + 1))


# the probe


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> ProbeResult:
    root = tmp_path_factory.mktemp("good")
    smooth = generator(torch, seed=1)
    zoo = {
        "generator": generator(torch),
        "discriminator": discriminator(torch),
        "generator_smooth": smooth,
    }
    torch.save(zoo, root / "a_zoo.pth")
    torch.save({"models": zoo, "learning_rates": [0.1]}, root / "b_training.pth")
    for name, sizes in VARIANTS.items():
        torch.save(generator(torch, **sizes), root / f"c_{name}.pth")
    torch.save(discriminator(torch, label=7), root / "d_dis.pth")
    return probe("stylegan", root, generator=["a_*", "b_*", "c_*"], discriminator="d_dis.pth")


def test_every_layout_and_variant_passes(good: ProbeResult) -> None:
    assert good.state == "passed", (good.reason, good.log)
    told = {name: check.detail for name, check in named(good).items() if name.endswith(": loads")}
    assert {name.removesuffix(": loads") for name in told} == {
        *(f"a_zoo.pth: {net}" for net in ("generator", "generator_smooth", "discriminator")),
        *(
            f"b_training.pth: models.{net}"
            for net in ("generator", "generator_smooth", "discriminator")
        ),
        *(f"c_{name}.pth" for name in VARIANTS),
        "d_dis.pth",
    }
    assert told["c_v3.pth: loads"].startswith("generator 64x64, labels of 7 embedded in 6; 93 ten")
    assert told["c_v5.pth: loads"].startswith("generator 64x64, labels of 3; 92 tensors")
    assert "2 added mapping layers" in told["c_v9.pth: loads"]
    assert told["d_dis.pth: loads"].startswith("discriminator 64x64, labels of 7; 37 tensors")
    assert named(good)["c_v1.pth: labels act"].ok


def test_pictures_and_fingerprints_are_for_the_report(good: ProbeResult) -> None:
    # The smooth generator is what GenForce's own tool prefers.
    assert [p.name for p in good.pictures][:2] == [
        "a_zoo.pth: generator_smooth",
        "b_training.pth: models.generator_smooth",
    ]
    by_name = {picture.name: picture for picture in good.pictures}
    assert (by_name["c_plain.pth"].width, by_name["c_plain.pth"].height) == (276, 140)
    assert by_name["c_v1.pth"].height == 208
    assert by_name["c_v1.pth"].caption == (
        "row 1: as drawn; row 2: truncated: psi 0.7 on 8 layers; "
        "row 3: one label each raised to 1, same z"
    )
    prints = {one.name: one for one in good.fingerprints}
    assert prints["c_v1.pth: image"].shape == (1, 3, 64, 64)
    assert prints["d_dis.pth: scores"].shape == (3, 1)


def test_weights_of_the_same_shapes_are_told_apart(good: ProbeResult) -> None:
    prints = {one.name: one for one in good.fingerprints}
    zoo = prints["a_zoo.pth: generator: image"]
    assert difference(zoo, prints["c_plain.pth: image"], "float32") == "", "the same weights"
    other = prints["a_zoo.pth: generator_smooth: image"]
    assert "the values differ by" in difference(zoo, other, "float32")


@pytest.fixture(scope="module")
def bad(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ProbeResult]:
    """One artifact with everything that can be wrong, and what the probe says about it."""
    root = tmp_path_factory.mktemp("bad")

    def save(name: str, changed: dict[str, Any] | None = None, **sizes: int) -> None:
        made = generator(torch, **sizes)
        for key, value in (changed or {}).items():
            if value is None:
                del made[key]
            else:
                made[key] = value
        torch.save(made, root / name)

    save("a_cut.pth")
    (root / "a_cut.pth").write_bytes((root / "a_cut.pth").read_bytes()[:-500])
    nan = torch.zeros(16, 16)
    nan[3, 4] = float("nan")
    save("b_nan.pth", {"mapping.dense3.weight": nan})
    torch.save(discriminator(torch), root / "c_dis.pth")
    save("d_lost.pth", {"synthesis.layer3.weight": None, "synthesis.layer4.bias": None})
    save("e_extra.pth", {"ema.decay": torch.zeros(1), "mapping.dense7.bias": torch.zeros(17)})
    torch.save({"w": torch.zeros(1), "x": RunsCode(root / "marker")}, root / "f_code.pth")
    (root / "g_page.pth").write_text("<!DOCTYPE html><title>Sign in</title>")
    save(
        "h_plain.pth",
        {
            f"synthesis.output4.{p}": torch.zeros(s)
            for p, s in (("weight", (3, 8, 1, 1)), ("bias", (3,)))
        },
    )
    save("i_deaf.pth", {"mapping.dense0.weight": torch.zeros(16, 16)})
    save("j_unlabelled.pth", {"mapping.label_weight": torch.zeros(7, 4)}, label=7, embedding=4)
    save("k_detail.pth", {"synthesis.lod": torch.tensor(9.0)})
    torch.save({"module." + k: v for k, v in generator(torch).items()}, root / "l_wrapped.pth")
    torch.save({"conv.weight": torch.zeros(3)}, root / "m_other.pth")
    save("n_overflow.pth", {"synthesis.output4.weight": torch.full((3, 8, 1, 1), 3e38)})
    w = generator(torch)
    torch.save(
        {
            **w,
            "mapping.dense7.weight": torch.zeros(16, 16),
            "mapping.dense7.bias": torch.ones(16),
            "truncation.w_avg": torch.full((16,), 0.01),
        },
        root / "o_mean.pth",
    )
    save("q_chain.pth", {"mapping.dense4.weight": torch.zeros(16, 15)})
    save("r_narrow.pth", {"mapping.dense0.weight": torch.zeros(16, 10)})
    torch.save(generator(torch), root / "z_good.pth")
    return root, probe("stylegan", root)


@pytest.mark.parametrize(
    ("check", "told"),
    [
        ("a_cut.pth: loads", "truncated: the archive's end is missing"),
        ("b_nan.pth: finite", "NaN or infinity in mapping.dense3.weight"),
        ("c_dis.pth: loads", "no generator: it holds a discriminator"),
        ("d_lost.pth: loads", "2 of 92 tensors are missing: "),
        (
            "e_extra.pth: loads",
            "1 tensors are not the model's: ema.decay; 1 shapes differ: "
            "mapping.dense7.bias is [17], the model has [16]",
        ),
        ("f_code.pth: loads", "beside tensors the pickle asks for posix.mkdir"),
        ("g_page.pth: loads", "a web page, not weights"),
        ("h_plain.pth: pictures are not plain", "spread of the pixels 0 to 0"),
        ("i_deaf.pth: z acts", "pictures of different z differ by 0 of their spread"),
        ("j_unlabelled.pth: labels act", "raising one label moves the picture by 0"),
        ("k_detail.pth: loads", "synthesis.lod is 9, outside 0..4"),
        ("m_other.pth: loads", "no StyleGAN generator: its tensors are conv.weight"),
        ("n_overflow.pth: pictures are finite", "4 of 4 hold NaN or infinity"),
        ("o_mean.pth: z acts", "pictures of different z differ by 0 of their spread"),
        (
            "q_chain.pth: loads",
            "1 shapes differ: mapping.dense4.weight is [16, 15], the model has [16, 16]",
        ),
        ("r_narrow.pth: loads", "mapping.dense0 takes 10 numbers, too few for z"),
        ("o_mean.pth: truncation acts", "moves the picture by 0 of its spread"),
    ],
)
def test_damage_has_words_of_its_own(bad: tuple[Path, ProbeResult], check: str, told: str) -> None:
    found = named(bad[1])[check]
    assert not found.ok
    assert told in found.detail


def test_damage_stops_neither_the_others_nor_runs_code(bad: tuple[Path, ProbeResult]) -> None:
    root, result = bad
    assert result.state == "failed"
    assert not (root / "marker").exists()
    assert named(result)["z_good.pth: truncation acts"].ok
    assert "l_wrapped.pth: module: loads" in named(result), "a prefix of wrappers is found"


def test_swapped_variants_fail(tmp_path: Path) -> None:
    torch.save(generator(torch, label=7, embedding=6), tmp_path / "gen.pth")
    torch.save(discriminator(torch, label=7), tmp_path / "dis.pth")
    kind, root = "stylegan", tmp_path
    results = probe_all(
        request(
            kind,
            root,
            generator="gen.pth",
            discriminator="dis.pth",
            label=7,
            embedding=6,
            resolution=64,
        ),
        request(kind, root, generator="dis.pth", discriminator="gen.pth"),
        request(kind, root, generator="gen.pth", label=3, resolution=256),
        request(kind, root, generator="gen.pth", label=7, embedding=4),
    )
    assert [result.state for result in results] == ["passed"] + ["failed"] * 3
    told = [result.reason for result in results]
    assert told[1].startswith("dis.pth: loads: no generator: it holds a discriminator (and 1 more)")
    assert results[1].hint.startswith("were two files swapped?")
    assert told[2] == "gen.pth: variant: resolution is 64, expected 256, label is 7, expected 3"
    assert told[3] == "gen.pth: variant: embedding is 6, expected 4"
    error = run_here(request(kind, root, generator="gn.pth"))
    assert error.reason == "no file of the artifact matches 'gn.pth'"
    assert error.hint == "did you mean 'gen.pth'?"


def test_a_key_chooses_a_net(tmp_path: Path) -> None:
    torch.save({"generator": generator(torch), "other": generator(torch)}, tmp_path / "zoo.pth")
    right, wrong = probe_all(
        request("stylegan", tmp_path, key="other", images=2),
        request("stylegan", tmp_path, key="discriminator"),
    )
    assert right.state == "passed", (right.reason, right.log)
    assert all(check.name.startswith("zoo.pth: other: ") for check in right.checks)
    assert wrong.reason == (
        "zoo.pth: loads: no net lies at 'discriminator'; there are: generator, other"
    )


CLASS = '''
import torch

class Draws(torch.nn.Module):
    """Draws from z and label, in a way of its own."""

    def __init__(self, resolution, noisy=False):
        super().__init__()
        self.resolution, self.noisy = resolution, noisy
        for name, shape in SHAPES.items():
            self.register(name, torch.zeros(shape))

    def register(self, name, tensor):
        place = self
        *path, last = name.split(".")
        for step in path:
            if not hasattr(place, step):
                place.add_module(step, torch.nn.Module())
            place = getattr(place, step)
        place.register_buffer(last, tensor)

    def forward(self, z, label=None, trunc_psi=1.0, trunc_layers=0):
        assert not self.training
        value = z.mean() * (trunc_psi if trunc_layers else 1) + label.sum()
        ramp = torch.linspace(-1, 1, self.resolution).view(1, 1, 1, -1)
        noise = torch.rand(()) if self.noisy else 0
        return {"image": (ramp * value + noise).expand(1, 3, self.resolution, -1)}
'''


def test_the_projects_own_class_draws_if_it_is_trusted(tmp_path: Path) -> None:
    made = generator(torch, label=7, embedding=4)
    torch.save(made, tmp_path / "gen.pth")
    (tmp_path / "drawing").mkdir()
    code = f"SHAPES = {shapes(made)!r}\n{CLASS}open({str(tmp_path / 'marker')!r}, 'w').close()\n"
    (tmp_path / "drawing/own.py").write_text(code)
    options = {"class_path": "drawing.own.Draws", "args": {"resolution": 64}, "trust": "project"}
    torch.save({**made, "truncation.w_avg": -made["truncation.w_avg"]}, tmp_path / "bad.pth")
    untold, refused, passed, noisy, negated = (
        request("stylegan", tmp_path, "gen.pth", **options),
        request("stylegan", tmp_path, "gen.pth", _trust_code=True, **{**options, "trust": "x"}),
        request("stylegan", tmp_path, "gen.pth", _trust_code=True, **options),
        request(
            "stylegan",
            tmp_path,
            "gen.pth",
            _trust_code=True,
            **{**options, "args": [64, True], "class_path": "drawing/own.py:Draws"},
        ),
        request("stylegan", tmp_path, "bad.pth", _trust_code=True, **options),
    )
    first, second = probe_all(untold, refused)
    assert first.state == "skipped"
    assert first.hint.startswith(
        f"if you trust it: fetch config allow code {first.artifact}, or once"
    )
    assert first.hint.endswith(f"fetch verify {first.artifact} --trust-project-code")
    assert "trust: the only value is 'project', found 'x'" in second.reason
    assert not (tmp_path / "marker").exists(), "nothing of the project ran"
    good, bad_one, turned = probe_all(passed, noisy, negated)
    assert good.state == "passed", (good.reason, good.log)
    assert "gen.pth: repeatable" in failures(bad_one)
    assert "bad.pth: w_avg is the mean of w" in failures(turned)


@pytest.mark.heavy
def test_a_zoo_file_at_256_and_its_limits(tmp_path: Path) -> None:
    smooth = generator(torch, 256, 512)
    judge = discriminator(torch, 256, 512)
    zoo = {"generator": smooth, "discriminator": judge, "generator_smooth": smooth}
    torch.save(zoo, tmp_path / "zoo.pth")
    passed, hungry, slow = probe_all(
        request("stylegan", tmp_path, key="generator", resolution=256, label=0, images=2),
        request("stylegan", tmp_path, _memory_limit=200_000_000),
        request("stylegan", tmp_path, _timeout=0.3),
    )
    assert passed.state == "passed", (passed.reason, passed.log)
    assert passed.metrics["parameters"] == 26_086_229
    assert "122 tensors" in named(passed)["zoo.pth: generator: loads"].detail
    assert passed.fingerprints[0].shape == (1, 3, 256, 256)
    assert "the ceiling is 191 MiB" in hungry.reason
    assert slow.reason.startswith("no result after 0.3 s, while ")
    total = sum(t.numel() for n, t in judge.items() if not n.endswith(("lod", "kernel")))
    assert (len(judge), total) == (51, 23_052_353)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"generators": "a"}, "generators: no such option; did you mean 'generator'?"),
        ({"resolution": 100}, "resolution: expected one of [8, 16, 32"),
        ({"images": 1}, "images: expected a whole number from 2 to 16, found 1"),
        ({"label": -1}, "label: expected a whole number of 0 or more"),
        ({"trunc_psi": 1}, "trunc_psi: expected a number from 0 to below 1"),
        ({"class_path": "Class"}, "class_path: expected package.module.Class or"),
        ({"class_path": "a.B", "paths": "/etc"}, "paths: expected a folder relative to the root"),
        ({"args": 256}, "args: expected a list of arguments or a mapping"),
    ],
)
def test_wrong_options(options: dict[str, Any], told: str) -> None:
    problems = PROBE.validate_options(options)
    assert len(problems) == 1
    assert str(problems[0]).startswith(told)
