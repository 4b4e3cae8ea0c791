"""Quantised language models: whether their tensors are what `quantization_config` says.

Read from headers alone, so that something is said where no kernel for them can run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from fetcher.verify.contract.probe_errors import ProbeError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fetcher.verify.contract.context import Context
    from fetcher.verify.contract.foreign import ModelConfig
    from fetcher.verify.weights.safetensors_header import TensorEntry

    Parts = Mapping[str, TensorEntry]
    Judge = Callable[[Parts, "Method"], str]

_INT32 = 32  # bits of the integers that codes are packed into
_SHOWN = 3


class Method(NamedTuple):
    """What config.json says: the method's name, the bits of a code, and codes of one scale.

    `layout` is how the method packs them, where it has several ways.
    """

    name: str
    bits: int
    group: int  # 0: a whole row, or not known
    layout: str = ""

    def __str__(self) -> str:
        groups = f" in groups of {self.group}" if self.group > 0 else ""
        return f"{self.name}, {self.bits} bits{groups}" if self.bits else self.name


def method_of(config: ModelConfig) -> Method | None:
    """Return how a model is quantised; None for one that is not."""
    given = config.get("quantization_config")
    if not isinstance(given, dict):
        return None
    name = str(given.get("quant_method") or ("bitsandbytes" if _bnb_bits(given) else ""))
    bits, group = given.get("bits", given.get("w_bit", 0)), given.get("group_size", 0)
    if name == "bitsandbytes":
        bits = _bnb_bits(given)
    if name == "compressed-tensors":
        bits, group = _first_group(given)
    layout = str(given.get("format" if name == "compressed-tensors" else "version", "")).lower()
    return Method(name, _whole(bits), max(0, _whole(group)), layout)


def _bnb_bits(given: Mapping[str, Any]) -> int:
    return 4 if given.get("load_in_4bit") else 8 if given.get("load_in_8bit") else 0


def _first_group(given: Mapping[str, Any]) -> tuple[Any, Any]:
    """Return bits and group size where all layers of compressed-tensors have the same."""
    groups = given.get("config_groups")
    told = list(groups.values()) if isinstance(groups, dict) else []
    weights = [one.get("weights") for one in told if isinstance(one, dict)]
    if len(weights) != 1 or not isinstance(weights[0], dict):
        return 0, 0
    return weights[0].get("num_bits", 0), weights[0].get("group_size", 0)


def _whole(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def check_tensors(config: ModelConfig, entries: Parts, context: Context) -> Method | None:
    """Check that quantised layers are whole and of the sizes that their configuration says.

    `entries` are the headers of the weights; empty where they are pickles. Returns the method.
    Raises ProbeError for layers that are not.
    """
    method = method_of(config)
    if method is None or method.name not in _LAYOUTS or not entries:
        return method
    wanted, judge = _LAYOUTS[method.name]
    if method.name == "compressed-tensors" and method.layout != "pack-quantized":
        wanted, judge = ("weight_scale", "weight"), _nothing
    found = {name: parts for name, parts in layers_of(entries).items() if _marked(parts, wanted[0])}
    wrong = []
    for name, parts in found.items():
        absent = [part for part in wanted if part not in parts]
        told = f"no {', '.join(absent)}" if absent else judge(parts, method)
        if told:
            wrong.append(f"{name}: {told}")
    if not found:
        wrong.append(f"no layer has {wanted[0]} of {method}: the weights are not quantised so")
    if wrong:
        more = f" (and {len(wrong) - _SHOWN} more)" if len(wrong) > _SHOWN else ""
        raise ProbeError(
            f"quantised layers: {'; '.join(wrong[:_SHOWN])}{more}",
            "weights and config.json are of different models: fetch both from one revision",
        )
    context.check("quantised layers", True, f"{len(found)} layers, {method}")
    return method


def layers_of(entries: Parts) -> dict[str, dict[str, TensorEntry]]:
    """Group tensors by the layer that they are of: what stands after its name is the part."""
    found: dict[str, dict[str, TensorEntry]] = {}
    for name, entry in entries.items():
        layer, _, part = name.rpartition(".")
        for inner in (".weight", ".weight.quant_state"):
            if layer.endswith(inner):
                layer, part = layer[: -len(inner)], f"{inner[1:]}.{part}"
        found.setdefault(layer, {})[part] = entry
    return found


def _marked(parts: Parts, name: str) -> bool:
    """Tell whether a layer is quantised: of a plain name, by the integers that it holds."""
    return name in parts and (name != "weight" or parts[name].code in ("U8", "I8"))


def _nothing(parts: Parts, method: Method) -> str:
    return ""


def _gptq(parts: Parts, method: Method) -> str:
    """qweight is (in * bits / 32, out), scales are (groups, out), qzeros (groups, out packed)."""
    packed = parts["qweight"].shape
    if len(packed) != 2 or not method.bits:
        return ""
    inner, outer = packed[0] * _INT32 // method.bits, packed[1]
    return _packed_rows(parts, method, inner, outer) or _one_size(parts, "g_idx", (inner,))


def _awq(parts: Parts, method: Method) -> str:
    """qweight is (in, out * bits / 32), scales are (groups, out), qzeros (groups, out packed)."""
    packed = parts["qweight"].shape
    if len(packed) != 2 or not method.bits or method.layout not in ("", "gemm"):
        return ""
    return _packed_rows(parts, method, packed[0], packed[1] * _INT32 // method.bits)


def _packed_rows(parts: Parts, method: Method, inner: int, outer: int) -> str:
    groups = -(-inner // method.group) if method.group else 1
    return _one_size(parts, "scales", (groups, outer)) or _one_size(
        parts, "qzeros", (groups, outer * method.bits // _INT32)
    )


def _bitsandbytes(parts: Parts, method: Method) -> str:
    """4 bits: two codes a byte in one column; 8 bits: int8 and a scale for each row."""
    weight = parts["weight"]
    if method.bits == 4:
        absent = [name for name in ("weight.absmax", "weight.quant_map") if name not in parts]
        return f"no {', '.join(absent)}" if absent else ""
    if method.bits == 8:
        return "no SCB" if "SCB" not in parts else _one_size(parts, "SCB", weight.shape[:1])
    return ""


def _compressed(parts: Parts, method: Method) -> str:
    """weight_packed is (out, in * bits / 32), scales are (out, groups)."""
    packed = parts["weight_packed"].shape
    if len(packed) != 2 or method.bits not in (4, 8):
        return ""
    inner = packed[1] * _INT32 // method.bits
    groups = -(-inner // method.group) if method.group else 1
    return _one_size(parts, "weight_scale", (packed[0], groups))


def _one_size(parts: Parts, name: str, wanted: tuple[int, ...]) -> str:
    if name not in parts or parts[name].shape == wanted:
        return ""
    return f"{name} is {list(parts[name].shape)}, its codes and config.json give {list(wanted)}"


# By the method: the parts that a quantised layer has, the first of which marks it, and what judges
# their sizes.
_LAYOUTS: dict[str, tuple[tuple[str, ...], Judge]] = {
    "gptq": (("qweight", "scales", "qzeros"), _gptq),
    "awq": (("qweight", "scales", "qzeros"), _awq),
    "bitsandbytes": (("weight",), _bitsandbytes),
    "compressed-tensors": (("weight_packed", "weight_scale", "weight_shape"), _compressed),
}
