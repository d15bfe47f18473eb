"""The brand list over HTTP: look up and add brands and logos, decide proposals, find reports that it would change."""

import base64
from collections.abc import Sequence
from pathlib import PurePath
from typing import Annotated, Literal

from fastapi import Depends, Path, Query, Request
from fastapi.params import Depends as Dependency
from fastapi.responses import Response
from pydantic import BaseModel, Field, StringConstraints

from brand_detect.api.access import Access
from brand_detect.api.answers import Endpoints, Warnings, problems, unknown_like
from brand_detect.api.guard import BRANDS
from brand_detect.api.jobs import KEEP, page_of
from brand_detect.api.stored_brands import Older, StoredBrands
from brand_detect.catalog.exemplars import SUFFIXES
from brand_detect.catalog.source import COUNTRIES
from brand_detect.catalog.writing import Picture
from brand_detect.domain.catalog import Brand, BrandKind
from brand_detect.domain.errors import BadInput
from brand_detect.domain.proposals import Open
from brand_detect.report.brand_list import render_brand_list

PROPOSALS = "/proposals"
PAGE = 50
"""Brands of a page."""
MOST_PROPOSALS = 100
"""Proposals of an answer, those longest on screen first."""
LONGEST, MOST = 200, 50
"""Limits of a text, in characters, and of the texts of a list."""

Text = Annotated[str, StringConstraints(strip_whitespace=True, max_length=LONGEST)]
Texts = Annotated[list[Text], Field(max_length=MOST)]
BrandId = Annotated[str, Path(openapi_examples={"brand": {"value": "zymvora-zero"}})]


class ListedBrand(BaseModel):
    brand_id: str = Field(examples=["zymvora"])
    name: str = Field(examples=["Zymvora"])
    aliases: list[str] = Field(examples=[["Zymvora Zero"]])
    kind: BrandKind = Field(examples=["brand"])
    categories: list[str] = Field(examples=[["drinks"]])
    sports: list[str] = Field(examples=[["tennis"]])
    country: str = Field(description="ISO 3166-1 alpha-2, or empty", examples=["GB"])
    owner: str = Field(examples=[""])
    excluded_texts: list[str] = Field(description="texts that are like it and are another", examples=[[]])
    excluded: bool = Field(description="whether reports leave it out", examples=[False])
    logos: list[str] = Field(description="addresses of its logos", examples=[["/brands/logos/0a1b2c3d4e5f6a7b.jpg"]])


class BrandPage(BaseModel):
    brands: list[ListedBrand]
    total: int = Field(description="brands that the search finds", examples=[1])
    listed: int = Field(description="number of brands on the list", examples=[34233])
    excluded: int = Field(description="those of them that reports leave out", examples=[0])
    page: int = Field(examples=[1])
    pages: int = Field(examples=[1])
    version: str = Field(description="version of the catalogue that the list gives", examples=["8724681cca1ef89f"])
    is_own: bool = Field(description="whether the list can be changed; the packaged list cannot")


class OwnList(BaseModel):
    folder: str = Field(description="where it lies", examples=["/srv/brand_detect/.state/checkpoints/_own_catalog"])
    listed: int = Field(description="number of brands on the list", examples=[34233])


class NewLogo(BaseModel):
    name: Text = Field(description="the file's name: its suffix gives the format, SVG, PNG or JPEG", examples=["a.svg"])
    data: str = Field(description="the file, in base64", examples=["PHN2ZyB4bWxucz0i…"])


class NewBrand(BaseModel):
    """A brand, or names and logos to add to the one that has this name."""

    name: Text = Field(min_length=1, examples=["Zymvora"])
    aliases: Texts = Field([], examples=[["Zymvora Zero"]])
    categories: Texts = Field([], examples=[["drinks"]])
    kind: BrandKind = Field(BrandKind.brand, examples=["brand"])
    country: Text = Field("", examples=["GB"])
    sports: Texts = []
    owner: Text = ""
    excluded_texts: Texts = Field([], description="texts that are like it and are another")
    logos: list[NewLogo] = Field([], max_length=MOST)


class Merge(BaseModel):
    into: Text = Field(min_length=1, description="a name of the brand that stays", examples=["Zymvora"])


class MergedBrand(ListedBrand):
    notes: list[str] = Field(description="what was said of one of the two and no longer holds", examples=[[]])


class AddedBrand(BaseModel):
    brand: ListedBrand
    new_logos: int = Field(description="how many of the logos it did not have", examples=[1])
    alike: list[str] = Field(
        description="other brands that reading may take it for", examples=[["Zymvora reads like Zymvera, of Zymvera"]]
    )
    warnings: Warnings = Field(default=[], examples=[[]])


