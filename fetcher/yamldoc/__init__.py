"""YAML with line and column: read by a schema, edited without losing comments."""
