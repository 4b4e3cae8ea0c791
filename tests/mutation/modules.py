"""Which tests hold which module, and which mutants say nothing about a test."""

from __future__ import annotations

# Beside each module the tests that hold it, a second or two each: what a mutant costs.
MODULES: dict[str, tuple[str, ...]] = {
    "fs/atomic": ("fs/test_atomic.py", "fs/test_system_calls.py"),
    "fs/boundary": ("fs/test_boundary.py",),
    "fs/free_space": ("fs/test_free_space.py",),
    "fs/globs": ("fs/test_globs.py", "fs/test_patterns.py"),
    "fs/locks": ("fs/test_lock_holders.py",),
    "fs/nearest": ("fs/test_nearest.py",),
    "fs/owners": ("fs/test_owners.py",),
    "fs/patterns": ("fs/test_patterns.py",),
    "fs/pointers": ("fs/test_pointers.py",),
    "fs/private_files": ("fs/test_private_files.py",),
    "fs/processes": ("fs/test_processes.py",),
    "fs/reserved": ("fs/test_reserved.py",),
    "fs/safe_paths": ("fs/test_safe_paths.py",),
    "fs/text": ("fs/test_text.py",),
    "mirror/claims": ("mirror/test_claims.py",),
    "mirror/tar": ("mirror/test_tar.py",),
    "network/credentials": ("network/test_credentials.py",),
    "network/retry": ("network/test_retry.py",),
    "network/session": ("network/test_rules.py", "network/test_session.py"),
    "network/urls": ("network/test_urls.py",),
    "project/lock_merge": ("project/test_lock_merge.py",),
    "project/lockfile": ("project/test_lockfile.py",),
    "store/part_notes": ("store/test_part_notes.py",),
    "store/project_records": ("store/test_project_records.py",),
    "store/stamps": ("store/test_stamps.py",),
    "store/store": (
        "store/test_finding.py",
        "store/test_parts.py",
        "store/test_recovery.py",
        "store/test_store.py",
    ),
    "store/listings": ("store/test_listings.py", "store/test_upstream_pages.py"),
    "store/upstream_records": ("store/test_upstream_pages.py", "store/test_upstream_records.py"),
    "transfer/outcomes": ("transfer/test_outcomes.py",),
    "transfer/partial_file": ("transfer/test_partial_file.py",),
    "transfer/wheels": ("transfer/test_wheels.py",),
    "tree/placer": ("tree/test_placer.py", "tree/test_placer_faults.py"),
    "tree/planner": ("tree/test_planner.py",),
}

# A text for people, as an argument or a variable: how it is worded is no behaviour.
TEXT_CALLS = {"t", "repr", "printable", "_short", "_shown"}
TEXT_NAMES = {"message", "text", "hint", "why", "which", "what", "shown", "reason", "note"}
# Whose results are such texts, or that only log.
TEXT_FUNCTIONS = {"_explain", "_short", "_shown", "_why"}
# What is raised or reported with such texts.
SAYING = {
    "BadPath",
    "BadPattern",
    "Failure",
    "LockError",
    "Problem",
    "UsageError",
    "from_os_error",
    "_block",
    "refuse",
    "say",
}
# Functions that remember their result because it must stay the same, or that tests make forget.
ONCE = {"_libc", "_owner", "flock_works", "machine", "run_id"}
# Arguments of which it is only asked whether they are true.
FLAGS = {"exist_ok", "follow_symlinks", "ignore_errors", "missing_ok", "parents"}
# Names of encodings, which mean the same in capitals.
CODECS = {"ascii", "utf-16-be", "utf-16-le", "utf-8"}

