"""Archives of recordings: the same records as unpacked, and nothing else."""

import gzip
import io
import tarfile

import pytest

from gim_tf.data.records import Record
from gim_tf.data.sources import archive
from gim_tf.errors import DataError
from tests.source_files import put, read
from tests.speech_files import (
    IDS,
    encode,
    flac_name,
    open_,
    samples,
    shared,
    write_tree,
)


@pytest.fixture
def tree(tmp_path):
    root = tmp_path / "tree"
    write_tree(root / "LibriSpeech" / "dev-clean", IDS)
    put(root / "LibriSpeech" / "train_split.txt", "\n".join(IDS[:9]).encode())
    put(root / "LibriSpeech" / "test_split.txt", "\n".join(IDS[9:15]).encode())
    labels = "".join(f"{name} {'7 ' * 8}\r\n" for name in IDS)
    put(root / "LibriSpeech" / "converted_aligned_phones.txt", labels.encode())
    put(root / "LibriSpeech" / "dev-clean" / "9" / "._x.flac", b"hidden")
    return root


def packed(root, kind):
    path = root.parent / f"packed.{kind}"
    with tarfile.open(path, "w:gz" if kind.endswith("gz") else "w") as tar:
        tar.add(root / "LibriSpeech", "./LibriSpeech")
    return path


def add(tar, name, content=b"", **header):
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for key, value in header.items():
        setattr(info, key, value)
    tar.addfile(info, io.BytesIO(content))


@pytest.mark.parametrize("kind", ["tar", "tar.gz"])
def test_an_archive_gives_the_records_of_the_tree(tree, kind):
    unpacked, path = open_("librispeech", tree), packed(tree, kind)
    source = open_("librispeech", path)
    assert source.class_names == unpacked.class_names
    assert source.frame_names == unpacked.frame_names
    for split, count in (("train", 9), ("test", 6)):
        found = read(source, split)
        assert len(found) == count
        assert sorted(found) == sorted(read(unpacked, split))
    assert source.fingerprint() != unpacked.fingerprint()
    assert sorted(p.name for p in path.parent.iterdir()) == [path.name, "tree"]


def test_members_of_a_piece_are_read_in_the_order_of_the_archive(tmp_path):
    path = tmp_path / "mixed.tar"
    order = IDS[::2] + IDS[1::2]
    with tarfile.open(path, "w") as tar:
        for seed, name in enumerate(order):
            add(tar, flac_name(name), encode(samples(seed=seed)))
    assert [r.id for r in read(open_("librispeech", path), "train")] == order


HOSTILE = {
    "absolute": {"name": f"/abs/{flac_name('1-1-0000')}"},
    "upwards": {"name": f"../{flac_name('2-1-0000')}"},
    "upwards inside": {"name": f"a/../../{flac_name('3-1-0000')}"},
    "symlink": {
        "name": flac_name("4-1-0000"),
        "type": tarfile.SYMTYPE,
        "linkname": "../../secret.flac",
    },
    "hardlink": {
        "name": flac_name("5-1-0000"),
        "type": tarfile.LNKTYPE,
        "linkname": flac_name(IDS[0]),
    },
    "pipe": {"name": flac_name("6-1-0000"), "type": tarfile.FIFOTYPE},
    "device": {"name": flac_name("7-1-0000"), "type": tarfile.CHRTYPE},
    "list": {
        "name": "train_split.txt",
        "type": tarfile.SYMTYPE,
        "linkname": "/etc/passwd",
    },
}


def test_D7_hostile_members_are_left_out_and_counted(
    tmp_path, caplog, injected
):
    secret = encode(samples(seed=7))
    put(tmp_path / "secret.flac", secret)
    folder = tmp_path / "archives"
    folder.mkdir()
    path = folder / "hostile.tar"
    with tarfile.open(path, "w") as tar:
        add(tar, flac_name(IDS[0]), encode(samples()))
        for header in HOSTILE.values():
            is_file = "type" not in header
            add(tar, content=secret if is_file else b"", **header)
    found = {record.id for record in read(open_("librispeech", path), "train")}
    injected(len(HOSTILE), found ^ {IDS[0]})
    assert "8 member(s) are links" in caplog.text
    assert "'/abs/1/1/1-1-0000.flac'" in caplog.text
    assert [p.name for p in folder.iterdir()] == ["hostile.tar"]


