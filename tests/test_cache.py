from __future__ import annotations

import errno
import json
import os
import time
from pathlib import Path

import pytest

from evenhand import cache
from evenhand.errors import StorageFault


def build(target: Path, text: str = "weights") -> None:
    with cache.atomic_folder(target, origin={"from": "a test"}) as folder:
        (folder / "model.bin").write_text(text)
        (folder / "inner").mkdir()
        (folder / "inner" / "config.json").write_text("{}")


def test_the_cache_is_where_the_environment_says(monkeypatch, tmp_path):
    monkeypatch.setenv("EVENHAND_CACHE", str(tmp_path / "own"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache.cache_dir() == tmp_path / "own"
    monkeypatch.delenv("EVENHAND_CACHE")
    assert cache.cache_dir() == tmp_path / "xdg" / "evenhand"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache.cache_dir() == tmp_path / ".cache" / "evenhand"
    assert not cache.cache_dir().exists()


def test_digests_of_values_do_not_depend_on_the_order_of_keys():
    # printf '{"a":[1]}' | sha256sum
    known = "ff5464c34287e9ec505b9f76573a4cb0bd408c96c6537b458fdd993fc7c615ce"
    assert cache.canonical_json({"b": 1, "a": [True, None]}) == '{"a":[true,null],"b":1}'
    assert cache.digest_of({"a": 1, "b": "ü"}) == cache.digest_of({"b": "ü", "a": 1})
    assert cache.digest_of({"a": [1]}) == known
    with pytest.raises(ValueError, match="not JSON compliant"):
        cache.digest_of({"loss": float("nan")})


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path, monkeypatch):
    target = tmp_path / "deep" / "scores.json"
    cache.write_atomic(target, "old\n")
    cache.write_atomic(target, b"new\n")
    assert target.read_bytes() == b"new\n"

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageFault) as caught:
        cache.write_atomic(target, "newer\n")
    assert str(caught.value) == (
        f"{target}: could not be written: the disk is full\n"
        "  nothing half-written was kept\n"
        "  free some space, or set EVENHAND_CACHE or --output to another folder"
    )
    assert caught.value.exit_code == 8
    assert target.read_bytes() == b"new\n"
    assert [p.name for p in target.parent.iterdir()] == ["scores.json"]


def test_a_file_in_place_of_a_folder_is_named(tmp_path):
    (tmp_path / "plain").write_text("")
    with pytest.raises(StorageFault, match="plain: could not be written: a file is where a folder is needed"):
        cache.write_atomic(tmp_path / "plain" / "below.json", "")


def test_other_errors_of_the_file_system_pass_unchanged(tmp_path):
    with pytest.raises(OSError, match="Input/output error"), cache.storing(tmp_path):
        raise OSError(errno.EIO, "Input/output error")


def test_a_finished_folder_is_trusted_and_knows_its_files(tmp_path):
    target = tmp_path / "models" / "one"
    build(target)
    assert cache.damage(target) is None
    assert cache.damage(target, full=True) is None
    assert cache.origin_of(target) == {"from": "a test"}
    assert cache.digests_of(target) == {
        "inner/config.json": "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
        "model.bin": "9a129038d9a00aed0cf6a7ea059ca50a813449061ab87848cf1a13eafdf33b2c",
    }
    assert [p.name for p in target.parent.iterdir()] == ["one"]


def test_a_folder_that_was_not_finished_is_neither_there_nor_trusted(tmp_path):
    target = tmp_path / "one"
    with pytest.raises(RuntimeError), cache.atomic_folder(target) as folder:
        (folder / "model.bin").write_text("half")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
    assert cache.damage(target) == "it is not there"
    target.mkdir()
    assert cache.damage(target) == "COMPLETE.json is missing, so it was never finished"
    (target / "COMPLETE.json").write_text('{"files": ')
    assert cache.damage(target) == "COMPLETE.json cannot be read (JSONDecodeError)"
    (target / "COMPLETE.json").write_text('{"files": []}')
    assert cache.damage(target) == "COMPLETE.json cannot be read (AttributeError)"


def test_a_full_disk_leaves_the_old_folder(tmp_path):
    target = tmp_path / "one"
    build(target, "old")
    with pytest.raises(StorageFault, match="the disk is full"), cache.atomic_folder(target) as folder:
        (folder / "model.bin").write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")
    assert (target / "model.bin").read_text() == "old"
    assert cache.damage(target) is None


def test_each_kind_of_damage_is_named(tmp_path):
    target = tmp_path / "one"
    build(target)
    model = target / "model.bin"
    model.write_text("WEIGHTS")
    assert cache.damage(target) == "model.bin does not have its recorded SHA-256"
    model.write_text("short")
    assert cache.damage(target) == "model.bin has 5 bytes instead of 7"
    model.unlink()
    assert cache.damage(target) == "model.bin is missing"
    build(target)
    assert cache.damage(target) is None


def test_digests_are_computed_again_only_when_a_file_was_touched(tmp_path, monkeypatch):
    target = tmp_path / "one"
    build(target)
    counted: list[str] = []
    real = cache.sha256_file

    def counting(path: Path) -> str:
        counted.append(path.name)
        return real(path)

    monkeypatch.setattr(cache, "sha256_file", counting)
    assert cache.damage(target) is None
    assert counted == []
    later = time.time_ns() + 10**9
    os.utime(target / "model.bin", ns=(later, later))
    assert cache.damage(target) is None
    assert counted == ["model.bin"]
    assert cache.damage(target) is None
    assert counted == ["model.bin"]
    assert cache.damage(target, full=True) is None
    assert counted == ["model.bin", "config.json", "model.bin"]


def test_a_stamp_that_cannot_be_read_means_a_full_check(tmp_path):
    target = tmp_path / "one"
    build(target)
    (target / cache.STAMP).write_text("nonsense")
    assert cache.damage(target) is None
    assert sorted(json.loads((target / cache.STAMP).read_text())) == ["inner/config.json", "model.bin"]


def test_a_second_writer_with_the_same_files_leaves_the_first_ones(tmp_path):
    target = tmp_path / "one"
    build(target)
    inode = target.stat().st_ino
    build(target)
    assert target.stat().st_ino == inode
    build(target, "changed")
    assert (target / "model.bin").read_text() == "changed"
    assert [p.name for p in tmp_path.iterdir()] == ["one"]


def test_what_a_killed_process_left_is_swept_after_a_day(tmp_path):
    stale, fresh = tmp_path / ".one.x.partial", tmp_path / ".one.y.partial"
    for leftover in (stale, fresh):
        leftover.mkdir()
        (leftover / "model.bin").write_text("half")
    two_days_ago = time.time() - 2 * 24 * 3600
    os.utime(stale, (two_days_ago, two_days_ago))
    build(tmp_path / "one")
    assert sorted(p.name for p in tmp_path.iterdir()) == [".one.y.partial", "one"]
