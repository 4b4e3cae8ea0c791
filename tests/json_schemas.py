"""Values held against JSON schemas.

The library is imported when it is first needed: its grammars take seconds to compile, which every
process that only collects tests would pay.
"""

from __future__ import annotations

from typing import Any


def validate(value: object, schema: Any) -> None:
    """Fail unless the value is what the schema, of the draft that it names, allows."""
    import jsonschema

    jsonschema.validate(value, schema)


def validate_by_draft_4(value: object, schema: Any) -> None:
    """Fail unless the value is what a schema of draft 4 allows."""
    import jsonschema

    jsonschema.Draft4Validator(schema).validate(value)


def is_valid(value: object, schema: Any) -> bool:
    """Whether a schema of draft 2020-12 allows the value."""
    import jsonschema

    return jsonschema.Draft202012Validator(schema).is_valid(value)


def check_schema(schema: Any) -> None:
    """Fail unless it is a schema of draft 2020-12."""
    import jsonschema

    jsonschema.Draft202012Validator.check_schema(schema)
