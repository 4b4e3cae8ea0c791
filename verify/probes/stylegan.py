"""The `stylegan` probe: GenForce's StyleGAN draws pictures, and they are what they should be.

The architecture is our own (stylegan_net.py), so nothing of the project is imported unless the
options name its class. What each option means is in `StyleGan`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fetcher.verify.contract import options
from fetcher.verify.contract.built_in_probes import problems_of
from fetcher.verify.contract.probe_errors import ProbeError
from fetcher.verify.loaders import class_path, project_code, strict
from fetcher.verify.nets import stylegan_net, stylegan_sizes
from fetcher.verify.pictures import grids
from fetcher.verify.weights.choice import matching, weight_files
from fetcher.verify.weights.weights import open_weights

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fetcher.verify.contract.context import Context
    from fetcher.verify.contract.foreign import ProbeOptions, Tensors
    from fetcher.verify.contract.protocol import ProbeRequest, Problem
    from fetcher.verify.weights.weights import WeightFile

_KEYS = ("generator_smooth", "generator", "discriminator")  # in the order of preference
_SAME = 1e-4  # of the picture's spread: less is rounding
_CLOUD = 512  # random z, for the mean of w
# How far w_avg may lie from that mean, in root mean square distances of w from it. A moving average
# of batches lies within 0.1; what is 0.35 off was not moved for long, what is 0.75 off never was
# the mean.
_STALE, _STRANGE = 0.35, 0.75
_SWAPPED = "were two files swapped? see the probe's `generator` and `discriminator`"


class StyleGan:
    """Draws with generators, and lets discriminators judge.

    Options, all optional: `generator` and `discriminator` (globs: which files hold which; default:
    every weight file holds a generator), `key` (dotted name of one net in files that hold several;
    default: every net is proven), `resolution`, `label` and `embedding` (the sizes that the model
    must have; 0: none), `images` (how many to draw), `trunc_psi` and `trunc_layers` (the truncation
    that is tried), `class_path`, `args` and `paths` (the project's own class, as in the probe
    `class`; it takes z and label and returns a dict with `image`).
    """

    type = "stylegan"
    requires = (("torch", "torch"),)

    def validate_options(self, given: ProbeOptions) -> list[Problem]:
        """Return all problems of the manifest's options."""
        return problems_of(self.type, given)

    def run(self, request: ProbeRequest, context: Context) -> None:
        """Prove every net of the chosen files."""
        if "class_path" in request.options:
            project_code.require_trust(request, context)
        context.torch_dtype()
        context.metrics["parameters"] = 0
        for role, name in _roles(request):
            context.stage(f"loading {name}")
            nets: list[_NetInFile] = []
            with context.loading(name):
                with context.timed("load_seconds"):
                    opened = open_weights(context, request.files[name], name)
                context.stored_as(opened.dtype)
                nets = _nets(opened, name, role, request.options.get("key", ""))
            for number, net in enumerate(nets):
                _Trial(request, context, opened, net).run(first=number == 0)


PROBE = StyleGan()


def _roles(request: ProbeRequest) -> list[tuple[str, str]]:
    """Return what each file must hold, and its name."""
    wanted = request.options
    judges = matching(request, options.as_list(wanted.get("discriminator", [])))
    drawers = options.as_list(wanted.get("generator", []))
    found = [("discriminator", name) for name in judges]
    if drawers or not judges:
        found = [("generator", name) for name in weight_files(request, drawers)] + found
    return found


@dataclass(frozen=True)
class _NetInFile:
    """One net in a file: its kind, the prefix of its tensors' names, and how it is called."""

    kind: str
    prefix: str
    title: str


