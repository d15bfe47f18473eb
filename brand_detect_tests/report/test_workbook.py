"""The workbook, as openpyxl reads it: figures, formats, and texts that must stay texts."""

import io
from dataclasses import replace
from datetime import timedelta
from typing import Any

import openpyxl
import pytest
from openpyxl.cell import Cell
from openpyxl.worksheet.worksheet import Worksheet

from brand_detect.report.exports import FORMULA, ReportDocument, document
from brand_detect.report.figures import figures_of
from brand_detect.report.workbook import workbook
from brand_detect_tests.support.report_fakes import match, nothing, select_report


def report(payloads: dict[str, Any]) -> ReportDocument:
    return document(payloads["compile_report"], payloads["job_request"])


def opened(made: ReportDocument) -> openpyxl.Workbook:
    return openpyxl.load_workbook(io.BytesIO(workbook(made)), rich_text=True)


def table(sheet: Worksheet) -> list[dict[str, Cell]]:
    heads, *rows = sheet.iter_rows()
    return [{str(head.value): cell for head, cell in zip(heads, row, strict=True)} for row in rows]  # pyright: ignore[reportReturnType]


def facts(sheet: Worksheet) -> dict[str, Any]:
    return {str(label): value for label, value in sheet.iter_rows(max_col=2, values_only=True) if label}


def test_figures_are_those_of_the_report() -> None:
    made = report(match())
    book = opened(made)
    assert book.sheetnames == ["Summary", "Brands", "Placements", "Exposures", "Method"]
    brands = table(book["Brands"])
    assert [row["Brand"].value for row in brands] == ["Nike", "Itaú"]
    nike, said = brands[0], made.brands[0]
    assert nike["On screen"].value == timedelta(seconds=said.seconds)
    assert (nike["Low"].value, nike["High"].value) == (timedelta(seconds=said.low_s), timedelta(seconds=said.high_s))
    assert nike["Share of voice"].value == said.share_of_voice
    assert nike["Exposures"].value == said.n_exposures
    exposures = table(book["Exposures"])
    assert [row["Exposure id"].value for row in exposures] == [e.exposure_id for e in made.exposures]
    assert [row["Start"].value for row in exposures] == [timedelta(seconds=e.start_s) for e in made.exposures]
    assert len(table(book["Placements"])) == len(made.placements)
    assert facts(book["Summary"])["Exposures"] == len(made.exposures)


def test_brands_have_the_columns_of_the_page_each_explained() -> None:
    made = report(match())
    book, figures = opened(made), figures_of(made.brands, made.exposures, False)
    heads = [cell.value for cell in book["Brands"][1]]
    assert [head for head in heads if head not in ("Low", "High")] == [figure.head for figure in figures]
    told = [cell.value for cell in book["Method"]["B"]]
    assert all(any(str(said).startswith(figure.meaning) for said in told) for figure in figures)


def test_cells_are_formatted_and_tables_can_be_filtered() -> None:
    book = opened(report(match()))
    [nike, _] = table(book["Brands"])
    assert nike["On screen"].number_format == "[h]:mm:ss.0"
    assert nike["Share of voice"].number_format == "0.00%"
    assert nike["Clarity"].number_format == "0.00"
    for name in ("Brands", "Placements", "Exposures"):
        assert book[name].freeze_panes == "B2"
        assert book[name].auto_filter.ref == book[name].dimensions
        assert book[name].column_dimensions["A"].width > 20
        assert book[name]["A1"].font.bold


def test_the_pipelines_names_and_places_are_told_in_words() -> None:
    payloads = match()
    run = {"params": {"job_request": {"video_uri": "/srv/.state/uploads/1a/match.mp4"}}}
    summary = {**payloads["compile_report"].summary, "run": run}
    book = opened(report(payloads | {"compile_report": replace(payloads["compile_report"], summary=summary)}))
    [nike, itau] = table(book["Exposures"])
    assert nike["Identified by"].value == "the text is the brand's name"
    assert itau["Identified by"].value == "the text is almost the name"
    assert nike["Decided in"].value == "Match brands"
    told = facts(book["Method"])
    assert told["Start"] == "When it begins from the start of the video."
    assert told["Largest size"] == "The largest share of the picture at any instant."
    assert told["Settings of “Open the video”"] == '{"video_uri": "match.mp4"}'


def test_what_was_not_measured_is_an_empty_cell() -> None:
    made = report(match())
    blank = made.model_copy(update={"brands": (made.brands[0].model_copy(update={"quality": float("nan")}),)})
    assert table(opened(blank)["Brands"])[0]["Quality"].value is None


@pytest.mark.parametrize("text", ["=1+1", "@cmd", "+1", "-1", "＝1+1", '=HYPERLINK("http://example.org")', "\tx"])
def test_no_text_is_a_formula_nor_becomes_one_when_it_is_edited(text: str) -> None:
    assert text.startswith(FORMULA)
    made = report(match(nike=text))
    for sheet, column in (("Brands", "Brand"), ("Exposures", "Brand"), ("Exposures", "Text")):
        [cell] = [row[column] for row in table(opened(made)[sheet]) if row["Brand"].value == text]
        assert (cell.value, cell.data_type, cell.quotePrefix) == (text, "s", True)


@pytest.mark.parametrize(
    "text",
    [
        "<r><t>rich</t></r>",
        "<r></r><!--",
        "_x0041_",
        "http://example.org",
        "file://c:/x",
        "1e5",
        "  spaces ",
        "two\nlines",
        "\u202eevil",
        "مرحبا",
        "</t></is></c>",
        "𝕏 😀",
    ],
)
def test_texts_are_read_back_as_they_are(text: str) -> None:
    book = opened(report(match(nike=text, unknown=text, note=text)))
    cell = table(book["Brands"])[0]["Brand"]
    read = str(cell.value).rstrip() if text.startswith("<r>") else cell.value
    assert (read, cell.data_type, cell.hyperlink) == (text, "s", None)


def test_characters_that_xml_cannot_hold_are_escaped_as_excel_does() -> None:
    cell = table(opened(report(match(nike="a\x00b\x1b\ufffe")))["Brands"])[0]["Brand"]
    assert cell.value == "a_x0000_b_x001B__xFFFE_"


def test_a_text_longer_than_a_cell_is_cut() -> None:
    cell = table(opened(report(match(nike="😀" * 40_000)))["Brands"])[0]["Brand"]
    assert 30_000 < len(str(cell.value).encode("utf-16-le")) // 2 <= 32_767


def test_a_report_without_brands_has_all_sheets() -> None:
    book = opened(report(nothing()))
    assert book.sheetnames == ["Summary", "Brands", "Placements", "Exposures", "Method"]
    assert facts(book["Summary"])["Brands"] == 0
    assert table(book["Exposures"]) == []


def test_a_rate_and_limitations_are_told() -> None:
    parts = match()
    stages = ("extract_frames", "filter_scenes", "detect_objects", "escalate_cloud")
    valued = select_report(parts["job_request"], *(parts[stage] for stage in stages), media_rate=3000.0)
    made = document(valued, parts["job_request"]).model_copy(update={"losses": ("The end is damaged.",)})
    book = opened(made)
    told = facts(book["Summary"])
    assert told["Currency"] == "USD"
    assert told["Advertising equivalent"] == sum(brand.media_value or 0 for brand in made.brands)
    assert "3,000.00 USD for 30 seconds" in facts(book["Method"])["Advertising equivalent"]
    assert "The end is damaged." in [cell.value for cell in book["Summary"]["B"]]
