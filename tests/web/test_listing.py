"""Cards and their filters; whatever lies in a report, a page comes of it."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from fetcher.mirror.inventory import ArtifactRecord
from fetcher.server.tokens import ANONYMOUS, Identity
from fetcher.web import pages, plots
from fetcher.web.catalog_view import FACETS, Catalog, CatalogCard, CatalogFile, facets
from fetcher.web.i18n import Translator
from fetcher.web.render import _environment
from fetcher.yamldoc.json_fields import JsonFields

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=12,
)
KEYS = ("state", "type", "time", "reason", "checks", "metrics", "tables", "pictures", "hint")
TABLE = st.fixed_dictionaries({}, optional=dict.fromkeys(("name", "columns", "rows"), JSON))
PICTURE = st.fixed_dictionaries(
    {"sha256": JSON | st.just("0" * 64)}, optional=dict.fromkeys(("width", "height", "name"), JSON)
)


def _card(**more: Any) -> CatalogCard:
    files = (CatalogFile("a/b.bin", 3, "0" * 64, ("m/b.bin",)), CatalogFile("c", None, None))
    values = {"manifest": "m", "id": "x", "source": "hf:o/m", "revision": "",
              "files": files, "state": "complete", "held": True, "repo": "o/m"}  # fmt: skip
    record = ArtifactRecord(more.pop("record", {}))
    return CatalogCard(**{**values, "record": record, **more})


@settings(max_examples=30)  # each renders two pages
@given(st.dictionaries(st.sampled_from(KEYS), JSON | st.lists(TABLE) | st.lists(PICTURE)))
def test_whatever_a_report_says_makes_a_page(result: dict[str, Any]) -> None:
    card = _card(verified=JsonFields(result))
    assert isinstance(card.proof, str) and len(card.proven_on) <= 10
    for language in ("en", "ko"):
        values = pages.artifact(card, Translator(language), "http://h")
        assert isinstance(values["proof"] if result else {}, dict)
        text = _environment().get_template("artifact.html").render(
            t=Translator(language), root="", here="", other_link="/", other_language="",
            signed_in=False, has_tokens=False, may_write=False, version="", csrf="",
            identity=ANONYMOUS, may_verify=False, registered=False, **values,
        )  # fmt: skip
        assert "<script" not in text.lower()


@given(st.dictionaries(st.sampled_from(["q", *FACETS]), st.text(max_size=20)))
def test_filters_take_any_text(wanted: dict[str, str]) -> None:
    cards = [_card(), _card(id="y", record={"tags": ["a"], "requires_auth": True})]
    found = pages.catalog(Catalog(cards), ANONYMOUS, wanted, Translator("en"))
    assert isinstance(found["cards"], list) and found["pages"] == 1
    assert all(card in cards for card in found["cards"])


def test_what_is_private_is_in_no_facet() -> None:
    shown = Catalog([_card(), _card(id="y", record={"visibility": "private", "owner": "secret"})])
    assert "secret" not in str(facets(shown.visible(ANONYMOUS)))
    assert "secret" in str(facets(shown.visible(Identity("a", globs=("m/*",)))))
    assert "secret" not in str(facets(shown.visible(Identity("a", globs=("other/*",)))))


@given(st.lists(st.tuples(st.text(max_size=40), st.floats(allow_nan=False), st.text(max_size=9))))
def test_plots_of_any_figures(rows: list[tuple[str, float, str]]) -> None:
    finite = [row for row in rows if abs(row[1]) < 1e300]
    assert plots.bars(finite, "t").count("<rect") == len(finite)