def _nets(opened: WeightFile, name: str, role: str, key: str) -> list[_NetInFile]:
    """Return the nets of a file, the preferred first; raises ProbeError if the role is not there.

    A key chooses one of them.
    """
    found = []
    for kind, marks in (
        ("generator", ("mapping.dense0.weight",)),
        ("discriminator", ("input0.weight", "layer0.weight")),
    ):
        prefixes = [n[: -len(marks[0])] for n in opened.tensors if n.endswith(marks[0])]
        for prefix in prefixes:
            if all(prefix + mark in opened.tensors for mark in marks):
                below = prefix.rstrip(".")
                found.append(_NetInFile(kind, prefix, f"{name}: {below}" if below else name))
    found.sort(key=lambda net: (net.kind != role, _preference(net)))
    if key:
        chosen = [net for net in found if net.prefix == key + "."]
        if not chosen:
            there = ", ".join(net.prefix.rstrip(".") or "(at the top)" for net in found) or "none"
            raise ProbeError(f"no net lies at {key!r}; there are: {there}", "correct `key`")
        found = chosen
    if not any(net.kind == role for net in found):
        shapes = {tensor: info.shape for tensor, info in opened.tensors.items()}
        if found:
            raise ProbeError(f"no {role}: it holds a {found[0].kind}", _SWAPPED)
        sizes = (
            stylegan_sizes.generator_sizes
            if role == "generator"
            else (stylegan_sizes.discriminator_sizes)
        )
        sizes(shapes)  # says what is wrong
    return found


def _preference(net: _NetInFile) -> int:
    last = net.prefix.rstrip(".").rpartition(".")[2]
    return _KEYS.index(last) if last in _KEYS else len(_KEYS)


