"""Payloads as files."""

import io
import subprocess
import sys
from dataclasses import replace

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from brand_detect.domain.contracts.compile_report import Report
from brand_detect.domain.contracts.detect_objects import REGIONS, TRACK_EMBEDDINGS, TRACKS, DetectedObjects
from brand_detect.domain.contracts.extract_frames import FRAMES, SIGNALS, ExtractedFrames
from brand_detect.domain.contracts.run_ocr import READINGS, TEXTS, TrackTexts
from brand_detect.domain.errors import Permanent
from brand_detect.domain.tables import table
from brand_detect.storage import codec as payload_codec
from brand_detect_tests.support.checkpoints import SCENES
from brand_detect_tests.support.report_fakes import match


def files_of(value):
    """The files of a payload, in memory."""
    files = {name: io.BytesIO() for name, _ in payload_codec.encode(value)}
    for name, fill in payload_codec.encode(value):
        fill(files[name])
    return {name: file.getvalue() for name, file in files.items()}


def test_tables_with_other_columns_are_refused():
    files = files_of(SCENES)
    sink = io.BytesIO()
    pq.write_table(SCENES.shots.drop_columns(["n_keyframes"]), sink)
    files["shots.parquet"] = sink.getvalue()
    with pytest.raises(Permanent, match=r"shots of filter_scenes was written with other columns .*: n_keyframes"):
        payload_codec.decode("filter_scenes", files.__getitem__)


def test_a_table_that_was_added_later_is_read_as_empty_if_there_is_no_file_of_it():
    texts = TrackTexts(table(READINGS), table(TEXTS))
    files = files_of(texts)
    del files["steps.parquet"]
    found = payload_codec.decode("run_ocr", files.__getitem__, files=files.keys())
    assert found == texts
    del files["texts.parquet"]  # this one was there from the start
    with pytest.raises(KeyError, match=r"texts\.parquet"):
        payload_codec.decode("run_ocr", files.__getitem__, files=files.keys())


def test_columns_that_were_added_later_have_one_value_where_they_lack():
    report = match()["compile_report"]
    added = ["kind", "country", "categories"]
    files = files_of(report)
    sink = io.BytesIO()
    pq.write_table(report.brands.drop_columns(added), sink)
    files["brands.parquet"] = sink.getvalue()
    found = payload_codec.decode("compile_report", files.__getitem__)
    assert isinstance(found, Report)
    assert found.brands.schema == report.brands.schema
    assert found.brands.num_rows > 0
    assert found.brands.drop_columns(added) == report.brands.drop_columns(added)
    assert {tuple(row.values()) for row in found.brands.select(["kind", "country"]).to_pylist()} == {("brand", "")}
    assert set(map(tuple, found.brands["categories"].to_pylist())) == {()}


def test_a_report_made_before_placements_rested_on_motion_is_read():
    """Such a report has neither the tables by placement and by asset nor the columns of an exposure's."""
    report = match()["compile_report"]
    files = files_of(report)
    for name in ("placements", "assets"):
        del files[f"{name}.parquet"]
    for name in ("exposures", "detections", "rejected"):
        sink = io.BytesIO()
        pq.write_table(getattr(report, name).drop_columns(["placement_confidence", "asset"]), sink)
        files[f"{name}.parquet"] = sink.getvalue()
    found = payload_codec.decode("compile_report", files.__getitem__, files=files.keys())
    assert isinstance(found, Report)
    assert found.brands == report.brands
    assert found.exposures.schema == report.exposures.schema
    assert {(row["placement_confidence"], row["asset"]) for row in found.exposures.to_pylist()} == {(0.0, "")}
    assert found.placements.num_rows == found.assets.num_rows == 0


