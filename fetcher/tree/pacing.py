"""Runs that a host's rate limit makes slow: known before they begin."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from fetcher.errors import Failure
from fetcher.i18n import t
from fetcher.network.rate_limit import Allowance
from fetcher.network.session import Network
from fetcher.network.urls import host_of
from fetcher.sources.huggingface import HuggingFace
from fetcher.tree.plan import Plan, downloads
from fetcher.ui.units import human_seconds


@dataclass(frozen=True)
class Pacing:
    """A host that allows fewer requests than the run needs: it takes `seconds` at the least."""

    host: str
    requests: int
    allowed: Allowance

    @property
    def seconds(self) -> float:
        """Seconds that the limit alone makes of it."""
        return self.allowed.least_seconds(self.requests)

    def sentence(self) -> str:
        """What to tell the person, before it begins."""
        return t(
            "{host} allows {quota:,} requests in {window} ({left:,} are left): "
            "{requests:,} files take at least {seconds}",
            host=self.host,
            quota=self.allowed.quota,
            window=human_seconds(self.allowed.window),
            left=self.allowed.left,
            requests=self.requests,
            seconds=human_seconds(self.seconds),
        )


def pacing_of(plan: Plan, network: Network) -> list[Pacing]:
    """The hosts whose limit the plan's downloads will meet, as they told the preflight.

    Each file of a Hub costs one request; what a large one takes after that is the CDN's.
    """
    if not network.allowances:
        return []
    try:
        host = host_of(network.rewrite(network.hub + "/"))
    except Failure:
        return []
    wanted: Counter[str] = Counter()
    for part in plan.artifacts:
        if isinstance(part.artifact.source, HuggingFace) and not part.artifact.mirrors:
            wanted[host] += len(downloads(part.items.to_do()))
    found = [
        Pacing(name, count, network.allowances[name])
        for name, count in wanted.items()
        if name in network.allowances
    ]
    return [one for one in found if one.seconds > 0]
