"""The report as an XLSX workbook: summary, brands, placements, exposures and method, a sheet each."""

import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import xlsxwriter
from xlsxwriter.format import Format
from xlsxwriter.worksheet import Worksheet

from brand_detect.domain import timeline
from brand_detect.domain.contracts.compile_report import AssetTotal, BrandTotal, Exposure, PlacementTotal
from brand_detect.domain.media import file_name
from brand_detect.domain.pipeline import LINE
from brand_detect.domain.records import Record
from brand_detect.report.exports import FORMULA, ReportDocument
from brand_detect.report.figures import Figure, figures_of
from brand_detect.report.home import WORDS
from brand_detect.report.pages import fact, shown_params
from brand_detect.report.words import RULES, placement_words

WORKBOOK = "report.xlsx"
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
DAY_S = 24 * 3600
ACCENT = "#1A5FD0"
"""The page's."""
FORMATS: Mapping[str, str] = {
    "seconds": "[h]:mm:ss.0",
    "share": "0.00%",
    "count": "0",
    "score": "0.00",
    "zones": "0.00",
    "money": "#,##0",
    "text": "@",
    **dict.fromkeys(("placement", "rule", "stage"), "@"),
}
"""Number formats by a figure's kind."""
WIDTHS: Mapping[str, int] = {"text": 24, "placement": 14, "rule": 32, "stage": 20}
"""Widths of columns in characters, where not ``WIDTH``."""
WIDTH = 12
LABEL_WIDTH, TEXT_WIDTH = 26, 100
"""Widths of the columns of Summary and Method."""
IN_WORDS: Mapping[str, Callable[[str], str]] = {
    "placement": placement_words,
    "rule": lambda rule: RULES.get(rule, rule),
    "stage": lambda stage: WORDS[stage][0] if stage in WORDS else stage,
}
UNITS: Mapping[str, str] = {"seconds": ", in seconds", "share": ", 0..1"}
"""What a meaning says of a unit that the cells do not have: they are times and percentages."""
LONGEST = 32_000
"""Longest text of a cell: Excel takes 32,767 characters."""


def _figures(of: type[Record], **columns: tuple[str, str]) -> tuple[Figure, ...]:
    """Columns with heading and kind by field, explained as in the contract."""
    made = []
    for key, (head, kind) in columns.items():
        meaning = (of.model_fields[key].description or "").replace(UNITS.get(kind, "\n"), "")
        made.append(Figure(key, head, kind, "", f"{meaning[:1].upper()}{meaning[1:]}."))
    return tuple(made)


BOUNDS = _figures(BrandTotal, low_s=("Low", "seconds"), high_s=("High", "seconds"))
PLACEMENTS = _figures(
    PlacementTotal,
    brand=("Brand", "text"),
    placement=("Placement", "placement"),
    seconds=("On screen", "seconds"),
    share=("Share of the brand's time", "share"),
    n_exposures=("Exposures", "count"),
    confidence=("Confidence", "score"),
)
ASSETS = _figures(
    AssetTotal,
    brand=("Brand", "text"),
    asset=("Asset", "text"),
    seconds=("On screen", "seconds"),
    share=("Share of the brand's time", "share"),
    n_exposures=("Exposures", "count"),
)
EXPOSURES = _figures(
    Exposure,
    brand=("Brand", "text"),
    start_s=("Start", "seconds"),
    end_s=("End", "seconds"),
    seconds=("On screen", "seconds"),
    placement=("Placement", "placement"),
    asset=("Asset", "text"),
    area_frac_mean=("Mean size", "share"),
    area_frac_max=("Largest size", "share"),
    zone=("Zone", "text"),
    position=("Position", "score"),
    clarity=("Clarity", "score"),
    visible_frac=("Visibility", "share"),
    exclusive_s=("Exclusive", "seconds"),
    quality=("Quality", "score"),
    confidence=("Confidence", "score"),
    text=("Text", "text"),
    rule=("Identified by", "rule"),
    decided_by=("Decided in", "stage"),
    n_detections=("Detections", "count"),
    reviewed=("Correction", "text"),
    exposure_id=("Exposure id", "text"),
)


def workbook(report: ReportDocument) -> bytes:
    """The report as XLSX. Brands have the page's columns, with low and high beside the likely time.

    Durations and times are days, as spreadsheets count. What was not measured is an empty cell. Texts come from
    untrusted pictures: none is a formula, nor becomes one when its cell is edited.
    """
    out = io.BytesIO()
    with xlsxwriter.Workbook(out, {"constant_memory": True}) as book:  # rows wait in temporary files
        book.set_properties({"title": f"Brand report: {file_name(report.job.video_uri)}"})
        sheets = _Sheets(book)
        brands = figures_of(report.brands, report.exposures, bool(report.summary.get("media_value")))
        brands = (*brands[:2], *BOUNDS, *brands[2:])
        tables = [
            ("Brands", brands, report.brands),
            ("Placements", PLACEMENTS, report.placements),
            *([("Assets", ASSETS, report.assets)] if report.assets else []),
            ("Exposures", EXPOSURES, report.exposures),
        ]
        sheets.facts("Summary", _summary(report))
        for name, figures, rows in tables:
            sheets.table(name, figures, rows)
        sheets.facts("Method", _method(report, tables))
    return out.getvalue()


Fact = tuple[str, Any, str]
"""A label, its value, and the value's kind; a label without a value is a heading."""


