"""Messages of the other modules, with their holes, and the same in Korean.

The English is what those modules say, word for word: fetcher.web.messages finds it here.
"""

from __future__ import annotations

_VALUES = {
    "text": "텍스트",
    "a value": "값",
    "nothing": "값 없음",
    "<q>": "<q>",
    "a number": "숫자",
    "true or false": "true 또는 false",
    "<p1> or <p2>": "<p1> 또는 <p2>",
    "a mapping": "키: 값 묶음",
    "an empty mapping": "빈 묶음",
    "a list": "목록",
    "an empty list": "빈 목록",
    "a list of <n> items": "항목 <n>개의 목록",
    "a list of <n> items, each <p>": "항목 <n>개의 목록(각 항목: <p>)",
    "a list of items, each <p>": "목록(각 항목: <p>)",
    "a mapping with at least one pair": "한 쌍 이상의 키: 값 묶음",
    "a whole number from <n1> to <n2>": "<n1>부터 <n2>까지의 정수",
    "a whole number of at least <n>": "<n> 이상의 정수",
    "one of <l>": "다음 중 하나: <l>",
    "an id of letters, digits, '_', '-' and '.'": "영문자, 숫자, '_', '-', '.'로 된 아이디",
    "a task such as <l>": "작업 이름(예: <l>)",
    "a dotted path": "점으로 이은 경로(예: package.module.Class)",
    "memory such as 8G": "메모리 크기(예: 8G)",
    "a number such as 1.3B": "1.3B와 같은 수",
    "a file name": "파일 이름",
    "a file name or glob": "파일 이름 또는 글롭",
    "a path or glob": "경로 또는 글롭",
    "a relative path": "상대 경로",
    "a list of names, or a mapping from name to {size, sha256}": (
        "이름 목록, 또는 이름: {size, sha256} 묶음"
    ),
    "a mapping with size and sha256": "size와 sha256이 있는 묶음",
    "<n> lower-case hex digits": "소문자 16진수 <n>자리",
    "a repository such as owner/name": "owner/name 형식의 저장소",
    "a branch, tag or commit": "브랜치, 태그 또는 커밋",
    "a release's tag, or latest": "릴리스 태그 또는 latest",
    "a host name": "호스트 이름",
    "a URL": "URL",
    "a pinned package such as name==1.0": "버전이 고정된 패키지(예: name==1.0)",
    "a probe's type": "검증 종류",
    "a source such as hf:owner/name@revision, or a mapping with a type": (
        "hf:owner/name@revision 같은 출처, 또는 type이 있는 묶음"
    ),
    "a folder (a mapping from names to what stands there)": "폴더(이름: 내용 묶음)",
    "an artifact's id, or id/path/in/artifact": "항목의 아이디, 또는 아이디/항목/안의/경로",
    "a layout (a mapping)": "레이아웃(키: 값 묶음)",
    "a manifest (a mapping)": "매니페스트(키: 값 묶음)",
    "a mapping from artifact ids to artifacts": "아이디: 항목 묶음",
    "a mapping with key, certificates, or identity and issuer": (
        "key, certificates, 또는 identity와 issuer가 있는 묶음"
    ),
}

# Records, and what is said of a key that one of them needs.
_KEYS = {
    "an artifact": "항목",
    "a manifest": "매니페스트",
    "a layout": "레이아웃",
    "a combination": "조합",
    "a signature": "서명",
    "a file": "파일",
    "a probe": "검증",
    "a source of type <l>": "<l> 출처",
    "io": "io",
    "params": "params",
    "where it comes from": "어디에서 오는지",
    "kind of probe": "검증 종류",
    "kind of source": "출처 종류",
    "owner/name": "소유자/이름",
    "name==version": "이름==버전",
    "http, https or ftp; one that ends in / stands in front of the names in `files`": (
        "http, https 또는 ftp. /로 끝나면 `files`의 이름 앞에 붙습니다"
    ),
    "a file or folder, relative to the project's root": (
        "프로젝트의 최상위 폴더를 기준으로 한 파일이나 폴더"
    ),
    "a bundle, a store's folder, or an http(s), oci or s3 URL": (
        "번들, 저장소 폴더, 또는 http(s), oci, s3 URL"
    ),
    "a name such as <l>": "이름(예: <l>)",
    "the manifest's name": "매니페스트의 이름",
    "the layout's name": "레이아웃의 이름",
    "artifacts by id": "아이디별 항목",
    "folders, and what stands in them": "폴더와 그 안에 놓이는 것",
    "the graphics card, such as <l>": "그래픽 카드(예: <l>)",
    "its memory, such as <l>": "그래픽 카드의 메모리(예: <l>)",
    "artifacts that fit on it together": "함께 쓸 수 있는 항목",
}

