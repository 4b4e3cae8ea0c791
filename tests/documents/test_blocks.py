"""The reader of documents, on texts that have what such documents have."""

from __future__ import annotations

import pytest

from tests.documents.blocks import blocks, blocks_in, links, tables_in

TEXT = """\
# One

Words in ```code``` within a line, and ```two``` of them.

```python
# no heading
print("hi")
```

1. A list

   ```bash
   $ curl http://localhost:8000/models
     # a comment

   fetch all
   ```

## Two ##

````yaml title="x"
```
a: 1
````

| Name | What |
|:-----|-----:|
| `a`  | x \\| y |
| b    |  |

~~~
| in | code |
|----|------|
| 1  | 2    |
~~~

| Name |
|------|
| c |
"""


def test_blocks_are_read_with_their_heading_language_and_line() -> None:
    python, bash, yaml, plain = blocks_in(TEXT)
    assert python.text == '# no heading\nprint("hi")\n' and python.line == 6
    assert (python.heading, python.language) == ("One", "python")
    assert bash.commands == ["curl http://localhost:8000/models", "fetch all"]
    assert bash.heading == "One" and bash.text.startswith("$ curl"), "its indentation is gone"
    assert (yaml.heading, yaml.language, yaml.text) == ("Two", "yaml", "```\na: 1\n")
    assert plain.language == "" and plain.text.startswith("| in |")
    with pytest.raises(ValueError, match="line 2 does not end"):
        blocks_in("x\n```python\nprint()\n")
    assert blocks_in("") == [] == tables_in("")


def test_tables_are_read_and_those_within_code_are_not() -> None:
    first, second = tables_in(TEXT)
    assert (first.heading, first.columns) == ("Two", ("Name", "What"))
    assert first.rows == ({"Name": "`a`", "What": "x \\| y"}, {"Name": "b", "What": ""})
    assert second.rows == ({"Name": "c"},)


def test_a_document_is_found_by_its_number() -> None:
    assert {block.language for block in blocks("003")} == {"python", ""}
    assert links("003")["HuggingFace Transformers"].startswith("https://huggingface.co/")