# Mutants that no test can tell from the code, or that are only slower: (module, the line before,
# the line after) and why.
EXPLAINED: dict[tuple[str, str, str], str] = {
    (
        "fs/safe_paths",
        r"return ''.join((char if char.isprintable() else f'\\x{ord(char):02x}' "
        "if ord(char) < 256 else '\ufffd' for char in text))",
        r"return ''.join((char if char.isprintable() else f'\\x{ord(char):02x}' "
        "if ord(char) < 257 else '\ufffd' for char in text))",
    ): "what is at 256 is printable",
    (
        "fs/locks",
        "handles.append(os.open(path, flags, 384))",
        "handles.append(os.open(path, flags))",
    ): "the file is there already",
    (
        "fs/locks",
        "flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, 'O_NOFOLLOW', 0)",
        "flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, 'O_NOFOLLOW', 1)",
    ): "that is O_WRONLY",
    (
        "fs/nearest",
        "found = difflib.get_close_matches(name, pool, n=1, cutoff=0.65)",
        "found = difflib.get_close_matches(name, pool, n=2, cutoff=0.65)",
    ): "only the first is used",
    (
        "fs/nearest",
        "found = difflib.get_close_matches(name, pool, n=1, cutoff=0.65)",
        "found = difflib.get_close_matches(name, pool, cutoff=0.65)",
    ): "only the first is used",
    (
        "fs/nearest",
        "close = difflib.get_close_matches(name.lower(), folded, n=1, cutoff=0.65)",
        "close = difflib.get_close_matches(name.lower(), folded, n=2, cutoff=0.65)",
    ): "only the first is used",
    (
        "fs/nearest",
        "close = difflib.get_close_matches(name.lower(), folded, n=1, cutoff=0.65)",
        "close = difflib.get_close_matches(name.lower(), folded, cutoff=0.65)",
    ): "only the first is used",
    (
        "fs/pointers",
        "body = head[:2 * POINTER_BYTES]",
        "body = head[:3 * POINTER_BYTES]",
    ): "what is more is cut off below",
    (
        "fs/pointers",
        "body = (text_of(body) or '').encode()",
        "body = (text_of(body) or 'XXXX').encode()",
    ): "that is no pointer either",
    ("mirror/tar", "extended = False", "extended = None"): "it is only asked whether it is true",
    (
        "network/retry",
        "reset = headers.get(f'{prefix}reset', '')",
        "reset = headers.get(f'{prefix}reset', 'XXXX')",
    ): "no number either",
    ("store/store", "self._ready = True", "self._ready = False"): "only slower",
    (
        "store/part_notes",
        "with open(temporary, 'x', encoding='ascii') as stream:",
        "with open(temporary, 'x') as stream:",
    ): "JSON is written in ASCII",
    (
        "store/upstream_records",
        "file = lockfile.file_entry(item, _SAID)",
        "file = lockfile.file_entry(item, None)",
    ): "it names the file in an error that nobody sees",
    (
        "tree/placer",
        "self._no_reflink = False",
        "self._no_reflink = None",
    ): "it is only asked whether it is true",
    (
        "tree/placer",
        "return sha256 not in self._linked or (item.file.size or 0) > MAX_DUPLICATE",
        "return sha256 not in self._linked or (item.file.size or 1) > MAX_DUPLICATE",
    ): "one byte is no more than none",
    (
        "tree/placer",
        "way = 'copy'",
        "way = None",
    ): "what is neither a link nor shared is copied",
    (
        "transfer/partial_file",
        "if self._map >= 0:",
        "if self._map >= 1:",
    ): "descriptor 0 is standard input",
    (
        "transfer/partial_file",
        "if self._file >= 0:",
        "if self._file >= 1:",
    ): "descriptor 0 is standard input",
    (
        "network/urls",
        "start = -1 if url.isascii() else url.find('/', url.find('://') + 3)",
        "start = -2 if url.isascii() else url.find('/', url.find('://') + 3)",
    ): "it is only asked whether it is below 0",
    ("network/urls", "if start >= 0:", "if start > 0:"): "a slash behind :// is at 3 or later",
    ("network/urls", "if start >= 0:", "if start >= 1:"): "a slash behind :// is at 3 or later",
    (
        "network/urls",
        """url = url[:start] + quote(url[start:], safe="!#$%&'()*+,/:;=?@[]~")""",
        """url = url[:start] + quote(url[start:], safe="XX!#$%&'()*+,/:;=?@[]~XX")""",
    ): "letters are safe in any case",
    (
        "network/urls",
        "port = _PORTS.get(scheme, 0) if parts.port is None else parts.port",
        "port = _PORTS.get(scheme) if parts.port is None else parts.port",
    ): "None is no port either",
    (
        "network/urls",
        "port = _PORTS.get(scheme, 0) if parts.port is None else parts.port",
        "port = _PORTS.get(scheme, 1) if parts.port is None else parts.port",
    ): "a scheme that has none is refused anyway",
    (
        "network/urls",
        "scheme, host, port = ('', '', 0)",
        "scheme, host, port = ('', '', 1)",
    ): "without a scheme it is refused anyway",
    (
        "network/urls",
        "scheme, host, port = ('', '', 0)",
        "scheme, host, port = ('XXXX', '', 0)",
    ): "that is no scheme either",
}
