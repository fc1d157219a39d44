"""One's own images: what is read from a folder for each class, and what is refused."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from commands import SMALL, TRAINING, assert_refused
from PIL import Image
from torchvision.datasets import ImageFolder as TorchvisionFolder

from sqdr.experiment.cli import main
from sqdr.experiment.data import labelled
from sqdr.experiment.data.sets import ImageData
from sqdr.experiment.evaluation import test_images as images_of_evaluation
from sqdr.experiment.options import DataOptions, EvaluationData, NoiseSweepOptions, SearchOptions
from sqdr.experiment.studies import comparison, noise_sweep, search
from sqdr.pretrained.config import read_config

#: The shortest training on images of 8 x 8.
SHORT = [*SMALL[2:], "--epochs", "1", "--data.batch_size", "4"]


def write_classes(root, names, n_images, first=0, shape=(8, 8)):
    """Images of noise, all distinct, in a folder for each class."""
    generator = np.random.default_rng(first)
    for name in names:
        (root / name).mkdir(parents=True, exist_ok=True)
        for number in range(n_images):
            pixels = generator.integers(0, 256, shape, dtype=np.uint8)
            Image.fromarray(pixels).save(root / name / f"{first + number}.png")


@pytest.fixture
def divided(tmp_path):
    """8 training and 3 test images for each of three classes."""
    root = tmp_path / "my images ü"
    write_classes(root / "train", ["plums", "Äpfel", "10 pears"], 8)
    write_classes(root / "test", ["plums", "Äpfel", "10 pears"], 3, first=8)
    return root


@pytest.fixture
def undivided(tmp_path):
    """20 images for each of two classes."""
    write_classes(tmp_path / "mine", ["a", "b"], 20)
    return tmp_path / "mine"


def of_folder(root, **options):
    return ImageData(DataOptions("folder", root, **options))


def as_set(images):
    return {image.numpy().tobytes() for image in images}


def all_as_torchvision(root):
    """(images, labels, names of classes) of a folder, as torchvision's own reader has them."""
    there = TorchvisionFolder(str(root), loader=lambda file: np.asarray(Image.open(file)))
    images = torch.from_numpy(np.stack([image for image, _ in there])[:, None] / np.float32(255))
    return images, torch.tensor(there.targets), there.classes


def test_classes_and_images_are_those_of_torchvision(divided):
    data = of_folder(divided)
    images, labels, names = all_as_torchvision(divided / "test")
    assert data.class_names == names == ["10 pears", "plums", "Äpfel"]
    torch.testing.assert_close(data.test.images, images)
    torch.testing.assert_close(data.test.labels, labels)
    images, labels, _ = all_as_torchvision(divided / "train")
    assert as_set(data.train.images) | as_set(data.validation.images) == as_set(images)
    for image, label in zip(*data.train, strict=True):
        assert label == labels[(images == image).flatten(1).all(1)]


def test_a_fifth_of_each_class_is_the_test(undivided):
    data = of_folder(undivided)
    parts = [data.train, data.validation, data.test]
    assert [part.labels.bincount().tolist() for part in parts] == [[14, 14], [2, 2], [4, 4]]
    images, *_ = all_as_torchvision(undivided)
    assert set.union(*(as_set(part.images) for part in parts)) == as_set(images)


@pytest.mark.parametrize(("split_seed", "is_same"), [(0, True), (1, False)])
def test_the_split_depends_on_its_seed_alone(split_seed, is_same, undivided):
    there = as_set(of_folder(undivided).test.images)
    torch.manual_seed(5)
    assert (as_set(of_folder(undivided, split_seed=split_seed).test.images) == there) is is_same


def test_the_split_does_not_depend_on_names(undivided):
    there = as_set(of_folder(undivided).test.images)
    for number, file in enumerate(sorted((undivided / "a").iterdir(), reverse=True)):
        file.rename(file.with_name(f"renamed{number}.png"))
    (undivided / "a").rename(undivided / "z")
    assert as_set(of_folder(undivided).test.images) == there


def picture(mode):
    """A picture of this mode; its grey or colour in [0, 1]."""
    match mode:
        case "I;16":
            return Image.fromarray(np.full((8, 8), 200 * 257, np.uint16)), [200 / 255]
        case "CMYK":
            return Image.new("CMYK", (8, 8), (0, 255, 255, 0)), [1, 0, 0]
        case "P":
            return Image.new("RGB", (8, 8), (0, 0, 255)).quantize(), [0, 0, 1]
        case "grey P":
            return Image.new("L", (8, 8), 51).convert("P"), [0.2]
        case "1":
            return Image.new("1", (8, 8), 1), [1]
        case "L":
            return Image.new("L", (8, 8), 51), [0.2]
    return Image.new("RGB", (8, 8), (51, 102, 255)), [0.2, 0.4, 1]


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        *(("p.png", mode) for mode in ("1", "L", "RGB", "P", "grey P", "I;16")),
        *((f"p.{ending}", "RGB") for ending in ("bmp", "ppm", "tiff", "TIF")),
        *((f"p.{ending}", "L") for ending in ("bmp", "gif", "pgm", "tiff", "jpg")),
        *(("p.jpeg", "CMYK"), ("p.tiff", "CMYK"), ("p.gif", "P"), ("p.tiff", "I;16")),
    ],
)
def test_formats_and_modes(name, mode, divided):
    """Grey images stay grey, and become colour beside one of colour."""
    saved, expected = picture(mode)
    (divided / "test" / "plums" / "0.png").unlink(missing_ok=True)
    saved.save(divided / "test" / "plums" / name)
    data = of_folder(divided)
    assert data.in_channels == len(expected)
    labels, channels = data.test.labels == 1, torch.tensor(expected, dtype=torch.float32)
    found = [
        bool((image - channels[:, None, None]).abs().max() < 0.01) for image in data.test.images[labels]
    ]
    assert sum(found) == 1