_SCHEMA = {
    "found <p1>, expected <p2>": "입력한 값: <p1>. 필요한 값: <p2>",
    "expected <p>": "필요한 값: <p>",
    "expected <p1>, found <p2>": "필요한 값: <p1>. 입력한 값: <p2>",
    "expected text, found <x>": "필요한 값: 텍스트. 입력한 값: <x>",
    "expected text or an object, found <x>": "필요한 값: 텍스트 또는 객체. 입력한 값: <x>",
    "did you mean <q>?": "<q>이(가) 맞나요?",
    "write <x>": "<x>(으)로 적어 주세요",
    "write it in one line, without control characters": "제어 문자 없이 한 줄로 적어 주세요",
    "a leading 0 means octal to some readers: drop it": (
        "맨 앞의 0은 8진수로 읽힐 수 있으니 빼 주세요"
    ),
    "<q> is too large a number": "<q>은(는) 너무 큰 수입니다",
    "put quotes around it, if it is meant as text": "텍스트라면 따옴표로 묶어 주세요",
    "<q> is listed twice, first in line <n>": "<q>이(가) 두 번 있습니다(첫 번째: <n>번째 줄)",
    "<q> is listed twice": "<q>이(가) 두 번 있습니다",
    "<p> needs the key <q>": "<p>에 <q> 키가 필요합니다",
    "<p> has no key <q>": "<p>에는 <q> 키가 없습니다",
    "known keys: <l>": "쓸 수 있는 키: <l>",
    "holds control characters": "제어 문자가 들어 있습니다",
    "cannot be read: write it as in YAML, such as [1, 2] or {key: value}": (
        "읽을 수 없습니다. [1, 2] 또는 {key: value}처럼 YAML 형식으로 적어 주세요"
    ),
    "a source needs the key 'type'": "출처에 'type' 키가 필요합니다",
    "a source needs the key 'type', found <p>": "출처에 'type' 키가 필요합니다. 입력한 값: <p>",
    "no source type <q>, expected one of <l>": (
        "<q>(이)라는 출처 종류는 없습니다. 다음 중 하나여야 합니다: <l>"
    ),
    "the plug-in of source type <q> is broken: <x>": (
        "출처 종류 <q>의 플러그인에 문제가 있습니다: <x>"
    ),
    "<q> can only stand under 'mirrors'": "<q>은(는) 'mirrors' 아래에만 쓸 수 있습니다",
    "bytes from a mirror count only if their digest is known from a source": (
        "미러의 내용은 출처에서 다이제스트를 알 때만 인정됩니다"
    ),
    "'release' and <q> exclude each other": "'release'와 <q>은(는) 함께 쓸 수 없습니다",
    "assets of a release have neither ref nor path": "릴리스 파일에는 ref와 path가 없습니다",
}

