"""Places that are known by name: where libraries keep what they download, outside any project.

Each is resolved as its library does it, with the variables of the person's environment; what a
project sets in its own files counts for nothing here.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from fetcher.errors import UsageError
from fetcher.fs.nearest import nearest
from fetcher.fs.placeholders import know
from fetcher.i18n import t


def _variable(name: str) -> str:
    """A variable's folder, "" where it says nothing."""
    return os.path.expanduser(os.environ.get(name) or "")


def _first(*names: str, default: str) -> str:
    return next(filter(None, map(_variable, names)), os.path.expanduser(default))


def _cache(name: str) -> str:
    """A folder of the XDG cache, which these libraries use on every system."""
    return os.path.join(_first("XDG_CACHE_HOME", default="~/.cache"), name)


def _own_cache(name: str) -> str:
    """The system's cache folder, as platformdirs has it."""
    if sys.platform in {"darwin", "win32"}:
        import platformdirs

        return platformdirs.user_cache_dir(name)
    return _cache(name)


def _torch_home() -> str:
    return _variable("TORCH_HOME") or _cache("torch")


def _huggingface(folder: str, *names: str) -> str:
    home = _variable("HF_HOME") or _cache("huggingface")
    return _first(*names, default=os.path.join(home, folder))


def _nltk_data() -> str:
    listed = filter(None, os.environ.get("NLTK_DATA", "").split(os.pathsep))
    return os.path.expanduser(next(listed, "~/nltk_data"))


def _tts() -> str:
    system = {"darwin": "~/Library/Application Support", "win32": os.environ.get("LOCALAPPDATA")}
    default = system.get(sys.platform) or "~/.local/share"
    return os.path.join(_first("TTS_HOME", "XDG_DATA_HOME", default=default), "tts")


def _u2net() -> str:
    return _variable("U2NET_HOME") or os.path.join(_first("XDG_DATA_HOME", default="~"), ".u2net")


class NamedRoot(NamedTuple):
    """A library's folder: `variables` decide where it lies, `default` is where without them."""

    name: str
    library: str
    default: str
    variables: tuple[str, ...]
    find: Callable[[], str]

    def path(self) -> Path:
        """Where it lies for this person, whether or not it is there. Raises UsageError."""
        found = self.find()
        if not os.path.isabs(os.path.expanduser("~")) and not os.path.isabs(found):
            raise UsageError(
                t("{name} has no place: no home directory is known", name=self.name),
                t("set HOME, or {variables}", variables=" / ".join(self.variables) or "HOME"),
            )
        return Path(os.path.abspath(found))


def _at(*variables: str, default: str) -> tuple[tuple[str, ...], str, Callable[[], str]]:
    return variables, default, lambda: _first(*variables, default=default)


def _in_cache(name: str) -> tuple[tuple[str, ...], str, Callable[[], str]]:
    return ("XDG_CACHE_HOME",), f"~/.cache/{name}", lambda: _cache(name)


