"""GenForce's model zoo: names of its PGGAN and StyleGAN tables, behind SharePoint share links.

Names and links are those of genforce/genforce, models/model_zoo.py. The zoo publishes neither
sizes nor digests: the first download is taken on trust and pinned by the lock.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from fetcher.fs.nearest import nearest
from fetcher.i18n import t
from fetcher.network.session import Network
from fetcher.sources.base import (
    Candidate,
    FileEntry,
    Request,
    Resolved,
    Source,
    browser_candidate,
    choose,
)
from fetcher.yamldoc.schema import Field, Text

_SHARE = (
    "https://mycuhk-my.sharepoint.com/:u:/g/personal/1155082926_link_cuhk_edu_hk/{}?e={}&download=1"
)

# name: (share id, e)
ZOO = {
    "pggan_celebahq1024": ("EW_3jQ6E7xlKvCSHYrbmkQQBAB8tgIv5W5evdT6-GuXiWw", "gRifVa"),
    "pggan_bedroom256": ("EUZQWGz2GT5Bh_GJLalP63IBvCsXDTOxDFIC_ZBsmoEacA", "VNXiDb"),
    "pggan_livingroom256": ("Efzh6qQv6QtCm0YN1lulH-YByqdE3AqlI-E6US_hXMuiig", "ppdyB2"),
    "pggan_diningroom256": ("EcLb3_hGUkdClompZo27xk0BNmotgbFqdIeu-ZOGJsBMRg", "xjYpN3"),
    "pggan_kitchen256": ("ESCyg6hpNn1LlHVX_un1wLsBZAORUNkW9MO2kU1X5kafAQ", "09TbGC"),
    "pggan_churchoutdoor256": ("EQ8cKujs2TVGjCL_j6bsnk8BqD9REF2ME2lBnpbTPsqIvA", "zH55fT"),
    "pggan_tower256": ("EeyBJvgRVGJClKr1KKYDF_cBT1FDepRU1-GLqYNh8W9-fQ", "nrpa5N"),
    "pggan_bridge256": ("EZ2QScfPy19PiDERLJQ3gPMBP4WmvZHwhNFLzfaP2YD8hQ", "bef1U9"),
    "pggan_restaurant256": ("ERvJ4pz8jgtMrcuJXUfcOQEBDugZ099_TetCQs-9-ILCVg", "qYsVdQ"),
    "pggan_classroom256": ("EUU9SCOPUxhMoUS4Ceo9kl0BQkVK7d69lA-JeOP-zOWvXw", "YIB4no"),
    "pggan_conferenceroom256": ("EX8AF0_6NoJAl5vKFewHWnsBk0r4PK4WsqsMrJyj84TrqQ", "oNQIZS"),
    "pggan_person256": ("EWu4SqR42YpCoqsVJOcM2cMBcdfXA0j5wZ2hno9X0R9ydQ", "KuDRns"),
    "pggan_cat256": ("EQdveyUNOMtAue52n6BxoHoB6Yup5-PTvBDmyfUn7Un4Hw", "7acGbT"),
    "pggan_dog256": ("ESaKyXA5fGlOvXJYDDFbT2kB9c0HlXh9n_wnyhiP05nhow", "d4aKDV"),
    "pggan_bird256": ("Ef2p4Pd3AKVCmSm00YikCIABhylh2dLPaFjPfPVn3RiTXA", "9bRitp"),
    "pggan_horse256": ("EXwCPdv6XqJFtuvFFoswRScBmLJbhKzaC5D_iovl1GFOTw", "WDdD77"),
    "pggan_sheep256": ("ER6J5EKjAUNFtm9VwLf-uUsBZ5dnqxeKsPxY9ijiPtMhcQ", "OKtfva"),
    "pggan_cow256": ("ERZLxw7N7xJPm72FyePTbpcByzrr0pH-Fg7qyLt5tYGXwQ", "ovIPCl"),
    "pggan_car256": ("EfGc2we47aFDtAY1548pRvsByIju-uXRbkZEFpJotuPKZw", "DQqVj8"),
    "pggan_bicycle256": ("Ed1dN_FgwmdBgeNWhaRUry8BgwT88-n2ppicSDPx-f7f_Q", "bxTxnf"),
    "pggan_motorbike256": ("EV3yQdeJXIdPjZbMO0mp2-MBJbKuuBdypzBL4gnedO57Dw", "tXdvtD"),
    "pggan_bus256": ("Ed7-OYLnq0RCqRlM8qK8wZ8B87dz_NUxIKBrvyFUwRCEbg", "VP5bmX"),
    "pggan_train256": ("EedE2cozKOVAkhvbdLd4SfwBknFW8vWZnKiqgeIBbAvCCA", "BrLpTl"),
    "pggan_boat256": ("Eb39waqQFr9Bp4wO0rC5NHwB0Vz2NGCuqbRPucguBIkDrg", "lddSyL"),
    "pggan_airplane256": ("Ee6FzIx3KjNDhxrS5mDvpCEB3iQ7TgErmKhbwbV-eF07iw", "xflPXa"),
    "pggan_bottle256": ("EWhoy2AFCTZGtEG1UoayWjcB9Kdc_wreJ8p4RlBB93nbNg", "DMZceU"),
    "pggan_chair256": ("EbQRTfwdostBhXG30Uacn7ABsEUFa-tEW3oxiM5zDYQbRw", "FkB7T0"),
    "pggan_pottedplant256": ("EWg7hnoGATBOuJvXWr4m7CQBJL9o7nqnD6nOMRhtH2SKXg", "Zi3hjD"),
    "pggan_tvmonitor256": ("EVXwttoJVtBMuhHNDdK3cMwBdMiZARJV38PMTsL6whnFlA", "RbG0ru"),
    "pggan_diningtable256": ("EXVzBkbmTCVImMtuHLCTBeMBXZmv0RWyx5KXQQAe7-7D5w", "6RYSnm"),
    "pggan_sofa256": ("EaADQYDXwY9NrzbiUFcRYRgBOu1GdJMG8YgNZZmbNjbn-Q", "DqKrXG"),
    "stylegan_ffhq1024": ("EXn4sso_9fBEvXBEKAyGiekBXEpmsPOsVXZC0YIOE_iwWQ", "rnhgd7"),
    "stylegan_celebahq1024": ("EcCdXHddE7FOvyfmqeOyc9ABqVuWh8PQYFnV6JM1CXvFig", "1nUYZ5"),
    "stylegan_bedroom256": ("Ea6RBPddjcRNoFMXm8AyEBcBUHdlRNtjtclNKFe89amjBw", "Og8Vff"),
    "stylegan_cat256": ("EVjX8u9HuehLip3z0hRfIHcB7QtoFkTB7NiRDb8nrKOl2w", "lHcp1B"),
    "stylegan_car512": ("EcRJNNzzUzJGjI2X53S9HjkBhXkKT5JRd6Q3IIhCY1AyRw", "FvMRNj"),
    "stylegan_celeba_partial256": ("ET2etKNzMS9JmHj5j60fqMcBRJfQfYNvqUrujaIXxCvKDQ", "QReLE6"),
    "stylegan_ffhq256": ("ES-NAUCC2qdHg87BftvlBiQBVpbJ8-005Q4TNr5KrOxQEw", "00AnWt"),
    "stylegan_ffhq512": ("EZYrrwOiEgVOg-PfGv7QTegBzFQ9yq2v7o1WxNq5JJ9KNA", "SZU8PI"),
    "stylegan_livingroom256": ("EfFCYLHjqbFDmjOvCCFJgDcBZ1QYgETfZJxp4ZTHjLxZBg", "InVd0n"),
    "stylegan_diningroom256": ("ERsUza_hSFRIm4iZCag7P0kBQ9EIdfQKByw4QYt_ay97lg", "Cimh7S"),
    "stylegan_kitchen256": ("ERcYvoingQNKix35lUs0vUkBQQkAZMp1rtDxjwNlOJAoaA", "a1Tcwr"),
    "stylegan_apartment256": ("EfurPNSB2BRFtXdqGkmDD6YBwyKN8YK2v7nKwnJQdsbf6A", "w3oYa4"),
    "stylegan_church256": ("ETMgG1_d06tAlbUkJD1qA9IBaLZ9zJKPkG2kO-4jxhVV5w", "Dbkb7o"),
    "stylegan_tower256": ("Ebm9QMgqB2VDqyIE5rFhreEBgZ_RyKcRf8bQ333K453u3w", "if8sDj"),
    "stylegan_bridge256": ("Ed9QM6OP9sVHnazSp4cqPSEBb-ALfBPXRxP1hD7FsTYh8w", "3vv06p"),
    "stylegan_restaurant256": ("ESDhYr01WtlEvBNFrVpFezcB2l9lF1rBYuHFoeNpBr5B7A", "uFWFNh"),
    "stylegan_classroom256": ("EbWnI3oto9NPk-lxwZlWqPQB2atWpGiTWMIT59MzF9ij9Q", "KvcNBg"),
    "stylegan_conferenceroom256": ("Eb1gVi3pGa9PgJ4XYYu_6yABQZ0ZcGDak4FEHaTHaeYFzw", "0BeE8t"),
    "stylegan_animeface512": ("EWDWflY6lBpGgX0CGQpd2Z4B5wTEVamTOA9JRYne7zdCvA", "tOzgYA"),
    "stylegan_animeportrait512": ("EXBvhTBi-v5NsnQtrxhFEKsBin4xg-Dud9Jr62AEwFTIxg", "bMGK7r"),
    "stylegan_artface512": ("Eca0OiGqhyZMmoPbKahSBWQBWvcAH4q2CE3zdZJflp2jkQ", "h4rWAm"),
    "stylegan2_ffhq1024": ("EX0DNWiBvl5FuOQTF4oMPBYBNSalcxTK0AbLwBn9Y3vfgg", "Q0sZit"),
    "stylegan2_church256": ("EQzDtJUdQ4ROunMGn2sZouEBmNeFX4QWvxjermVE5cZvNA", "tQ7r9r"),
    "stylegan2_cat256": ("EUKXeBwUUbZJr6kup7PW4ekBx2-vmTp8FjcGb10v8bgJxQ", "nkerMF"),
    "stylegan2_horse256": ("EconoT6tb69OuAIqfXRtGlsBZz4vBx01UmmFO-JAS356Jg", "bcSCC4"),
    "stylegan2_car512": ("EYSnUsxU8KJFuMHhZm-JLWoB0nHxdlbrLHNZ_Qkoe3b9LA", "Ycjp5A"),
}


def _zoo_key(name: str) -> str:
    """`stylegan/celeba_partial-256x256`, as the zoo's page writes it, as the zoo's code does."""
    squared = re.sub(r"[-_]?(?<!\d)(\d{1,9})x\d{1,9}$", r"\1", name.strip())
    return re.sub(r"[^a-z0-9]", "", squared.lower())


_BY_KEY = {_zoo_key(name): name for name in ZOO}


def zoo_name(text: str) -> str | None:
    """The zoo's own name for `text`, or None."""
    return _BY_KEY.get(_zoo_key(text))


