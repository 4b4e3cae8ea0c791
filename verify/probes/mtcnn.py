"""The `mtcnn` probe: the three nets of the face detector load and look at an image pyramid.

The architecture is our own (mtcnn_nets.py). What each option means is in `Mtcnn`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fetcher.verify.contract.built_in_probes import problems_of
from fetcher.verify.contract.probe_errors import ProbeError
from fetcher.verify.loaders import strict
from fetcher.verify.nets import mtcnn_nets
from fetcher.verify.pictures import face, images
from fetcher.verify.weights.choice import matching, weight_files
from fetcher.verify.weights.weights import open_weights

if TYPE_CHECKING:
    from fetcher.verify.contract.context import Context
    from fetcher.verify.contract.foreign import ProbeOptions, Tensors
    from fetcher.verify.contract.protocol import ProbeRequest, Problem
    from fetcher.verify.nets.mtcnn_nets import Sizes
    from fetcher.verify.weights.weights import WeightFile

_SIDE = 160  # pixels
_SMALLEST_FACE = 20  # pixels
_STEP = 0.709  # from one size of the pyramid to the next: half the area
_CROPS = 8
# What a net must do with a known face; facenet-pytorch's three nets do it with the figure behind.
_LIKELY = 2.0  # mean logarithm of the odds of a face where one is: 5.5, 5.3, 11.6; less elsewhere
_SEEN = 0.9  # of the squares about the face: 1
_NEARER = 0.7  # error of the box after its regression, of that before: 0.45, 0.35, 0.22
_FOLLOWS = 0.5  # correlation of each side's regression with what is right: 0.77, 0.93, 0.97
_COLOURS = 1.0  # by how much swapped colours may be likelier: -5.4, 0.2, -2.5
_LANDMARK = 0.03  # mean error of the landmarks, of the square's side: 0.009


class Mtcnn:
    """Options, all optional: `pnet`, `rnet`, `onet` (each a file; default: by the files' names),
    `face` (false: the nets detect something else than faces).
    """

    type = "mtcnn"
    requires = (("torch", "torch"),)

    def validate_options(self, given: ProbeOptions) -> list[Problem]:
        """Return all problems of the manifest's options."""
        return problems_of(self.type, given)

    def run(self, request: ProbeRequest, context: Context) -> None:
        """Prove each of the three nets."""
        torch = context.require("torch")
        context.metrics["parameters"] = 0
        source = images.generated(torch, _SIDE, _SIDE, request.seed) * 2 - 1
        picture = source.to(context.device(), context.torch_dtype())
        for net, name in _files(request).items():
            context.stage(f"loading {name}")
            tensors = None
            with context.loading(name):
                tensors = _load(net, name, request, context)
            if tensors is None:
                continue
            context.stage(f"looking with {net}")
            with torch.no_grad(), context.timed("infer_seconds"):
                sound = _look(torch, net, name, tensors, picture, context)
                if sound and request.options.get("face", True):
                    _KnownFace(torch, net, name, tensors, context).check()


PROBE = Mtcnn()


def _files(request: ProbeRequest) -> dict[str, str]:
    """Return the files of the nets that are there; raises ProbeError if one cannot be told."""
    chosen = {}
    for net in mtcnn_nets.NETS:
        if net in request.options:
            found = matching(request, [request.options[net]])
        else:
            found = [n for n in weight_files(request) if net in n.rpartition("/")[2].lower()]
        if len(found) > 1:
            told = f"{len(found)} files may be it: {', '.join(found)}"
            raise ProbeError(f"{net}: {told}", f"name it in the probe's `{net}`")
        if found:
            chosen[net] = found[0]
    if not chosen:
        nets = ", ".join(mtcnn_nets.NETS)
        raise ProbeError(f"no file is one of {nets}", "name them in the probe's options")
    others = [name for name in weight_files(request) if name not in chosen.values()]
    absent = [net for net in mtcnn_nets.NETS if net not in chosen]
    if absent and others:  # else it is an artifact of one net or two
        told = f"no file is it, and {strict.listed(others)} is no other net"
        raise ProbeError(f"{absent[0]}: {told}", f"name it in the probe's `{absent[0]}`")
    return chosen


def _load(net: str, name: str, request: ProbeRequest, context: Context) -> Tensors | None:
    """Return a net's tensors on the device, or None if they are not what they must be."""
    with context.timed("load_seconds"):
        opened = open_weights(context, request.files[name], name)
    context.stored_as(opened.dtype)
    table = mtcnn_nets.NETS[net].table()
    shapes = {tensor: info.shape for tensor, info in opened.tensors.items()}
    differing = strict.differences(shapes, table)
    if differing:
        others = [n for n, sizes in mtcnn_nets.NETS.items() if sizes.table() == shapes]
        hint = (
            f"it is {others[0]}: were two files swapped?"
            if others
            else (strict.advice(shapes, table))
        )
        raise ProbeError(f"not {net}: {differing}", hint)
    counted = sum(info.numbers for info in opened.tensors.values())
    context.metrics["parameters"] += counted
    context.check(f"{name}: loads", True, f"{net}: {len(shapes)} tensors, {counted:,} parameters")
    bad = _damaged(opened, context.device())
    told = f"NaN or infinity in {strict.listed(bad)}" if bad else ""
    if not context.check(f"{name}: finite", not bad, told, "the weights are damaged"):
        return None
    opened.keep(context, net)
    place = {"device": context.device(), "dtype": context.torch_dtype()}
    return {key: tensor.to(**place) for key, tensor in opened.load(opened.tensors).items()}


def _damaged(opened: WeightFile, device: str) -> list[str]:
    return [name for name in opened.tensors if opened.count_nonfinite(name, device)]


def _look(
    torch: Any, net: str, name: str, tensors: Tensors, picture: Any, context: Context
) -> bool:
    """Let a net look at the picture in several sizes, or at pieces of it, and judge its answers.

    Returns whether they are finite.
    """
    sizes = mtcnn_nets.NETS[net]
    views = _pyramid(torch, picture) if net == "pnet" else [_crops(torch, picture, sizes.window)]
    told = [mtcnn_nets.answer(torch, sizes, tensors, view) for view in views]
    wrong = [
        f"{list(part.shape)} for {list(view.shape)}, expected {list(shape)}"
        for view, parts in zip(views, told)
        for part, shape in zip(parts, _expected(sizes, net, view))
        if tuple(part.shape) != shape
    ]
    context.check(f"{name}: shapes", not wrong, "; ".join(wrong) or f"{len(views)} sizes of input")
    flat = [_by_window(torch, [parts[n] for parts in told]) for n in range(len(sizes.heads))]
    bad = sum(int((~torch.isfinite(part)).sum()) for part in flat)
    if not context.check(f"{name}: answers are finite", not bad, f"{bad} are not" if bad else ""):
        return False
    off = float((flat[0].sum(dim=1) - 1).abs().max())
    exact = context.torch_dtype() in (torch.float32, torch.float64)
    context.check(
        f"{name}: probabilities sum to one",
        off <= (1e-5 if exact else 1e-2),
        f"{len(flat[0])} windows, off by {off:.1g} at most",
    )
    spread = float(flat[0][:, 1].std())
    context.check(
        f"{name}: the picture acts",
        spread > 0,
        f"probability of a face {float(flat[0][:, 1].min()):.3g} to "
        f"{float(flat[0][:, 1].max()):.3g}",
        "every window gets the same answer: the weights do nothing",
    )
    for (head, _), part in zip(sizes.heads, flat):
        context.fingerprint(f"{net}: {head}", part)
    return True


class _KnownFace:
    """What one net says of squares about a known face, and of squares without one."""

    def __init__(self, torch: Any, net: str, name: str, tensors: Tensors, context: Context) -> None:
        self._torch, self._net, self._name, self._context = torch, net, name, context
        self._sizes, self._tensors = mtcnn_nets.NETS[net], tensors
        place = {"device": context.device(), "dtype": context.torch_dtype()}
        picture, window = face.read(torch) * 2 - 1, self._sizes.window
        self._squares = torch.tensor(face.squares())
        self._faces = face.views(torch, picture, face.squares(), window).to(**place)
        self._others = face.views(torch, picture, face.BACKGROUND, window).to(**place)

    def check(self) -> None:
        """Check the odds of a face, the box, the order of the colours, and the landmarks."""
        told = self._answers(self._faces)
        odds, elsewhere = self._odds(told), self._odds(self._answers(self._others))
        self._check_odds(odds, elsewhere)
        self._check_box(told[1])
        swapped = float(self._odds(self._answers(self._faces.flip(1))).mean() - odds.mean())
        self._context.check(
            f"{self._name}: colours are in order",
            swapped <= _COLOURS,
            f"with red and blue swapped the odds of a face change by {swapped:+.2g} (ln)",
            "the first layer's colours are in another order (BGR)",
        )
        if len(told) > 2:
            self._check_landmarks(told[2])
        for (head, _), part in zip(self._sizes.heads, told):
            self._context.fingerprint(f"{self._net}: {head} of a known face", part)

    def _answers(self, views: Any) -> list[Any]:
        told = mtcnn_nets.answer(self._torch, self._sizes, self._tensors, views)
        return [part.flatten(1).float().cpu() for part in told]

    @staticmethod
    def _odds(told: list[Any]) -> Any:
        """Return the natural logarithm of a face's odds in each view."""
        logs = told[0].clamp(min=1e-7).log()
        return logs[:, 1] - logs[:, 0]

    def _check_odds(self, odds: Any, elsewhere: Any) -> None:
        here, there = float(odds.mean()), float(elsewhere.mean())
        seen = float((odds > 0).float().mean())
        self._context.check(
            f"{self._name}: a face is seen where one is",
            here >= _LIKELY and there <= -_LIKELY and seen >= _SEEN,
            f"odds (ln) of {here:.2g} on a known face, in {seen:.0%} of the squares about it, and "
            f"{there:.2g} beside it",
            "the weights are not those of a trained face detector, or in another order; for what "
            "detects something else set the probe's `face: false`",
        )

    def _check_box(self, told: Any) -> None:
        """Check that the regression leads each side of a square to the face's box."""
        torch, squares = self._torch, self._squares
        corners = squares[:, [0, 1, 0, 1]] + squares[:, 2:] * torch.tensor([0.0, 0, 1, 1])
        wanted = (torch.tensor(face.BOX) - corners) / squares[:, 2:]
        before, after = (float(x.abs().mean()) for x in (wanted, told - wanted))
        along = [
            float(torch.corrcoef(torch.stack([wanted[:, n], told[:, n]]))[0, 1]) for n in range(4)
        ]
        self._context.check(
            f"{self._name}: the box is found",
            after <= _NEARER * before and min(along) >= _FOLLOWS,
            f"off by {after:.2g} of the square's side, {before:.2g} before; left, top, right and "
            f"bottom follow the face by {', '.join(f'{r:.2f}' for r in along)} (correlation)",
            "filters or outputs are mirrored, turned or in another order",
        )

    def _check_landmarks(self, told: Any) -> None:
        squares, places = self._squares, self._torch.tensor(face.LANDMARKS)
        corners = squares[:, [0] * 5 + [1] * 5]
        off = float((told - (places - corners) / squares[:, 2:]).abs().mean())
        self._context.check(
            f"{self._name}: eyes, nose and mouth are found",
            off <= _LANDMARK,
            f"off by {off:.2g} of the square's side",
            "filters or outputs are mirrored or in another order",
        )


def _by_window(torch: Any, parts: list[Any]) -> Any:
    """Return one kind of answer, (windows, numbers), whether or not it came in places of a map."""
    flat = [part.flatten(2).transpose(1, 2).flatten(0, 1) for part in map(_as_map, parts)]
    return torch.cat(flat).float()


def _as_map(part: Any) -> Any:
    return part if part.dim() == 4 else part[:, :, None, None]


def _pyramid(torch: Any, picture: Any) -> list[Any]:
    window, views = mtcnn_nets.NETS["pnet"].window, []
    side = _SIDE * window / _SMALLEST_FACE
    while side >= window:
        views.append(images.resized(torch, picture, int(side), int(side) + 4))
        side *= _STEP
    return views


def _crops(torch: Any, picture: Any, window: int) -> Any:
    """Return pieces of the picture, of several sizes, each scaled to the net's window."""
    pieces = []
    for n in range(_CROPS):
        side = _SIDE // (1 + n % 4)
        start = (_SIDE - side) * n // (_CROPS - 1)
        piece = picture[:, :, start : start + side, start : start + side]
        pieces.append(images.resized(torch, piece, window, window))
    return torch.cat(pieces)


def _expected(sizes: Sizes, net: str, view: Any) -> list[tuple[int, ...]]:
    count, _, height, width = view.shape
    places = (sizes.places(height), sizes.places(width)) if net == "pnet" else ()
    return [(count, width_, *places) for _, width_ in sizes.heads]