class OpenProposal(BaseModel):
    proposal_id: str = Field(examples=["3f9a1c07b1d2e3f4"])
    kind: Literal["brand", "alias", "excluded"] = Field(
        description="a new brand; or `text` is another name of the brand `name`, or is not that brand"
    )
    name: str = Field(description="empty for a logo that nobody has named", examples=["Zymvora"])
    text: str = Field(description="what was read; empty for a logo without text", examples=["ZYMVORA"])
    by: str = Field(description="a person, a cluster of unresolved tracks, or the model's name", examples=["cluster"])
    seconds: float = Field(description="time on screen in all jobs", examples=[12.5])
    jobs: list[str] = Field(examples=[["final-1a2b3c4d"]])
    picture: str = Field(description="address of its best crop, or empty", examples=["/proposals/3f9a1c07b1d2e3f4.jpg"])


class Decided(BaseModel):
    verdict: Literal["accepted", "rejected"] = Field(examples=["accepted"])
    name: Text = Field("", description="the brand's name, if it is not that of the proposal", examples=["Zymvora"])


class Outcome(BaseModel):
    verdict: Literal["accepted", "rejected"]
    brand: str = Field(description="the brand that has it now, or empty", examples=["Zymvora"])
    note: str = Field(description="why it has no logo, or empty", examples=[""])
    alike: list[str] = Field(description="other brands that reading may take it for", examples=[[]])


class OlderReport(BaseModel):
    job_id: str = Field(examples=["final-1a2b3c4d"])
    video: str = Field(examples=["final.mp4"])
    gains: list[str] = Field(
        description="brands that it lacks: its texts have names that are new on the brand list, or it excluded them",
        examples=[["Zymvora"]],
    )
    loses: list[str] = Field(description="its brands that the list has no more, or excludes", examples=[[]])


class OlderReports(BaseModel):
    """Reports made with another version of the catalogue. What its logos would find, only a replay tells."""

    reports: list[OlderReport]
    not_looked_at: int = Field(description="jobs beyond the limit of 500", examples=[0])


def brand_router(
    brands: StoredBrands, access: Access, may_see: Sequence[Dependency], may_change: Sequence[Dependency]
) -> Endpoints:
    """The page of the brand list, and its endpoints."""
    router = Endpoints(tags=["brands"])
    router.take(_lookup_router(brands, may_see), _change_router(brands, may_change))

    @router.get("/brand-list", include_in_schema=False)
    def page(request: Request, q: str = "", page: str = "1") -> Response:
        if not access.may_enter(request):
            return access.to_login(request)
        number = int(page) if page.isdecimal() and len(page) < 7 else 1
        found = brand_page(brands, q[:LONGEST], number).model_dump(mode="json")
        proposals, damaged = open_list(brands)
        return page_of(
            *render_brand_list(
                found,
                [p.model_dump(mode="json") for p in proposals],
                damaged,
                q[:LONGEST],
                tuple(BrandKind),
                tuple(SUFFIXES),
                COUNTRIES,
                brands.may_make_own,
            )
        )

    return router


def _lookup_router(brands: StoredBrands, may_see: Sequence[Dependency]) -> Endpoints:
    router = Endpoints(tags=["brands"], dependencies=may_see)

    @router.get(BRANDS, responses=problems(503))
    def listed(
        q: Annotated[str, Query(max_length=LONGEST, description="words of names, categories, sports, …")] = "",
        page: Annotated[int, Query(ge=1, le=100_000)] = 1,
    ) -> BrandPage:
        """A page of the brand list, by name."""
        return brand_page(brands, q, page)

    @router.get(f"{BRANDS}/logos/{{exemplar_id}}.jpg", include_in_schema=False)
    def logo(exemplar_id: str) -> Response:
        return Response(brands.logo(exemplar_id), media_type="image/jpeg", headers=KEEP)

    @router.get(f"{BRANDS}/reports", responses=problems(503))
    def older() -> OlderReports:
        """The reports made with another version of the catalogue, those first that would change: replay them from
        `match_brands`."""
        found, left_out = brands.older()
        return OlderReports(reports=list(map(_older, found)), not_looked_at=left_out)

    @router.get(PROPOSALS, responses=problems(503))
    def proposals() -> list[OpenProposal]:
        """The 100 open proposals for the catalogue that were longest on screen."""
        return open_list(brands)[0]

    @router.get(f"{PROPOSALS}/{{proposal_id}}.jpg", include_in_schema=False)
    def crop(proposal_id: str) -> Response:
        return Response(brands.crop(proposal_id), media_type="image/jpeg", headers=KEEP)

    return router


