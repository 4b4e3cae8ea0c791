"""Licences: what texts mean, when two say the same, and what a policy makes of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetcher.config.license_policy import LicenseException, LicensePolicy
from fetcher.project.license_rules import exception_for, judge
from fetcher.project.licenses import agree, each, is_spdx, parse, same, says_something


@pytest.mark.parametrize(
    ("text", "expression", "spdx"),
    [
        ("apache-2.0", "Apache-2.0", True),
        ("MIT License", "MIT", True),
        ("GPL-2.0", "GPL-2.0-only", True),
        ("gpl-3.0+ or mit", "GPL-3.0-or-later OR MIT", True),
        ("MIT AND (Apache-2.0 OR cc-by-4.0)", "MIT AND (Apache-2.0 OR CC-BY-4.0)", True),
        (
            "GPL-2.0 with Classpath-exception-2.0",
            "GPL-2.0-only WITH Classpath-exception-2.0",
            True,
        ),
        ("odbl", "ODbL-1.0", True),
        ("LicenseRef-Ours", "LicenseRef-Ours", True),
        ("llama3", "Llama-3", False),
        ("openrail++", "CreativeML Open RAIL++-M", False),
        ("DINOv3 License", "DINOv3 License", False),
        ("Research and Education only", "Research and Education only", False),
        ("(MIT", "MIT", True),
        ("(Foo", "(Foo", False),
        ("Classpath-exception-2.0", "Classpath-exception-2.0", False),
        ("라이선스", "라이선스", False),
        ("", "unspecified", False),
    ],
)
def test_what_a_text_means(text: str, expression: str, spdx: bool) -> None:
    assert str(parse(text)) == expression
    assert is_spdx(parse(text)) is spdx


@given(
    st.text(max_size=60)
    | st.lists(st.sampled_from(["MIT", "(", ")", "AND", "or", "WITH", "x"])).map(" ".join)
)
def test_any_text_is_read(text: str) -> None:
    found = parse(text)
    assert str(found) and list(each(found))
    assert same(text, text)
    judge(LicensePolicy(allow=("MIT",), deny=("GPL-*",)), text)


def test_a_text_that_is_too_long_means_nothing_that_is_allowed() -> None:
    text = " OR ".join(["MIT"] * 2000)
    assert judge(LicensePolicy(allow=("MIT",)), text).verdict == "not-allowed"
    nested = "(" * 900 + "MIT" + ")" * 900
    assert judge(LicensePolicy(allow=("MIT",)), nested).verdict in {"allowed", "not-allowed"}


@pytest.mark.parametrize(
    ("ours", "theirs", "agreed"),
    [
        ("Apache-2.0", "apache-2.0", True),
        ("MIT AND Apache-2.0", "apache-2.0 and mit", True),
        ("MIT", "MIT OR Apache-2.0", True),
        ("MIT OR Apache-2.0", "MIT", False),
        ("GPL-2.0", "GPL-2.0-only", True),
        ("GPL-2.0-only", "GPL-2.0-or-later", False),
        ("CreativeML-OpenRAIL-M", "creativeml-openrail-m", True),
        ("OpenRAIL++", "openrail++", True),
        ("Llama-3", "llama3.1", False),
        ("MIT", "cc-by-nc-4.0", False),
    ],
)
def test_what_contradicts(ours: str, theirs: str, agreed: bool) -> None:
    assert agree(ours, theirs) is agreed


@pytest.mark.parametrize("text", ["other", "Other", "unknown", "NOASSERTION", "unspecified", " "])
def test_what_says_nothing(text: str) -> None:
    assert not says_something(text)
    assert judge(LicensePolicy(allow=("MIT",)), text).verdict == "unknown"


def verdict(text: str, allow: str = "", deny: str = "") -> str:
    allowed = tuple(allow.split(", ")) if allow else None
    return judge(LicensePolicy(allowed, tuple(filter(None, deny.split(", ")))), text).verdict


@pytest.mark.parametrize(
    ("text", "allow", "deny", "expected"),
    [
        ("mit", "MIT", "", "allowed"),
        ("Apache-2.0", "MIT", "", "not-allowed"),
        ("Apache-2.0", "", "GPL-*", "allowed"),
        ("cc-by-nc-4.0", "CC-BY-*", "CC-BY-NC-*", "denied"),
        ("CC-BY-NC-SA-4.0", "", "cc-by-nc-*", "denied"),
        ("CC-BY-4.0", "CC-BY-*", "CC-BY-NC-*", "allowed"),
        ("CC-BY-NC-4.0", "CC-BY-[0-9]*", "", "not-allowed"),
        ("LGPL-3.0", "", "GPL-*", "allowed"),
        ("GPL-3.0", "", "GPL-3.0", "denied"),
        ("GPL-3.0-or-later", "", "GPL-3.0", "allowed"),
        ("MIT-0", "", "MIT-*", "denied"),
        ("MIT", "", "MIT-*", "allowed"),
        # One's choice, and all together.
        ("GPL-3.0 OR MIT", "MIT", "GPL-*", "allowed"),
        ("GPL-3.0 AND MIT", "MIT", "GPL-*", "denied"),
        ("(GPL-3.0 OR MIT) AND cc-by-nc-4.0", "MIT, CC-BY-*", "GPL-*", "allowed"),
        ("MIT AND other", "MIT", "", "unknown"),
        ("MIT AND other", "MIT, other", "", "allowed"),
        # WITH
        ("GPL-2.0 WITH Classpath-exception-2.0", "GPL-2.0", "", "allowed"),
        ("GPL-2.0 WITH Classpath-exception-2.0", "", "GPL-*", "denied"),
        (
            "GPL-2.0 WITH Classpath-exception-2.0",
            "GPL-2.0-only WITH Classpath-exception-2.0",
            "GPL-*",
            "allowed",
        ),
        ("GPL-2.0", "GPL-2.0-only WITH Classpath-exception-2.0", "", "not-allowed"),
        # Families that SPDX does not list.
        ("openrail", "openrail*", "", "allowed"),
        ("openrail++", "openrail*", "", "allowed"),
        ("CreativeML Open RAIL++-M", "openrail*", "", "allowed"),
        ("creativeml-openrail-m", "", "openrail*", "denied"),
        ("bigscience-bloom-rail-1.0", "", "openrail*", "denied"),
        ("creativeml-openrail-m", "openrail", "", "not-allowed"),
        ("trailing-license", "openrail*", "", "not-allowed"),
        ("Llama-3", "llama3", "", "allowed"),
        ("llama3.1", "llama*", "", "allowed"),
        ("llama3.1", "Llama-3.1", "", "allowed"),
        ("llama3.1", "Llama-3", "", "not-allowed"),
        ("DINOv3 License", "dinov3*", "", "allowed"),
        ("Gemma", "", "gemma", "denied"),
    ],
)  # fmt: skip
def test_verdicts(text: str, allow: str, deny: str, expected: str) -> None:
    assert verdict(text, allow, deny) == expected


def test_exceptions_are_of_an_artifact_and_may_be_of_a_licence() -> None:
    policy = LicensePolicy(
        exceptions=(
            LicenseException("a", "bought", "cc-by-nc-4.0"),
            LicenseException("p/*", "ours"),
        )
    )
    bought = exception_for(policy, ["a", "q/a"], "CC-BY-NC-4.0")
    assert bought is not None and bought.reason == "bought"
    assert exception_for(policy, ["a", "q/a"], "GPL-3.0") is None
    assert exception_for(policy, ["b", "p/b"], "GPL-3.0") is not None
    assert exception_for(policy, ["b", "q/b"], "MIT") is None