_PATHS = {
    "<q> <p>": "<q>: <p>",
    "is empty": "비어 있습니다",
    "is absolute": "절대 경로입니다",
    "has a backslash": "역슬래시가 들어 있습니다",
    "has a control character (<x>)": "제어 문자(<x>)가 들어 있습니다",
    "has an empty or '.' segment": "빈 부분이나 '.' 부분이 있습니다",
    "leads out of its directory with '..'": "'..' 때문에 폴더 밖으로 나갑니다",
    "leads out of the source": "출처의 밖으로 나갑니다",
    "names a drive (<q>)": "드라이브 이름(<q>)이 들어 있습니다",
    "has <q>, which <p>": "<q> 부분에 문제가 있습니다: <p>",
    "is a device name on Windows": "Windows의 장치 이름입니다",
    "belongs to git": "git이 쓰는 이름입니다",
    "ends in a space or a dot, which Windows drops": (
        "공백이나 점으로 끝나는데, Windows에서는 이것이 사라집니다"
    ),
    "has a character that Windows does not allow": "Windows에서 쓸 수 없는 문자가 있습니다",
    "name too long: <q>… has more than <n> bytes": "이름이 너무 깁니다: <q>…, <n>바이트 초과",
    "path too long: more than <n> bytes": "경로가 너무 깁니다: <n>바이트 초과",
    "stands for several files, a mapping takes exact names: use a list": (
        "여러 파일을 뜻합니다. 묶음에는 정확한 이름만 쓸 수 있으니 목록을 쓰세요"
    ),
    "range <x> runs backwards": "범위 <x>의 순서가 거꾸로입니다",
    "range <x> has more than <n> names": "범위 <x>의 이름이 <n>개를 넘습니다",
    "<x> is no range of numbers such as {0..4}": "<x>은(는) {0..4} 같은 숫자 범위가 아닙니다",
    "<q> has braces within braces": "<q>에 중괄호가 겹쳐 있습니다",
    "<q> has more than <n> names": "<q>의 이름이 <n>개를 넘습니다",
    "<q> is no valid glob (<x>)": "<q>은(는) 올바른 글롭이 아닙니다(<x>)",
}

_PLACING = {
    "starts with '~', which is not replaced: paths are relative to --into": (
        "'~'로 시작합니다. 경로는 --into 기준의 상대 경로입니다"
    ),
    "a list needs a folder: a file can come from one artifact only": (
        "목록에는 폴더가 필요합니다. 파일 하나는 한 항목에서만 올 수 있습니다"
    ),
    "two files fall on <q>": "두 파일이 <q>에 겹칩니다",
    "<q1> collides with <q2>": "<q1>이(가) <q2>과(와) 겹칩니다",
    "collides with <q1>: <q2>": "<q2>이(가) <q1>과(와) 겹칩니다",
    "give one of them another name": "둘 중 하나의 이름을 바꿔 주세요",
    "place one of them in another folder, or rename it": (
        "둘 중 하나를 다른 폴더에 두거나 이름을 바꿔 주세요"
    ),
    "is not <p>": "다음이 아닙니다: <p>",
    "<x> cannot be changed: <p>": "<x>을(를) 바꿀 수 없습니다: <p>",
    "<x> cannot be changed: <x2>": "<x>을(를) 바꿀 수 없습니다: <x2>",
    "mend it first": "먼저 그 파일을 고쳐 주세요",
    "<x> was changed meanwhile": "그 사이에 <x>이(가) 바뀌었습니다",
    "run the command again": "다시 보내 주세요",
    "<x> is not UTF-8 text": "<x>은(는) UTF-8 텍스트가 아닙니다",
    "save it as UTF-8": "UTF-8로 저장해 주세요",
    "there is no manifest <q>": "<q>(이)라는 매니페스트는 없습니다",
    "<x> problem in the project's files": "프로젝트 파일에 문제가 <x>건 있습니다",
    "<x> problems in the project's files": "프로젝트 파일에 문제가 <x>건 있습니다",
    "manifest <q1> has no artifact <q2>": "매니페스트 <q1>에 <q2> 항목이 없습니다",
    "its artifacts: <x>": "있는 항목: <x>",
    "<q1> comes from <x>, the Hugging Face cache holds repositories of the Hub only": (
        "<q1>의 출처는 <x>인데, Hugging Face 캐시에는 허브의 저장소만 둘 수 있습니다"
    ),
    "artifact <q1> has no place in layout <q2> (<x>)": (
        "항목 <q1>의 자리가 레이아웃 <q2>(<x>)에 없습니다"
    ),
    "add it to the layout's tree or hub_cache, or remove it here": (
        "레이아웃의 tree나 hub_cache에 더하거나 여기서 빼 주세요"
    ),
    "the tree places no file at <q>, which 'edits' would change": (
        "'edits'가 바꿀 <q>에 놓이는 파일이 없습니다"
    ),
    "the tree places no file at <q>, which 'writable' names": (
        "'writable'에 적힌 <q>에 놓이는 파일이 없습니다"
    ),
    "write the path relative to root": "root 기준의 상대 경로로 적어 주세요",
    "duplicate key <q>: it already stands in line <n>": (
        "<q> 키가 두 번 있습니다. 이미 <n>번째 줄에 있습니다"
    ),
    "remove one of the two, or rename it": "둘 중 하나를 지우거나 이름을 바꿔 주세요",
    "remove one of the two": "둘 중 하나를 지워 주세요",
    "artifact <q1> differs from <q2> only by case": (
        "항목 <q1>과(와) <q2>은(는) 대소문자만 다릅니다"
    ),
    "alias <q> is an artifact's own id": "별칭 <q>은(는) 다른 항목의 아이디입니다",
    "remove it: that name is taken": "지워 주세요. 이미 쓰는 이름입니다",
    "alias <q1> already leads to <q2>": "별칭 <q1>은(는) 이미 <q2>을(를) 가리킵니다",
    "there is no artifact <q> here": "여기에는 <q> 항목이 없습니다",
    "not valid YAML: <x>": "올바른 YAML이 아닙니다: <x>",
    "the file is empty": "파일이 비어 있습니다",
}

