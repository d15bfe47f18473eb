import os
from pathlib import Path

from brand_detect.domain.disk_cache import can_write, read_cached, write_cached

MOST = 4


def test_what_is_damaged_is_not_there(tmp_path: Path):
    file = tmp_path / "net.blob"
    write_cached(file, b"a compiled network", MOST)
    assert read_cached(file) == b"a compiled network"
    whole = file.read_bytes()
    for damaged in (whole[:-1], whole[:-1] + bytes([whole[-1] ^ 1]), whole[:10], b""):
        file.write_bytes(damaged)
        assert read_cached(file) is None


def test_a_cache_that_cannot_be_written_only_costs_time(tmp_path: Path):
    (tmp_path / "file").touch()
    assert not can_write(tmp_path / "file" / "net.blob")
    write_cached(tmp_path / "file" / "net.blob", b"a compiled network", MOST)
    (tmp_path / "net.blob").mkdir()
    write_cached(tmp_path / "net.blob", b"a compiled network", MOST)
    assert sorted(f.name for f in tmp_path.iterdir()) == ["file", "net.blob"]  # no half-written file stays
    assert read_cached(tmp_path / "net.blob") is None


def test_the_cache_is_bounded_and_its_users_own(tmp_path: Path):
    folder = tmp_path / "cache"
    files = [folder / f"{n}.blob" for n in range(MOST + 3)]
    for n, file in enumerate(files):
        write_cached(file, b"net", MOST)
        os.utime(file, (n, n))
    assert sorted(folder.iterdir()) == sorted(files[3:])
    assert read_cached(files[3]) == b"net"  # used again
    write_cached(folder / "new.blob", b"net", MOST)
    assert files[3].exists()
    assert not files[4].exists()
    assert read_cached(files[0]) is None
    assert folder.stat().st_mode & 0o077 == files[3].stat().st_mode & 0o077 == 0
