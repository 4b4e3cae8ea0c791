"""Names that mean more than a file: what stands under them is read as configuration, or is run.

Content from elsewhere never gets them. Some are reserved wherever they stand; most only at the
root of a project or repository, where tools look: a model's own setup.py below a folder of its
own is a file like any other. A hidden file at a root is some tool's, whichever that is.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from functools import lru_cache

from fetcher.fs.safe_paths import collision_key
from fetcher.i18n import t

_FETCH, _GIT, _PYTHON = "fetch", "git", "Python"
_PRIVATE = {
    **{".git": _GIT, ".fetch": _FETCH},
    **dict.fromkeys((".hg", ".svn", ".bzr", ".jj", "_darcs"), t("version control")),
}
# By whose configuration it is: first names below the root, whatever lies below them.
_OWNERS: dict[str, str] = {
    _FETCH: "fetch.yaml fetch.lock fetch.golden.json manifests layouts",
    _GIT: ".gitmodules .gitattributes .gitignore .gitconfig .mailmap .lfsconfig .husky "
    ".pre-commit-config.yaml .pre-commit-hooks.yaml lefthook.yml",
    _PYTHON: ".venv venv site-packages __pycache__ .pypirc pip.conf pip.ini uv.toml "
    ".python-version .ipython .jupyter ipython_config.py jupyter_config.py .pdbrc .pip .conda "
    "poetry.lock uv.lock pylock.toml pixi.lock "
    ".hatch hatch.toml hatch_build.py .pixi pixi.toml pipfile .streamlit .huggingface "
    "jupyter_notebook_config.py jupyter_server_config.py jupyter_lab_config.py",
    t("the shell"): ".env .envrc .direnv .netrc .tool-versions .mise.toml mise.toml .bashrc "
    ".bash_profile .profile .zshrc .zshenv .ssh .config .local .gdbinit .lldbinit .rprofile "
    ".renviron .octaverc flake.nix shell.nix _netrc .aws .azure .kube .docker .gnupg .kaggle "
    "brewfile",
    t("a build server"): ".github .gitlab-ci.yml .gitlab .circleci .travis.yml .buildkite .ci "
    ".drone.yml .woodpecker .forgejo .gitea .cirrus.yml .teamcity azure-pipelines.yml "
    "bitbucket-pipelines.yml jenkinsfile appveyor.yml .semaphore .tekton cloudbuild.yaml "
    "cloudbuild.yml netlify.toml vercel.json fly.toml app.yaml codecov.yml renovate.json "
    "renovate.json5 readthedocs.yml readthedocs.yaml buildspec.yml wercker.yml",
    t("an editor"): ".vscode .idea .devcontainer .devcontainer.json .vs .fleet .zed .cursor "
    ".vimrc .nvimrc .exrc .nvim.lua .dir-locals.el .editorconfig .mcp.json .claude .vim .nvim "
    "_vimrc .emacs.d .helix .settings .metals .theia agents.md agent.md claude.md gemini.md",
    t("a build or test tool"): "setup.py setup.cfg pyproject.toml conftest.py pytest.ini "
    ".pytest.ini tox.ini noxfile.py makefile gnumakefile justfile .justfile taskfile.yml "
    "tasks.py dodo.py fabfile.py rakefile cmakelists.txt dockerfile docker-compose.yml "
    "docker-compose.yaml compose.yml compose.yaml package.json node_modules .npmrc .yarnrc "
    ".yarnrc.yml .pylintrc pylintrc mypy.ini .mypy.ini .coveragerc .bazelrc .cargo cargo.toml "
    "vagrantfile procfile .dvc dvc.yaml gunicorn.conf.py docker-compose.override.yml "
    "docker-compose.override.yaml compose.override.yml compose.override.yaml docker-bake.hcl "
    "docker-bake.json tiltfile earthfile skaffold.yaml snakefile mlproject nextflow.config "
    "gemfile guardfile gruntfile.js gulpfile.js jakefile.js .yarn .bundle .npm .m2 .mvn .gradle "
    ".rustup .terraform mvnw mvnw.cmd pom.xml build.xml gradlew gradlew.bat gradle.properties "
    "build.gradle build.gradle.kts settings.gradle settings.gradle.kts meson.build sconstruct "
    "wscript module.bazel workspace.bazel cmakepresets.json cmakeuserpresets.json deno.json "
    "deno.jsonc bunfig.toml nx.json turbo.json lerna.json mkdocs.yml mkdocs.yaml go.mod go.work "
    "build.zig package.swift stack.yaml build.bazel book.toml",
}
_AT_ROOT = {name: owner for owner, names in _OWNERS.items() for name in names.split()}
# Modules that Python looks up by itself, or that nearly every program here imports by name: one
# at a project's root would be taken in their place.
_MODULES = {
    *("sitecustomize", "usercustomize", "numpy", "torch", "torchvision", "torchaudio", "scipy"),
    *("transformers", "tokenizers", "diffusers", "accelerate", "safetensors", "datasets", "peft"),
    *("sentence_transformers", "huggingface_hub", "requests", "urllib3", "yaml", "click", "tqdm"),
    *("filelock", "pycurl", "pillow", "pil", "cv2", "pandas", "sklearn", "matplotlib", "pytest"),
    *("pip", "setuptools", "wheel", "dotenv", "fetcher", "onnxruntime", "onnx", "tensorflow"),
    *("jax", "keras", "einops", "timm", "packaging", "typing_extensions", "six", "regex"),
}
_TOOL = t("a build or test tool")
# Hidden, and of no meaning to any tool.
_EMPTY = {".gitkeep", ".keep", ".ds_store", ".nojekyll", ".nomedia", ".placeholder"}
# Packages' descriptions: what is on Python's path names by them code that pytest, pip and others
# load as plug-ins.
_DESCRIPTIONS = (".egg-info", ".dist-info", ".egg", ".egg-link")
_SCRIPTED = re.compile(r".+\.config\.[cm]?[jt]s")  # jest.config.js, vite.config.ts
# What pytest imports of a folder that it is started in.
_TESTS = re.compile(r"__(init|main)__\.py|test_.*\.py|.+_test\.py")
_CODE = (".py", ".pyc", ".pyi", ".so", ".pyd")
_MAY_BE_PRIVATE = re.compile(r"^[.pPgGfF_]|[^\x00-\x7f]", re.MULTILINE).search
_SHORT = re.compile(r"([^~]{1,6})~[1-9]\d?(?:\.[^.]{0,3})?")


def folded(name: str) -> str:
    """A name as a file system may see it that folds case, forms, invisible marks and dots."""
    return collision_key(name).rstrip(" .")


@lru_cache(maxsize=1)
def _short_forms() -> dict[str, str]:
    """What Windows may call the reserved names in short: `MANIFE~1`."""
    return {re.sub(r"[. ]", "", name)[:6]: owner for name, owner in (_AT_ROOT | _PRIVATE).items()}


def is_private(name: str) -> str:
    """To whom a folder or file of this name belongs wherever it stands, "" for nobody."""
    if name[0] not in ".pPgGfF_" and name.isascii():  # (as _MAY_BE_PRIVATE)
        return ""  # nearly every name
    plain = folded(name)
    if plain == "pyvenv.cfg":  # makes the folder around it a Python environment, whose code is run
        return _PYTHON
    if plain in _PRIVATE:
        return _PRIVATE[plain]
    short = _SHORT.fullmatch(plain)
    return {"git": _GIT, "fetch": _FETCH}.get(short[1], "") if short else ""


def is_secret(name: str) -> str:
    """Whose secrets a file at a project's root holds by its name, "" if it is none that does."""
    plain = folded(name)
    known = {".env", ".envrc", ".netrc", ".npmrc", ".pypirc", ".ssh"}
    return _AT_ROOT[".env"] if plain in known or plain.startswith(".env.") else ""