_FORM = {
    "is needed": "필수 항목입니다",
    "is needed: a repository, a URL or a file": "필수 항목입니다: 저장소, 주소 또는 파일",
    "a compression model must offer reconstruct": "압축 모델은 reconstruct를 제공해야 합니다",
    "expected owner/name": "소유자/이름 형식이어야 합니다",
    "expected an http or https address": "http 또는 https 주소여야 합니다",
    "is not below a folder that this server allows": "이 서버가 허용한 폴더 아래에 있지 않습니다",
    "<q> is no id of letters, digits, '_', '-' and '.': <x> would be": (
        "<q>은(는) 아이디로 쓸 수 없습니다. 영문자, 숫자, '_', '-', '.'만 됩니다. 예: <x>"
    ),
    "<q> is taken: <x> is free": "<q>은(는) 이미 쓰입니다. <x>은(는) 쓸 수 있습니다",
    "there is no such field": "그런 필드는 없습니다",
    "expected one JSON object with the fields by name": "필드 이름이 있는 JSON 객체여야 합니다",
    "it is not finished yet": "아직 다 올라오지 않았습니다",
    "<x> is not there": "<x>이(가) 없습니다",
    "expected a repository, a URL, a file or a folder": "저장소, URL, 파일 또는 폴더여야 합니다",
    "<x> has no files": "<x>에 파일이 없습니다",
    "rename it": "이름을 바꿔 주세요",
    "the project has several manifests: <x>": "프로젝트에 매니페스트가 여럿 있습니다: <x>",
    "name one with --manifest": "그중 하나를 골라 주세요",
    "--manifest <x>: expected letters, digits, '_', '-' and '.'": (
        "매니페스트 <x>: 영문자, 숫자, '_', '-', '.'만 쓸 수 있습니다"
    ),
    "taking <x1> into the store <x2>: <x3>": "<x1>을(를) 저장소 <x2>에 넣지 못했습니다: <x3>",
    "free some space, or point FETCH_STORE or --into at another disk; then run again": (
        "공간을 비우거나 FETCH_STORE를 다른 디스크로 바꾼 뒤 다시 해 주세요"
    ),
    "check the owner and mode of the directory, or choose another with --into": (
        "폴더의 소유자와 권한을 확인해 주세요"
    ),
    "choose a shorter name in the layout": "더 짧은 이름을 골라 주세요",
    "check the path": "경로를 확인해 주세요",
    "<x> changed while it was read": "<x>이(가) 읽는 동안 바뀌었습니다",
    # Notes
    "<n> files, <x>": "파일 <n>개, <x>",
    "not read upstream: <p>": "저장소의 정보를 읽지 못했습니다: <p>",
    "its files cannot be listed: <p>": "파일 목록을 읽지 못했습니다: <p>",
    "gated (<x>): see `fetch access`": "접근 제한(<x>): `fetch access`를 참고하세요",
    "weights that are there as safetensors are taken in that form only": (
        "safetensors가 있는 가중치는 그 형식만 가져옵니다"
    ),
}

