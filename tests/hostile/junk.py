"""What servers deliver in place of a file: (body, declared Content-Type) by kind."""

from __future__ import annotations

import gzip
import io
import json
import zipfile

HTML = "text/html; charset=utf-8"
PLAIN = "text/plain"
JSON = "application/json"
XML = "application/xml"
ANY = "application/octet-stream"

_POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize 5\n".format("0" * 64)
_PAGE = "<!DOCTYPE html><html><head><title>Sign in</title></head><body>…</body></html>"


def _zip() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("model/data.pkl", bytes(range(256)) * 40)
    return out.getvalue()


ZIPPED = _zip()
# Pages, whatever stands before their first tag.
PAGES: dict[str, tuple[bytes, str]] = {
    "sign-in": (_PAGE.encode(), HTML),
    "script": (b"<script>window.location='/login'</script>", ANY),
    "title": (b"<title>Sign in</title><form action=/login>", ANY),
    "meta": (b'<meta http-equiv="refresh" content="0;url=/portal">', ANY),
    "captive portal": (
        b"<HTML><HEAD><TITLE> Web Authentication Redirect</TITLE><META http-equiv='Cache-control'>",
        HTML,
    ),
    "cloudflare": (
        b"<!DOCTYPE html>\n<!--[if lt IE 7]> <html class='no-js ie6'> <![endif]-->\n"
        b"<html lang='en-US'><head><title>Just a moment...</title>",
        HTML,
    ),
    "virus scan": (
        b"<!DOCTYPE html><html><head><title>Google Drive - Virus scan warning</title>"
        + b" " * 9000,
        HTML,
    ),
    "sharepoint": (
        b"\r\n\r\n<!-- Copyright (C) Microsoft Corporation. -->\r\n<!DOCTYPE html>\r\n"
        b"<html dir='ltr'><head><title>Sign in to your account</title>",
        HTML,
    ),
    "xhtml": (b"<?xml version='1.0'?>\n<!DOCTYPE html PUBLIC 'x'><html>", "application/xhtml+xml"),
    "utf-8 mark": (b"\xef\xbb\xbf  <html lang=en>", ANY),
    "utf-16": (_PAGE.encode("utf-16"), ANY),
    "utf-16 without a mark": (_PAGE.encode("utf-16-le"), ANY),
    "utf-16 big": (b"\xfe\xff" + _PAGE.encode("utf-16-be"), ANY),
    "utf-32": (_PAGE.encode("utf-32"), ANY),
    "euc-kr": ("<html><title>로그인</title>".encode("euc-kr") + b"x" * 200, HTML),
    "comments": (b"<!-- a -->\n" * 300 + b"<html>", ANY),
    "white space": (b" \r\n\t" * 2000 + b"<HTML>", ANY),
    "declared": (b"<div>Please wait</div>", HTML),
}
# Reports of errors.
ERRORS: dict[str, tuple[bytes, str]] = {
    "s3": (
        b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>AccessDenied</Code>'
        b"<Message>Request has expired</Message><RequestId>1</RequestId></Error>",
        XML,
    ),
    "azure": (
        b"\xef\xbb\xbf<?xml version='1.0'?><Error><Code>AuthenticationFailed</Code></Error>",
        XML,
    ),
    "soap": (
        b"<soap:Envelope xmlns:soap='x'><soap:Body><soap:Fault><faultcode>x</faultcode>",
        XML,
    ),
    "json error": (b'{"error":"Repository not found"}', JSON),
    "json errors": (b'{"errors":[{"code":"DENIED","message":"denied"}]}', JSON),
    "json object": (
        json.dumps(
            {"error": {"code": 403, "message": "forbidden", "status": "X"}}, indent=1
        ).encode(),
        JSON,
    ),
    "github rate limit": (
        b'{"message":"API rate limit exceeded for 1.2.3.4.","documentation_url":"https://x"}',
        JSON,
    ),
    "detail": (b'{"detail":"Not Found"}', JSON),
    "problem": (b'{"type":"about:blank","title":"Gone","status":410}', "application/problem+json"),
    "spring": (b'{"timestamp":1,"status":404,"error":"Not Found","path":"/f"}', JSON),
    "aws": (
        b'{"__type":"AccessDeniedException","Message":"User is not authorized; forbidden"}',
        JSON,
    ),
    "quota": (b"Quota exceeded", PLAIN),
    "quota again": (b"Sorry, the download quota for this file has been exceeded.\n", PLAIN),
    "not found": (b"404: Not Found", PLAIN),
    "entry": (b"Entry not found", PLAIN),
    "rate limit": (b"Rate limit exceeded, try again later\r\n", PLAIN),
    "denied": (b"Access denied\n", PLAIN),
    "blob": (b"Error: internal server error", PLAIN),
    "list of errors": (b'[{"message":"Session is over","errorCode":"INVALID_SESSION_ID"}]', JSON),
    "no success": (b'{"success":false,"message":"You need an account"}', JSON),
    "status in words": (b'{"status":"error","message":"bad"}', JSON),
    "a name for the error": (b'{"Code":"AccessDenied","Message":"x"}', JSON),
    "longer status": (b'{"code":40301,"msg":"no entry"}', JSON),
    "what is missing": (b'{"detail":[{"loc":["query"],"msg":"field required","type":"x"}]}', JSON),
    "trace": (b'{"status":500,"error":"Internal","trace":"a.b.C","message":"m","path":"/"}', JSON),
    "korean": ("파일을 찾을 수 없습니다.".encode(), PLAIN),
    "korean permission": ("이 파일에 접근할 권한이 없습니다. 로그인하세요.".encode(), PLAIN),
    "japanese": ("アクセス権限がありません".encode(), PLAIN),
    "chinese": ("您没有权限访问此文件".encode(), PLAIN),
    "permission": (b"You do not have permission to access this file", PLAIN),
    "limit": (b"Download limit reached", PLAIN),
    "suspended": (b"This account has been suspended.", PLAIN),
    "parts": (
        b"--4f\r\nContent-Type: application/octet-stream\r\nContent-Range: bytes 0-5/6\r\n\r\n"
        b"\x00\x01\x02\x03\x04\x05\r\n--4f--\r\n",
        "multipart/byteranges; boundary=4f",
    ),
    "gateway": (b"upstream connect error or disconnect/reset before headers", PLAIN),
}
# Pointers to the file.
POINTERS: dict[str, tuple[bytes, str]] = {
    "lfs": (_POINTER.encode(), PLAIN),
    "lfs crlf": (_POINTER.replace("\n", "\r\n").encode(), PLAIN),
    "lfs cr": (_POINTER.replace("\n", "\r").encode(), PLAIN),
    "lfs utf-16": (_POINTER.encode("utf-16"), PLAIN),
    "lfs mark": (b"\xef\xbb\xbf" + _POINTER.encode(), PLAIN),
    "lfs old": (_POINTER.replace("git-lfs.github", "hawser.github").encode(), PLAIN),
    "lfs ext": (
        _POINTER.replace("\noid", "\next-0-x sha256:1\noid").encode(),
        ANY,
    ),
    "xet": (b"# xet version 0\nfilesize = 5\nhash = 'abc'\n", PLAIN),
    "annex": (b"../.git/annex/objects/Xx/1k/SHA256E-s5--0.pt/SHA256E-s5--0.pt", PLAIN),
}
EVERYWHERE = {**PAGES, **ERRORS, **POINTERS}

