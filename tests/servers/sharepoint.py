"""Stand-in for SharePoint share links: a cookie, a redirect, and HTML where a link fails."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote, unquote, urlsplit

from .base import Server
from .wire import Content, Refused, Request, Response, attachment, digest

HOST = "https://mycuhk-my.sharepoint.com/"
MODES = ("ok", "expired", "login")


@dataclass
class Share:
    path: str
    name: str
    content: Content
    mode: str = "ok"
    status: int = 200
    version: int = 1

    @property
    def document(self) -> str:
        """Where the share link leads to."""
        owner = self.path.split("/")[4]
        return f"/personal/{owner}/Documents/{self.name}"

    @property
    def cookie(self) -> str:
        return "FedAuth=" + digest(self.path.encode())[:32]


class SharePointServer(Server):
    """`add_share` puts a file behind a share link; `set_mode` breaks the link later."""

    def __init__(self, port: int = 0) -> None:
        super().__init__(port)
        self.shares: dict[str, Share] = {}

    @property
    def rewrite(self) -> str:
        """A value for FETCH_REWRITE."""
        return f"{HOST}={self.url}/"

    def add_share(
        self, link: str, name: str, content: Content, mode: str = "ok", status: int = 200
    ) -> str:
        """Share `content` at the path of `link` (`/:u:/g/personal/<owner>/<id>`); gives its URL.

        `status` is the one that an expired or login page is sent with.
        """
        path = unquote(urlsplit(link).path)
        version = self.shares[path].version + 1 if path in self.shares else 1
        self.shares[path] = Share(path, name, content, version=version)
        self.set_mode(path, mode, status)
        return f"{self.url}{path}?e=share&download=1"

    def set_mode(self, link: str, mode: str, status: int = 200) -> None:
        if mode not in MODES:
            raise ValueError(f"{mode} is none of {MODES}")
        share = self.shares[unquote(urlsplit(link).path)]
        share.mode, share.status = mode, status

    def respond(self, request: Request) -> Response:
        if request.path in self.shares:
            return self._share(request, self.shares[request.path])
        for share in self.shares.values():
            if share.document == request.path:
                return self._document(request, share)
        if request.path == "/_forms/default.aspx":
            return login(200)
        return Response.page("404 FILE NOT FOUND", "The file does not exist.", 404)

    def _share(self, request: Request, share: Share) -> Response:
        if share.mode == "expired":
            text = "Sorry, this link has expired."
            return Response.page("This link has expired", text, share.status)
        if share.mode == "login":
            return login(share.status)
        cookie = f"{share.cookie}; path=/; HttpOnly"
        if request.query.get("download") != "1":
            answer = Response.page(share.name, "A preview of the file.")
            answer.headers["Set-Cookie"] = cookie
            return answer
        return Response.redirect(f"{quote(share.document)}?ga=1", Set_Cookie=cookie)

    def _document(self, request: Request, share: Share) -> Response:
        cookies = request.headers.get("cookie", "").replace(" ", "").split(";")
        if share.cookie not in cookies:
            back = quote(request.target, safe="")
            raise Refused(Response.redirect(f"/_forms/default.aspx?ReturnUrl={back}"))
        guid = digest(share.path.encode())[:32].upper()
        return Response(
            body=share.content,
            headers={"Content-Disposition": attachment(share.name), "Cache-Control": "private"},
            etag=f'"{{{guid}}},{share.version}"',
            ranges=True,
        )


def login(status: int) -> Response:
    return Response.page("Sign in to your account", "Enter your email to continue.", status)
