"""Scripts, build files and pages that `fetch import` reads: sound manifests and layouts, or remarks."""

from __future__ import annotations

from pathlib import Path

from fetcher.errors import UsageError
from fetcher.importers import documents
from fetcher.importers.draft import draft
from fetcher.importers.writing import changes_of
from fetcher.project import layout, manifest
from fetcher.yamldoc import nodes
from tests.fuzz.kit import Target, seed

KINDS = {
    b"s": ("scripts/get.sh", "shell"),
    b"w": ("weights/get.sh", "shell"),
    b"p": ("tools/get.py", "python"),
    b"d": ("Dockerfile", "dockerfile"),
    b"m": ("Makefile", "makefile"),
    b"r": ("README.md", "page"),
    b"t": ("docs/install.rst", "rst"),
    b"h": ("page.html", "html"),
    b"n": ("demo.ipynb", "notebook"),
    b"l": ("weights/urls.txt", "list"),
}
OWN_LINES = {"html", "notebook"}  # their remarks count the lines of what is made of them
DECODERS = {"manifests": manifest.decode, "layouts": layout.decode}
NOWHERE = Path("/nonexistent-project")


def check(data: bytes) -> None:
    path, kind = KINDS.get(data[:1], KINDS[b"s"])
    text = data[1:].decode("utf-8", "replace")
    try:
        found = documents.read(text, documents.Where(path, project="proj"), kind)
    except UsageError as error:
        assert error.message
        return
    made = draft(found.tree)
    lines = len(text.splitlines()) + 1
    inside = kind in OWN_LINES or all(remark.line <= lines for remark in made.remarks)
    assert inside and all(remark.line >= 1 for remark in made.remarks), made.remarks
    marks = [char for char in repr(made) if "\ue000" <= char <= "\ue004"]
    assert not marks or any("\ue000" <= char <= "\ue004" for char in text), made
    if not made.artifacts:
        return
    for change in changes_of(made, NOWHERE, "m", "t", found.root):
        document = nodes.parse(change.after.encode("utf-8", "surrogatepass"), change.path)
        DECODERS[change.path.partition("/")[0]](document)
        assert not document.problems, (change.after, document.problems)


TARGET = Target(
    check,
    [
        b"s" + seed('D="$1"\nwget https://a.example/b.zip -P $D/x\nunzip $D/x/b.zip -d $D\nmv $D/b/* .\n'),
        b"s" + seed("gdown 1aaaaaaaaaaaaaaaa\ngdown 1bbbbbbbbbbbbbbbb\nunzip a.zip\nunzip b.zip\nrm -rf x\n"),
        b"s" + seed("cd ~/d && for i in 1 2; do curl -o $i/x.pt https://a.example/$i.pt; done\nexit 1\n"),
        b"w" + seed("wget https://a.example/y.pth\ncd ..\nln -s ../a b\n"),
        b"p" + seed("import os\nfor d in os.environ['X'].split('-'):\n    os.system(f'wget https://a.example/{d}')\n"),
        b"d" + seed("FROM a\nWORKDIR /app\nCOPY . .\nRUN cd x && \\\n  # c\n  wget https://a.example/z\nADD https://a.example/q /q/\n"),
        b"m" + seed("A := b\nall: c\n\t@cd $(A) && curl -o $@ https://a.example/$$n\nd/%.npz:\n\tcurl -O $*\n"),
        b"t" + seed("A\n=\n\nPut `a <https://a.example/b.pt>`_ in ``w/``.\n\n.. code-block:: sh\n\n   wget https://a.example/z\n\n+-+-+\n|a|b|\n+-+-+\n"),
        b"h" + seed("<h1>Models</h1><p>Put <a href='b.pt'>x</a> into <code>w/</code><table><tr><td>a<td><pre>hf download o/m\n"),
        b"n" + seed('{"cells":[{"cell_type":"code","source":["%cd x\\n","!wget https://a.example/b.pt"]}]}'),
        b"l" + seed("https://a.example/b.pt w/b.pt\nhf:o/m m/\nhttps://a.example/c\n dir=w\n out=c.pt\n"),
        b"r" + seed("# A\n## Models\n[a](https://huggingface.co/o/m)\n```\n./w\n|-- m\n|   `-- x.pth\n```\n"),
    ],
    ["wget ", "curl -L ", "unzip ", "tar -xf ", "mv ", "rm -rf ", "cp ", "cd ", "$1", "${X}", "$(pwd)", "~/",
     "../", "/", "*", "https://a.example/b.zip", " -d ", " -P ", " -O ", "\\\n", "if [ -d x ]; then\n", "fi\n",
     "exit\n", "RUN ", "WORKDIR ", "COPY . .\n", "$@", "$(", "|-- ", "`-- ", "| a | b |\n|---|---|\n", "put in `d/`", ".. list-table::\n", "::\n\n   ",
     "<td>", "</td>", "<a href=", "%cd ", " → `d/a.pt`", "save it as `d/a.pt`", "解压到 `d/`", "폴더에 저장", " out="],
    longest=600,
)  # fmt: skip
