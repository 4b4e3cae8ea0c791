"""Whether a module of a project's own code is what its checkpoint says, and answers by it.

A class may load, prepare or keep its weights in its own way, and answer from something else. So the
parameters themselves are looked at, not what the class says of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fetcher.verify.loaders.strict import listed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from fetcher.verify.contract.context import Context
    from fetcher.verify.contract.foreign import Tensors

    Answer = Callable[[], "Tensors"]

_NOISE = 0.05  # of a parameter's spread
_MOVED = 1e-6  # of the answer's size: less is rounding
_BACK = 1e-3  # of a parameter's spread: what taking a merge back may leave
_FEW = 1_000_000  # numbers: noise on more takes longer than loading them
_GROUPS = 8  # of parameters that are tried one after the other


class Obedience:
    """A module right after `load_state_dict`, in the number types that its class chose."""

    def __init__(self, torch: Any, model: Any, file: Tensors, name: str, context: Context) -> None:
        self._torch, self._model, self._name, self._context = torch, model, name, context
        self._merged = False
        self._file = {
            key: file[key].to(tensor.dtype)
            for key, tensor in _state(model).items()
            if key in file and file[key].shape == tensor.shape
        }
        hint = "the class loads its checkpoint in its own way: see its loading"
        self._tell("are loaded", self._differing(0.0), hint)
        lacking = [key for key in _parameters(model) if key not in file]
        if lacking:
            context.warn(
                f"{name}: every parameter is from the file",
                f"{len(lacking)} parameters of the module are not: {listed(lacking)}",
                "the class leaves them out of its state_dict",
            )

    def after_eval(self) -> None:
        """Check that the way to the device, and `eval()`, changed nothing.

        What `train()` takes back, as the merging of adapters, is no change.
        """
        wrong = self._differing(0.0)
        if wrong:
            self._model.train()
            merged = not self._differing(_BACK)
            self._model.eval()
            if merged:
                self._merged = True
                return
        hint = "the class changes its weights in `eval()` or `to()`"
        self._tell("stay in eval mode", wrong, hint)

    def after_answers(self) -> None:
        """Check that answering changed no parameter."""
        if not self._merged:
            wrong = self._differing(0.0, _parameters(self._model))
            hint = "the model changes its weights as it answers"
            self._tell("stay when it answers", wrong, hint)

    def _tell(self, what: str, wrong: Sequence[str], hint: str) -> None:
        self._context.check(
            f"{self._name}: the file's weights {what}",
            not wrong,
            f"{len(wrong)} of {len(self._file)} tensors are others: {listed(wrong)}"
            if wrong
            else f"{len(self._file)} tensors",
            hint,
        )

    def _differing(self, share: float, among: Mapping[str, Any] | None = None) -> list[str]:
        """Return the names of tensors that are not the file's, by more than a share of spread."""
        there = _state(self._model) if among is None else among
        wrong = []
        for key, wanted in self._file.items():
            if among is not None and key not in among:
                continue
            found = there.get(key)
            if found is None or not self._same(found, wanted, share):
                wrong.append(key)
        return wrong

    def _same(self, found: Any, wanted: Any, share: float) -> bool:
        if found.shape != wanted.shape:
            return False
        wanted = wanted.to(found.device, found.dtype)
        if found.is_floating_point() and found.element_size() == 1:
            found, wanted = found.float(), wanted.float()  # float8 has no arithmetic
        if self._torch.equal(found, wanted):
            return True
        if not found.is_floating_point() or not found.numel():
            return False
        alike = (found == wanted) | (found.isnan() & wanted.isnan())
        if share:
            alike |= (found - wanted).abs() <= share * wanted.abs().max()
        return bool(alike.all())


def check_weights_act(torch: Any, model: Any, answer: Answer, name: str, context: Context) -> None:
    """Check that other weights give another answer, and name parameters that nothing reaches.

    `answer` calls the model on one input, the same each time. The weights are put back.
    """
    parameters = {key: one for key, one in _parameters(model).items() if one.is_floating_point()}
    if not parameters:
        return
    trial = _Trial(torch, answer)
    moved = trial.moves(_smallest(parameters)) or trial.moves(list(parameters.values()))
    context.check(
        f"{name}: the weights act",
        moved,
        "other weights give another answer"
        if moved
        else "other weights give the same answer, so it comes from something else",
        "does the class answer from a model of its own, a constant, or its input alone?",
    )
    if not moved:
        return
    beyond = _unreached(torch, parameters, answer)
    idle = [
        key
        for keys in _grouped(beyond)
        if not trial.moves([parameters[key] for key in keys])
        for key in keys
    ]
    if idle:
        context.warn(
            f"{name}: every parameter acts",
            f"{len(idle)} of {len(parameters)} parameters do nothing here: {listed(idle)}",
            "does the class use them in training alone?",
        )


