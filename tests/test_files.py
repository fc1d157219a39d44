"""Files that are whole or not there at all."""

import pytest

from sqdr.files import whole_file


def test_an_exception_leaves_the_old_file_alone(tmp_path):
    file = tmp_path / "file"
    file.write_text("old")

    def write_half():
        with whole_file(file) as unfinished:
            unfinished.write_text("half")
            raise KeyError

    with pytest.raises(KeyError):
        write_half()
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]


def test_the_file_appears_at_the_end(tmp_path):
    with whole_file(tmp_path / "file.png") as unfinished:
        unfinished.write_text("new")
        assert unfinished.suffix == ".png"  # by which matplotlib chooses the format
        assert not (tmp_path / "file.png").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["file.png"]
