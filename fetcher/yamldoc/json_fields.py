"""Fields of a JSON object from outside, read by their type.

Nothing that was written elsewhere (a bundle, a report in a project, an answer of a server) is
believed: a value of another type than is asked for counts as absent.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class JsonFields:
    """An object's values by name; all readers return a plain value, never raise."""

    values: Mapping[str, object] = field(default_factory=dict)

    @classmethod
    def of(cls, value: object) -> JsonFields:
        """Any JSON value; what is no object has no fields."""
        return JsonFields(value if isinstance(value, Mapping) else {})

    def get(self, name: str) -> object:
        """A value of whatever type; None if it is absent."""
        return self.values.get(name)

    def text(self, name: str) -> str:
        """A text; "" if there is none."""
        value = self.values.get(name)
        return value if isinstance(value, str) else ""

    def items(self, name: str) -> list[object]:
        """A list's items; empty if there is none."""
        value = self.values.get(name)
        return list(value) if isinstance(value, list | tuple) else []

    def texts(self, name: str) -> list[str]:
        """The texts of a list."""
        return [item for item in self.items(name) if isinstance(item, str)]

    def whole(self, name: str) -> int:
        """A whole number of 0 or more; 0 if there is none."""
        value = self.values.get(name)
        sound = isinstance(value, int) and not isinstance(value, bool) and value >= 0
        return value if sound and isinstance(value, int) else 0

    def object(self, name: str) -> JsonFields:
        """An object; one without fields if there is none."""
        return JsonFields.of(self.values.get(name))

    def objects(self, name: str) -> Iterator[JsonFields]:
        """The objects of a list."""
        return (JsonFields(item) for item in self.items(name) if isinstance(item, Mapping))