_SOURCES = {
    "is a web page, and not that of a repository": "웹 페이지이지만 저장소의 페이지가 아닙니다",
    "is a web page, not a file: use a source of type github or huggingface": (
        "파일이 아니라 웹 페이지입니다. github 또는 huggingface를 고르세요"
    ),
    "is no http, https or ftp URL": "http, https, ftp URL이 아닙니다",
    "<q> is no http, https or ftp URL": "<q>은(는) http, https, ftp URL이 아닙니다",
    "holds a password: put it into ~/.netrc instead": (
        "비밀번호가 들어 있습니다. 대신 ~/.netrc에 적어 주세요"
    ),
    "is not in GenForce's model zoo": "GenForce 모델 목록에 없습니다",
    "expected hf:owner/name, with @revision and :path if wanted": (
        "hf:owner/name 형식이어야 하며 @revision과 :path를 덧붙일 수 있습니다"
    ),
    "expected github:owner/repo, with @ref and :path if wanted": (
        "github:owner/repo 형식이어야 하며 @ref와 :path를 덧붙일 수 있습니다"
    ),
    "expected pypi:name==version, with :path if wanted": (
        "pypi:name==version 형식이어야 하며 :path를 덧붙일 수 있습니다"
    ),
    "<x> has no <x2> and <n> more": "<x>에 <x2> 외 <n>개가 없습니다",
    "<x> has no <q>": "<x>에 <q>이(가) 없습니다",
    "compare `files` with the repository's list": "가져올 파일을 저장소의 목록과 비교해 주세요",
    "<x> has no file": "<x>에 파일이 없습니다",
    "check the path and the revision": "경로와 리비전을 확인해 주세요",
    "<x> lists <q>, which <p>": "<x>의 목록에 <q>이(가) 있는데 문제가 있습니다: <p>",
    "exclude it in the manifest, if the repository can be trusted at all": (
        "믿을 수 있는 저장소라면 그 파일을 제외해 주세요"
    ),
    "<x> has <x2> <x3>, the manifest says <x4>": (
        "<x>의 <x2>은(는) <x3>인데 매니페스트에는 <x4>(으)로 적혀 있습니다"
    ),
    "the file changed upstream: pin the revision, or correct the manifest": (
        "원본 파일이 바뀌었습니다. 리비전을 고정하거나 매니페스트를 고쳐 주세요"
    ),
    # The Hugging Face Hub
    "<x> does not exist, or is private": "<x>이(가) 없거나 비공개입니다",
    "<x> has no revision <q>": "<x>에 <q> 리비전이 없습니다",
    "see the branches and tags at <u>": "브랜치와 태그는 <u>에서 볼 수 있습니다",
    "no such folder or file": "그런 폴더나 파일이 없습니다",
    "<x> is gated": "<x>은(는) 접근이 제한되어 있습니다",
    "<x> is gated: your request waits for its authors": (
        "<x>은(는) 접근이 제한되어 있습니다. 요청이 승인을 기다리고 있습니다"
    ),
    "<x> is gated: its authors have rejected your request": (
        "<x>은(는) 접근이 제한되어 있습니다. 요청이 거절되었습니다"
    ),
    "<x> is gated, and your token may not read gated repositories": (
        "<x>은(는) 접근이 제한되어 있는데, 토큰에 제한된 저장소를 읽을 권한이 없습니다"
    ),
    "set HF_TOKEN or run `hf auth login`": "HF_TOKEN을 설정하거나 `hf auth login`을 실행하세요",
    "set HF_TOKEN or run `hf auth login` anew": (
        "HF_TOKEN을 다시 설정하거나 `hf auth login`을 다시 실행하세요"
    ),
    "ask for access at <u>, then <p>": "<u>에서 접근을 요청한 다음 <p>",
    "allow your fine-grained token to read public gated repositories, in its settings": (
        "토큰 설정에서 공개된 제한 저장소를 읽을 수 있게 허용하세요"
    ),
    "see <u>": "참고: <u>",
    "see <u>; run again when they have approved it": "참고: <u>. 승인된 뒤에 다시 해 주세요",
    "see <u>; choose another model, or write to its authors": (
        "참고: <u>. 다른 모델을 고르거나 만든 이에게 문의하세요"
    ),
    "your token has no access yet: ask for it at <u> and wait for approval": (
        "아직 접근 권한이 없습니다. <u>에서 요청하고 승인을 기다리세요"
    ),
    "the Hub refused the token": "허브가 토큰을 거부했습니다",
    "check the name at <u>": "이름을 확인해 주세요: <u>",
    "if it is private, the token needs read access to it": (
        "비공개라면 토큰에 읽기 권한이 있어야 합니다"
    ),
    "if it is private, <p>": "비공개라면 <p>",
    "access denied (HTTP <n>)": "접근이 거부되었습니다(HTTP <n>)",
    "the Hub answered HTTP <n>": "허브가 HTTP <n>(으)로 응답했습니다",
    "try again later": "나중에 다시 해 주세요",
    "the Hub's answer is no object": "허브의 응답이 객체가 아닙니다",
    "the Hub names no commit": "허브의 응답에 커밋이 없습니다",
    "the Hub lists <x> twice": "허브의 목록에 <x>이(가) 두 번 있습니다",
    "the Hub's listing is no list": "허브의 응답이 목록이 아닙니다",
    "the Hub's listing has a wrong entry <x>": "허브의 목록에 잘못된 항목이 있습니다: <x>",
    "the listing goes on at another host": "목록이 다른 호스트로 이어집니다",
    "the listing never ends": "목록이 끝나지 않습니다",
    "wrong entry for <x> in the listing": "목록에서 <x> 항목이 잘못되었습니다",
    # GitHub
    "GitHub's rate limit is used up": "GitHub의 요청 한도를 다 썼습니다",
    "wait": "기다려 주세요",
    "set GITHUB_TOKEN: 5000 requests per hour instead of 60": (
        "GITHUB_TOKEN을 설정하면 한 시간에 60회가 아니라 5000회까지 됩니다"
    ),
    "GitHub refused the token": "GitHub가 토큰을 거부했습니다",
    "renew GITHUB_TOKEN": "GITHUB_TOKEN을 새로 발급하세요",
    "<x> or its <x2> <q> is not there": "<x> 저장소나 <x2> <q>이(가) 없습니다",
    "if it is private, set GITHUB_TOKEN": "비공개라면 GITHUB_TOKEN을 설정하세요",
    "GitHub answered HTTP <n>": "GitHub가 HTTP <n>(으)로 응답했습니다",
    "GitHub's answer is no object": "GitHub의 응답이 객체가 아닙니다",
    "GitHub's answer has no assets": "GitHub의 응답에 릴리스 파일이 없습니다",
    "GitHub names no commit": "GitHub의 응답에 커밋이 없습니다",
    "GitHub's listing has no tree": "GitHub의 목록에 파일 트리가 없습니다",
    "GitHub cannot list <x> whole": "GitHub가 <x>의 목록을 다 보여 주지 못합니다",
    "give the source a `path` below it": "그 아래의 폴더를 지정해 주세요",
    "<x> is not what the tree says (git blob <x2>)": (
        "<x>이(가) 트리의 내용과 다릅니다(git blob <x2>)"
    ),
    "LFS has no <x>": "LFS에 <x>이(가) 없습니다",
    "<x> release <x2> has no <x3>": "<x> 릴리스 <x2>에 <x3>이(가) 없습니다",
}