def _complaint(text: str) -> str | None:
    if zoo_name(text):
        return None
    close = nearest(text, ZOO)
    return t(
        "is not in GenForce's model zoo{which}",
        which=t("; did you mean {close!r}?", close=close) if close else "",
    )


@dataclass(frozen=True)
class GenForce(Source):
    """One checkpoint of the zoo; its file is called `<name>.pth`, as GenForce's tools do."""

    name: str

    type: ClassVar[str] = "genforce"
    lists: ClassVar[bool] = False
    fields: ClassVar[dict[str, Field]] = {
        "name": Field(
            Text(check=_complaint), t("a name such as stylegan_celeba_partial256"), required=True
        ),
    }

    @classmethod
    def from_short(cls, text: str) -> dict[str, str]:
        """The name itself."""
        if complaint := _complaint(text):
            raise ValueError(complaint)
        return {"name": text}

    def describe(self) -> str:
        """The short form."""
        return f"genforce:{zoo_name(self.name)}"

    def admits(self, revision: str) -> bool:
        """There are no revisions."""
        return not revision

    def resolve(self, request: Request, network: Network) -> Resolved:
        """One file; nothing is asked of the network, as SharePoint tells nothing beforehand."""
        entry = FileEntry(f"{zoo_name(self.name)}.pth")
        return Resolved("", choose({entry.path: entry}, request, self.describe()))

    def url(self) -> str:
        """The share link."""
        return _SHARE.format(*ZOO[zoo_name(self.name) or self.name])

    def page(self, network: Network) -> str:
        """The link, for a browser."""
        return self.url()

    def candidates(self, revision: str, file: FileEntry, network: Network) -> list[Candidate]:
        """The share link; SharePoint hands out cookies on the way through its redirects."""
        return [browser_candidate(self.type, self.url(), file.path)]
