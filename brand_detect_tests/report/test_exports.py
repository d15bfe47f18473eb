import csv
import io
import json
from math import nan
from typing import Any

import jsonschema_rs
import pyarrow as pa
import pytest

from brand_detect.domain.contracts.compile_report import EXPOSURES
from brand_detect.report.exports import (
    ReportDocument,
    document,
    schema,
    to_csv,
)
from brand_detect_tests.support.report_fakes import match, nothing


def read(data: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(data.decode("utf-8-sig"))))


def test_the_json_reads_back_as_what_was_written() -> None:
    payloads = match()
    whole = document(payloads["compile_report"], payloads["job_request"])
    text = whole.model_dump_json()
    assert ReportDocument.model_validate_json(text) == whole
    raw = json.loads(text)
    assert raw["schema_version"] == 1
    assert [b["brand"] for b in raw["brands"]] == ["Nike", "Itaú"]
    assert raw["brands"][0]["confidence"] == 0.9  # not 0.8999999761581421
    assert raw["job"]["video_sha256"] == payloads["job_request"].video_sha256


def test_csv_separates_the_texts_of_a_list_and_no_formula_gets_through_in_one() -> None:
    assert [row["texts"] for row in read(to_csv(pa.table({"texts": [["a", "b"], [], ["=1+1"]]})))] == [
        "a|b",
        "",
        "'=1+1",
    ]


@pytest.mark.parametrize("payloads", [match(), match(nike="<script>\u202e", unknown="=cmd()"), nothing()])
def test_the_json_is_what_its_schema_says(payloads: dict[str, Any]) -> None:
    raw = json.loads(document(payloads["compile_report"], payloads["job_request"]).model_dump_json())
    says = jsonschema_rs.Draft202012Validator(schema())
    says.validate(raw)
    assert says.is_valid(raw | {"later": 1}), "a field that is added breaks nobody"


@pytest.mark.parametrize("wrong", [{"schema_version": 2}, {"brands": None}, {"exposures": [{"brand": "Nike"}]}])
def test_the_schema_refuses_what_the_json_is_not(wrong: dict[str, Any]) -> None:
    payloads = match()
    raw = json.loads(document(payloads["compile_report"], payloads["job_request"]).model_dump_json())
    says = jsonschema_rs.Draft202012Validator(schema())
    assert not says.is_valid(raw | wrong)
    assert not says.is_valid({name: value for name, value in raw.items() if name not in wrong})


def test_an_empty_report_is_a_valid_document() -> None:
    payloads = nothing()
    whole = document(payloads["compile_report"], payloads["job_request"])
    assert (whole.brands, whole.exposures, whole.unresolved) == ((), (), ())


def test_csv_has_every_column_and_row() -> None:
    made = match()["compile_report"]
    rows = read(to_csv(made.exposures))
    assert list(rows[0]) == EXPOSURES.names
    assert [row["brand"] for row in rows] == ["Nike", "Itaú"]
    assert float(rows[0]["seconds"]) == made.exposures["seconds"][0].as_py()


def test_what_was_not_measured_is_an_empty_cell() -> None:
    figures = pa.table({"clarity": [0.5, nan, None]})
    assert [row["clarity"] for row in read(to_csv(figures))] == ["0.5", "", ""]


@pytest.mark.parametrize(
    "text",
    ["=1+1", "=cmd()", "＝cmd()", "＋1", "+1", "-1", "@SUM(A1)", "\tx", "\rx", "\n=1", '=HYPERLINK("http://x","y")'],
)
def test_no_text_is_a_formula(text: str) -> None:
    [row] = read(to_csv(pa.table({"text": [text], "t_s": [-1.5]})))
    assert row["text"] == "'" + text
    assert row["t_s"] == "-1.5"


@pytest.mark.parametrize(
    "text", ["a,b", 'say "hi"', "two\nlines", "a\r\nb", "<script>", "Itaú", "", "\u202eevil", "x" * 10_000]
)
def test_texts_survive_the_csv(text: str) -> None:
    [row] = read(to_csv(pa.table({"text": [text], "n": [1]})))
    assert row["text"] == text