_NETWORK = {
    "interrupted": "중단되었습니다",
    "<x> is needed, but the network may not be used": (
        "<x>이(가) 필요하지만 네트워크를 쓸 수 없게 설정되어 있습니다"
    ),
    "<x> did not answer with JSON": "<x>이(가) JSON으로 응답하지 않았습니다",
    "a proxy or sign-in page may stand in between: open the address in a browser": (
        "프록시나 로그인 페이지가 끼어 있을 수 있으니 브라우저로 주소를 열어 보세요"
    ),
    "the proxy's name does not resolve": "프록시의 이름을 찾을 수 없습니다",
    "check http(s)_proxy": "http(s)_proxy를 확인하세요",
    "the name does not resolve": "이름을 찾을 수 없습니다",
    "no internet here? set a proxy, HF_ENDPOINT, FETCH_MIRRORS or FETCH_REWRITE": (
        "인터넷이 없다면 프록시, HF_ENDPOINT, FETCH_MIRRORS, FETCH_REWRITE를 설정하세요"
    ),
    "no connection (<x>)": "연결할 수 없습니다(<x>)",
    "is a proxy needed?": "프록시가 필요한지 확인하세요",
    "TLS failed (<x>)": "TLS 연결에 실패했습니다(<x>)",
    "behind a company's proxy, set SSL_CERT_FILE to its CA bundle": (
        "회사 프록시 뒤라면 SSL_CERT_FILE에 CA 묶음을 지정하세요"
    ),
    "no answer in time (<x>)": "시간 안에 응답하지 않았습니다(<x>)",
    "<x> is not there (<x2>)": "<x>이(가) 없습니다(<x2>)",
    "<x> refused the login": "<x>이(가) 로그인을 거부했습니다",
    "put user and password into ~/.netrc": "사용자와 비밀번호를 ~/.netrc에 적어 주세요",
    "<x1>: <x2> (curl <n>)": "<x1>: 통신 오류(<x2>, curl <n>)",
    "<x> redirects to <x2>, which is refused": "<x>이(가) <x2>(으)로 돌리는데, 허용하지 않습니다",
    "<x> redirects from https to plain http, which is refused": (
        "<x>이(가) https에서 http로 돌리는데, 허용하지 않습니다"
    ),
    "<x> redirects more than <n> times": "<x>이(가) <n>번 넘게 다른 주소로 돌립니다",
    "<x> answers with more than <x2>": "<x>의 응답이 <x2>을(를) 넘습니다",
    "a header that cannot be sent is asked for": "보낼 수 없는 헤더입니다",
    "<x> holds characters that no token has": "<x>에 토큰에 쓸 수 없는 문자가 있습니다",
    "copy the token again: it is one word of letters, digits and signs": (
        "토큰을 다시 복사해 주세요. 영문자, 숫자, 기호로 된 한 단어입니다"
    ),
}