def test_webp(divided):
    Image.new("RGB", (8, 8), (51, 102, 255)).save(divided / "test/plums/p.webp", lossless=True)
    assert of_folder(divided).in_channels == 3


def test_an_image_is_turned_as_its_exif_data_say(divided):
    exif = Image.Exif()
    exif[0x0112] = 6  # lies on its side: the first row of the file is the right column
    pixels = np.zeros((8, 8), np.uint8)
    pixels[0] = 255
    Image.fromarray(pixels).save(divided / "test/10 pears/0.png", exif=exif)
    image = of_folder(divided).test.images[0, 0]
    assert image[:, -1].min() == 1
    assert image[:, :-1].max() == 0


def write_turned(root):
    """Images of 8 x 12, one of them by being turned."""
    write_classes(root, ["a", "b"], 9, shape=(8, 12))
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("L", (8, 12)).save(root / "a" / "x.png", exif=exif)


def test_sizes_are_those_of_turned_images(tmp_path):
    write_turned(tmp_path)
    with pytest.raises(ValueError, match=r"`image_size` .* squares of at most .* have 8 x 12 pixels"):
        of_folder(tmp_path)


def test_images_of_several_sizes(tmp_path):
    write_turned(tmp_path)
    Image.new("L", (8, 12), 1).save(tmp_path / "a" / "y.png")
    message = r"`image_size` must be given .* but a/0.png has 8 x 12 pixels and a/y.png 12 x 8"
    with pytest.raises(ValueError, match=message):
        of_folder(tmp_path)


def test_sizes_are_mixed_where_one_is_asked_for(divided):
    Image.new("L", (300, 20), 51).save(divided / "test" / "plums" / "p.png")
    data = of_folder(divided, image_size=12)
    assert data.test.images.shape == (10, 1, 12, 12)
    assert (data.test.images - 0.2).abs().flatten(1).amax(1).min() < 1e-6


def remove_all(root):
    shutil.rmtree(root)


def empty_class(root):
    (root / "train" / "figs").mkdir()
    (root / "test" / "figs").mkdir()


def one_class(root):
    for part in ("train", "test"):
        for name in ("plums", "Äpfel"):
            shutil.rmtree(root / part / name)


def two_faults(root):
    for name in ("1", "2"):
        (root / "test" / "plums" / f"{name}.png").write_bytes(b"no image")


def transparent(root):
    Image.new("RGBA", (8, 8), (0, 0, 0, 100)).save(root / "test" / "plums" / "clear.png")


def cut_off(root):
    file = root / "train" / "plums" / "4.png"
    file.write_bytes(file.read_bytes()[:-30])


def copy(source, target):
    def change(root):
        shutil.copy(root / source, root / target)

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (remove_all, "`root` must be a folder with a folder of images for each class, but there is no"),
        (empty_class, "`root` must have images of each class, but "),
        (one_class, "two classes or more, but "),
        (lambda root: shutil.rmtree(root / "test"), "`root` must hold both train and test, but "),
        (lambda root: shutil.rmtree(root / "test" / "plums"), "has no plums, which "),
        (lambda root: shutil.rmtree(root / "train" / "plums"), "has no plums, which "),
        (lambda root: write_classes(root, ["more"], 1), "no other folder beside them, but "),
        (lambda root: (root / "train/plums/deep").mkdir(), "deep is a folder."),
        (lambda root: (root / "train/plums/notes.txt").touch(), "notes.txt is none."),
        (lambda root: write_classes(root / "train", [""], 1), "folder of its class, but "),
        (cut_off, "4.png is none: "),
        (two_faults, "2 of 35 are none: "),
        (transparent, "clear.png is none: it is partly transparent"),
        (copy("train/plums/0.png", "train/Äpfel/x.png"), "train/plums/0.png = train/Äpfel/x.png."),
        (copy("train/plums/0.png", "test/plums/x.png"), "train/plums/0.png = test/plums/x.png."),
    ],
)
def test_what_is_refused(change, message, divided):
    change(divided)
    with pytest.raises(ValueError, match="must") as raised:
        of_folder(divided)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("part", ["train", "test"])
def test_a_class_of_one_image_is_refused(part, divided):
    for file in sorted((divided / part / "plums").iterdir())[1:]:
        file.unlink()
    if part == "test":
        assert (of_folder(divided).test.labels == 1).sum() == 1
    else:
        with pytest.raises(ValueError, match="there is one training image of plums"):
            of_folder(divided)