# Under these names they are told from the file by what the suffix promises.
FORMATS = (
    *("f.safetensors", "f.gguf", "f.pt", "f.pth", "f.pth.tar", "f.zip", "f.npz", "f.whl"),
    *("f.tar", "f.tar.gz", "f.tgz", "f.tar.xz", "f.tar.zst", "f.bz2", "f.7z", "f.png", "f.jpg"),
    *("f.webp", "f.gif", "f.pkl", "f.joblib", "f.h5", "f.keras", "f.npy", "f.parquet", "f.onnx"),
    *("f.tflite", "f.pb", "f.msgpack", "f.wav", "f.mp4", "f.arrow"),
)
NAMES = (*FORMATS, "f.bin", "f.ckpt", "f.dat", "f.json", "f.txt", "f.yaml", "f.py", "f.csv", "f")
# Bytes of no error, and not what a format promises either.
OTHER_BYTES: dict[str, bytes] = {
    "words": b"hello world, this is a longer text without any meaning at all\n",
    "words in korean": "안녕하세요 여러분".encode(),
    "css": b"body { color: red }\n",
    "javascript": b"var a = 1; document.cookie = 'x';\n",
    "rss": b"<rss version='2.0'><channel>",
    "listing": b"<ListBucketResult><Name>b</Name></ListBucketResult>",
    "link": b"../../blobs/0123456789abcdef",
    "gzipped page": gzip.compress(_PAGE.encode()),
    "cut zip": ZIPPED[:-60],
    "zip with a byte less": ZIPPED[:-1],
    "pdf": b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n1 0 obj",
    "zeros": bytes(4096),
    "noise": bytes((i * 7919 + i // 3) % 251 for i in range(3000)),
}
# Names for which such bytes are the very thing, or cannot be told from it.
HONEST: dict[str, tuple[str, ...]] = {
    "words": (), "words in korean": (), "css": (), "javascript": (), "rss": (), "listing": (),
    "link": (),
    "gzipped page": (
        "f.tar", "f.tar.gz", "f.tgz", "f.tar.xz", "f.tar.zst", "f.bz2", "f.7z", "f.pkl",
        "f.joblib", "f.pb", "f.msgpack", "f.wav", "f.mp4", "f.arrow",
    ),
    "cut zip": ("f.pkl", "f.joblib", "f.pb", "f.msgpack", "f.wav", "f.mp4", "f.arrow"),
    "zip with a byte less": (
        "f.pkl", "f.joblib", "f.pb", "f.msgpack", "f.wav", "f.mp4", "f.arrow",
    ),
    "pdf": (),
    "zeros": ("f.pb", "f.msgpack", "f.wav", "f.mp4", "f.arrow"),
    "noise": ("f.pb", "f.msgpack", "f.wav", "f.mp4", "f.arrow"),
}  # fmt: skip