def _summary(report: ReportDocument) -> Iterator[Fact]:
    job, (start, end) = report.job, report.summary["range_s"]
    yield "Brand report", None, ""
    yield "Video", file_name(job.video_uri), "text"
    yield "Job", job.job_id, "text"
    yield "From", start, "seconds"
    yield "To", end, "seconds"
    yield "Length of the video", job.probe.duration_s, "seconds"
    yield "Picture", f"{job.probe.width_px} × {job.probe.height_px}", "text"
    yield "Brands", len(report.brands), "count"
    on_screen = timeline.union_seconds([(e.start_s, e.end_s) for e in report.exposures])
    yield "With a brand on screen", on_screen, "seconds"
    yield "Exposures", len(report.exposures), "count"
    yield "Unresolved clusters", len(report.unresolved), "count"
    if value := report.summary.get("media_value"):
        yield "Advertising equivalent", sum(brand.media_value or 0.0 for brand in report.brands), "money"
        yield "Currency", value["currency"], "text"
    yield "Sampling", report.summary["sampling"]["statement"], "text"
    if report.losses:
        yield "Limitations", None, ""
        yield from (("", loss, "text") for loss in report.losses)


def _method(report: ReportDocument, tables: Iterable[tuple[str, Sequence[Figure], Any]]) -> Iterator[Fact]:
    summary = report.summary
    for name, figures, _ in tables:
        yield f"{name}: what the figures mean", None, ""
        for figure in figures:
            said = f"{figure.meaning} Source: {figure.source}." if figure.source else figure.meaning
            yield figure.head, said, "text"
    yield "How this was made", None, ""
    yield from (("", note, "text") for note in report.notes)
    scale = summary["quality"]
    weights = ", ".join(f"{name} {fact(weight)}" for name, weight in scale["weights"].items())
    yield "Quality scale", f"{scale['name']}, version {scale['version']} ({scale['digest']}): {weights}", "text"
    if value := summary.get("media_value"):
        rate = f"{value['rate_per_30_s']:,.2f} {value['currency']} for 30 seconds"
        assumption = f" Our assumption: {value['assumption']}" if value["assumption"] else ""
        yield "Advertising equivalent", f"{value['formula']}, at {rate}.{assumption}", "text"
    yield "Profile", report.job.profile, "text"
    yield "Video SHA-256", report.job.video_sha256, "text"
    run = summary["run"]
    engines, params = run.get("engines", {}), run.get("params", {})
    for stage in LINE:
        if stage in engines:
            yield f"Engines of “{WORDS[stage][0]}”", fact(engines[stage]), "text"
        if stage in params:
            yield f"Settings of “{WORDS[stage][0]}”", fact(shown_params(params[stage])), "text"


class _Sheets:
    """Writes sheets into a workbook."""

    def __init__(self, book: xlsxwriter.Workbook) -> None:
        self._book = book
        top = {"valign": "top", "text_wrap": True}
        self._head = book.add_format({"bold": True, "font_color": "white", "bg_color": ACCENT, **top})
        self._section = book.add_format({"bold": True, "font_size": 13, "font_color": ACCENT})
        self._label = book.add_format({"bold": True, **top})
        self._cells = self._formats()
        self._facts = self._formats(align="left", **top)

    def _formats(self, **more: Any) -> Mapping[str, Format]:
        """A format for each kind, and one for texts that look like formulas: Excel keeps them texts when edited."""
        add = self._book.add_format
        formats = {kind: add({"num_format": form, **more}) for kind, form in FORMATS.items()}
        return {**formats, "formula": add({"num_format": "@", "quote_prefix": True, **more})}

    def table(self, name: str, figures: Sequence[Figure], rows: Sequence[Record]) -> None:
        """A sheet with a row per record, and its heading and first column fixed."""
        sheet = self._book.add_worksheet(name)
        for n, figure in enumerate(figures):
            sheet.set_column(n, n, WIDTHS.get(figure.kind, WIDTH))
            sheet.write_string(0, n, figure.head, self._head)
        for n, row in enumerate(rows, 1):
            for at, figure in enumerate(figures):
                _write(sheet, n, at, getattr(row, figure.key), figure.kind, self._cells)
        sheet.freeze_panes(1, 1)
        sheet.autofilter(0, 0, len(rows), len(figures) - 1)
        _printed(sheet)
        sheet.repeat_rows(0)

    def facts(self, name: str, rows: Iterable[Fact]) -> None:
        """A sheet with a label and a value per row."""
        sheet = self._book.add_worksheet(name)
        sheet.set_column(0, 0, LABEL_WIDTH)
        sheet.set_column(1, 1, TEXT_WIDTH)
        for n, (label, value, kind) in enumerate(rows):
            sheet.write_string(n, 0, label, self._label if kind else self._section)
            if kind:
                _write(sheet, n, 1, value, kind, self._facts)
        _printed(sheet)


def _write(sheet: Worksheet, row: int, column: int, value: Any, kind: str, formats: Mapping[str, Format]) -> None:
    if isinstance(value, int | float):
        if value == value:
            sheet.write_number(row, column, value / DAY_S if kind == "seconds" else value, formats[kind])
        return
    if isinstance(value, tuple):
        value = ", ".join(value)
    if value:
        text = IN_WORDS[kind](value) if kind in IN_WORDS else value
        sheet.write_string(row, column, _plain(text), formats["formula" if text.startswith(FORMULA) else kind])


def _printed(sheet: Worksheet) -> None:
    sheet.set_landscape()
    sheet.set_paper(9)  # A4
    sheet.fit_to_pages(1, 0)


def _plain(text: str) -> str:
    """``text``, but none that the library would take for its own markup of rich text."""
    text = text[:LONGEST]
    return f"{text} " if text.startswith("<r>") and text.endswith("</r>") else text
