"""Settings, each with its origin.

The later wins: default, the project's fetch.yaml, its .env, the person's own file, the
environment, the command line. So a project never changes what the person has said.
"""

from __future__ import annotations

import io
import os
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from fetcher.config import person
from fetcher.config.runtime_schema import RUNTIME
from fetcher.errors import DocumentProblem, InvalidDocument, UsageError
from fetcher.fs.boundary import Boundary
from fetcher.fs.home import cache_folder, home
from fetcher.fs.reserved import is_private
from fetcher.fs.safe_paths import is_below
from fetcher.i18n import t
from fetcher.verify.contract.regular import read_regular_text
from fetcher.yamldoc import nodes
from fetcher.yamldoc.schema import (
    INVALID,
    Boolean,
    Either,
    Field,
    Integer,
    JsonSchema,
    ListOf,
    Record,
    Text,
    Type,
    Values,
    document_schema,
)

if TYPE_CHECKING:
    from fetcher.config.license_policy import LicensePolicy
    from fetcher.yamldoc.nodes import Document, Node

LINKS = ("auto", "reflink", "hardlink", "symlink", "copy")
LOCKS = ("auto", "flock", "soft")
MIRROR_SCHEMES = ("http://", "https://", "oci://", "s3://")
XET = ("auto", "1", "0")
DTYPES = ("auto", "float32", "float16", "bfloat16", "float64", "fp32", "fp16", "bf16")
PUBLIC_HUB = "https://huggingface.co"
_LARGEST_ENV = 1 << 20
_RATE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([kKmMgG]?)(?:i?[bB])?(?:/s)?")


class Spec(NamedTuple):
    """One setting: its variables (the first is ours), its line in the docs, and if it is secret."""

    env: tuple[str, ...]
    doc: str
    default: str = ""
    secret: bool = False