def test_a_table_is_stored_in_parts_and_comes_back_whole():
    rows = [
        {"track_id": f"t{i}", "region_id": f"r{i}", "frame": i, "embedding": np.full(4, i % 7, np.float16)}
        for i in range(2 * payload_codec.ROWS + 1)
    ]
    detected = DetectedObjects(table(REGIONS), table(TRACKS), embeddings=table(TRACK_EMBEDDINGS, rows))
    files = files_of(detected)
    assert pq.ParquetFile(io.BytesIO(files["embeddings.parquet"])).num_row_groups == 3
    found = payload_codec.decode("detect_objects", files.__getitem__)
    assert isinstance(found, DetectedObjects)
    assert found.embeddings == detected.embeddings


def test_embeddings_take_no_dictionary_and_anyone_can_read_them(tmp_path):
    names = ["t", "r"]
    embeddings = pa.table([names, names, [0, 0], [np.ones(4, np.float16)] * 2], schema=TRACK_EMBEDDINGS)
    value = DetectedObjects(REGIONS.empty_table(), TRACKS.empty_table(), embeddings=embeddings)
    files = files_of(value)
    columns = pq.ParquetFile(io.BytesIO(files["embeddings.parquet"])).metadata.row_group(0)
    encodings = {columns.column(n).path_in_schema: columns.column(n).encodings for n in range(4)}
    assert "RLE_DICTIONARY" in encodings["track_id"]
    assert "RLE_DICTIONARY" not in encodings["embedding.list.element"]
    read = payload_codec.decode("detect_objects", files.__getitem__)
    assert isinstance(read, DetectedObjects)
    assert read.embeddings.equals(embeddings)
    (tmp_path / "embeddings.parquet").write_bytes(files["embeddings.parquet"])
    rows = duckdb.sql(f"SELECT embedding FROM read_parquet('{tmp_path / 'embeddings.parquet'}')")
    assert rows is not None
    assert rows.fetchall() == [([1.0] * 4,)] * 2


def test_the_data_version_is_that_of_the_rows_however_they_lie_in_memory():
    n = payload_codec.ROWS + 100
    rows = [
        {
            "track_id": f"t{i}",
            "region_id": f"r{i}",
            "frame": i,
            "text": "a" * (i % 5),
            "confidence": 0.5,
            "char_positions": [0.5] * (i % 3) or None,
            "read_in": None if i % 7 else "t0",
        }
        for i in range(n)
    ]
    whole = table(READINGS, rows)
    halves = pa.concat_tables([whole.slice(0, n // 2), whole.slice(n // 2)])
    versions = [
        payload_codec.data_version(TrackTexts(readings, table(TEXTS)), {})
        for readings in (whole, halves, pa.Table.from_batches(whole.to_batches(7)), whole.slice(0, n - 1))
    ]
    assert versions[0] == versions[1] == versions[2]
    assert versions[0] != versions[3]


def test_the_data_version_stays_what_it_was():
    """Known data versions tell replays what has not changed, from one release to the next."""
    texts = TrackTexts(table(READINGS), table(TEXTS))
    assert payload_codec.data_version(texts, {"frames-00000.bin": "ab"}) == "9eedd29ed4d5f7ba02a3dc0fd5f78b1c"


def test_the_data_version_follows_the_sampled_range_too():
    """A range that ends a little later may hold the same pictures and is more seconds of exposure."""
    frames = ExtractedFrames(table(FRAMES), table(SIGNALS), start_s=0.0, end_s=1.0)
    versions = [
        payload_codec.data_version(value, {})
        for value in (frames, replace(frames, end_s=1.01), replace(frames, notes=("a note",), stats={"decode_s": 2.0}))
    ]
    assert versions[0] != versions[1]
    assert versions[0] == versions[2]


def test_a_table_is_read_without_a_thread_that_may_outlive_the_interpreter():
    sink = io.BytesIO()
    pq.write_table(table(SIGNALS, []), sink)
    script = f"""
import psutil
from brand_detect.storage.codec import read_parquet
before = psutil.Process().num_threads()
read_parquet({sink.getvalue()!r})
print(psutil.Process().num_threads() - before)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == ["0"]