def test_D7_bombs_are_refused(tmp_path, monkeypatch):
    path = tmp_path / "many.tar"
    with tarfile.open(path, "w") as tar:
        for name in IDS[:4]:
            add(tar, flac_name(name), encode(samples()))
    monkeypatch.setattr(archive, "MAX_BYTES", 100)
    found = read(open_("librispeech", path), "train")
    assert [one.reason for one in found] == ["more than 100 bytes"] * 4
    monkeypatch.setattr(archive, "MAX_MEMBERS", 3)
    with pytest.raises(DataError, match="more than 3 members"):
        open_("librispeech", path).work("train")


def test_D7_an_extended_header_of_any_size_is_not_read(tmp_path):
    info = tarfile.TarInfo("pax")
    info.type, info.size = tarfile.XHDTYPE, 2**33
    path = tmp_path / "pax.tar.gz"
    path.write_bytes(
        gzip.compress(info.tobuf(tarfile.GNU_FORMAT) + bytes(2**20))
    )
    with pytest.raises(DataError, match=r"a header of 8589934592 bytes"):
        open_("librispeech", path).work("train")
    info = tarfile.TarInfo(flac_name(IDS[0]))
    info.size = -1024
    path.write_bytes(
        gzip.compress(info.tobuf(tarfile.GNU_FORMAT) + bytes(4096))
    )
    with pytest.raises(DataError, match=r"a member of -1024 bytes"):
        open_("librispeech", path).work("train")


@pytest.mark.parametrize("kind", ["tar", "tar.gz"])
@pytest.mark.parametrize("damage", ["half", "between", "header", "foreign"])
def test_D7_damaged_archives_are_one_line(tree, kind, damage):
    path = packed(tree, kind)
    plain = path.read_bytes()
    content = gzip.decompress(plain) if kind == "tar.gz" else plain
    with tarfile.open(path) as tar:
        second = [one for one in tar if one.name.endswith(".flac")][1].offset
    content = {
        "half": content[: second + 700],
        "between": content[:second],
        "header": content[:second] + b"x" * 512 + content[second + 512 :],
        "foreign": b"no archive" * 100,
    }[damage]
    path.write_bytes(gzip.compress(content) if kind == "tar.gz" else content)
    with pytest.raises(DataError, match=r"packed\.tar.* Fetch it again") as e:
        open_("librispeech", path).work("train")
    assert "\n" not in str(e.value)


def test_D7_a_gzip_file_is_checked_to_its_end(tree):
    path = packed(tree, "tar.gz")
    content = bytearray(path.read_bytes())
    content[-6] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"packed\.tar\.gz cannot be read: CRC"):
        open_("librispeech", path).work("train")


def test_the_same_member_twice_is_an_error(tmp_path):
    path = tmp_path / "twice.tar"
    with tarfile.open(path, "w") as tar:
        for seed in range(2):
            add(tar, flac_name(IDS[0]), encode(samples(seed=seed)))
    with pytest.raises(DataError, match="'9-5-0000' twice"):
        open_("librispeech", path).work("train")


def test_D9_names_of_all_kinds_and_many_members(tmp_path):
    path = tmp_path / "ä b.tar"
    folder = "Zoë's corpus/" + "long " * 30
    with tarfile.open(path, "w") as tar:
        for name in IDS:
            add(tar, f"{folder}/{flac_name(name)}", encode(samples()))
        for index in range(20_000):
            add(tar, f"notes/{index}.txt")
    found = read(open_("librispeech", path), "train")
    assert all(isinstance(one, Record) for one in found)
    assert sorted(one.id for one in found) == sorted(IDS)


def test_real_speech_is_read_out_of_its_archive():
    source = open_(
        "librispeech",
        shared("librispeech-mini.tar"),
        min_samples=20_480,
        holdout=0.02,
    )
    assert len(source.class_names) == 251
    found = read(source, "test")
    assert found
    assert all(isinstance(one, Record) for one in found)