def _smallest(parameters: Mapping[str, Any]) -> list[Any]:
    """Return the smallest parameters, as many as are changed at once."""
    chosen: list[Any] = []
    numbers = 0
    for one in sorted(parameters.values(), key=lambda one: int(one.numel())):
        numbers += one.numel()
        if chosen and numbers > _FEW:
            break
        chosen.append(one)
    return chosen


class _Trial:
    """Compares an answer with that of other weights."""

    def __init__(self, torch: Any, answer: Answer) -> None:
        self._torch, self._answer = torch, answer
        with torch.no_grad():
            self._first = answer()

    def moves(self, parameters: Sequence[Any]) -> bool:
        """Tell whether noise on these parameters moves the answer; they are put back."""
        torch = self._torch
        source = torch.Generator().manual_seed(1)
        kept = [parameter.detach().clone() for parameter in parameters]
        try:
            with torch.no_grad():
                for size in (_NOISE, 1.0, 4.0):  # answers that are choices need more
                    for parameter in parameters:
                        spread = float(parameter.float().std(unbiased=False)) or 1.0
                        noise = torch.randn(parameter.shape, generator=source) * spread * size
                        parameter.add_(noise.to(parameter.device, parameter.dtype))
                    if self._other():
                        return True
            return False
        finally:
            with torch.no_grad():
                for parameter, before in zip(parameters, kept):
                    parameter.copy_(before)

    def _other(self) -> bool:
        try:
            found = self._answer()
        except Exception:  # weights that make it fail act
            return True
        for key, before in self._first.items():
            after = found.get(key)
            if after is None or after.shape != before.shape:
                return True
            size = float(before.float().abs().max()) if before.numel() else 0.0
            apart = (after.float() - before.float()).abs()
            if before.numel() and not float(apart.max()) <= _MOVED * size:  # NaN moves as well
                return True
        return False


def _unreached(torch: Any, parameters: Mapping[str, Any], answer: Answer) -> list[str]:
    """Return the parameters that the answer was not computed from, as far as autograd can tell."""
    asked = {key: one.requires_grad for key, one in parameters.items()}
    try:
        for one in parameters.values():
            one.requires_grad_(True)
        with torch.enable_grad():
            found = answer()
    except Exception:  # such as what is only there without gradients
        return list(parameters)
    finally:
        for key, one in parameters.items():
            one.requires_grad_(asked[key])
    waiting = [part.grad_fn for part in found.values() if part.grad_fn is not None]
    seen, reached = set(waiting), set()
    while waiting:
        node = waiting.pop()
        if hasattr(node, "variable"):
            reached.add(id(node.variable))
        for following, _ in node.next_functions:
            if following is not None and following not in seen:
                seen.add(following)
                waiting.append(following)
    return [key for key, one in parameters.items() if id(one) not in reached]


def _grouped(names: Sequence[str]) -> list[list[str]]:
    """Return names by the module that they are in, the deepest level that has few enough."""
    for depth in (3, 2, 1):
        groups: dict[tuple[str, ...], list[str]] = {}
        for name in names:
            groups.setdefault(tuple(name.split(".")[:-1][:depth]), []).append(name)
        if len(groups) <= _GROUPS:
            break
    found = list(groups.values())
    rest = [name for group in found[_GROUPS - 1 :] for name in group]
    return found if len(found) <= _GROUPS else [*found[: _GROUPS - 1], rest]


def _state(model: Any) -> dict[str, Any]:
    """Return parameters and buffers by name, whatever the class says of them."""
    return {key: one.detach() for key, one in _members(model, ("_parameters", "_buffers")).items()}


def _parameters(model: Any) -> dict[str, Any]:
    return _members(model, ("_parameters",))


def _members(model: Any, tables: Sequence[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    waiting, seen = [("", model)], {id(model)}
    while waiting:
        prefix, module = waiting.pop()
        for table in tables:
            for key, one in vars(module).get(table, {}).items():
                if one is not None:
                    found[prefix + key] = one
        for key, below in vars(module).get("_modules", {}).items():
            if below is not None and id(below) not in seen:
                seen.add(id(below))
                waiting.append((f"{prefix}{key}.", below))
    return found