SPECS: dict[str, Spec] = {
    "store": Spec(("FETCH_STORE",), t("the store's directory, shared by all clones")),
    "offline": Spec(
        ("FETCH_OFFLINE", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"), t("use no network"), "false"
    ),
    "jobs": Spec(("FETCH_JOBS",), t("connections to one host at a time, at most"), "32"),
    "link": Spec(
        ("FETCH_LINK",), t("how files are placed: {links}", links=", ".join(LINKS)), "auto"
    ),
    "sync": Spec(
        ("FETCH_SYNC",),
        t(
            "whether files are on disk before they get their names; without, a power cut may tear "
            "them"
        ),
        "true",
    ),
    "gitignore": Spec(
        ("FETCH_GITIGNORE",),
        t("whether a block of .gitignore is kept in step with what is placed"),
        "true",
    ),
    "locks": Spec(
        ("FETCH_LOCKS",),
        t("how runs keep out of each other's way: {locks}", locks=", ".join(LOCKS)),
        "auto",
    ),
    "limit_rate": Spec(("FETCH_LIMIT_RATE",), t("bytes per second for all downloads, such as 50M")),
    "mirrors": Spec(("FETCH_MIRRORS",), t("mirrors to ask first, separated by spaces")),
    "rewrite": Spec(("FETCH_REWRITE",), t("FROM=TO pairs of URL prefixes, separated by spaces")),
    "variants": Spec(
        ("FETCH_VARIANTS",),
        t("choices of variants: NAME=CHOICE, separated by spaces; auto: by the GPU's memory"),
    ),
    "verify_key": Spec(
        ("FETCH_VERIFY_KEY",), t("public key that every bundle must be signed with")
    ),
    "connect_timeout": Spec(
        ("FETCH_CONNECT_TIMEOUT",), t("seconds to wait for a connection"), "10"
    ),
    "wrong_bytes_minutes": Spec(
        ("FETCH_WRONG_BYTES_MINUTES",),
        t("minutes for which a place that gave wrong bytes is not asked for them again; 0: none"),
        "5",
    ),
    "hf_endpoint": Spec(("HF_ENDPOINT",), t("the Hugging Face Hub's address"), PUBLIC_HUB),
    "xet": Spec(
        ("FETCH_XET",),
        t("1: large files of the Hub through hf_xet; auto and 0: plain HTTP"),
        "auto",
    ),
    "hf_token": Spec(("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"), t("token for the Hub"), secret=True),
    "hub_cache": Spec(
        ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_CACHE_DIR"), t("the Hugging Face cache")
    ),
    "primary_model": Spec(("PRIMARY_MODEL",), t("the model that an application uses"), "sdxl"),
    "enable_fallback": Spec(
        ("ENABLE_FALLBACK",), t("use the next model where that one cannot be had"), "true"
    ),
    "local_models_dir": Spec(
        ("LOCAL_MODELS_DIR",), t("folder with models in folders of their own"), "models"
    ),
    "default_chat_model": Spec(("DEFAULT_CHAT_MODEL",), t("the chat model that applications get")),
    "default_embedding_model": Spec(
        ("DEFAULT_EMBEDDING_MODEL",), t("the embedding model that applications get")
    ),
    "model_device": Spec(
        ("MODEL_DEVICE",), t("where applications load models: auto, cpu, cuda:N, mps"), "auto"
    ),
    "model_dtype": Spec(
        ("MODEL_DTYPE",), t("number type to load with: auto (as stored), float16, …"), "auto"
    ),
    "openai_api_key": Spec(
        ("OPENAI_API_KEY",),
        t("for prompt hooks that ask for it; fetch itself has no use"),
        secret=True,
    ),
    "github_token": Spec(("GITHUB_TOKEN", "GH_TOKEN"), t("token for github.com"), secret=True),
    "civitai_api_token": Spec(
        ("CIVITAI_API_TOKEN", "CIVITAI_API_KEY"), t("token for civitai.com"), secret=True
    ),
    "github_host": Spec(("GH_HOST",), t("a GitHub Enterprise host that may get the next token")),
    "github_enterprise_token": Spec(
        ("GH_ENTERPRISE_TOKEN", "GITHUB_ENTERPRISE_TOKEN"), t("token for that host"), secret=True
    ),
}


@dataclass(eq=False, repr=False)
class _Licenses(Type):
    """`licenses:`; most runs have no policy, and do without what reads one."""

    def decode(self, node: Node, document: Document) -> Any:
        """A LicensePolicy, or INVALID."""
        from fetcher.config.license_policy import PolicyType

        return PolicyType().decode(node, document)

    def json_schema(self) -> JsonSchema:
        """As the policy's own type has it."""
        from fetcher.config.license_policy import PolicyType

        return PolicyType().json_schema()


# What a project's fetch.yaml may set; tokens may not lie in a committed file.
FILE_FIELDS: dict[str, Field] = {
    "store": Field(Text(), SPECS["store"].doc),
    "offline": Field(Boolean(), SPECS["offline"].doc),
    "jobs": Field(Integer(1, 256), SPECS["jobs"].doc),
    "link": Field(Text(choices=LINKS), SPECS["link"].doc),
    "sync": Field(Boolean(), SPECS["sync"].doc),
    "gitignore": Field(Boolean(), SPECS["gitignore"].doc),
    "locks": Field(Text(choices=LOCKS), SPECS["locks"].doc),
    "limit_rate": Field(Text(_RATE.pattern, t("a rate such as 50M")), SPECS["limit_rate"].doc),
    "mirrors": Field(ListOf(Text(), or_one=True), SPECS["mirrors"].doc),
    "rewrite": Field(
        ListOf(Text(r"\S+=\S+", t("FROM=TO, two URL prefixes")), or_one=True), SPECS["rewrite"].doc
    ),
    "variants": Field(
        ListOf(Text(r"[\w.-]+=[\w.-]+", t("NAME=CHOICE")), or_one=True), SPECS["variants"].doc
    ),
    "verify_key": Field(Text(), SPECS["verify_key"].doc),
    "connect_timeout": Field(Integer(1, 600), SPECS["connect_timeout"].doc),
    "wrong_bytes_minutes": Field(Integer(0, 1440), SPECS["wrong_bytes_minutes"].doc),
    "hf_endpoint": Field(Text(r"https?://\S+", t("an http(s) URL")), SPECS["hf_endpoint"].doc),
    "xet": Field(Either((Text(choices=XET), Integer(0, 1))), SPECS["xet"].doc),
    "local_models_dir": Field(Text(), SPECS["local_models_dir"].doc),
    "default_chat_model": Field(Text(), SPECS["default_chat_model"].doc),
    "default_embedding_model": Field(Text(), SPECS["default_embedding_model"].doc),
    "model_device": Field(
        Text(r"auto|cpu|mps|cuda(:\d+)?", t("a device such as cuda:0")), SPECS["model_device"].doc
    ),
    "model_dtype": Field(Text(choices=DTYPES), SPECS["model_dtype"].doc),
    "licenses": Field(_Licenses(), t("which licences may be used, for `fetch check --licenses`")),
    "runtime": Field(RUNTIME, t("which model an application uses, and how it is loaded")),
}
SCHEMA = Record("fetch.yaml", FILE_FIELDS)
_OF_PROJECT = ("runtime", "licenses")
# The person's own file says the same for all projects, and what it allows them.
PERSON = "config.yaml"
PERSON_SCHEMA = Record(
    PERSON,
    {
        **{name: it for name, it in FILE_FIELDS.items() if name not in _OF_PROJECT},
        "allow": person.ALLOW,
    },
)
FROM_PROJECT = frozenset({"fetch.yaml", ".env"})


class Value(NamedTuple):
    """A setting's text and where it comes from."""

    text: str
    origin: str


@dataclass
class Settings:
    """All settings of one run, typed; `values` keeps the text and origin of each."""

    root: Path
    values: dict[str, Value] = field(default_factory=dict)
    runtime: Values = field(default_factory=dict)  # as fetch.yaml has it
    allowed: person.Allowed = field(default_factory=person.Allowed)
    licenses: LicensePolicy | None = None  # as fetch.yaml has it

    def text(self, name: str) -> str:
        """The raw text of a setting, "" if it is not set."""
        value = self.values.get(name)
        return value.text if value else SPECS[name].default

    def origin(self, name: str) -> str:
        """Where a setting's value comes from, such as 'default' or 'FETCH_JOBS'."""
        value = self.values.get(name)
        return value.origin if value else "default"

    def is_from_project(self, name: str) -> bool:
        """Whether the project itself, which may be a stranger's, chose this setting's value."""
        return self.origin(name) in FROM_PROJECT

    def _fail(self, name: str, expected: str) -> UsageError:
        return UsageError(
            t(
                "{origin}: {name} is {text!r}, expected {expected}",
                origin=self.origin(name),
                name=name,
                text=self.text(name).strip(),
                expected=expected,
            ),
            t("`fetch config` shows every setting and where it comes from"),
        )

    def _integer(self, name: str, low: int, high: int) -> int:
        text = self.text(name)
        if not re.fullmatch(r"[0-9]{1,9}", text) or not low <= int(text) <= high:
            raise self._fail(name, t("a whole number from {low} to {high}", low=low, high=high))
        return int(text)

    @property
    def store(self) -> Path:
        """The store's directory."""
        if text := self.text("store"):
            return self._own_place("store", text)
        if folder := cache_folder():
            return folder / "store"
        raise UsageError(
            t("the store has no place: no home directory is known"),
            t("set FETCH_STORE, or HOME, to a folder that you may write"),
        )

    def _own_place(self, name: str, text: str) -> Path:
        """A folder to write in. One that the project chooses lies below it, no link on the way.

        Raises UsageError.
        """
        path = self._path(text)
        if not self.is_from_project(name):
            return path
        root, real = os.path.realpath(self.root), os.path.realpath(path)
        wanted = os.path.normpath(os.path.join(root, os.path.relpath(path, self.root)))
        parts = Path(real).relative_to(root).parts if is_below(real, root) else ()
        if owner := next(filter(None, map(is_private, parts)), ""):  # whatever is allowed
            raise UsageError(
                t(
                    "{origin}: {name} is {text!r}, which lies in what belongs to {owner}",
                    origin=self.origin(name),
                    name=name,
                    text=text,
                    owner=owner,
                ),
                t("name another folder there, or take the line out"),
            )
        owned = real == wanted and parts
        if not owned and not self.allowed.may_lead_to(Path(real)):
            raise UsageError(
                t(
                    "{origin}: {name} is {text!r}, which leads to {real}: a project may choose "
                    "only a folder of its own, without symlinks",
                    origin=self.origin(name),
                    name=name,
                    text=text,
                    real=real,
                ),
                t(
                    "if you want it there: export {variable}={real}, or fetch config allow links "
                    "{real}",
                    variable=SPECS[name].env[0],
                    real=shlex.quote(real),
                ),
            )
        return path

    def _path(self, text: str) -> Path:
        # Path.expanduser raises for an unknown ~user, this leaves it.
        return self.root / os.path.expanduser(text)

    @property
    def offline(self) -> bool:
        """Whether the network may not be used."""
        return self._truth("offline")

    @property
    def sync(self) -> bool:
        """Whether files are brought to disk before they get their names."""
        return self._truth("sync")

    @property
    def gitignore(self) -> bool:
        """Whether a block of `.gitignore` is kept in step with what is placed."""
        return self._truth("gitignore")

    @property
    def enable_fallback(self) -> bool:
        """Whether the next model is used where the primary one cannot be had."""
        return self._truth("enable_fallback")

    def _truth(self, name: str) -> bool:
        text = self.text(name).strip().lower()
        if text in {"1", "true", "yes", "on"}:
            return True
        if text in {"", "0", "false", "no", "off"}:
            return False
        raise self._fail(name, t("1 or 0"))

    @property
    def jobs(self) -> int:
        """Connections at a time."""
        return self._integer("jobs", 1, 256)

    @property
    def connect_timeout(self) -> int:
        """Seconds to wait for a connection."""
        return self._integer("connect_timeout", 1, 600)

    @property
    def wrong_bytes_minutes(self) -> int:
        """For how long a place that gave wrong bytes for a digest is not asked for it again."""
        return self._integer("wrong_bytes_minutes", 0, 1440)

    @property
    def link(self) -> str:
        """How files are placed, one of LINKS."""
        if self.text("link") not in LINKS:
            raise self._fail("link", t("one of {links}", links=", ".join(LINKS)))
        return self.text("link")

    @property
    def shares_files(self) -> bool:
        """Whether the person, and no project, asks for hard links of files found elsewhere too."""
        return self.link == "hardlink" and not self.is_from_project("link")

    @property
    def locks(self) -> str:
        """How runs keep out of each other's way, one of LOCKS."""
        if self.text("locks") not in LOCKS:
            raise self._fail("locks", t("one of {locks}", locks=", ".join(LOCKS)))
        return self.text("locks")

    @property
    def limit_rate(self) -> int:
        """Bytes per second for all downloads together, 0 for no limit."""
        text = self.text("limit_rate")
        if not text:
            return 0
        found = _RATE.fullmatch(text)
        rate = 0
        if found:
            factor = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9}[found[2].lower()]
            rate = int(float(found[1]) * factor)
        if rate < 1:
            raise self._fail("limit_rate", t("a rate such as 500k or 50M"))
        return rate

    @property
    def mirrors(self) -> tuple[str, ...]:
        """Mirrors to ask before a file's own sources."""
        text = self.text("mirrors")
        # A folder's name may have spaces: only a variable's text is split at them.
        found = tuple(filter(None, text.split("\n") if "\n" in text else text.split()))
        for mirror in found:
            if "://" in mirror and not mirror.startswith(MIRROR_SCHEMES):
                raise self._fail("mirrors", t("bundles, stores' folders, or URLs of mirrors"))
        return found

    @property
    def rewrite(self) -> tuple[tuple[str, str], ...]:
        """Pairs of URL prefixes (from, to), the longest `from` first."""
        pairs = []
        for item in self.text("rewrite").split():
            source, equals, target = item.partition("=")
            if not equals or "://" not in source or "://" not in target:
                raise self._fail("rewrite", t("FROM=TO with two URL prefixes"))
            pairs.append((source, target))
        return tuple(sorted(pairs, key=lambda pair: -len(pair[0])))

    @property
    def variants(self) -> dict[str, str]:
        """The choice of each variant that settings make."""
        found: dict[str, str] = {}
        for item in self.text("variants").split():
            name, equals, choice = item.partition("=")
            if not (name and equals and choice):
                raise self._fail("variants", t("NAME=CHOICE, such as precision=fp16"))
            found[name] = choice
        return found

    @property
    def hf_endpoint(self) -> str:
        """The Hub's address without a trailing slash."""
        text = self.text("hf_endpoint").rstrip("/")
        try:
            sound = urlsplit(text).scheme in {"http", "https"} and urlsplit(text).hostname
        except ValueError:
            sound = None
        if not sound:
            raise self._fail("hf_endpoint", t("an http(s) URL"))
        return text

    @property
    def xet(self) -> bool:
        """Whether large files of the Hub are had through hf_xet, where they lie in Xet storage.

        `HF_HUB_DISABLE_XET` outweighs what the project says.
        """
        text = self.text("xet").strip().lower()
        if text not in XET:
            raise self._fail("xet", t("one of {xet}", xet=", ".join(XET)))
        if self.is_from_project("xet"):
            unwanted = os.environ.get("HF_HUB_DISABLE_XET", "").upper()
            return text == "1" and unwanted not in {"1", "ON", "YES", "TRUE"}
        return text == "1"

    @property
    def verify_key(self) -> Path | None:
        """The public key that bundles must be signed with, None if they need not be."""
        text = self.text("verify_key")
        return self._path(text) if text else None

    @property
    def hub_cache(self) -> Path:
        """The Hugging Face cache directory, as huggingface_hub finds it."""
        if text := self.text("hub_cache"):
            own = self.is_from_project("hub_cache")
            return self._own_place("hub_cache", text) if own else _hub_path(text)
        return self._hf_home() / "hub"

    def _hf_home(self) -> Path:
        if chosen := os.environ.get("HF_HOME"):
            return _hub_path(chosen)
        if not os.environ.get("XDG_CACHE_HOME") and home() is None:
            return self.store.parent / "huggingface"  # else it would lie in the project
        return _hub_path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "huggingface"

    @property
    def hf_token(self) -> str:
        """The Hub token that a variable gives, "" if there is none.

        An endpoint that the project itself names gets no token of the user's. `.env` may be the
        user's own file, in a stranger's clone: its token goes to the endpoint of the same file,
        and to none that the committed fetch.yaml names.
        """
        together = self.origin("hf_token") == self.origin("hf_endpoint") == ".env"
        if not (self.hub_login_allowed or together):
            return ""
        return self.text("hf_token").strip()

    @property
    def own_mirrors(self) -> tuple[str, ...]:
        """The mirrors that the person has named: these may get a login of theirs."""
        return () if self.is_from_project("mirrors") else self.mirrors

    @property
    def hub_login_allowed(self) -> bool:
        """Whether the Hub's endpoint is the user's choice, and may get what is the user's."""
        own = self.is_from_project("hf_endpoint")
        return not own or self.hf_endpoint == PUBLIC_HUB

    @property
    def hub_answers_to_person(self) -> bool:
        """Whether what answers at the Hub's address is the person's choice, rewriting included."""
        return self.hub_login_allowed and not self.is_from_project("rewrite")

    @property
    def own_store(self) -> Path | None:
        """A store that no project chose: where the person's own knowledge is; None without any."""
        if not self.is_from_project("store"):
            return self.store
        folder = cache_folder()
        return folder / "store" if folder else None

    @property
    def hf_token_path(self) -> Path:
        """Where `hf auth login` leaves its token, as huggingface_hub finds it."""
        if named := os.environ.get("HF_TOKEN_PATH"):
            return self._path(os.path.expandvars(named))
        return self._hf_home() / "token"

    @property
    def local_models_dir(self) -> Path:
        """Where models lie in folders of their own. Raises UsageError for a folder outside that
        neither the person's settings name nor what they allow."""
        path = self._path(self.text("local_models_dir"))
        real = os.path.realpath(path)
        inside = is_below(real, os.path.realpath(self.root))
        own = self.origin("local_models_dir") in {"default", *FROM_PROJECT}
        allowed = self.allowed.may_take_from(Path(real)) or self.allowed.may_lead_to(Path(real))
        if own and not inside and not allowed:
            raise UsageError(
                t("{path} leads to {real}, outside the project", path=path, real=real),
                t("if you want it: fetch config allow local {real}", real=shlex.quote(real)),
            )
        return path

    @property
    def model_device(self) -> str:
        """Where applications load models: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`."""
        text = self.text("model_device").strip().lower()
        if not re.fullmatch(r"auto|cpu|mps|cuda(:\d{1,4})?", text):
            raise self._fail("model_device", t("auto, cpu, cuda:N or mps"))
        return text

    @property
    def model_dtype(self) -> str:
        """The number type that applications load models with, one of DTYPES."""
        text = self.text("model_dtype").strip().lower()
        if text not in DTYPES:
            raise self._fail("model_dtype", t("one of {dtypes}", dtypes=", ".join(DTYPES[:5])))
        return text

    def check(self) -> None:
        """Raise UsageError for the first setting that cannot be used."""
        _ = self.store, self.offline, self.sync, self.jobs, self.link, self.locks
        _ = self.limit_rate, self.mirrors, self.variants
        _ = self.rewrite, self.connect_timeout, self.wrong_bytes_minutes
        _ = self.hf_endpoint, self.hub_cache, self.xet
        _ = self.enable_fallback, self.model_device, self.model_dtype


