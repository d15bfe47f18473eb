"""Tables: where values stand in other columns."""

import pyarrow as pa

from brand_detect.domain.tables import places


def test_places_are_those_in_the_whole_column_whatever_its_parts():
    asked = pa.chunked_array([["b", "unknown"], [], ["a", None]], pa.string())
    among = pa.chunked_array([["c"], [], ["a", "b"]], pa.string())
    assert places(asked, among).tolist() == [2, -1, 1, -1]
    assert places(asked, ["c", "a", "b"]).tolist() == [2, -1, 1, -1]


def test_among_nothing_there_is_no_place():
    assert places(pa.chunked_array([["a"]]), []).tolist() == [-1]
    assert places(pa.chunked_array([], pa.string()), ["a"]).tolist() == []
