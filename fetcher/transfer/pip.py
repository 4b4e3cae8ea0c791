"""pip as a child process: what of the environment it needs, and what its failures mean."""

from __future__ import annotations

import sys

from fetcher.errors import Failure
from fetcher.fs.safe_paths import printable
from fetcher.i18n import t

PIP_TIMEOUT = 3600  # seconds
# pip's own settings, which may hold an index's login, and what its keyrings make one of.
FOR_PIP = (
    *("PIP_*", "NETRC", "*_PROXY", "*_proxy"),
    *("AWS_*", "GOOGLE_*", "VSS_NUGET_*", "ARTIFACTS_CREDENTIALPROVIDER_*"),
)


def pip_failure(requirement: str, output: str) -> Failure:
    """What pip's output says of a download that failed."""
    if "No module named pip" in output:
        hint = t("install it: {executable} -m ensurepip", executable=sys.executable)
        return Failure("refused", t("pip is not installed beside fetch"), hint)
    lines = [line for line in output.splitlines() if line.startswith("ERROR:")]
    reason = printable(lines[-1].removeprefix("ERROR: ") if lines else output[-200:])
    return Failure(
        "network",
        t(
            "pip cannot download {requirement}: {reason}",
            requirement=requirement,
            reason=reason or t("no wheel"),
        ),
        t("check pip's index settings: pip config list"),
    )
