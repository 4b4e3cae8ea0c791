"""The `class` probe: a model of the project's own code loads its checkpoint and answers.

Its code is imported only if the manifest says so and the person does (project_code.py). What each
option means is in `ClassProbe`.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from fetcher.verify.contract import inputs, options
from fetcher.verify.contract.built_in_probes import problems_of
from fetcher.verify.contract.context import describe
from fetcher.verify.contract.probe_errors import ProbeError
from fetcher.verify.loaders import class_path, embedding_rows, obeys, project_code, strict
from fetcher.verify.pictures import images
from fetcher.verify.weights.choice import weight_files
from fetcher.verify.weights.weights import open_weights

if TYPE_CHECKING:
    from fetcher.verify.contract.context import Context
    from fetcher.verify.contract.foreign import ProbeOptions, Tensors
    from fetcher.verify.contract.protocol import ProbeRequest, Problem

_SAME = 1e-3  # of the answer's spread, between two runs on a GPU


class ClassProbe:
    """Builds the class, loads every checkpoint strictly, and calls it on two different inputs.

    Options: `class_path` (needed: package.module.Class, or folder/file.py:Class), `args` (of the
    constructor, a list or a mapping; `{root}` is the absolute root), `paths` (folders relative to
    the root in which its modules are found; default: the root), `checkpoint` (globs; default: all
    weight files, each loaded in turn), `key` (dotted name of the state dict in the file), `inputs`
    (shapes, see `inputs`) or `image` (a picture of the artifact) and `size` ([height, width] that
    it is scaled to), `call` (a method; default: the model itself), `outputs` (shapes in the order
    of the answer, or by its keys; -1 is any size), `output_range` ([low, high]).
    """

    type = "class"
    requires = (("torch", "torch"),)

    def validate_options(self, given: ProbeOptions) -> list[Problem]:
        """Return all problems of the manifest's options."""
        return problems_of(self.type, given)

    def run(self, request: ProbeRequest, context: Context) -> None:
        """Prove the class with each of its checkpoints."""
        project_code.require_trust(request, context)
        torch = context.require("torch")
        globs = options.as_list(request.options.get("checkpoint", []))
        context.metrics["parameters"] = 0
        for name in weight_files(request, globs):
            with context.loading(name):
                model, obedience = _loaded(name, request, context)
                context.stage(f"calling the model of {name}")
                with torch.no_grad():
                    _try(model, name, request, context)
                obedience.after_answers()
                context.stage(f"changing weights of {name}")
                answer = partial(_answer, model, request, context, 0)
                obeys.check_weights_act(torch, model, answer, name, context)


PROBE = ClassProbe()


def _loaded(name: str, request: ProbeRequest, context: Context) -> tuple[Any, obeys.Obedience]:
    """Return a fresh model with the checkpoint in it, in eval mode on the device."""
    class_name = request.options["class_path"]
    with context.timed("load_seconds"):
        opened = open_weights(context, request.files[name], name, request.options.get("key", ""))
        context.stored_as(opened.dtype)
        model = project_code.build(request, context)
        context.stage(f"loading {name}")
        tensors = opened.load(opened.tensors)
        class_path.load_strictly(model, tensors, class_name)
        obedience = obeys.Obedience(context.require("torch"), model, tensors, name, context)
    counted = sum(parameter.numel() for parameter in model.parameters())
    context.metrics["parameters"] += counted
    context.check(
        f"{name}: loads", True, f"{class_name}: {len(tensors)} tensors, {counted:,} parameters"
    )
    bad = [n for n in opened.tensors if opened.count_nonfinite(n, "cpu")]
    told = f"NaN or infinity in {strict.listed(bad)}" if bad else ""
    context.check(f"{name}: finite", not bad, told, "the weights are damaged")
    with context.timed("load_seconds"):
        model = model.to(context.device(), context.torch_dtype())
        model = model.eval() or model  # a class may forget to return itself
        obedience.after_eval()
    if not bad:
        opened.keep(context, name)
        embedding_rows.keep(model, context, f"{name}: ")
    return model, obedience