def _hub_path(text: str) -> Path:
    """A path in the environment as huggingface_hub reads it: `~`, `$NAME`, from where one is."""
    return Path.cwd() / os.path.expandvars(os.path.expanduser(text))


def _decoded(path: Path, name: str, record: Record, problems: list[DocumentProblem]) -> Values:
    """What a YAML file of settings says, {} for none or an empty one."""
    if not path.exists():
        return {}
    document = nodes.read(path, name)
    if document.empty:
        return {}
    decoded: Any = INVALID
    if document.root is not None:
        decoded = record.decode(document.root, document)
    problems += document.problems
    return {} if decoded is INVALID else dict(decoded)


def _as_text(values: Mapping[str, Any], origin: str) -> dict[str, Value]:
    texts = {}
    for name, value in values.items():
        text = "\n".join([*value, ""]) if isinstance(value, tuple) else str(value)
        texts[name] = Value(text.lower() if isinstance(value, bool) else text, origin)
    return texts


def _from_file(
    path: Path, problems: list[DocumentProblem]
) -> tuple[dict[str, Value], Values, LicensePolicy | None]:
    """The settings as text, `runtime` as it is, and the policy of licences."""
    decoded = _decoded(path, "fetch.yaml", SCHEMA, problems)
    runtime, policy = decoded.pop("runtime", {}), decoded.pop("licenses", None)
    chosen = {name: value for name, value in runtime.items() if name in SPECS}
    return _as_text({**decoded, **chosen}, "fetch.yaml"), runtime, policy


