"""Stand-in for Google Drive's shared files: their warning page, quota, and folders' lists.

Written from what clients that download without an account rely on: `download?id=` answers a small
file with its bytes, a large one with a page whose form says how to go on; `embeddedfolderview`
lists a folder.
"""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass, field

from .base import Server
from .wire import Content, Request, Response, attachment, digest, size_of

HOSTS = ("https://drive.google.com/", "https://drive.usercontent.google.com/")
LARGE = 100_000  # the real bound is 100 MB


@dataclass
class DriveFile:
    name: str
    content: Content
    mode: str = "ok"  # quota, private


@dataclass
class DriveFolder:
    entries: list[tuple[str, str, str]] = field(default_factory=list)  # name, kind, id


class DriveServer(Server):
    """`add_file` shares a file, `add_tree` a folder with files by their paths."""

    def __init__(self, port: int = 0) -> None:
        super().__init__(port)
        self.files: dict[str, DriveFile] = {}
        self.folders: dict[str, DriveFolder] = {}

    @property
    def rewrite(self) -> str:
        return " ".join(f"{host}={self.url}/" for host in HOSTS)

    def add_file(self, file_id: str, name: str, content: Content, mode: str = "ok") -> str:
        self.files[file_id] = DriveFile(name, content, mode)
        return f"https://drive.google.com/file/d/{file_id}/view?usp=sharing"

    def add_tree(self, folder_id: str, files: Mapping[str, Content]) -> str:
        self.folders[folder_id] = DriveFolder()
        for path, content in files.items():
            owner, parts = folder_id, path.split("/")
            for part in parts[:-1]:
                inner = "folder-" + digest(f"{owner}/{part}".encode())[:20]
                if inner not in self.folders:
                    self.folders[inner] = DriveFolder()
                    self.folders[owner].entries.append((part, "folder", inner))
                owner = inner
            file_id = "file-" + digest(f"{owner}/{parts[-1]}".encode())[:20]
            self.add_file(file_id, parts[-1], content)
            self.folders[owner].entries.append((parts[-1], "file", file_id))
        return f"https://drive.google.com/drive/folders/{folder_id}?usp=sharing"

    def respond(self, request: Request) -> Response:
        wanted = request.query.get("id", "")
        if request.path == "/embeddedfolderview":
            return self._list(self.folders.get(wanted))
        if request.path == "/uc":
            return Response.redirect(f"/download?{request.target.partition('?')[2]}", 303)
        if request.path == "/download":
            return self._download(request, wanted, self.files.get(wanted))
        return Response.page("Error 404 (Not Found)!!1", "The requested URL was not found.", 404)

    def _list(self, folder: DriveFolder | None) -> Response:
        if folder is None:
            return Response.page("Error 404 (Not Found)!!1", "Not found.", 404)
        kinds = {"file": "file/d/{}/view?usp=drive_web", "folder": "drive/folders/{}"}
        entries = "".join(
            f'<div class="flip-entry" id="entry-{item}" tabindex="0" role="link">'
            f'<div class="flip-entry-info"><a href="https://drive.google.com/'
            f'{kinds[kind].format(item)}" target="_blank"><div class="flip-entry-visual"></div>'
            f'<div class="flip-entry-title">{html.escape(name)}</div></a></div></div>'
            for name, kind, item in folder.entries
        )
        page = f'<!DOCTYPE html><html><body><div class="flip-list">{entries}</div></body></html>'
        return Response(body=page.encode(), content_type="text/html; charset=utf-8")

    def _download(self, request: Request, file_id: str, file: DriveFile | None) -> Response:
        if file is None:
            return Response.page("Error 404 (Not Found)!!1", "Not found.", 404)
        if file.mode == "quota":
            text = (
                "Sorry, you can't view or download this file at this time. Too many users have "
                "viewed or downloaded this file recently. Please try accessing the file again "
                "later."
            )
            return Response.page("Google Drive - Quota exceeded", text)
        if file.mode == "private":
            return Response.redirect("https://accounts.google.com/v3/signin/identifier")
        uuid = digest(file_id.encode())[:32]
        agreed = request.query.get("confirm") == "t" and request.query.get("uuid") == uuid
        if size_of(file.content) > LARGE and not agreed:
            return self._warning(file_id, file, uuid)
        return Response(
            body=file.content,
            headers={"Content-Disposition": attachment(file.name)},
            ranges=True,
        )

    @staticmethod
    def _warning(file_id: str, file: DriveFile, uuid: str) -> Response:
        fields = {"id": file_id, "export": "download", "confirm": "t", "uuid": uuid}
        inputs = "".join(
            f'<input type="hidden" name="{name}" value="{value}">' for name, value in fields.items()
        )
        page = (
            "<!DOCTYPE html><html><head><title>Google Drive - Virus scan warning</title></head>"
            "<body>"
            '<p class="uc-warning-caption">Google Drive can\'t scan this file for viruses.</p>'
            '<p class="uc-warning-subcaption"><span class="uc-name-size">'
            f'<a href="/open?id={file_id}"'
            f">{html.escape(file.name)}</a> (1.2M)</span> is too large.</p>"
            '<form id="download-form" action="https://drive.usercontent.google.com/download" '
            f'method="get"><input type="submit" value="Download anyway"/>{inputs}</form>'
            "</body></html>"
        )
        return Response(body=page.encode(), content_type="text/html; charset=utf-8")
