"""Params of ``match_brands``."""

from pydantic import Field

from brand_detect.domain.params import Params, Unit


class MatchBrandsParams(Params):
    fuzzy_score: Unit = Field(0.88, description="lowest similarity of a fuzzy match")
    fuzzy_score_second_pass: Unit = Field(
        0.8, description="lowest similarity to a name that is spelled out elsewhere in the video; 1 = off"
    )
    min_fuzzy_length: int = Field(
        5,
        ge=3,
        le=50,
        description="shortest text that may match fuzzily, in letters; for an occluded text, the shortest name",
    )
    min_confidence: Unit = Field(0.6, description="verdicts below this confidence stay unresolved")
    min_probability: Unit = Field(
        0.7,
        description="names scored by their likelihood stay unresolved below this probability; 1 = they are not scored",
    )
    join_neighbours: bool = Field(
        True,
        description="also match neighbouring regions as one text: BNP + PARIBAS; and two on either side of what hides "
        "the middle of a name that is spelled out elsewhere in the video: RE + ANCE",
    )
    min_likeness: Unit = Field(
        0.65,
        description="least likeness of a track to one whose name was read, to show the same name; 1 = they are not "
        "compared",
    )
    min_logo_match_px: int = Field(
        32,
        ge=1,
        description="shortest side of a logo region, in px of the stored frame; down to half that size, regions have a "
        "tenth of the limit, and smaller ones are not matched",
    )
    max_false_accept_rate: Unit = Field(
        0.0075,
        description="largest share of distractors that may match a brand; 0 = logos are not matched",
    )
    min_unresolved_letters: int = Field(
        3,
        ge=1,
        description="texts with fewer letters are not listed as unresolved; a Chinese or Korean one counts twice",
    )
    min_unresolved_logo_s: float = Field(
        1.0,
        ge=0,
        description="logo regions on screen for less than this are not listed as unresolved, in seconds",
    )
    max_unresolved_logos: int = Field(
        10,
        ge=0,
        description="most logo regions without text to list as unresolved, the most logo-like first",
    )
