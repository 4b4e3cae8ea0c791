"""Whether a picture comes back from a codec: like itself, and not mirrored or in other colours.

Pictures are (N, 3, H, W) in 0..1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fetcher.verify.pictures import face

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fetcher.verify.contract.context import Context

# How a picture that came back correlates with its original, over the pixels of each colour. A small
# net that works gave 0.94; no training, or halves of two models, -0.2 to 0.2.
_FOREIGN, _POOR = 0.3, 0.6
_FACTOR = 10**0.05  # of the error, 0.5 dB, by which what comes back is rather something else
_FLIPS = {"with red and blue swapped": 1, "upside down": 2, "mirrored": 3}  # of which axis
TRAINED = 1_000_000  # parameters of an autoencoder that is no toy
_LEFT, _SIDE = 36, 96  # the part of the known picture that has the face in it


def known_picture(torch: Any) -> Any:
    """Return a photograph of a face, (1, 3, 96, 96): sides that most codecs take."""
    return face.read(torch)[:, :, :, _LEFT : _LEFT + _SIDE]


def check(
    context: Context, name: str, originals: Sequence[Any], back: Sequence[Any], hint: str
) -> None:
    """Check that what comes back is like the originals, and not like something else of them.

    `hint` says what to do about pictures that are not alike.
    """
    pairs = list(zip(originals, back))
    alike = _mean(pairs)
    error = _error(pairs)
    better = [
        said
        for said, axis in _FLIPS.items()
        if _error(turned := [(a.flip(axis), b) for a, b in pairs]) * _FACTOR < error
        and _mean(turned) >= _FOREIGN
    ]
    told = f"correlation {alike:.2f} with the original"
    if alike < _FOREIGN and not better:
        context.check(name, False, f"{told}: at least {_FOREIGN:g} is expected", hint)
    elif better:
        swapped = "were channels or axes exchanged on the way in or out?"
        context.check(name, False, f"it comes back {' and '.join(better)}; {told}", swapped)
    elif alike < _POOR:
        context.warn(name, f"{told}, which is little", hint)
    else:
        context.check(name, True, told)


def correlation(one: Any, other: Any) -> float:
    """Return how two pictures correlate, each colour around its mean: -1 to 1."""
    one, other = (x - x.mean(dim=(2, 3), keepdim=True) for x in (one, other))
    size = float((one.square().sum() * other.square().sum()).sqrt())
    return float((one * other).sum()) / size if size else 0.0


def _mean(pairs: Sequence[tuple[Any, Any]]) -> float:
    return sum(correlation(a, b) for a, b in pairs) / len(pairs)


def _error(pairs: Sequence[tuple[Any, Any]]) -> float:
    return sum(float((a - b).square().mean()) for a, b in pairs) / len(pairs)
