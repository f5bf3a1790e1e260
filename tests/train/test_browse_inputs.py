"""The page and the contact sheet show what the model gets: real records, real files, boxes where they should be."""

from __future__ import annotations

import html.parser
import re

import numpy as np
import pytest
from PIL import Image

tf = pytest.importorskip("tensorflow")

from data_prep.images.drawing import color_of  # noqa: E402
from data_prep.runtime.command_line import UserError  # noqa: E402
from train.browse_inputs import main  # noqa: E402
from train.inputs.examples import InputExample, Objects  # noqa: E402


class Page(html.parser.HTMLParser):
    """What a browser would load for a page, and its words."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.images: list[dict[str, str]] = []
        self.links: list[str] = []
        self.meta: list[dict[str, str]] = []
        self.words = ""
        self._open: list[str] = []
        self.feed(text)
        assert not self._open, f"not closed: {self._open}"

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.tags.append(tag)
        if tag == "img":
            self.images.append(attributes)
        elif tag == "meta":
            self.meta.append(attributes)
        else:
            self._open.append(tag)
        self.links += [attributes[key] for key in ("href", "src") if key in attributes]

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        self.words += data


@pytest.fixture(scope="module")
def written(block_config, tmp_path_factory):
    """What the command makes of tiny data, augmented so that half of the blue blocks are lost."""
    folder = tmp_path_factory.mktemp("browse") / "out"
    options = (
        "train_config { data_augmentation_options { random_rotation90 { probability: 1 } } "
        "data_augmentation_options { drop_label_probabilistically { label: 2 drop_probability: 0.5 } } }"
    )
    config = block_config("ssd")
    words = [
        str(config),
        "--config_override",
        options,
        "--output_directory",
        str(folder),
        "--num_images",
        "6",
        "--seed",
        "5",
    ]
    assert main(words) == 0
    return folder


def test_the_page_needs_nothing_but_the_files_beside_it(written):
    page = Page((written / "index.html").read_text("utf-8"))
    assert len(page.images) == 12
    assert all(image["loading"] == "lazy" and image["alt"] for image in page.images)
    assert any(meta.get("name") == "viewport" for meta in page.meta)
    assert not {"script", "link", "iframe", "base"} & set(page.tags)
    for link in page.links:
        assert re.fullmatch(r"images/\d{4}_(record|fed)\.jpg", link), link
        with Image.open(written / link) as photo:
            photo.verify()
    assert "url(" not in (written / "index.html").read_text("utf-8")


def test_the_page_says_where_each_image_comes_from_and_what_became_of_its_boxes(written):
    words = Page((written / "index.html").read_text("utf-8")).words
    ids = re.findall(r"\d+\. (photo\d)", words)
    assert len(ids) == len(set(ids)) == 6
    assert words.count("128 x 96") >= 6
    assert words.count("96 x 96") >= 6
    lost = words.count("1 left out by the augmentation: Blue block")
    assert 0 < lost < 6
    assert words.count("2 in the record, 2 fed") == 6 - lost
    assert f"12 in the records, {12 - lost} fed; {lost} left out by the augmentation" in words


def frame(name: str, image: Image.Image) -> np.ndarray:
    """Where a class's colour is, which neither the grey ground nor any block has: bool [H, W]."""
    return np.abs(np.asarray(image, np.int32) - color_of(name)).max(axis=-1) < 30