def _try(model: Any, name: str, request: ProbeRequest, context: Context) -> None:
    first, again, other = (_answer(model, request, context, n) for n in (0, 0, 1))
    wrong = inputs.differing(first, request.options.get("outputs"))
    told = ", ".join(f"{key} {list(part.shape)}" for key, part in first.items())
    context.check(f"{name}: shapes", not wrong, wrong or told, "is this the right class and input?")
    torch = context.require("torch")
    bad = [key for key, part in first.items() if not bool(torch.isfinite(part).all())]
    if not context.check(
        f"{name}: answers are finite",
        not bad,
        f"NaN or infinity in {strict.listed(bad)}" if bad else "",
        "numbers overflowed, or the weights are damaged",
    ):
        return
    _compare(name, first, again, other, context)
    if "output_range" in request.options:
        low, high = request.options["output_range"]
        least = min(float(part.min()) for part in first.values())
        most = max(float(part.max()) for part in first.values())
        context.check(
            f"{name}: range",
            low <= least and most <= high,
            f"{least:.4g} to {most:.4g}, expected {low:g} to {high:g}",
        )
    for key, part in first.items():
        context.fingerprint(f"{name}: {key}", part)


def _compare(
    name: str,
    first: Tensors,
    again: Tensors,
    other: Tensors,
    context: Context,
) -> None:
    def apart(one: Tensors, two: Tensors) -> float:
        if any(part.shape != two[key].shape for key, part in one.items()):
            return float("inf")
        return max(
            float((part.float() - two[key].float()).abs().max()) for key, part in (one.items())
        )

    spread = max(float(part.float().abs().max()) for part in first.values())
    moved = apart(first, again)
    context.check(
        f"{name}: repeatable",
        moved <= (0 if context.device() == "cpu" else _SAME * spread),
        "the same input gives the same answer" if not moved else f"it moves by {moved:.3g}",
        "in eval mode a model must not draw random numbers",
    )
    differs = apart(first, other)
    context.check(
        f"{name}: the input acts",
        differs > 0,
        f"another input moves the answer by {differs:.3g}",
        "every input gets the same answer: the weights do nothing, or the input is ignored",
    )


def _answer(model: Any, request: ProbeRequest, context: Context, number: int) -> Tensors:
    """Return what the model answers to the input of this number, by name."""
    torch, wanted = context.require("torch"), request.options
    if "inputs" in wanted:
        source = torch.Generator().manual_seed(request.seed + number)
        positional, named = inputs.make(
            torch, wanted["inputs"], source, context.device(), context.torch_dtype()
        )
    else:
        positional, named = [_picture(request, context, number)], {}
    call = model
    if "call" in wanted:
        call = getattr(model, wanted["call"], None)
        if call is None:
            raise ProbeError(f"{wanted['class_path']} has no method {wanted['call']!r}")
    try:
        with context.timed("infer_seconds"):
            answer = call(*positional, **named)
    except ProbeError:
        raise
    except Exception as error:
        if "memory" in str(error).lower():
            raise
        raise ProbeError(
            f"the model failed on its input: {describe(error)}",
            "are `inputs` what it takes, in shape, type and number?",
        ) from error
    found = inputs.tensors_of(torch, answer)
    if not found:
        raise ProbeError(f"the model answered a {type(answer).__name__} without tensors")
    return found


def _picture(request: ProbeRequest, context: Context, number: int) -> Any:
    """Return the sample picture, the second time a generated one of its size."""
    name = request.options["image"]
    if name not in request.files:
        raise ProbeError(f"image: the artifact has no file {name!r}", "see its `files`")
    picture = images.read(context, request.files[name])
    if "size" in request.options:
        height, width = request.options["size"]
        picture = images.resized(context.require("torch"), picture, height, width)
    if number:
        height, width = picture.shape[2:]
        picture = images.generated(context.require("torch"), height, width, request.seed)
    return picture.to(context.device(), context.torch_dtype())
