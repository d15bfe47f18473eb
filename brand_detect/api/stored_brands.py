"""What the brand list's page shows: brands, logos, proposals, and the reports that a change of the list would touch."""

import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from threading import Lock

from brand_detect.api.stored import NotThere
from brand_detect.api.stored_jobs import StoredJobs
from brand_detect.catalog import LexiconIndex, LoadedCatalog, catalog_from_json
from brand_detect.catalog.reader import CatalogReader
from brand_detect.catalog.writing import (
    Added,
    Cells,
    Merged,
    Picture,
    add_brand,
    create_catalog,
    exclude_brand,
    merge_brands,
)
from brand_detect.domain.backgrounds import on_contrast
from brand_detect.domain.catalog import Brand, BrandCatalog
from brand_detect.domain.contracts.compile_report import Report
from brand_detect.domain.contracts.match_brands import MatchBrandsParams
from brand_detect.domain.errors import BadInput, Permanent
from brand_detect.domain.media import file_name
from brand_detect.domain.pipeline import CATALOG, Stage
from brand_detect.domain.proposals import Open, Proposal
from brand_detect.domain.settings import Settings
from brand_detect.domain.text import brand_id_of, key_of
from brand_detect.engines.artwork import VectorAndPixelArtwork
from brand_detect.engines.image import OpenCvCodec
from brand_detect.operations.learning import Accepted, accept, crop, open_proposals, reject
from brand_detect.storage.attempts import AttemptRef
from brand_detect.storage.blobs import concurrently
from brand_detect.storage.proposals import Proposals
from brand_detect.storage.store import Store

LOGO_PX, LOGO_QUALITY = 96, 88
PROPOSALS_S = 5.0
"""Time for which proposals are reused: each of their pictures asks for them."""
NEAR = 10
"""Most similar names that are compared with a new one."""
NO_PLACE = (
    "create your own with brand-detect catalog init FOLDER on the machine of Dagster's sensors, set "
    "BRAND_DETECT_CATALOG to it there and for this service, and restart both"
)
MOST_REPORTS = 500
"""Limit of reports that are compared with the list."""
_PARAMS = MatchBrandsParams.model_validate({})
LIMITS = {"fuzzy_score": _PARAMS.fuzzy_score, "min_fuzzy_length": _PARAMS.min_fuzzy_length}


@dataclass(frozen=True)
class Older:
    """A report that another version of the brand list has made."""

    job_id: str
    video: str
    gains: tuple[str, ...]
    """Brands that the report lacks: texts without a brand name them now, or it left them out and no longer would."""
    loses: tuple[str, ...]
    """Brands of the report that are no longer on the list, or left out now."""


@dataclass(frozen=True)
class _Reported:
    """What a report has that a change of the list may touch."""

    texts: tuple[str, ...]
    """Those without a brand."""
    brands: Mapping[str, str]
    """Names by id."""
    by_hand: frozenset[str]
    """Ids of brands that a person named: they need not be on the list."""
    excluded: Mapping[str, str]
    """Brands on screen that the list excluded, names by id."""