def test_boxes_are_drawn_around_their_blocks(written):
    page = (written / "index.html").read_text("utf-8")
    for number in range(1, 7):
        for which in ("record", "fed"):
            image = Image.open(written / f"images/{number:04d}_{which}.jpg")
            pixels = np.asarray(image, np.int32)
            red = (pixels[..., 0] > 180) & (pixels[..., 1] < 90) & (pixels[..., 2] < 90)
            ys, xs = np.nonzero(red & ~frame("Red block", image))
            line = 4 * image.width / 320
            top, left, bottom, right = ys.min(), xs.min(), ys.max(), xs.max()
            drawn = frame("Red block", image)
            for y, x in (((top + bottom) // 2, left), ((top + bottom) // 2, right)):
                near = drawn[y, max(0, int(x - 3 * line)) : int(x + 3 * line)]
                assert near.any(), f"{number} {which}: no line at x {x}"
            for y, x in ((top, (left + right) // 2), (bottom, (left + right) // 2)):
                near = drawn[max(0, int(y - 3 * line)) : int(y + 3 * line), x]
                assert near.any(), f"{number} {which}: no line at y {y}"
    assert page.count("<article") == 6


def test_the_contact_sheet_holds_all_images(written):
    sheet = Image.open(written / "contact_sheet.jpg")
    assert sheet.width > 3 * 480
    assert sheet.height > 2 * 480
    assert frame("Red block", sheet).sum() > 6 * 4 * 50


def test_the_summary_on_standard_output(block_config, tmp_path, capsys):
    config = block_config("ssd")
    override = "train_input_reader { max_number_of_boxes: 1 }"
    words = ["--pipeline_config_path", str(config), "--config_override", override, "--num_images", "20"]
    assert main([*words, "--output_directory", str(tmp_path), "--original"]) == 0
    printed = capsys.readouterr().out
    assert "8 images of train_input_reader, not augmented (it has no more, though --num_images is 20)" in printed
    assert "boxes: 16 in the records, 8 fed; 0 left out by the augmentation, 8 cut by max_number_of_boxes 1" in printed
    assert re.search(r"Red block +8 +8\nBlue block +8 +0\n", printed)
    assert re.search(r"pixel values, before the model normalises them: \d+\.\d to 2\d\d\.\d, mean 1\d\d\.\d", printed)
    assert "dashed" in (tmp_path / "index.html").read_text().lower()


def test_the_evaluation_split_beside_the_config_and_values_out_of_range(block_config, capsys):
    options = "train_config { data_augmentation_options { subtract_channel_mean { means: [200, 200, 200] } } }"
    config = block_config("ssd")
    words = [str(config), "--num_images", "2", "--config_override", options]
    assert main([*words, "--split", "evaluation"]) == 0
    assert "2 images of eval_input_reader[0], not augmented" in capsys.readouterr().out
    assert main(words) == 0
    folder = config.parent / "browse_inputs"
    assert f"written to {folder}" in capsys.readouterr().out
    assert "shown stretched to 0 to 255" in (folder / "index.html").read_text()


def test_mistakes_are_one_clear_line(block_config, tmp_path):
    config = block_config("ssd")
    with pytest.raises(UserError, match="evaluation never augments"):
        main([str(config), "--split", "evaluation", "--augmented"])
    with pytest.raises(UserError, match=r"eval_input_reader\[7\] is not in the config"):
        main([str(config), "--split", "evaluation", "--eval_index", "7", "--output_directory", str(tmp_path)])


def test_ids_from_records_are_text_and_nothing_else(block_records, block_config, tmp_path):
    """A record's id may hold anything; it must not become part of the page or of a path."""
    example = tf.train.Example()
    (raw, *_) = tf.data.TFRecordDataset(str(next(block_records.glob("train.record-*")))).take(1).as_numpy_iterator()
    example.ParseFromString(raw)
    example.features.feature["image/source_id"].bytes_list.value[:] = [b"<script>../../x</script>\xff"]
    example.features.feature["image/object/weight"].float_list.value[:] = [0.25, 1.0]
    example.features.feature["image/object/group_of"].int64_list.value[:] = [0, 1]
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "label_map.pbtxt").write_bytes((block_records / "label_map.pbtxt").read_bytes())
    with tf.io.TFRecordWriter(str(folder / "train.record-00000-of-00001")) as writer:
        writer.write(example.SerializeToString())
    config = block_config("ssd")
    config.write_text(config.read_text().replace(str(block_records), str(folder)))
    options = "train_config { data_augmentation_options { drop_label_probabilistically { label: 2 } } "
    options += "data_augmentation_options { drop_label_probabilistically { label: 1 } } }"
    assert main([str(config), "--config_override", options, "--output_directory", str(tmp_path / "out")]) == 0
    text = (tmp_path / "out" / "index.html").read_text("utf-8")
    assert "&lt;script&gt;../../x&lt;/script&gt;" in text
    assert "Red block, weight 0.25" in text
    assert "Blue block, group" in text
    assert sorted(path.name for path in (tmp_path / "out" / "images").iterdir()) == [
        "0001_fed.jpg",
        "0001_record.jpg",
    ]


def objects(areas: list[float]) -> Objects:
    count = len(areas)
    flags = np.zeros(count, bool)
    boxes, ones = np.zeros((count, 4), np.float32), np.ones(count, np.float32)
    return Objects(boxes, np.ones(count, np.int32), ones, flags, flags, flags, np.float32(areas))


def test_objects_are_known_again_by_what_no_augmentation_changes():
    def is_left(before: list[float], after: list[float]) -> list[bool]:
        image = np.zeros((4, 4, 3), np.float32)
        return InputExample("", image, (4, 4), objects(before), image, (4, 4), objects(after), 0, 0).is_left().tolist()

    assert is_left([1.0, 2.0, 3.0], [3.0, 1.0]) == [True, False, True]
    assert is_left([1.0, 2.0], [1.0, 2.0, 1.0, 2.0]) == [True, True]  # twice the image in one
    assert is_left([5.0, 5.0], [5.0]) == [True, False]
    assert is_left([], []) == []