_SERVER = {
    "expected a name and a size in bytes": "이름과 바이트 단위의 크기가 필요합니다",
    "that is no plain file name": "쓸 수 없는 파일 이름입니다",
    "a file has 1 to <n> bytes here": "파일 크기는 1~<n>바이트여야 합니다",
    "the server's disk has no room for that": "서버의 디스크에 공간이 모자랍니다",
    "<n> uploads of yours are not finished yet": "끝나지 않은 업로드가 <n>개 있습니다",
    "there is no such upload": "그런 업로드가 없습니다",
    "another part of it is on its way": "다른 부분을 받는 중입니다",
    "<n> bytes are here: send what follows them": (
        "<n>바이트까지 받았습니다. 그다음부터 보내 주세요"
    ),
    "more bytes came than were announced": "알린 크기보다 많은 바이트가 왔습니다",
    "the file cannot be written: <x>": "파일을 쓸 수 없습니다: <x>",
    "expected ?offset=BYTES": "?offset=BYTES가 필요합니다",
    "the form cannot be read": "양식을 읽을 수 없습니다",
    "the request's body is too long": "보낸 내용이 너무 깁니다",
    "too many parameters": "매개변수가 너무 많습니다",
    "this server is read-only": "이 서버는 읽기 전용입니다",
    "writing takes a token with the right `upload`": "‘upload’ 권한이 있는 토큰이 필요합니다",
    "the request is not from a page of this server (no CSRF token)": (
        "이 서버의 페이지에서 온 요청이 아닙니다(CSRF 토큰 없음)"
    ),
    "this server verifies only what its own project declares": (
        "이 서버는 자기 프로젝트에 적힌 항목만 검증합니다"
    ),
    "too many verifications wait": "대기 중인 검증이 너무 많습니다",
    "there is no such job": "그런 작업이 없습니다",
    "there is no such artifact, or not for you, or more than one": (
        "항목이 없거나, 볼 수 없거나, 여럿입니다"
    ),
}

PHRASES: dict[str, str] = {
    **_VALUES,
    **_KEYS,
    **_SCHEMA,
    **_PATHS,
    **_PLACING,
    **_FORM,
    **_SOURCES,
    **_NETWORK,
    **_SERVER,
}