class StoredBrands:
    """The deployment's brand list, and what reports propose for it. Safe to share between threads."""

    def __init__(self, settings: Settings, store: Store, jobs: StoredJobs) -> None:
        self._settings, self._store, self._jobs = settings, store, jobs
        self._proposals, self._artwork, self._codec = Proposals(store.blobs), VectorAndPixelArtwork(), OpenCvCodec()
        self._reader, self._reading, self._writing = CatalogReader(), Lock(), Lock()
        self._index = lru_cache(1)(LexiconIndex)
        self._logo = lru_cache(4096)(self._drawn)
        self._report = lru_cache(1024)(self._read_report)
        self._compared = lru_cache(1)(lambda catalog: lru_cache(1024)(partial(self._compare, catalog)))
        self._comparing = Lock()
        self._open: tuple[float, str, list[Open], list[str]] = 0.0, "", [], []
        self._decided: set[str] = set()

    def loaded(self) -> LoadedCatalog:
        """The list as it is now.

        Raises:
            BadInput: it is missing or invalid.
        """
        with self._reading:
            return self._reader.read(self._settings.brand_list, self._artwork)

    @property
    def own(self) -> Path | None:
        """The list that can be changed; None for the packaged list."""
        path = self._settings.brand_list
        return Path(path).absolute() if path else None

    @property
    def may_make_own(self) -> bool:
        """Whether ``make_own`` can: it is the packaged list, and there is a place for one's own."""
        return self.own is None and self._settings.own_list is not None

    def make_own(self) -> None:
        """Copies the packaged list to where the deployment's own is looked for; all processes read it from then on.

        Raises:
            BadInput: there is no place for it.
        """
        with self._writing:
            if self.own is None:
                if self._settings.own_list is None:
                    raise BadInput("The packaged list cannot be changed.", NO_PLACE)
                create_catalog(self._settings.own_list)

    def find(self, text: str) -> list[Brand]:
        """Brands whose name, other names, category, sport, country or owner contain all words of ``text``, by name.

        The word ``excluded`` finds those that reports leave out, too.
        """
        words = [key_of(word) for word in text.split()]
        found = [brand for brand in self.loaded().catalog.brands if all(w in _searched(brand) for w in words)]
        return sorted(found, key=lambda brand: brand.name.casefold())

    def logo(self, exemplar_id: str) -> bytes:
        """A logo of the list, as a small JPEG.

        Raises:
            NotThere: there is no such logo.
        """
        return self._logo(exemplar_id)

    def alike(self, name: str) -> list[str]:
        """Other brands' texts that OCR may take for a text of the brand ``name``: ``Zymvora reads like Zymvera``."""
        catalog = self.loaded().catalog
        brand = next((b for b in catalog.brands if key_of(name) in map(key_of, (b.name, *b.aliases))), None)
        if brand is None or brand.logo_only:
            return []
        index, alone = self._index(catalog), LexiconIndex(BrandCatalog("", [brand]))
        own = {key_of(text) for text in (brand.name, *brand.aliases)}
        found = []
        for text in (brand.name, *brand.aliases):
            hits = [h for h in index.rivals(text, **LIMITS) if h.brand_id != brand.brand_id]
            found += [f"{text} reads like {hit.alias}, of {hit.brand}" for hit in hits]
            # of two names the longer may be like the shorter, and not the other way round
            told = own | {key_of(hit.alias) for hit in hits}
            near = (name for name in index.near(text, NEAR) if key_of(name) not in told)
            found += [f"{name} reads like {hit.alias}" for name in near for hit in alone.rivals(name, **LIMITS)]
        return found

    def proposals(self) -> tuple[list[Open], list[str]]:
        """The undecided proposals, longest on screen first, and one sentence about each damaged file, as they were read
        in the last ``PROPOSALS_S`` seconds; what was decided here since is left out."""
        catalog = self.loaded().catalog
        until_s, version, found, damaged = self._open
        if time.monotonic() > until_s or version != catalog.version:
            found, damaged = open_proposals(self._store.blobs, catalog.brands)
            self._open = time.monotonic() + PROPOSALS_S, catalog.version, found, damaged
        return [o for o in found if o.proposal.proposal_id not in self._decided], damaged

    def proposal(self, proposal_id: str) -> Proposal:
        """
        Raises:
            NotThere: it is not open (any more).
        """
        return _named(self.proposals()[0], proposal_id)

    def crop(self, proposal_id: str) -> bytes:
        """The proposal's picture, as JPEG.

        Raises:
            NotThere: it has none, or retention has removed its frame.
        """
        try:
            return crop(self._store, self.proposal(proposal_id)).data
        except (BadInput, Permanent) as e:
            raise NotThere(str(e)) from e

    def add(self, cells: Cells, logos: Sequence[Picture]) -> Added:
        """Adds a brand, or names and logos to the brand of that name; errors as ``add_brand``."""
        with self._writing:
            return add_brand(self.changeable(), cells, logos, self._artwork)

    def merge(self, brand_id: str, into: str) -> Merged:
        """Gives a brand's names and logos to the brand called ``into``, and takes it off the list.

        Raises:
            NotThere: the list has no such brand.
        """
        with self._writing:
            return merge_brands(self.changeable(), self._name(brand_id), into, self._artwork)

    def exclude(self, brand_id: str, *, excluded: bool) -> Brand:
        """Notes whether reports leave a brand out.

        Raises:
            NotThere: the list has no such brand.
        """
        with self._writing:
            return exclude_brand(self.changeable(), self._name(brand_id), self._artwork, excluded=excluded)

    def _name(self, brand_id: str) -> str:
        found = next((b.name for b in self.loaded().catalog.brands if b.brand_id == brand_id), None)
        if found is None:
            raise NotThere("The list has no such brand: somebody may have merged it.")
        return found

    def decide(self, proposal_id: str, is_accepted: bool, name: str) -> Accepted | None:
        """Adds a proposal to the list, or sees that it is never proposed again."""
        with self._writing:
            # read anew: another process may have decided
            found, _ = open_proposals(self._store.blobs, self.loaded().catalog.brands)
            proposal = _named(found, proposal_id)
            done = None
            if is_accepted:
                done = accept(self._store, proposal, name, self.changeable(), self._artwork)
            else:
                reject(self._proposals, proposal)
            self._decided.add(proposal_id)
            return done

    def changeable(self) -> Path:
        """
        Raises:
            BadInput: it is the packaged list.
        """
        if self.own is None:
            raise BadInput(
                "The packaged list cannot be changed.",
                "make it your own first, on the page of the brand list" if self.may_make_own else NO_PLACE,
            )
        return self.own

    def older(self) -> tuple[list[Older], int]:
        """The reports that another version of the list has made, those that would change first, and how many reports
        were not looked at. Which logos would be found cannot be told without a replay."""
        catalog = self.loaded().catalog
        self._index(catalog)  # once, before many ask for it at the same time
        jobs = self._jobs.jobs()
        looked = concurrently(lambda job_id: self._older(job_id, catalog), jobs[:MOST_REPORTS])
        found = sorted((o for o in looked if o), key=lambda o: (not (o.gains or o.loses), o.job_id))
        return found, max(0, len(jobs) - MOST_REPORTS)

    def _older(self, job_id: str, catalog: BrandCatalog) -> Older | None:
        try:
            made = self._jobs.newest(job_id)
            if made is None or made.upstream.get(CATALOG) == catalog.version:
                return None
            report = self._report(job_id, made.attempt)
        except Permanent:  # damaged: the list of jobs says so
            return None
        listed = {brand.brand_id: brand.excluded for brand in catalog.brands}
        hits = {hit.brand_id: hit.brand for text in report.texts for hit in self._index(catalog).find(text, **LIMITS)}
        found = {i: name for i, name in {**hits, **report.excluded}.items() if i not in report.brands}
        # what the report was made with, and yet does not name, no replay names
        new = {*report.excluded, *(self._news(made.upstream.get(CATALOG, ""), catalog) if found else ())}
        gains = {name for i, name in found.items() if listed.get(i) is False and i in new}
        loses = {name for i, name in report.brands.items() if listed.get(i, i not in report.by_hand)}
        request = self._jobs.request(job_id)
        video = file_name(request.video_uri) if request else ""
        return Older(job_id, video, tuple(sorted(gains)), tuple(sorted(loses)))

    def _news(self, version: str, catalog: BrandCatalog) -> frozenset[str]:
        """Ids of the brands of ``catalog`` whose texts were others in a version of the list, or all if it is gone."""
        with self._comparing:  # a list of 54,000 names takes memory while it is read
            return self._compared(catalog)(version)

    def _compare(self, catalog: BrandCatalog, version: str) -> frozenset[str]:
        before: dict[str, Brand] = {}
        with suppress(Permanent):
            stored = catalog_from_json(self._store.snapshots.read(version), version)
            before = {brand.brand_id: _by_texts(brand) for brand in stored.brands}
        return frozenset(b.brand_id for b in catalog.brands if before.get(b.brand_id) != _by_texts(b))

    def _read_report(self, job_id: str, attempt: str) -> _Reported:
        ref = AttemptRef(job_id, Stage.compile_report, attempt)
        report = self._store.load(ref, tables=("unresolved", "brands"))
        assert isinstance(report, Report)
        return _Reported(
            texts=tuple(t for t in report.unresolved["text"].to_pylist() if t),
            brands=dict(zip(*(report.brands[c].to_pylist() for c in ("brand_id", "brand")), strict=True)),
            by_hand=frozenset(brand_id_of(review.get("to") or "") for review in report.summary["reviews"]),
            excluded=report.summary.get("excluded_brands", {}),
        )

    def _drawn(self, exemplar_id: str) -> bytes:
        loaded = self.loaded()
        for exemplar in (e for brand in loaded.catalog.brands for e in brand.exemplars):
            if exemplar.exemplar_id == exemplar_id:
                picture = self._artwork.render(loaded.picture(exemplar), exemplar.suffix, LOGO_PX)
                return self._codec.encode(on_contrast(picture, LOGO_PX), LOGO_QUALITY, 0)
        raise NotThere("There is no such logo.")


def _by_texts(brand: Brand) -> Brand:
    """What of a brand decides on which texts it is found."""
    return Brand(
        brand.brand_id,
        brand.name,
        brand.aliases,
        excluded_texts=brand.excluded_texts,
        min_length=brand.min_length,
        whole_line=brand.whole_line,
        included_texts=brand.included_texts,
        logo_only=brand.logo_only,
        rare=brand.rare,
    )


def _named(found: Iterable[Open], proposal_id: str) -> Proposal:
    for item in found:
        if item.proposal.proposal_id == proposal_id:
            return item.proposal
    raise NotThere("This proposal is not open: it was decided, or the list has the name.")


@lru_cache(65_536)
def _searched(brand: Brand) -> str:
    said = (brand.name, *brand.aliases, *brand.categories, *brand.sports, brand.kind, brand.country, brand.owner)
    said = (*said, "excluded") if brand.excluded else said
    return " ".join(map(key_of, said))