def _from_person(problems: list[DocumentProblem]) -> tuple[dict[str, Value], person.Allowed]:
    """The person's own settings, and what they allow."""
    path = person.existing()
    decoded = _decoded(path, str(path), PERSON_SCHEMA, problems) if path else {}
    allow = decoded.pop("allow", None)
    for name in ("store", "verify_key"):
        if path and name in decoded:  # a path there is meant from where the file lies
            decoded[name] = str(path.parent / os.path.expanduser(decoded[name]))
    return _as_text(decoded, str(path)), person.allowed(allow)


def allowed() -> person.Allowed:
    """What the person allows, whatever the project. Raises InvalidDocument, UsageError."""
    problems: list[DocumentProblem] = []
    _, found = _from_person(problems)
    if problems:
        raise InvalidDocument(problems)
    return found


def _from_environment(variables: Mapping[str, str | None], label: str) -> dict[str, Value]:
    found = {}
    for name, spec in SPECS.items():
        for variable in spec.env:
            text = variables.get(variable)
            if text:
                found[name] = Value(text, label or variable)
                break
    return found


def _from_env_file(path: Path) -> dict[str, Value]:
    if not path.exists() or path.is_dir():  # some have their virtual environment there
        return {}
    from dotenv import dotenv_values

    try:
        text = read_regular_text(path, _LARGEST_ENV)
        found = dotenv_values(stream=io.StringIO(text), interpolate=False)
    except (OSError, UnicodeDecodeError) as error:
        told = getattr(error, "strerror", "") or error
        hint = t("save it as UTF-8 text") if isinstance(error, UnicodeError) else t("replace it")
        raise UsageError(t(".env cannot be read: {error}", error=told), hint) from error
    return _from_environment(found, ".env")


