"""An anonymous, read-only FTP server, good enough for curl: SIZE, REST, RETR, EPSV, PASV."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Mapping
from types import TracebackType

from .wire import Content, blocks, size_of

ANSWERS = {
    "USER": "331 any password will do",
    "PASS": "230 logged in",
    "SYST": "215 UNIX Type: L8",
    "PWD": '257 "/"',
    "TYPE": "200 type set",
    "NOOP": "200 still here",
    "FEAT": "211-Features:\r\n SIZE\r\n REST STREAM\r\n EPSV\r\n211 End",
}


class FtpServer:
    """`commands` logs what clients said; `cut_after` ends each transfer after so many bytes."""

    def __init__(self, files: Mapping[str, Content] | None = None, port: int = 0) -> None:
        self.files: dict[str, Content] = {}
        self.commands: list[str] = []
        self.cut_after: int | None = None
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", port))
        self.port: int = self._listener.getsockname()[1]
        for path, content in (files or {}).items():
            self.add(path, content)

    @property
    def url(self) -> str:
        return f"ftp://127.0.0.1:{self.port}"

    def add(self, path: str, content: Content) -> str:
        path = "/" + path.lstrip("/")
        self.files[path] = content
        return self.url + path

    def __enter__(self) -> FtpServer:
        threading.Thread(target=self._accept, name="FtpServer", daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for sock in [self._listener, *self._open]:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self._open.add(sock)
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        try:
            Session(self, sock).run()
        except OSError:
            pass  # the client went away, or the server stops
        finally:
            self._open.discard(sock)
            sock.close()


class Session:
    """One control connection."""

    def __init__(self, server: FtpServer, sock: socket.socket) -> None:
        self.server = server
        self.sock = sock
        self.folder = "/"
        self.offset = 0
        self.data: socket.socket | None = None

    def run(self) -> None:
        self.say("220 test server")
        with self.sock.makefile("r", encoding="utf-8", newline="\r\n") as lines:
            for line in lines:
                self.server.commands.append(line.strip())
                verb, _, argument = line.strip().partition(" ")
                if verb.upper() == "QUIT":
                    self.say("221 bye")
                    return
                self.command(verb.upper(), argument)

    def say(self, line: str) -> None:
        self.sock.sendall(line.encode() + b"\r\n")

    def command(self, verb: str, argument: str) -> None:
        if verb in ("EPSV", "PASV"):
            self._passive(verb)
        elif verb == "CWD":
            self.folder = self._path(argument).rstrip("/") + "/"
            self.say("250 changed")
        elif verb == "REST":
            self.offset = int(argument)
            self.say(f"350 restarting at {argument}")
        elif verb == "SIZE":
            content = self.server.files.get(self._path(argument))
            self.say("550 no such file" if content is None else f"213 {size_of(content)}")
        elif verb == "RETR":
            self._retrieve(self._path(argument))
        else:
            self.say(ANSWERS.get(verb, "502 not implemented"))

    def _path(self, argument: str) -> str:
        return argument if argument.startswith("/") else self.folder + argument

    def _passive(self, verb: str) -> None:
        if self.data is not None:
            self.data.close()
        self.data = socket.create_server(("127.0.0.1", 0))
        self.data.settimeout(30)
        port = self.data.getsockname()[1]
        if verb == "EPSV":
            self.say(f"229 entering extended passive mode (|||{port}|)")
        else:
            self.say(f"227 entering passive mode (127,0,0,1,{port >> 8},{port & 255})")

    def _retrieve(self, path: str) -> None:
        content = self.server.files.get(path)
        if content is None or self.data is None:
            self.say("550 no such file" if self.data else "425 use EPSV first")
            return
        offset, self.offset = self.offset, 0
        size = size_of(content)
        stop = size
        if self.server.cut_after is not None:
            stop = min(size, offset + self.server.cut_after)
        self.say(f"150 opening data connection ({size - offset} bytes)")
        line, _ = self.data.accept()
        with line:
            for block in blocks(content, offset, stop):
                line.sendall(block)
        self.data.close()
        self.data = None
        self.say("226 done" if stop == size else "426 connection closed")
