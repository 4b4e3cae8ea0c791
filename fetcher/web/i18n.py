"""Every text of the pages, in English and Korean."""

from __future__ import annotations

import re

LANGUAGES = ("en", "ko")
NAMES = {"en": "English", "ko": "한국어"}

WORDS: dict[str, tuple[str, str]] = {
    "catalog": ("Catalog", "카탈로그"),
    "leaderboard": ("Leaderboard", "리더보드"),
    "add_model": ("Add model", "모델 등록"),
    "sign_in": ("Sign in", "로그인"),
    "sign_out": ("Sign out", "로그아웃"),
    "signed_in_as": ("Signed in as {name}", "{name} 님으로 로그인됨"),
    "skip": ("Skip to the content", "본문으로 건너뛰기"),
    "menu": ("Main menu", "주 메뉴"),
    "footer": ("fetch {version}", "fetch {version}"),
    "api_docs": ("API description", "API 명세"),
    # Catalog
    "search": ("Search", "검색"),
    "search_label": ("Name, task, owner or tag", "이름, 작업, 소유자, 태그"),
    "filters": ("Filters", "필터"),
    "apply": ("Show", "적용"),
    "clear": ("Clear all", "모두 지우기"),
    "any": ("any", "전체"),
    "task": ("Task", "작업"),
    "framework": ("Framework", "프레임워크"),
    "tag": ("Tag", "태그"),
    "owner": ("Owner", "소유자"),
    "gated": ("Gated", "접근 제한"),
    "state": ("On this machine", "이 장비의 상태"),
    "yes": ("yes", "예"),
    "no": ("no", "아니요"),
    "complete": ("complete", "완전함"),
    "partial": ("partial", "일부"),
    "missing": ("missing", "없음"),
    "modified": ("modified", "변경됨"),
    "conflict": ("in conflict", "충돌"),
    "passed": ("passed", "통과"),
    "failed": ("failed", "실패"),
    "skipped": ("skipped", "건너뜀"),
    "never_verified": ("never", "기록 없음"),
    "verified": ("Last verification", "최근 검증"),
    "name": ("Name", "이름"),
    "licence": ("Licence", "라이선스"),
    "size": ("Size", "크기"),
    "found_one": ("1 artifact", "1개 항목"),
    "found": ("{number} artifacts", "{number}개 항목"),
    "none_found": ("Nothing fits these filters.", "조건에 맞는 항목이 없습니다."),
    "nothing_held": (
        "Nothing is held yet: run fetch all in the project.",
        "아직 항목이 없습니다. 프로젝트에서 fetch all을 실행하세요.",
    ),
    "page_of": ("Page {page} of {pages}", "{pages}쪽 중 {page}쪽"),
    "previous": ("Previous", "이전"),
    "next": ("Next", "다음"),
    "pages": ("Pages", "쪽 이동"),
    "problems": ("Some manifests cannot be read", "읽을 수 없는 매니페스트가 있습니다"),
    # Artifact
    "about": ("About", "개요"),
    "source": ("Source", "출처"),
    "revision": ("Revision", "리비전"),
    "not_resolved": ("not resolved yet", "아직 확정되지 않음"),
    "manifest": ("Manifest", "매니페스트"),
    "visibility": ("Visibility", "공개 범위"),
    "parameters": ("Parameters", "매개변수"),
    "min_vram": ("GPU memory", "GPU 메모리"),
    "use_it": ("Use it", "사용 방법"),
    "use_fetch": ("In a project", "프로젝트에서"),
    "use_hub": ("With any Hugging Face client", "Hugging Face 클라이언트로"),
    "use_python": ("In Python", "Python에서"),
    "use_files": ("The files, by curl", "curl로 파일 받기"),
    "files": ("Files", "파일"),
    "file": ("File", "파일"),
    "stands_at": ("Stands at", "놓이는 곳"),
    "digest": ("sha256", "sha256"),
    "tree": ("Target tree", "대상 트리"),
    "not_placed": ("The layout does not place it.", "레이아웃에 배치되지 않습니다."),
    "more_files": ("… and {number} more files", "… 외 파일 {number}개"),
    "no_files": (
        "Its files are not resolved yet: fetch lock",
        "파일이 아직 확정되지 않음: fetch lock",
    ),
    "proof": ("Verification", "검증"),
    "never_proven": (
        "It has not been verified on this machine: fetch verify {id}",
        "이 장비에서 검증한 적이 없습니다: fetch verify {id}",
    ),
    "checks": ("Checks", "점검 항목"),
    "measured": ("Measured", "측정값"),
    "check": ("Check", "점검"),
    "result": ("Result", "결과"),
    "detail": ("Detail", "세부 내용"),
    "metric": ("Metric", "지표"),
    "value": ("Value", "값"),
    "ok": ("ok", "정상"),
    "warning": ("warning", "주의"),
    "pictures": ("Pictures", "그림"),
    "verify_now": ("Verify now", "지금 검증"),
    "hint": ("Hint", "도움말"),
    "at_time": ("at", "시각"),
    "field": ("Field", "필드"),
    # Jobs
    "job": ("Verification of {id}", "{id} 검증"),
    "queued": ("waiting", "대기 중"),
    "running": ("running", "실행 중"),
    "job_reload": (
        "Its progress is shown here; without JavaScript, reload the page.",
        "진행 상황이 여기에 표시됩니다. JavaScript가 없으면 새로 고치세요.",
    ),
    "seconds": ("{number} s", "{number}초"),
    "back_to": ("Back to {name}", "{name}(으)로 돌아가기"),
    "output": ("Output", "출력"),
    # Leaderboard
    "no_measures": (
        "Nothing has been measured yet: fetch verify measures.",
        "아직 측정값이 없습니다. fetch verify로 측정합니다.",
    ),
    "by_lower": ("by {metric}, lower is better", "{metric} 기준, 낮을수록 좋음"),
    "by_higher": ("by {metric}, higher is better", "{metric} 기준, 높을수록 좋음"),
    "on_benchmark": ("on {benchmark}", "{benchmark}"),
    "rank": ("Rank", "순위"),
    "model": ("Model", "모델"),
    "device": ("Device", "장치"),
    "plot_of": ("Plot of {metric}", "{metric} 그래프"),
    "other": ("other", "기타"),
    # Signing in
    "token": ("Token", "토큰"),
    "token_help": (
        "The token that the operator of this server gave you.",
        "이 서버의 운영자에게서 받은 토큰입니다.",
    ),
    "wrong_token": ("This server does not know that token.", "이 서버가 알지 못하는 토큰입니다."),
    "no_tokens": (
        "This server has no tokens: it shows what is public.",
        "이 서버에는 토큰이 없으며 공개 항목만 보여 줍니다.",
    ),
    # Errors
    "error": ("That did not work", "처리하지 못했습니다"),
    "not_found": ("There is no such page, or not for you.", "페이지가 없거나 볼 수 없습니다."),
    "back": ("Back to the catalog", "카탈로그로 돌아가기"),
    "read_only": (
        "This server is read-only: it was started without tokens, or serves no project.",
        "이 서버는 읽기 전용입니다. 토큰 없이 시작했거나 프로젝트를 제공하지 않습니다.",
    ),
    "needs_upload": (
        "Sign in with a token that has the right “upload”.",
        "‘upload’ 권한이 있는 토큰으로 로그인하세요.",
    ),
    "stale_form": (
        "The form is too old, or comes from another site: send it again.",
        "양식이 오래되었거나 다른 사이트에서 왔습니다. 다시 보내 주세요.",
    ),
    # The form
    "form_intro": (
        "Only a name and a checkpoint are needed; for a repository, empty fields are filled with "
        "what it says of itself.",
        "이름과 체크포인트만 있으면 됩니다. 저장소를 쓰면 빈 칸은 저장소의 정보로 채워집니다.",
    ),
    "step.0": ("Basic information", "기본 정보"),
    "step.1": ("Code and checkpoint", "코드와 체크포인트"),
    "step.2": ("Input, output and interface", "입출력과 인터페이스"),
    "step.3": ("Evaluation defaults", "평가 기본값"),
    "step.4": ("Ownership and visibility", "소유와 공개 범위"),
    "advanced": ("Advanced options", "고급 옵션"),
    "id": ("Id", "아이디"),
    "id_help": ("Proposed from the name; may be changed.", "이름에서 제안되며 바꿀 수 있습니다."),
    "repository_type": ("Where the checkpoint is", "체크포인트 위치"),
    "type.huggingface": ("Hugging Face", "Hugging Face"),
    "type.github": ("GitHub", "GitHub"),
    "type.local": ("This server", "이 서버"),
    "type.url": ("Web address", "웹 주소"),
    "repository": ("Repository", "저장소"),
    "repository_help": ("owner/name", "소유자/이름"),
    "revision_help": (
        "Branch, tag or commit; default: main",
        "브랜치, 태그 또는 커밋. 기본값: main",
    ),
    "folder": ("Folder", "폴더"),
    "folder_help": ("Only what is below it", "그 아래의 파일만"),
    "hub_file": ("One file of it", "파일 하나만"),
    "hub_file_help": (
        "Such as model.safetensors; default: all",
        "예: model.safetensors. 기본값: 전체",
    ),
    "address": ("Address", "주소"),
    "upload": ("Upload a file", "파일 올리기"),
    "upload_help": (
        "Large files are sent in parts and go on where they were interrupted; at most {size}.",
        "큰 파일은 나누어 보내며 끊긴 곳부터 이어서 보냅니다. 최대 {size}.",
    ),
    "upload_script": (
        "Uploading a file in the browser needs JavaScript.",
        "브라우저에서 파일을 올리려면 JavaScript가 필요합니다.",
    ),
    "upload_ready": ("Uploaded: {name}", "올림 완료: {name}"),
    "upload_state": ("{done} of {total}", "{total} 중 {done}"),
    "upload_lost": ("Interrupted; trying again…", "연결이 끊겨 다시 시도합니다…"),
    "upload_failed": (
        "The server cannot be reached: choose the file again later to go on.",
        "서버에 연결할 수 없습니다. 나중에 파일을 다시 고르면 이어서 보냅니다.",
    ),
    "server_path": ("Path on the server", "서버의 경로"),
    "server_path_help": ("Below {folders}", "{folders} 아래"),
    "no_folders": (
        "No folder of the server is open for this (--allow-folder).",
        "허용된 서버 폴더가 없습니다(--allow-folder).",
    ),
    "into_manifest": ("Manifest that takes it", "기록할 매니페스트"),
    "place": ("Folder for its files", "파일을 둘 폴더"),
    "place_help": ("Default: models/ID", "기본값: models/ID"),
    "preview": ("Preview", "미리 보기"),
    "save": ("Register", "등록"),
    "will_write": ("This will be written", "다음 내용이 기록됩니다"),
    "notes": ("Notes", "참고"),
    "mistakes": ("Please correct these fields", "다음 항목을 고쳐 주세요"),
    "others": ("Others, separated by commas", "그 밖의 값(쉼표로 구분)"),
    "choose": ("choose", "선택"),
    "wrong_value": ("{words}", "값을 확인하세요: {words}"),
    "example": ("Such as {text}", "예: {text}"),
    "required": ("required", "필수"),
    "registered": (
        "Registered. Fetch it with: fetch all {id}",
        "등록했습니다. 받기: fetch all {id}",
    ),
    # Labels and help of the form's fields
    "f.name": ("Name", "이름"),
    "h.name": ("the name that people use", "사람이 부르는 이름"),
    "f.kind": ("Kind", "종류"),
    "h.kind": ("model or dataset", "모델 또는 데이터셋"),
    "f.task": ("Task", "작업"),
    "h.task": ("what it does", "무엇을 하는 모델인지"),
    "f.framework": ("Framework", "프레임워크"),
    "h.framework": ("its framework", "사용하는 프레임워크"),
    "f.description": ("Description", "설명"),
    "h.description": ("a few sentences", "몇 문장으로"),
    "f.purpose": ("Purpose", "용도"),
    "h.purpose": ("what it is meant for, in a few words", "무엇에 쓰는지, 몇 마디로"),
    "f.remarks": ("Remarks", "특징"),
    "h.remarks": (
        "what sets it apart from its siblings, in a few words",
        "비슷한 모델과 무엇이 다른지, 몇 마디로",
    ),
    "f.tags": ("Tags", "태그"),
    "h.tags": ("words to find it by, separated by commas", "찾을 때 쓰는 낱말, 쉼표로 구분"),
    "f.class_path": ("Class", "클래스"),
    "h.class_path": (
        "the class that loads it; it is not imported here",
        "불러올 클래스. 여기서 가져오지 않음",
    ),
    "f.files": ("Files to take", "가져올 파일"),
    "h.files": ("names and globs; default: all", "이름과 글롭. 기본값: 전체"),
    "f.exclude": ("Files to leave out", "제외할 파일"),
    "h.exclude": ("names and globs", "이름과 글롭"),
    "f.parameters": ("Parameters", "매개변수 수"),
    "h.parameters": ("how many numbers it has", "모델의 매개변수 개수"),
    "f.type": ("Pipeline type", "파이프라인 종류"),
    "h.type": ("for image generation", "이미지 생성용"),
    "f.params": ("Generation parameters", "생성 매개변수"),
    "h.params": ("key=value, separated by commas", "키=값, 쉼표로 구분"),
    "f.io.size": ("Input size", "입력 크기"),
    "h.io.size": ("fixed or variable", "고정 또는 가변"),
    "f.io.resolution": ("Resolution", "해상도"),
    "h.io.resolution": ("height and width in pixels", "높이와 너비(픽셀)"),
    "f.io.input_range": ("Input range", "입력 범위"),
    "h.io.input_range": ("lowest and highest input", "입력의 최솟값과 최댓값"),
    "f.io.output_range": ("Output range", "출력 범위"),
    "h.io.output_range": ("lowest and highest output", "출력의 최솟값과 최댓값"),
    "f.interface": ("Interface", "인터페이스"),
    "h.interface": ("methods that the class has", "클래스가 제공하는 메서드"),
    "f.attributes": ("Attributes", "속성"),
    "h.attributes": ("key=value, separated by commas", "키=값, 쉼표로 구분"),
    "f.benchmarks": ("Benchmarks", "벤치마크"),
    "h.benchmarks": ("data sets to measure on", "측정에 쓸 데이터셋"),
    "f.metrics": ("Metrics", "지표"),
    "h.metrics": ("what to measure", "측정할 지표"),
    "f.max_batch_size": ("Largest batch", "최대 배치 크기"),
    "h.max_batch_size": ("inputs at once", "한 번에 처리할 입력 수"),
    "f.device": ("Device", "장치"),
    "h.device": ("where it can run", "실행할 수 있는 장치"),
    "f.min_vram": ("GPU memory", "GPU 메모리"),
    "h.min_vram": ("the least that it needs", "필요한 최소 메모리"),
    "f.owner": ("Owner", "소유자"),
    "h.owner": ("from your login", "로그인 정보에서 가져옴"),
    "f.visibility": ("Visibility", "공개 범위"),
    "h.visibility": ("who may see it", "볼 수 있는 사람"),
    "f.license": ("Licence", "라이선스"),
    "h.license": ("an SPDX id where there is one", "가능하면 SPDX 식별자"),
    "f.citation": ("Citation", "인용"),
    "h.citation": ("how to cite it", "인용 방법"),
    "f.requires_auth": ("Needs a token", "토큰 필요"),
    "h.requires_auth": ("whether its source wants one", "출처가 토큰을 요구하는지"),
}


class Translator:
    """Gives texts in one language: `t("found", number=3)`."""

    def __init__(self, language: str) -> None:
        self.language = language
        self._index = LANGUAGES.index(language)

    @property
    def other(self) -> str:
        """The other language."""
        return LANGUAGES[1 - self._index]

    def __call__(self, key: str, **values: object) -> str:
        """The text of a key. Raises KeyError for one that the table does not have."""
        text = WORDS[key][self._index]
        return text.format(**values) if values else text

    def known(self, key: str, fallback: str) -> str:
        """The text of a key that comes from data, or the data itself."""
        return self(key) if key in WORDS else fallback


def preferred(accept: str | None) -> str:
    """The language that an Accept-Language header likes best; English if it likes neither."""
    best, chosen = 0.0, LANGUAGES[0]
    for part in (accept or "").split(",")[:20]:
        found = re.fullmatch(r"\s*([A-Za-z]+)(?:-[\w-]+)?\s*(?:;\s*q=([\d.]{1,5}))?\s*", part)
        if not found or found[1].lower() not in LANGUAGES:
            continue
        try:
            quality = float(found[2] or 1)
        except ValueError:
            continue
        if quality > best:
            best, chosen = quality, found[1].lower()
    return chosen
