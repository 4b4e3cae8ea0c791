"""What is known of a file, and what its bytes were found to be."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fetcher.sources.base import FileEntry

TEXTS = st.none() | st.text(max_size=5)
ENTRIES = st.builds(
    FileEntry,
    st.text(max_size=5),
    st.none() | st.integers(0, 9),
    TEXTS,
    TEXTS,
    st.booleans(),
    TEXTS,
    st.booleans(),
    st.booleans(),
    TEXTS,
    st.text(max_size=5),
    st.booleans(),
)


@given(ENTRIES)
def test_only_what_was_found_changes(entry: FileEntry) -> None:
    found = entry.proven(7, "ab")
    computed = entry.computed or entry.sha256 is None
    changed = entry._replace(size=7, sha256="ab", computed=computed, size_hint=False)
    assert found == changed and type(found) is FileEntry
