"""Stand-ins for share links of Dropbox and OneDrive: a page, or the bytes if asked for."""

from __future__ import annotations

import base64
import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

from .base import Server
from .wire import Content, Request, Response, attachment, digest, read, size_of

DROPBOX = "https://www.dropbox.com/scl/fi/abc123/weights.pt?rlkey=k7&dl=0"
ONEDRIVE = "https://1drv.ms/u/s!AbCdEf?e=x7"
DROPBOX_FOLDER = "https://www.dropbox.com/scl/fo/abc123/xyz?rlkey=k7&dl=0"
ONEDRIVE_FOLDER = "https://1drv.ms/f/s!AbCdEf?e=x7"
SHAREPOINT_FOLDER = "https://x-my.sharepoint.com/:f:/g/personal/some_body/EabcD?e=q"
HOSTS = {
    "https://www.dropbox.com/": "dropbox",
    "https://uc1.dl.dropboxusercontent.example/": "bytes",
    "https://api.onedrive.com/": "onedrive",
    "https://storage.live.example/": "bytes",
}


@dataclass
class SharedFile:
    name: str
    content: Content
    mode: str = "ok"  # ended, login


class ShareServer(Server):
    """One file, behind DROPBOX and ONEDRIVE."""

    def __init__(self, name: str, content: Content, port: int = 0) -> None:
        super().__init__(port)
        self.file = SharedFile(name, content)

    @property
    def rewrite(self) -> str:
        return " ".join(f"{host}={self.url}/{name}/" for host, name in HOSTS.items())

    def respond(self, request: Request) -> Response:
        service, path = request.segments[0], "/" + "/".join(request.segments[1:])
        if service == "bytes":
            headers = {"Content-Disposition": attachment(self.file.name)}
            return Response(body=self.file.content, headers=headers, ranges=True)
        answer: Response = getattr(self, f"_{service}")(request, path)
        return answer

    def _dropbox(self, request: Request, path: str) -> Response:
        if self.file.mode == "login":
            return Response.redirect("https://www.dropbox.com/login?cont=x")
        if path == "/login":
            return Response.page("Login - Dropbox", "Sign in.")
        if self.file.mode == "ended" or request.query.get("rlkey") != "k7":
            return Response.page("Dropbox - Link not found", "This item was deleted.", 404)
        if request.query.get("dl") != "1":
            return Response.page("Dropbox - weights.pt", "A preview.")
        return Response.redirect("https://uc1.dl.dropboxusercontent.example/cd/0/get/x/file?dl=1")

    def _onedrive(self, request: Request, path: str) -> Response:
        encoded = base64.urlsafe_b64encode(ONEDRIVE.encode()).decode().rstrip("=")
        if path != f"/v1.0/shares/u!{encoded}/root/content" or self.file.mode == "ended":
            return Response.json({"error": {"code": "itemNotFound"}}, 404)
        if self.file.mode == "login":
            return Response.json({"error": {"code": "accessDenied"}}, 401)
        return Response.redirect("https://storage.live.example/y4m/x")


