"""Folders that belong to one configuration: which other configurations they take, and which not."""

import pytest
import yaml

from sqdr.experiment.folders import check_folder


def noise(channels):
    return {"epochs": 3, "model": {"noise": {"after_rotation": channels}}}


def check(there, here, folder):
    (folder / "config.yaml").write_text(yaml.safe_dump(there, sort_keys=False))
    check_folder("run", folder, here)


FLIP_AND_DAMP = {"BitFlip": 0.3, "AmplitudeDamping": 0.4}
DAMP_AND_FLIP = {"AmplitudeDamping": 0.4, "BitFlip": 0.3}


@pytest.mark.parametrize(
    ("there", "here"),
    [
        (FLIP_AND_DAMP, DAMP_AND_FLIP),
        ([FLIP_AND_DAMP], [DAMP_AND_FLIP]),
        ([{"BitFlip": 0.3}, {"AmplitudeDamping": 0.4}], [{"AmplitudeDamping": 0.4}, {"BitFlip": 0.3}]),
    ],
    ids=["mapping", "list of one mapping", "list"],
)
def test_channels_in_another_order_are_another_configuration(there, here, tmp_path):
    with pytest.raises(ValueError, match=r"has model\.noise\.after_rotation .*BitFlip.* not .*BitFlip"):
        check(noise(there), noise(here), tmp_path)


def test_the_message_shows_the_channels_as_they_are_written(tmp_path):
    with pytest.raises(
        ValueError, match=r"after_rotation \{'BitFlip': 0\.3\}, not \{'BitFlip': 0\.2\}\.$"
    ):
        check(noise({"BitFlip": 0.3}), noise({"BitFlip": 0.2}), tmp_path)


@pytest.mark.parametrize(
    ("there", "here"),
    [
        (noise(FLIP_AND_DAMP), noise(dict(FLIP_AND_DAMP))),
        (noise({}), {"epochs": 3}),
        ({"a": 1, "b": {"c": 2, "d": 3}}, {"b": {"d": 3, "c": 2}, "a": 1}),
    ],
    ids=["the same", "empty and absent", "options in another order"],
)
def test_equal_configurations(there, here, tmp_path):
    check(there, here, tmp_path)


@pytest.mark.parametrize(
    "content",
    [b"", b"[1]", b"a: [", b"epochs", b"\xff", b"&a {b: *a}", b"[" * 5000],
    ids=["empty", "list", "no YAML", "word", "no text", "endless", "deep"],
)
def test_a_damaged_configuration(content, tmp_path):
    (tmp_path / "config.yaml").write_bytes(content)
    message = (
        f"Argument `run` must be a new or empty folder.* {tmp_path / 'config.yaml'} holds no options"
    )
    with pytest.raises(ValueError, match=message):
        check_folder("run", tmp_path, {"epochs": 3})
