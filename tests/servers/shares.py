"""Stand-ins for share links of Dropbox and OneDrive: a page, or the bytes if asked for."""

from __future__ import annotations

import base64
from dataclasses import dataclass

from .base import Server
from .wire import Content, Request, Response, attachment

DROPBOX = "https://www.dropbox.com/scl/fi/abc123/weights.pt?rlkey=k7&dl=0"
ONEDRIVE = "https://1drv.ms/u/s!AbCdEf?e=x7"
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