def _roots() -> dict[str, NamedRoot]:
    xdg = "XDG_CACHE_HOME"
    found: dict[str, tuple[str, tuple[tuple[str, ...], str, Callable[[], str]]]] = {
        "torch_hub": (
            "torch.hub, torchvision, timm, lpips",
            (("TORCH_HOME", xdg), "~/.cache/torch/hub", lambda: f"{_torch_home()}{os.sep}hub"),
        ),
        "torch_home": (
            "facenet-pytorch, older sentence-transformers",
            (("TORCH_HOME", xdg), "~/.cache/torch", _torch_home),
        ),
        "huggingface_assets": (
            "huggingface_hub's assets",
            (
                ("HF_ASSETS_CACHE", "HUGGINGFACE_ASSETS_CACHE", "HF_HOME", xdg),
                "~/.cache/huggingface/assets",
                lambda: _huggingface("assets", "HF_ASSETS_CACHE", "HUGGINGFACE_ASSETS_CACHE"),
            ),
        ),
        "insightface": ("InsightFace", _at(default="~/.insightface")),
        "clip_cache": ("CLIP, OpenCLIP", _at(default="~/.cache/clip")),
        "whisper_cache": ("Whisper", _in_cache("whisper")),
        "bark": (
            "Bark",
            (
                (xdg,),
                "~/.cache/suno/bark_v0",
                lambda: os.path.join(_cache("suno"), "bark_v0"),
            ),
        ),
        "gpt4all": ("GPT4All", _at(default="~/.cache/gpt4all")),
        "nltk_data": ("NLTK", (("NLTK_DATA",), "~/nltk_data", _nltk_data)),
        "keras_cache": ("Keras", _at("KERAS_HOME", default="~/.keras")),
        "u2net": ("rembg", (("U2NET_HOME", "XDG_DATA_HOME"), "~/.u2net", _u2net)),
        "tts": ("Coqui TTS", (("TTS_HOME", "XDG_DATA_HOME"), "~/.local/share/tts", _tts)),
        "skimage": (
            "scikit-image",
            (
                ("SKIMAGE_DATADIR", xdg),
                "~/.cache/scikit-image",
                lambda: _variable("SKIMAGE_DATADIR") or _own_cache("scikit-image"),
            ),
        ),
        "sklearn_data": ("scikit-learn", _at("SCIKIT_LEARN_DATA", default="~/scikit_learn_data")),
        "easyocr": ("EasyOCR", _at("EASYOCR_MODULE_PATH", "MODULE_PATH", default="~/.EasyOCR")),
        "paddleocr": ("PaddleOCR 2", _at("PADDLE_OCR_BASE_DIR", default="~/.paddleocr")),
        "paddlex": ("PaddleX, PaddleOCR 3", _at("PADDLE_PDX_CACHE_HOME", default="~/.paddlex")),
        "modelscope_cache": (
            "ModelScope",
            _at("MODELSCOPE_CACHE", default="~/.cache/modelscope/hub"),
        ),
        "stanza": ("Stanza", _at("STANZA_RESOURCES_DIR", default="~/stanza_resources")),
        "flair": ("Flair", _at("FLAIR_CACHE_ROOT", default="~/.flair")),
        "gensim_data": ("gensim's downloader", _at("GENSIM_DATA_DIR", default="~/gensim-data")),
        "doctr": ("docTR", _at("DOCTR_CACHE_DIR", default="~/.cache/doctr")),
        "deepface": (
            "DeepFace",
            (
                ("DEEPFACE_HOME",),
                "~/.deepface",
                lambda: os.path.join(_first("DEEPFACE_HOME", default="~"), ".deepface"),
            ),
        ),
        "tensorflow_datasets": (
            "TensorFlow Datasets",
            _at("TFDS_DATA_DIR", default="~/tensorflow_datasets"),
        ),
    }
    return {
        name: NamedRoot(name, library, default, variables, find)
        for name, (library, (variables, default, find)) in found.items()
    }


ROOTS = _roots()


def root_named(name: str) -> NamedRoot:
    """The root of this name. Raises UsageError if there is none."""
    if name not in ROOTS:
        close = nearest(name, ROOTS)
        raise UsageError(
            t("no library's folder is called {name!r}", name=name),
            t("did you mean {close!r}?", close=close)
            if close
            else t("there are: {known}", known=", ".join(ROOTS)),
        )
    return ROOTS[name]


for _root in ROOTS.values():
    know(_root.name.upper(), _root.name)  # {torch_hub}/checkpoints/
    for _one in _root.variables:
        if not _one.startswith("XDG_"):
            know(_one, _root.name)
know("HUB_CACHE", "hub_cache")
know("HF_HOME", "hub_cache")
know("HF_HUB_CACHE", "hub_cache")
know("TRANSFORMERS_CACHE", "hub_cache")
know("SENTENCE_TRANSFORMERS_HOME", "hub_cache")
know("TORCH_HOME", "torch_hub")