def _change_router(brands: StoredBrands, may_change: Sequence[Dependency]) -> Endpoints:
    router = Endpoints(tags=["brands"], dependencies=may_change)

    @router.post(BRANDS, responses=problems(403, 415, 503))
    def add(asked: NewBrand, warnings: Annotated[list[str], Depends(unknown_like(NewBrand))]) -> AddedBrand:
        """Add a brand to the deployment's brand list, or names and logos to the brand of that name.

        A logo may have 5 MiB, and the body 8 MiB: send more logos in further requests. Reports show the brand once they
        are replayed from `match_brands`.
        """
        cells = asked.model_dump(exclude={"logos"})
        if asked.kind is BrandKind.brand:  # what a brand is without a kind
            del cells["kind"]
        added = brands.add(cells, [_picture(logo) for logo in asked.logos])
        return AddedBrand(
            brand=_listed(added.brand),
            new_logos=len(added.logos),
            alike=brands.alike(added.brand.name),
            warnings=warnings,
        )

    @router.post(f"{BRANDS}/own", responses=problems(403, 415, 503))
    def make_own() -> OwnList:
        """Copy the packaged list, which cannot be changed, into the deployment's state, and use the copy from now on.

        It names the same brands, so reports do not change.
        """
        brands.make_own()
        return OwnList(folder=str(brands.changeable()), listed=len(brands.loaded().catalog.brands))

    @router.post(f"{BRANDS}/{{brand_id}}/exclude", responses=problems(403, 404, 415, 503))
    def exclude(brand_id: BrandId) -> ListedBrand:
        """Leave a brand out of reports. It stays on the brand list, so its texts and logos count for no other brand.

        Reports made before keep it until they are replayed from `match_brands`.
        """
        return _listed(brands.exclude(brand_id, excluded=True))

    @router.post(f"{BRANDS}/{{brand_id}}/include", responses=problems(403, 404, 415, 503))
    def include(brand_id: BrandId) -> ListedBrand:
        """Have reports count a brand again that was excluded."""
        return _listed(brands.exclude(brand_id, excluded=False))

    @router.post(f"{BRANDS}/{{brand_id}}/merge", responses=problems(403, 404, 415, 503))
    def merge(brand_id: BrandId, asked: Merge) -> MergedBrand:
        """Give a brand's names and logos to another, and take it off the deployment's brand list.

        Reports made before keep their names until they are replayed from `match_brands`.
        """
        merged = brands.merge(brand_id, asked.into)
        return MergedBrand(**_listed(merged.brand).model_dump(), notes=list(merged.notes))

    @router.post(f"{PROPOSALS}/{{proposal_id}}", responses=problems(403, 404, 415, 503))
    def decide(
        proposal_id: Annotated[str, Path(openapi_examples={"proposal": {"value": "3f9a1c07b1d2e3f4"}})],
        decided: Decided,
    ) -> Outcome:
        """Accept a proposal into the brand list, or reject it for all jobs."""
        done = brands.decide(proposal_id, decided.verdict == "accepted", decided.name)
        name = done.added.brand.name if done else ""
        alike = brands.alike(name) if done else []
        return Outcome(verdict=decided.verdict, brand=name, note=done.without_logo if done else "", alike=alike)

    return router


def brand_page(brands: StoredBrands, text: str, page: int) -> BrandPage:
    """A page of the brands that ``text`` finds; the last one if there are fewer."""
    catalog, found = brands.loaded().catalog, brands.find(text)
    pages = max(1, -(-len(found) // PAGE))
    page = min(page, pages)
    return BrandPage(
        brands=list(map(_listed, found[(page - 1) * PAGE : page * PAGE])),
        total=len(found),
        listed=len(catalog.brands),
        excluded=sum(brand.excluded for brand in catalog.brands),
        page=page,
        pages=pages,
        version=catalog.version,
        is_own=brands.own is not None,
    )


def open_list(brands: StoredBrands) -> tuple[list[OpenProposal], list[str]]:
    """The open proposals as the service tells them, and one sentence about each damaged file."""
    found, damaged = brands.proposals()
    return list(map(_open, found[:MOST_PROPOSALS])), damaged


def _picture(logo: NewLogo) -> Picture:
    name = PurePath(logo.name).name
    suffix = SUFFIXES.get(PurePath(name).suffix.lower())
    if suffix is None:
        raise BadInput(f"The format of {name} is unknown.", f"use one of {', '.join(SUFFIXES)}")
    try:
        return Picture(name, base64.b64decode(logo.data, validate=True), suffix)
    except ValueError as e:  # binascii.Error is one
        raise BadInput(f"The data of {name} is not base64.", "encode the whole file") from e


def _listed(brand: Brand) -> ListedBrand:
    return ListedBrand(
        brand_id=brand.brand_id,
        name=brand.name,
        aliases=list(brand.aliases),
        kind=brand.kind,
        categories=list(brand.categories),
        sports=list(brand.sports),
        country=brand.country,
        owner=brand.owner,
        excluded_texts=list(brand.excluded_texts),
        excluded=brand.excluded,
        logos=[f"{BRANDS}/logos/{e.exemplar_id}.jpg" for e in brand.exemplars],
    )


def _open(item: Open) -> OpenProposal:
    p = item.proposal
    return OpenProposal(
        proposal_id=p.proposal_id,
        kind=p.kind,
        name=p.name,
        text=p.text,
        by=p.model or p.proposer,
        seconds=item.seconds,
        jobs=list(item.jobs),
        picture=f"{PROPOSALS}/{p.proposal_id}.jpg" if p.frame is not None and p.box is not None else "",
    )


def _older(report: Older) -> OlderReport:
    return OlderReport(job_id=report.job_id, video=report.video, gains=list(report.gains), loses=list(report.loses))