def _is_hidden(name: str) -> bool:
    return name.startswith(".") and name not in _EMPTY


def is_reserved(parts: Sequence[str]) -> str:
    """Whose configuration or code a file would become, given its way from the root of a project
    or repository; "" for nobody's."""
    first = folded(parts[0])
    if owner := _AT_ROOT.get(first, ""):
        return owner
    if first.startswith(".env."):
        return _AT_ROOT[".env"]
    if short := _SHORT.fullmatch(first):
        return _short_forms().get(short[1], "")
    if first.endswith(_DESCRIPTIONS):
        return _PYTHON
    if len(parts) == 1 and (
        _SCRIPTED.fullmatch(first) or _TESTS.fullmatch(first) or _is_hidden(first)
    ):
        return _TOOL
    stem = first
    if len(parts) == 1:
        ending = next((end for end in _CODE if first.endswith(end)), None)
        if ending is None:
            return ""
        stem = first.partition(".")[0]
    elif folded(parts[1]) not in {"__init__.py", "__init__.pyc", "__main__.py"}:
        return ""
    return _PYTHON if stem in _MODULES or stem in sys.stdlib_module_names else ""


def is_any_reserved(below_root: Sequence[str], names: Sequence[str]) -> bool:
    """Whether one of these names in one folder may be private, or reserved where it falls.

    `below_root` is the folder's way from the root of a project or repository, none of whose parts
    is reserved.
    """
    if _MAY_BE_PRIVATE("\n".join(names)) and any(map(is_private, names)):
        return True
    if not below_root:
        return any(is_reserved((name,)) for name in names)
    if len(below_root) == 1:  # a package, whose own module decides
        return any(
            is_reserved((*below_root, name))
            for name in names
            if name[0] == "_" or not name.isascii()
        )
    return False