class _Trial:
    """One net's proof."""

    def __init__(
        self, request: ProbeRequest, context: Context, opened: WeightFile, net: _NetInFile
    ) -> None:
        self._request = request
        self._context = context
        self._opened = opened
        self._net = net
        self._torch = context.require("torch")
        self._device = context.device()
        self._dtype = context.torch_dtype()

    def run(self, first: bool) -> None:
        """Load and use it; `first` of a file is the one whose pictures are shown."""
        names = {
            name[len(self._net.prefix) :]: name
            for name in self._opened.tensors
            if name.startswith(self._net.prefix)
        }
        shapes = {short: self._opened.tensors[name].shape for short, name in names.items()}
        context, title = self._context, self._net.title
        generator = self._net.kind == "generator"
        with context.loading(title):
            sizes: Any = (
                stylegan_sizes.generator_sizes(shapes)
                if generator
                else stylegan_sizes.discriminator_sizes(shapes)
            )
            if not self._fits(sizes, shapes) or not self._finite(names):
                return
            context.stage(f"using {title}")
            with context.timed("load_seconds"):
                tensors = self._opened.load(names.values())
                moved = {
                    short: tensors[name].to(self._device, self._dtype)
                    for short, name in names.items()
                }
            with self._torch.no_grad(), context.timed("infer_seconds"):
                if generator:
                    self._draw(self._drawer(moved, sizes), sizes, first)
                    if not strict.differences(shapes, sizes.table()):
                        self._map(moved, sizes)
                else:
                    self._judge(stylegan_net.Discriminator(self._torch, moved, sizes), sizes)
            self._opened.keep(context, title, names)

    def _drawer(self, tensors: Tensors, sizes: stylegan_sizes.GeneratorSizes) -> Any:
        if "class_path" not in self._request.options:
            return stylegan_net.Generator(self._torch, tensors, sizes)
        model = project_code.build(self._request, self._context)
        class_path.load_strictly(model, tensors)
        model = model.to(self._device, self._dtype).eval()

        def draw(z: Any, label: Any = None, psi: float = 1.0, layers: int = 0) -> Any:
            labels = {} if label is None else {"label": label}
            answer = model(z, trunc_psi=psi, trunc_layers=layers, **labels)
            return answer["image"] if isinstance(answer, dict) else answer

        return draw

    def _fits(self, sizes: Any, shapes: stylegan_sizes.Shapes) -> bool:
        """Compare with the table of this architecture, and with what the manifest wants."""
        context, title = self._context, self._net.title
        table = sizes.table()
        own_class = "class_path" in self._request.options and self._net.kind == "generator"
        differing = "" if own_class else strict.differences(shapes, table)
        counted = sum(
            self._opened.tensors[self._net.prefix + name].numbers
            for name in shapes
            if not name.endswith((".noise", ".kernel", "w_avg", "lod"))
        )
        context.metrics["parameters"] += counted
        detail = f"{sizes}; {len(shapes)} tensors, {counted:,} parameters"
        if not context.check(
            f"{title}: loads", not differing, differing or detail, strict.advice(shapes, table)
        ):
            return False
        there = {"resolution": sizes.pyramid.resolution, "label": sizes.label}
        if self._net.kind == "generator":
            there["embedding"] = sizes.embedding
        wanted = {key: self._request.options[key] for key in there if key in self._request.options}
        wrong = [
            f"{key} is {there[key]}, expected {n}" for key, n in wanted.items() if there[key] != n
        ]
        if wanted:
            context.check(
                f"{title}: variant",
                not wrong,
                ", ".join(wrong) or ", ".join(f"{key} {n}" for key, n in wanted.items()),
                "this is another variant of the model: were two files swapped?",
            )
        return not wrong

    def _finite(self, names: Mapping[str, str]) -> bool:
        self._context.stage(f"looking for NaN in {self._net.title}")
        bad = [
            short
            for short, name in names.items()
            if self._opened.count_nonfinite(name, self._device)
        ]
        return self._context.check(
            f"{self._net.title}: finite",
            not bad,
            f"NaN or infinity in {strict.listed(bad)}" if bad else "all weights",
            "the weights are damaged or training diverged",
        )

    def _noise(self, count: int, width: int) -> Any:
        """Return latents that are the same on every device: from the seed, made on the CPU."""
        source = self._torch.Generator().manual_seed(self._request.seed)
        z = self._torch.randn(count, width, generator=source)
        return z.to(self._device, self._dtype)

    def _map(self, tensors: Tensors, sizes: stylegan_sizes.GeneratorSizes) -> None:
        """Compare w_avg with the mean of w, and keep w, w_avg and what each label does to w."""
        torch, context, title = self._torch, self._context, self._net.title
        exact = {
            name: tensor.float()
            for name, tensor in tensors.items()
            if name.startswith(("mapping.", "truncation."))
        }
        net = stylegan_net.Generator(torch, exact, sizes)
        source = torch.Generator().manual_seed(self._request.seed)
        z = torch.randn(_CLOUD, sizes.z, generator=source).to(self._device)
        clouds = [net.mapped(z, labels) for labels in self._label_clouds(sizes.label, source)]
        if not all(bool(torch.isfinite(w).all()) for w in clouds):
            return  # the pictures say so
        self._check_mean(exact["truncation.w_avg"], clouds)
        context.fingerprint(f"{title}: w", clouds[0][:16])
        context.fingerprint(f"{title}: w_avg", exact["truncation.w_avg"])
        if sizes.label:
            moved = net.mapped(z[:1].repeat(sizes.label, 1), torch.eye(sizes.label).to(z))
            moved = moved - clouds[0][:1]
            context.fingerprint(f"{title}: w moved by each label", moved)
            spread = float(clouds[0].std())
            idle = [str(n) for n, w in enumerate(moved) if float(w.abs().mean()) <= _SAME * spread]
            context.check(
                f"{title}: every label acts",
                not idle,
                f"label {strict.listed(idle)} moves nothing" if idle else f"{sizes.label} labels",
                "was it ever trained?",
            )

    def _label_clouds(self, size: int, source: Any) -> list[Any]:
        """Return labels for a cloud of z, as they may have been in training: none knows how."""
        if not size:
            return [None]
        torch = self._torch
        one = torch.eye(size)[torch.randint(size, (_CLOUD,), generator=source)]
        drawn = torch.rand(_CLOUD, size, generator=source)
        kinds = [torch.zeros(_CLOUD, size), one, drawn, drawn * 2 - 1, drawn.round()]
        return [kind.to(self._device) for kind in kinds]

    def _check_mean(self, mean: Any, clouds: list[Any]) -> None:
        """Compare w_avg with the nearest cloud's mean; a mean that lags is a warning."""
        apart = []
        for w in clouds:
            off = (w - w.mean(dim=0)).square().sum(dim=1).mean().sqrt()
            apart.append(float((mean - w.mean(dim=0)).norm() / off.clamp(min=1e-12)))
        near, name = min(apart), f"{self._net.title}: w_avg is the mean of w"
        told = f"it lies {near:.2g} of w's spread from it"
        never = not bool(mean.any()) and near > _STALE
        if never:
            told = f"it is zero, and the mean of w is not: {told}"
        # Trainers move the mean of `generator`, and its smooth copy keeps the one of the start.
        copied = self._net.prefix.endswith("generator_smooth.") and any(
            name.startswith(self._net.prefix.replace("_smooth", ""))
            for name in self._opened.tensors
        )
        hint = "truncation draws pictures to a wrong mean: is it of another model?"
        if near > _STRANGE and not (never and copied):
            self._context.check(name, False, told, hint)
        elif never and not copied:
            self._context.check(name, False, told, "truncation draws to a mean never trained")
        elif near > _STALE:
            self._context.warn(name, told, hint)
        else:
            self._context.check(name, True, told)

    def _draw(self, draw: Any, sizes: stylegan_sizes.GeneratorSizes, first: bool) -> None:
        wanted = self._request.options
        count = wanted.get("images", 4) if first else 2
        psi = float(wanted.get("trunc_psi", 0.7))
        layers = min(int(wanted.get("trunc_layers", 8)), sizes.layers)
        z = self._noise(count, sizes.z)
        plain = self._label(sizes.label)
        pictures = [draw(one, plain) for one in z.split(1)]
        if not self._well_formed(pictures, sizes.pyramid.resolution):
            return
        spread = float(self._torch.cat(pictures).float().std())
        self._compare(pictures, spread)
        if "class_path" in wanted:  # ours is a formula: nothing in a file makes it draw at random
            self._repeat(pictures[0], draw(self._noise(count, sizes.z)[:1], plain), spread)
        cut = [draw(one, plain, psi, layers) for one in z.split(1)[: count if first else 1]]
        rows = {"as drawn": pictures, f"truncated: psi {psi:g} on {layers} layers": cut}
        apart = self._apart(pictures[0], cut[0])
        self._context.check(
            f"{self._net.title}: truncation acts",
            apart > _SAME * spread,
            f"psi {psi:g} on {layers} layers moves the picture by {apart / spread:.2g} of its "
            "spread",
            "w_avg lies where w does: was the mean of w never trained?",
        )
        if sizes.label:
            lit = [
                draw(z[:1], self._label(sizes.label, n))
                for n in range(min(sizes.label, count) if first else 1)
            ]
            rows["one label each raised to 1, same z"] = lit
            self._labels_act(pictures[0], lit, spread)
        self._context.fingerprint(f"{self._net.title}: image", pictures[0])
        for row, drawn in rows.items():
            self._context.fingerprint(f"{self._net.title}: {row}", self._torch.cat(drawn))
        if first:
            told = "; ".join(f"row {n}: {row}" for n, row in enumerate(rows, 1))
            self._context.picture(
                self._net.title, grids.grid(self._torch, list(rows.values())), told
            )

    def _label(self, size: int, raised: int | None = None) -> Any:
        """Return a label of zeros, with one of them raised to 1; None for models without."""
        if not size:
            return None
        label = self._torch.zeros(1, size, device=self._device, dtype=self._dtype)
        if raised is not None:
            label[0, raised] = 1
        return label

    def _well_formed(self, pictures: list[Any], side: int) -> bool:
        title, context = self._net.title, self._context
        shapes = {tuple(picture.shape) for picture in pictures}
        if not context.check(
            f"{title}: shape",
            shapes == {(1, 3, side, side)},
            f"{len(pictures)} pictures of {' and '.join(str(list(s)) for s in sorted(shapes))}",
        ):
            return False
        bad = sum(not bool(self._torch.isfinite(picture).all()) for picture in pictures)
        if not context.check(
            f"{title}: pictures are finite",
            not bad,
            f"{bad} of {len(pictures)} hold NaN or infinity" if bad else "",
            "numbers overflowed: try --dtype float32"
            if self._dtype is not (self._torch.float32)
            else "the weights may be damaged",
        ):
            return False
        # Spread over the pixels of each colour: a plain area has none, whatever its colour.
        flat = [float(picture.float().std(dim=(2, 3)).max()) for picture in pictures]
        return context.check(
            f"{title}: pictures are not plain",
            min(flat) > 1e-5,
            f"spread of the pixels {min(flat):.3g} to {max(flat):.3g}",
            "a picture is one plain colour: the weights do nothing",
        )

    def _compare(self, pictures: list[Any], spread: float) -> None:
        context, title = self._context, self._net.title
        apart = [self._apart(pictures[0], other) for other in pictures[1:]]
        context.check(
            f"{title}: z acts",
            min(apart) > _SAME * spread,
            f"pictures of different z differ by {min(apart) / spread:.2g} of their spread",
            "every z gives the same picture: the mapping does nothing",
        )

    def _repeat(self, picture: Any, again: Any, spread: float) -> None:
        moved = self._apart(picture, again)
        self._context.check(
            f"{self._net.title}: repeatable",
            moved == 0 if self._device == "cpu" else moved <= 1e-3 * spread,
            "the same seed gives the same picture"
            if moved == 0
            else f"the same seed moves the picture by {moved / spread:.2g} of its spread",
            "a model in train mode mixes styles and adds noise",
        )

    def _labels_act(self, plain: Any, lit: list[Any], spread: float) -> None:
        apart = [self._apart(plain, other) for other in lit]
        self._context.check(
            f"{self._net.title}: labels act",
            min(apart) > _SAME * spread,
            f"raising one label moves the picture by {min(apart) / spread:.2g} of its spread "
            "or more",
            "a label changes nothing: were its weights ever trained?",
        )

    @staticmethod
    def _apart(one: Any, other: Any) -> float:
        return float((one.float() - other.float()).abs().mean())

    def _judge(
        self, judge: stylegan_net.Discriminator, sizes: stylegan_sizes.DiscriminatorSizes
    ) -> None:
        title, context, side = self._net.title, self._context, sizes.pyramid.resolution
        noise = self._noise(2, 3 * side * side).view(2, 3, side, side).clamp(-1, 1)
        smooth = self._torch.nn.functional.avg_pool2d(noise[:1], 3, stride=1, padding=1)
        label = self._label(sizes.label)
        seen = self._torch.cat([judge.seen(one) for one in (noise[:1], noise[1:], smooth)])
        scores = judge.score(seen, None if label is None else label.repeat(3, 1))
        known = bool(self._torch.isfinite(scores).all()) and tuple(scores.shape) == (3, 1)
        told = ", ".join(f"{float(score):.4g}" for score in scores.flatten())
        context.check(f"{title}: scores", known, told, "the weights may be damaged")
        context.check(
            f"{title}: pictures act",
            known and len({float(score) for score in scores.flatten()}) == 3,
            "different pictures get different scores" if known else told,
            "every picture gets the same score: the weights do nothing",
        )
        if sizes.label:
            each = self._torch.eye(sizes.label).to(seen)
            moved = judge.score(seen[:1].repeat(sizes.label, 1), each) - scores[:1]
            acts = bool(moved.any())
            context.check(f"{title}: labels act", acts, "a label moves the score" if acts else "")
        if known:
            context.fingerprint(f"{title}: scores", scores, 0.05)
            context.fingerprint(f"{title}: what it sees", seen)
            if sizes.label:
                context.fingerprint(f"{title}: score moved by each label", moved)
