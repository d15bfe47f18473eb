"""Inventories of properties: what is refused, and what their digest covers."""

import pytest
from pydantic import ValidationError

from brand_detect.domain.inventory import Inventory

NET = {"name": "net", "zone": [0.3, 0.4, 0.7, 0.6]}


@pytest.mark.parametrize(
    ("assets", "said"),
    [
        ([], "at least one asset"),
        ([NET | {"zone": [0.7, 0.4, 0.3, 0.6]}], "left < right"),
        ([NET | {"zone": [0.3, 0.4, 0.7]}], "zone"),
        ([NET | {"zone": [0.3, 0.4, 0.7, 60]}], "less than or equal to 1"),
        ([NET | {"placement": "roof"}], "placement"),
        ([NET | {"beside": "–"}], "letters or digits"),
        ([NET | {"next_to": "clock"}], "next_to"),
        ([{"zone": [0, 0, 1, 1]}], "name"),
    ],
)
def test_what_is_no_inventory_is_refused(assets: list, said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Inventory.model_validate({"version": 1, "assets": assets})


def test_the_digest_covers_all_but_the_description() -> None:
    made = Inventory.model_validate({"version": 1, "assets": [NET]})
    assert made.model_copy(update={"description": "cup final"}).digest == made.digest
    moved = Inventory.model_validate({"version": 1, "assets": [NET | {"zone": [0.3, 0.4, 0.7, 0.5]}]})
    assert moved.digest != made.digest