class FolderServer(Server):
    """A folder behind DROPBOX_FOLDER, ONEDRIVE_FOLDER and SHAREPOINT_FOLDER.

    Dropbox packs it anew each time: `packed` counts how often, and each zip has other bytes.
    """

    def __init__(self, files: Mapping[str, Content], port: int = 0) -> None:
        super().__init__(port)
        self.files = dict(files)
        self.packed = 0
        self.mode = "ok"  # ended
        self.hashes = "sha256Hash"
        self.elsewhere = ""  # where OneDrive's lists go on

    @property
    def rewrite(self) -> str:
        hosts = {**HOSTS, "https://x-my.sharepoint.com/": "point"}
        return " ".join(f"{host}={self.url}/{name}/" for host, name in hosts.items())

    def respond(self, request: Request) -> Response:
        service, path = request.segments[0], "/" + "/".join(request.segments[1:])
        if self.mode == "ended" and service != "bytes":
            return Response.page("Not found", "This link has ended.", 404)
        if service == "dropbox":
            return Response.redirect("https://uc1.dl.dropboxusercontent.example/zip?dl=1")
        if service == "bytes":
            return self._zip()
        answer: Response = getattr(self, f"_{service}")(request, path)
        return answer

    def _zip(self) -> Response:
        self.packed += 1
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            for name, content in self.files.items():
                info = zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 2 * self.packed))
                archive.writestr(info, read(content))
        headers = {"Content-Disposition": attachment("shared folder.zip")}
        return Response(body=packed.getvalue(), headers=headers)

    def _children(self, folder: str) -> tuple[list[str], list[str]]:
        """Names of the folders and of the files in a folder."""
        start = f"{folder}/" if folder else ""
        below = [name[len(start) :] for name in sorted(self.files) if name.startswith(start)]
        folders = sorted({name.partition("/")[0] for name in below if "/" in name})
        return folders, [name for name in below if "/" not in name]

    def _onedrive(self, request: Request, path: str) -> Response:
        encoded = base64.urlsafe_b64encode(ONEDRIVE_FOLDER.encode()).decode().rstrip("=")
        rest = path.removeprefix(f"/v1.0/shares/u!{encoded}/root")
        if rest == path:
            return Response.json({"error": {"code": "itemNotFound"}}, 404)
        if rest.endswith(":/content"):
            name = rest.removeprefix(":/").removesuffix(":/content")
            return Response(body=self.files[name], ranges=True)
        folder = rest.removesuffix("/children").removeprefix(":/").removesuffix(":")
        folders, names = self._children(folder)
        start = f"{folder}/" if folder else ""
        rows: list[dict[str, object]] = [
            {"name": name, "size": 1, "folder": {"childCount": 1}} for name in folders
        ]
        for name in names:
            content = self.files[start + name]
            kind = self.hashes.removesuffix("Hash")
            hashes = {self.hashes: digest(content, kind).upper()} if kind else {}
            rows.append({"name": name, "size": size_of(content), "file": {"hashes": hashes}})
        at = int(request.query.get("skip", 0))
        more = {}
        if at + 2 < len(rows):
            host = self.elsewhere or "https://api.onedrive.com"
            more = {"@odata.nextLink": f"{host}{quote(path)}?skip={at + 2}"}
        return Response.json({"value": rows[at : at + 2], **more})

    def _point(self, request: Request, path: str) -> Response:
        site, root = "/personal/some_body", "/personal/some_body/Documents/shared folder"
        if path.startswith("/:f:/"):
            target = f"/point{site}/_layouts/15/onedrive.aspx?id={quote(root, safe='')}&ga=1"
            return Response.redirect(
                self.url + target, Set_Cookie="FedAuth=cookie; path=/; HttpOnly"
            )
        if "FedAuth=cookie" not in request.headers.get("cookie", ""):
            return Response.page("Sign in to your account", "Enter your email.", 403)
        if path == f"{site}/_layouts/15/onedrive.aspx":
            return Response.page("shared folder", "A list.")
        if path == f"{site}/_layouts/15/download.aspx":
            name = request.query["SourceUrl"].removeprefix(f"{root}/")
            return Response(body=self.files[name], ranges=True)
        start = f"{site}/_api/web/GetFolderByServerRelativePath(decodedurl='"
        if not path.startswith(start + root):
            return Response.json({"odata.error": {}}, 404)
        place = path[len(start) :].removesuffix("')").replace("''", "'")
        folder = place.removeprefix(root).strip("/")
        folders, names = self._children(folder)
        files = [{"Name": name, "Length": str(size_of(self.files[f"{folder}/{name}".strip("/")]))}
                 for name in names]  # fmt: skip
        return Response.json({"Folders": [{"Name": name} for name in folders], "Files": files})