def load(root: Path, flags: Mapping[str, object] | None = None) -> Settings:
    """Read all settings for the project at `root`; `flags` are those given on the command line.

    Raises InvalidDocument for a wrong fetch.yaml or person's own file, Failure for one of the
    project's that is a link out of it; a wrong value raises UsageError when used.
    """
    problems: list[DocumentProblem] = []
    own, allowed = _from_person(problems)
    project = Boundary(root, allowed.may_lead_to)
    values, runtime, policy = _from_file(project.real_path("fetch.yaml"), problems)
    if problems:
        raise InvalidDocument(problems)
    values |= _from_env_file(project.real_path(".env"))
    values |= own
    values |= _from_environment(os.environ, "")
    host, token = values.get("github_host"), values.get("github_enterprise_token")
    if host and token and host.origin == ".env" and token.origin != ".env":
        # A host that the project itself names gets no token of the user's.
        del values["github_enterprise_token"]
    for name, value in (flags or {}).items():
        if value is None or value is False or value == ():
            continue
        text = "true" if value is True else str(value)
        if isinstance(value, tuple):
            text = "\n".join([*value, ""])
        flag = "from" if name == "mirrors" else name.replace("_", "-")
        values[name] = Value(text, f"--{flag}")
    return Settings(root, values, runtime, allowed, policy)


def json_schema() -> JsonSchema:
    """The format of fetch.yaml as JSON Schema."""
    return document_schema("fetch.yaml", SCHEMA)