def test_classes_of_one_image_without_parts(tmp_path):
    write_classes(tmp_path, ["a", "b"], 1)
    with pytest.raises(ValueError, match=r"for validation and for the test, but .*a has 1"):
        of_folder(tmp_path)


def test_hidden_files_and_those_of_systems_are_no_images(divided):
    for name in (".DS_Store", "Thumbs.db", "._0.png"):
        (divided / "train" / "plums" / name).write_bytes(b"")
    (divided / ".cache").mkdir()
    assert len(of_folder(divided).test.labels) == 9


def test_what_does_not_fit_into_memory_is_said_before_it_is_read(divided, monkeypatch):
    monkeypatch.setattr(labelled, "available_bytes", lambda _: 1e6)
    monkeypatch.setattr("sqdr.experiment.data.folder.ImageTransform", None)
    message = r"`image_size` must be one with which .* fit into memory, but 100 x 100 for 33 images"
    with pytest.raises(ValueError, match=message):
        of_folder(divided, image_size=100)


@pytest.fixture
def train(tmp_path, capfd):
    """Trains on one's own images, and returns the folder of the run."""

    def train(root, *options):
        where = ["--data.name", "folder", "--data.root", str(root), "--run", str(tmp_path / "run")]
        assert main(["train", *where, *SHORT, *options]) == 0
        capfd.readouterr()
        return tmp_path / "run"

    return train


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda file: shutil.copy(file.with_name("1.png"), file), "train/plums/0.png has changed."),
        (lambda file: file.rename(file.with_name("x.png")), "x.png is new, train/plums/0.png is gone."),
    ],
)
def test_a_folder_that_changes_is_noticed(change, message, divided, train, capfd):
    run = train(divided)
    (run / "test.csv").unlink()
    change(divided / "train" / "plums" / "0.png")
    error = assert_refused(["train", "--resume", str(run)], message, capfd)
    assert f"must hold the images with which {run} began" in error
    assert_refused(["report", str(run)], message, capfd)


def test_a_damaged_record_is_refused(divided, train, capfd):
    run = train(divided)
    (run / "images.json").write_text("[1")
    assert_refused(["report", str(run)], "images.json is damaged", capfd)


def compared(folder, training):
    cell = {"variant": "quantum", "seed": 0}
    return comparison._train_and_test(folder, {"quantum": training}, cell)


def swept(folder, training):
    cell = {"channel": "none", "strength": 0.0, "seed": 0}
    options = NoiseSweepOptions(folder=folder, training=training)
    return noise_sweep._train_and_test(options, [("BitFlip", 0.1)], cell)


def searched(folder, training):
    options = SearchOptions(space={"learning_rate": [0.1, 0.2]}, folder=folder, training=training)
    return search.train(options, {"learning_rate": 0.1})


@pytest.mark.parametrize("train_one", [compared, swept, searched])
def test_a_folder_that_changes_during_a_study_is_noticed(train_one, undivided, tmp_path):
    data = DataOptions("folder", undivided, batch_size=4)
    training = replace(TRAINING, data=data, epochs=1)
    study = tmp_path / "study"
    study.mkdir()
    train_one(study, training)
    (undivided / "b" / "3.png").unlink()
    with pytest.raises(ValueError, match=f"images with which {study}.* began, but b/3.png is gone"):
        train_one(study, training)


def test_test_images_are_those_of_the_training(undivided, train):
    run = train(undivided, "--data.split_seed", "3")
    found = images_of_evaluation(read_config(run / "model"), EvaluationData(root=undivided), None)
    expected = of_folder(undivided, split_seed=3).test
    assert torch.equal(found.images, expected.images[found.places])
    assert torch.equal(found.labels, expected.labels[found.places])


def test_a_model_finds_its_classes_by_name(divided, train):
    config = read_config(train(divided, "--data.classes", "[2, 0]") / "model")
    images, labels, _ = all_as_torchvision(divided / "test")
    write_classes(divided / "test", ["another"], 2, first=100)
    write_classes(divided / "train", ["another"], 2, first=200)
    found = images_of_evaluation(config, EvaluationData(root=divided), None)
    assert as_set(found.images[found.labels == 0]) == as_set(images[labels == 2])
    assert as_set(found.images[found.labels == 1]) == as_set(images[labels == 0])


def test_all_images_of_a_new_folder_are_for_the_test(divided, undivided, train, capfd):
    run = train(divided, "--data.classes", "[2, 0]")
    config = read_config(run / "model")
    (undivided / "a").rename(undivided / "10 pears")
    (undivided / "b").rename(undivided / "Äpfel")
    found = images_of_evaluation(config, EvaluationData(root=undivided), None)
    assert found.labels.bincount().tolist() == [20, 20]
    shutil.rmtree(undivided / "Äpfel")
    write_classes(undivided, ["figs"], 3, first=50)
    assert_refused(["evaluate", str(run), "--data.root", str(undivided)], "has no Äpfel.", capfd)
