"""Records to batches: what they hold, in which order they come, and what stops them."""

from __future__ import annotations

import gc
import io
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from google.protobuf import text_format
from PIL import Image

tf = pytest.importorskip("tensorflow")

from configs.schema.descriptors import message_class  # noqa: E402
from configs.settings.declaration import SettingsError  # noqa: E402
from configs.settings.pipeline import PipelineSettings  # noqa: E402
from configs.settings.reading import read_settings  # noqa: E402
from data_prep.formats.tf_example import make_example  # noqa: E402
from data_prep.runtime.command_line import UsageError, UserError  # noqa: E402
from tests.configs.verdicts import check_supported  # noqa: E402
from train.inputs import reader  # noqa: E402
from train.inputs.input_errors import readable_error  # noqa: E402
from train.inputs.left_out import LeftOut, add_counts, count_batch, first_unusable  # noqa: E402

LABEL_MAP = """
item { name: '/m/1' id: 1 display_name: 'Bed' }
item { name: '/m/2' id: 2 display_name: 'Lamp' }
item { name: '/m/4' id: 4 display_name: 'Table' }
"""
BOX = [0.25, 0.125, 0.75, 0.625]
# Of a config, what the input does not look at.
REST = """
model { ssd {
  feature_extractor { type: "ssd_mobilenet_v2_keras" }
  box_coder { faster_rcnn_box_coder { } }
  matcher { argmax_matcher { } }
  similarity_calculator { iou_similarity { } }
  box_predictor { convolutional_box_predictor { } }
  anchor_generator { ssd_anchor_generator { } }
  loss { classification_loss { weighted_sigmoid { } } localization_loss { weighted_smooth_l1 { } } }
} }
train_config { optimizer { adam_optimizer { learning_rate { constant_learning_rate { } } } } }
"""


def settings_of(config) -> PipelineSettings:
    return read_settings(PipelineSettings, config)


def build_training_dataset(config, **more):
    return reader.build_training_dataset(settings_of(config), **more)


def build_evaluation_dataset(config, **more):
    return reader.build_evaluation_dataset(settings_of(config), **more)


def jpeg(height: int = 40, width: int = 80, colour: tuple[int, int, int] = (200, 40, 40), mode: str = "RGB") -> bytes:
    image = Image.new("RGB", (width, height), (10, 10, 10))
    image.paste(colour, (int(0.125 * width), height // 4, int(0.625 * width), 3 * height // 4))
    content = io.BytesIO()
    image.convert(mode).save(content, "JPEG", quality=95)
    return content.getvalue()


def example(source_id: str, boxes=(BOX,), labels=(1,), texts=("/m/1",), encoded: bytes | None = None, **more) -> bytes:
    return make_example(
        encoded_image=jpeg() if encoded is None else encoded,
        image_format="jpeg",
        source_id=source_id,
        height=40,
        width=80,
        boxes_ymin_xmin_ymax_xmax=list(boxes),
        class_labels=list(labels),
        class_texts=list(texts),
        **more,
    )


def edited(record: bytes, key: str, values: list) -> bytes:
    """Puts other values under one key of a record; none removes the key."""
    message = tf.train.Example.FromString(record)
    feature = message.features.feature[key]
    if values and isinstance(values[0], bytes):
        feature.CopyFrom(tf.train.Feature(bytes_list=tf.train.BytesList(value=values)))
    elif values and isinstance(values[0], float):
        feature.CopyFrom(tf.train.Feature(float_list=tf.train.FloatList(value=values)))
    elif values:
        feature.CopyFrom(tf.train.Feature(int64_list=tf.train.Int64List(value=values)))
    else:
        del message.features.feature[key]
    return message.SerializeToString()


class Workplace:
    """A folder with records, a label map and a config that reads them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "label_map.pbtxt").write_text(LABEL_MAP)

    def write(self, *shards: list[bytes], name: str = "data.record") -> str:
        for index, records in enumerate(shards):
            with tf.io.TFRecordWriter(str(self.folder / f"{name}-{index:05d}-of-{len(shards):05d}")) as writer:
                for record in records:
                    writer.write(record)
        return str(self.folder / f"{name}-*")

    def config(self, more: str = "", *, resizer: str = "fixed_shape_resizer { height: 20 width: 20 }", path: str = ""):
        reader = f"""
            label_map_path: '{self.folder / "label_map.pbtxt"}'
            tf_record_input_reader {{ input_path: '{path or self.folder / "data.record-*"}' }}
        """
        text = f"""
            model {{ ssd {{ num_classes: 4 image_resizer {{ {resizer} }} }} }}
            train_config {{ batch_size: 2 max_number_of_boxes: 5 }}
            train_input_reader {{ {reader} }}
            eval_config {{ batch_size: 2 }}
            eval_input_reader {{ {reader} shuffle: false max_number_of_boxes: 5 }}
        """
        config = text_format.Parse(REST, message_class("TrainEvalPipelineConfig")())
        text_format.Merge(text, config)
        text_format.Merge(more, config)
        return config


@pytest.fixture
def workplace(tmp_path):
    return Workplace(tmp_path)


def ids(batches, count: int | None = None) -> list[str]:
    taken = batches if count is None else batches.take(count)
    return [source_id.decode() for _, labels in taken for source_id in labels["source_id"].numpy()]


def test_a_batch_holds_what_the_contract_says(workplace):
    two = example(
        "two",
        boxes=[BOX, [0.0, 0.5, 0.5, 1.0]],
        labels=[1, 4],
        texts=["/m/1", "/m/4"],
        is_crowd=[False, True],
        group_of=[True, False],
        difficult=[False, True],
        weights=[0.5, 0.0],
    )
    workplace.write([two, example("none", boxes=[], labels=[], texts=[])])
    resizer = "keep_aspect_ratio_resizer { min_dimension: 20 max_dimension: 32 pad_to_max_dimension: true }"
    ((images, labels),) = list(build_evaluation_dataset(workplace.config(resizer=resizer)))
    assert images.dtype == tf.float32
    assert images.shape == (2, 32, 32, 3)
    expected = {
        "groundtruth_boxes": ((2, 5, 4), tf.float32),
        "groundtruth_classes": ((2, 5), tf.int32),
        "groundtruth_weights": ((2, 5), tf.float32),
        "groundtruth_is_crowd": ((2, 5), tf.bool),
        "groundtruth_difficult": ((2, 5), tf.bool),
        "groundtruth_group_of": ((2, 5), tf.bool),
        "groundtruth_area": ((2, 5), tf.float32),
        "num_groundtruth_boxes": ((2,), tf.int32),
        "num_groundtruth_boxes_cut": ((2,), tf.int32),
        "num_groundtruth_boxes_unknown": ((2,), tf.int32),
        "num_groundtruth_boxes_unusable": ((2,), tf.int32),
        "unusable_box": ((2,), tf.string),
        "true_image_shape": ((2, 3), tf.int32),
        "original_image_shape": ((2, 3), tf.int32),
        "source_id": ((2,), tf.string),
        "sampling_seed": ((2, 2), tf.int64),
        "verified_class_ids": ((2, 4), tf.int32),
    }
    assert {name: (tuple(value.shape), value.dtype) for name, value in labels.items()} == expected
    labels = {name: value.numpy() for name, value in labels.items()}
    np.testing.assert_array_equal(labels["true_image_shape"], [[16, 32, 3]] * 2)
    np.testing.assert_array_equal(labels["original_image_shape"], [[40, 80, 3]] * 2)
    # The image fills the upper half of the padded one.
    np.testing.assert_allclose(labels["groundtruth_boxes"][0, :2], [[0.125, 0.125, 0.375, 0.625], [0, 0.5, 0.25, 1]])
    np.testing.assert_array_equal(labels["groundtruth_classes"][0], [1, 4, 0, 0, 0])
    np.testing.assert_array_equal(labels["groundtruth_weights"][0], [0.5, 0, 0, 0, 0])
    np.testing.assert_array_equal(labels["groundtruth_is_crowd"][0], [False, True, False, False, False])
    np.testing.assert_array_equal(labels["groundtruth_group_of"][0], [True, False, False, False, False])
    np.testing.assert_array_equal(labels["groundtruth_difficult"][0], [False, True, False, False, False])
    np.testing.assert_allclose(labels["groundtruth_area"][0], [20 * 40, 20 * 40, 0, 0, 0], rtol=1e-5)
    np.testing.assert_array_equal(labels["num_groundtruth_boxes"], [2, 0])
    assert labels["source_id"].tolist() == [b"two", b"none"]
    # The block that was drawn lies where its box says, and below it is padding.
    image = images[0].numpy()
    assert image[5:11, 5:19, 0].min() > 150
    assert image[:16].max(axis=-1)[0, 0] < 40
    assert image[16:].max() == 0.0


def test_boxes_beyond_the_maximum_are_cut_and_counted(workplace):
    boxes = [[0.0, 0.0, 0.1 * (i + 1), 0.1 * (i + 1)] for i in range(7)]
    workplace.write([example("many", boxes=boxes, labels=[1] * 7, texts=["/m/1"] * 7)])
    ((_, labels),) = list(build_evaluation_dataset(workplace.config()))
    assert labels["num_groundtruth_boxes"].numpy().tolist() == [5]
    assert labels["num_groundtruth_boxes_cut"].numpy().tolist() == [2]
    np.testing.assert_allclose(labels["groundtruth_boxes"][0], boxes[:5])


def test_classes_come_from_names_first_then_from_ids(workplace):
    by_text = edited(example("text", texts=["/m/4"]), "image/object/class/label", [])
    text_wins = example("both", labels=[1], texts=["/m/2"])
    by_display_name = example("display", labels=[1], texts=["Table"])
    by_id = edited(example("id", labels=[2]), "image/object/class/text", [])
    workplace.write([by_text, text_wins, by_display_name, by_id])
    batches = list(build_evaluation_dataset(workplace.config()))
    assert np.concatenate([labels["groundtruth_classes"][:, 0] for _, labels in batches]).tolist() == [4, 2, 4, 2]
    config = workplace.config()
    config.eval_input_reader[0].ClearField("label_map_path")
    workplace.write([text_wins, by_id])
    batches = list(build_evaluation_dataset(config))
    assert np.concatenate([labels["groundtruth_classes"][:, 0] for _, labels in batches]).tolist() == [1, 2]
    workplace.write([by_text])
    with pytest.raises(tf.errors.InvalidArgumentError, match="class id 0 is missing"):
        list(build_evaluation_dataset(config))


def test_records_of_others_may_leave_out_what_is_optional(workplace):
    record = example("bare")
    for key in list(tf.train.Example.FromString(record).features.feature):
        if key not in ("image/encoded", "image/object/class/label") and "bbox" not in key:
            record = edited(record, key, [])
    workplace.write([record, edited(record, "image/filename", [b"a.jpg"])])
    ((_, labels),) = list(build_evaluation_dataset(workplace.config()))
    assert labels["source_id"].numpy().tolist() == [b"record 0", b"a.jpg"]
    assert labels["groundtruth_weights"][:, 0].numpy().tolist() == [1.0, 1.0]
    np.testing.assert_allclose(labels["groundtruth_area"][:, 0], [800.0, 800.0], rtol=1e-5)


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_grey_and_cmyk_images_become_rgb(workplace, mode):
    workplace.write([example("image", encoded=jpeg(mode=mode))])
    ((images, _),) = list(build_evaluation_dataset(workplace.config()))
    assert images.shape == (1, 20, 20, 3)
    assert images[0, 10, 8].numpy().max() > 80


def test_png_and_gif_decode_whatever_their_format_says(workplace):
    records = []
    for kind in ("PNG", "GIF"):
        content = io.BytesIO()
        Image.new("RGB", (30, 30), (0, 255, 0)).save(content, kind)
        records.append(example(kind, encoded=content.getvalue()))
    workplace.write(records)
    ((images, _),) = list(build_evaluation_dataset(workplace.config()))
    np.testing.assert_allclose(images, np.broadcast_to([0.0, 255.0, 0.0], (2, 20, 20, 3)))


BROKEN = {
    "truncated": (
        lambda: example("x", encoded=jpeg()[:300]),
        "image 'x': its encoded image does not decode (300 bytes)",
    ),
    "not an image": (lambda: example("x", encoded=b"hello"), "image 'x': its encoded image does not decode (5 bytes)"),
    "no bytes": (lambda: example("x", encoded=b""), "image 'x': its encoded image does not decode (0 bytes)"),
    "unequal": (
        lambda: edited(example("x"), "image/object/bbox/xmax", [0.5, 0.75]),
        "image 'x': image/object/bbox/xmax has 2 values for 1 boxes",
    ),
    "flags": (
        lambda: edited(example("x"), "image/object/is_crowd", [0, 1, 1]),
        "image 'x': image/object/is_crowd has 3 values for 1 boxes",
    ),
    "classes": (
        lambda: edited(edited(example("x"), "image/object/class/label", []), "image/object/class/text", []),
        "image 'x': 1 boxes, but no classes for them",
    ),
    "class count": (
        lambda: edited(example("x"), "image/object/class/text", [b"/m/1", b"/m/1"]),
        "image 'x': image/object/class/text has 2 values for 1 boxes",
    ),
    "gap in the ids": (
        lambda: edited(example("Sofá [2]", labels=[3]), "image/object/class/text", []),
        "image 'Sofá (2)': class id 3 is not in the label map, or beyond num_classes (4)",
    ),
    "id too large": (
        lambda: edited(example("x", labels=[900]), "image/object/class/text", []),
        "image 'x': class id 900 is not in the label map, or beyond num_classes (4)",
    ),
    "id 0": (lambda: edited(example("x", labels=[0]), "image/object/class/text", []), "image 'x': class id 0 is not"),
}


def test_a_broken_record_stops_with_a_sentence_that_names_it(workplace):
    workplace.write([make() for make, _ in BROKEN.values()])
    iterator = iter(build_evaluation_dataset(workplace.config(), batch_size=1))
    for what, (_, message) in BROKEN.items():
        with pytest.raises(tf.errors.InvalidArgumentError) as caught:
            next(iterator)
        sentence = readable_error(caught.value)
        assert sentence is not None, what
        assert message in sentence, what
        assert "\n" not in sentence
    with pytest.raises(StopIteration):
        next(iterator)


UNUSABLE = {
    "image 'reversed': box 1 (ymin xmin ymax xmax 0.5 0.25 0.25 0.75) is reversed": [0.5, 0.25, 0.25, 0.75],
    "image 'empty': box 1 (ymin xmin ymax xmax 0.5 0.5 0.5 0.75) has no area in the image": [0.5, 0.5, 0.5, 0.75],
    "image 'beside': box 1 (ymin xmin ymax xmax 1.01 0.1 1.05 0.5) has no area": [1.01, 0.1, 1.05, 0.5],
    "image 'not finite': box 1 (ymin xmin ymax xmax 0.5 nan 0.75 0.75) is not finite": [0.5, float("nan"), 0.75, 0.75],
    "image 'pixels': box 1 (ymin xmin ymax xmax 5 5 20 30) lies outside the image: coordinates are": [5, 5, 20, 30],
}


def write_unusable(workplace) -> None:
    two = {"labels": [1, 2, 1], "texts": ["/m/1", "/m/2", "/m/1"]}
    boxes = [(sentence.split("'")[1], [BOX, box, [0, 0, 1, 1]]) for sentence, box in UNUSABLE.items()]
    workplace.write([example(name, boxes=each, **two) for name, each in boxes])


@pytest.mark.parametrize("build", [build_training_dataset, build_evaluation_dataset])
def test_boxes_that_cannot_be_trained_on_are_left_out_and_counted_with_the_images_name(workplace, build):
    write_unusable(workplace)
    config = workplace.config()
    left_out = LeftOut.of_training(settings_of(config))
    seen = {}
    for _, labels in build(config, batch_size=1).take(5):
        np.testing.assert_array_equal(labels["groundtruth_boxes"][0, :3], [BOX, [0, 0, 1, 1], [0] * 4])
        np.testing.assert_array_equal(labels["groundtruth_classes"][0], [1, 1, 0, 0, 0])
        assert labels["num_groundtruth_boxes_unusable"].numpy().tolist() == [1]
        assert labels["num_groundtruth_boxes_unknown"].numpy().tolist() == [0]
        seen[labels["source_id"][0].numpy().decode()] = labels["unusable_box"][0].numpy().decode()
        left_out.add(count_batch(labels), first_unusable(labels).numpy())
    assert len(seen) == 5
    for sentence in UNUSABLE:
        assert any(found.startswith(sentence) for found in seen.values()), sentence
    (sentence,) = left_out.sentences()
    assert sentence.startswith("5 of 15 boxes cannot be trained on and were left out, in 5 of 5 images, such as image")
    assert next(iter(seen.values())) in sentence


@pytest.mark.parametrize("build", [build_training_dataset, build_evaluation_dataset])
def test_strict_records_refuse_boxes_that_cannot_be_trained_on(workplace, build):
    write_unusable(workplace)
    config = workplace.config("extensions { strict_records: true } train_input_reader { num_epochs: 1 }")
    iterator, sentences = iter(build(config, batch_size=1)), []
    for _ in range(5):
        with pytest.raises(tf.errors.InvalidArgumentError) as caught:
            next(iterator)
        sentences.append(readable_error(caught.value))
    assert all(any(found.startswith(sentence) for found in sentences) for sentence in UNUSABLE)


def test_where_most_boxes_cannot_be_trained_on_the_others_are_not_either(workplace):
    workplace.write([example("pixels", boxes=[[5, 5, 20, 30]] * 4, labels=[1] * 4, texts=["/m/1"] * 4)])
    config = workplace.config()
    left_out = LeftOut.of_evaluation(settings_of(config))
    ((_, labels),) = list(build_evaluation_dataset(config))
    for _ in range(24):
        left_out.add(count_batch(labels), first_unusable(labels).numpy())
    with pytest.raises(UserError, match=r"100 of 100 boxes cannot be .* 'pixels': box 0 .* that is most of them"):
        left_out.add(count_batch(labels), first_unusable(labels).numpy())


def test_slight_overhang_is_cut_off(workplace):
    workplace.write([example("rounded", boxes=[[-0.01, 0.5, 0.5, 1.002]])])
    ((_, labels),) = list(build_evaluation_dataset(workplace.config()))
    np.testing.assert_allclose(labels["groundtruth_boxes"][0, 0], [0.0, 0.5, 0.5, 1.0])


def test_other_errors_are_not_taken_for_ours():
    assert readable_error(ValueError("assertion failed: [something]")) is None


def numbered(count: int, start: int = 0) -> list[bytes]:
    return [example(str(start + index)) for index in range(count)]


def test_every_pass_of_training_sees_every_record_once_in_another_order(workplace):
    workplace.write(numbered(4), numbered(4, 4), numbered(4, 8))
    seen = ids(build_training_dataset(workplace.config()), count=18)  # three passes
    passes = [seen[start : start + 12] for start in (0, 12, 24)]
    for one_pass in passes:
        assert Counter(one_pass) == Counter(map(str, range(12)))
    assert passes[0] != passes[1] != passes[2]


def test_no_thread_tunes_a_dataset_as_it_would_sleep_on_at_the_end(workplace):
    workplace.write([example("one")], [example("two")])
    for build in (build_training_dataset, build_evaluation_dataset):
        assert build(workplace.config()).options().autotune.enabled is False


def test_num_epochs_ends_training_and_the_remainder_is_dropped(workplace):
    workplace.write(numbered(5))
    batches = list(build_training_dataset(workplace.config("train_input_reader { num_epochs: 1 }")))
    assert [images.shape[0] for images, _ in batches] == [2, 2]
    assert build_training_dataset(workplace.config()).element_spec[0].shape == (2, 20, 20, 3)


def test_a_seed_repeats_the_batches(workplace):
    workplace.write(numbered(6), numbered(6, 6))
    config = workplace.config(
        "train_config { data_augmentation_options { random_distort_color {} } data_augmentation_options "
        "{ random_horizontal_flip {} } }"
    )

    def two_batches(**more):
        taken = list(build_training_dataset(config, **more).take(2))
        return ids(taken), np.stack([images for images, _ in taken])

    names, images = two_batches(seed=3)
    same_names, same_images = two_batches(seed=3)
    assert names == same_names
    np.testing.assert_array_equal(images, same_images)
    assert two_batches(seed=4)[0] != names
    assert not np.array_equal(two_batches()[1], images)
    np.testing.assert_array_equal(two_batches(drawn_seed=3)[1], images)
    np.testing.assert_array_equal(two_batches(seed=3, drawn_seed=4)[1], images)


def test_without_shuffle_records_come_in_file_order(workplace):
    workplace.write(numbered(6))
    config = workplace.config("train_input_reader { shuffle: false }")
    assert ids(build_training_dataset(config, seed=1), count=3) == list(map(str, range(6)))


def test_evaluation_sees_every_record_once_and_keeps_the_remainder(workplace):
    workplace.write(numbered(3), numbered(2, 3))
    config = workplace.config("eval_input_reader { shuffle: true }")
    config.eval_input_reader[0].num_epochs = 4
    config.eval_input_reader[1].CopyFrom(config.eval_input_reader[0])
    config.eval_input_reader[1].shuffle = True
    for index in (0, 1):
        first = ids(build_evaluation_dataset(config, reader_index=index))
        assert sorted(first) == list("01234")
        assert first == ids(build_evaluation_dataset(config, reader_index=index))
    with pytest.raises(UsageError, match=r"eval_input_reader\[2\] is not in the config, which has 2"):
        build_evaluation_dataset(config, reader_index=2)


def test_one_of_n_examples_are_always_the_same(workplace):
    workplace.write(numbered(6), numbered(6, 6))
    config = workplace.config("train_input_reader { sample_1_of_n_examples: 3 num_epochs: 1 read_block_length: 1 }")
    one, two = (sorted(ids(build_training_dataset(config))) for _ in range(2))
    assert one == two
    assert len(one) == 4


def test_several_inputs_and_weights(workplace):
    one = workplace.write(numbered(4), name="one.record")
    two = workplace.write(numbered(4, 100), name="two.record")
    config = workplace.config(path=one)
    config.train_input_reader.tf_record_input_reader.input_path.append(two)
    assert set(ids(build_training_dataset(config), count=4)) == {*"0123", "100", "101", "102", "103"}
    config.train_input_reader.sample_from_datasets_weights.extend([1.0, 3.0])
    drawn = [int(name) >= 100 for name in ids(build_training_dataset(config, seed=5), count=150)]
    assert np.mean(drawn) == pytest.approx(0.75, abs=0.09)
    config.train_input_reader.sample_from_datasets_weights.append(1.0)
    with pytest.raises(SettingsError, match="sample_from_datasets_weights: 3 weights for 2 input_path"):
        build_training_dataset(config)


def test_augmentations_of_the_config_are_applied_in_training_only(workplace):
    workplace.write([example("one"), example("two")])
    config = workplace.config(
        "train_config { data_augmentation_options { random_horizontal_flip { probability: 1 } } }"
    )
    ((_, labels),) = list(build_training_dataset(config).take(1))
    np.testing.assert_allclose(labels["groundtruth_boxes"][0, 0], [0.25, 0.375, 0.75, 0.875])
    ((_, labels),) = list(build_evaluation_dataset(config))
    np.testing.assert_allclose(labels["groundtruth_boxes"][0, 0], BOX)


def test_the_class_table_outlives_the_function_that_made_it(workplace):
    workplace.write([example("one"), example("two")])
    iterator = iter(build_training_dataset(workplace.config()))
    gc.collect()
    _, labels = next(iterator)
    assert labels["groundtruth_classes"][:, 0].numpy().tolist() == [1, 1]


def test_a_strategy_gets_its_batches(workplace):
    workplace.write(numbered(4))
    strategy = tf.distribute.OneDeviceStrategy("/cpu:0")
    dataset = strategy.distribute_datasets_from_function(
        lambda context: build_training_dataset(workplace.config(), input_context=context)
    )
    images, _ = next(iter(dataset))
    assert images.shape == (2, 20, 20, 3)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (
            "train_input_reader { tf_record_input_reader { input_path: 'PATH_TO_BE_CONFIGURED/x' } }",
            "put your own path",
        ),
        ("train_input_reader { label_map_path: 'PATH_TO_BE_CONFIGURED/l' }", "train_input_reader.label_map_path still"),
        ("train_input_reader { tf_record_input_reader { input_path: '/nowhere/x-*' } }", "/nowhere/x-"),
    ],
)
def test_a_config_that_cannot_be_honoured_is_refused(workplace, more, message):
    workplace.write(numbered(2))
    with pytest.raises(UsageError, match=message):
        build_training_dataset(workplace.config(more))


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("train_config { batch_size: 0 }", "train_config.batch_size: 0 "),
        ("train_config { max_number_of_boxes: 0 }", "train_config.max_number_of_boxes: "),
        ("train_config { data_augmentation_options {} }", "train_config.data_augmentation_options[0]: is empty"),
        (
            "extensions { class_aware_sampling { max_repeats: 0 } }",
            "extensions.class_aware_sampling.max_repeats: 0 is none",
        ),
        (
            "extensions { class_aware_sampling {} } train_input_reader { shuffle: false }",
            "extensions.class_aware_sampling: train_input_reader.shuffle: false would show",
        ),
        (
            "extensions { class_aware_sampling {} } train_input_reader { sample_from_datasets_weights: 1 }",
            "extensions.class_aware_sampling: train_input_reader.sample_from_datasets_weights also says how often",
        ),
    ],
)
def test_a_config_that_cannot_be_honoured_is_refused_before_anything_is_read(workplace, more, message):
    before = set(map(str, check_supported(workplace.config())))
    (said,) = set(map(str, check_supported(workplace.config(more)))) - before
    assert said.startswith(message)


def test_images_of_their_own_sizes_alone_and_padded_to_the_largest_of_a_batch(workplace):
    workplace.write([example("wide"), example("tall", encoded=jpeg(80, 40))])
    resizer = "keep_aspect_ratio_resizer { min_dimension: 20 max_dimension: 30 }"
    config = workplace.config(resizer=resizer)
    dataset = build_evaluation_dataset(config, batch_size=1)
    assert dataset.element_spec[0].shape.as_list() == [1, None, None, 3]
    alone = list(dataset)
    assert [tuple(images.shape) for images, _ in alone] == [(1, 15, 30, 3), (1, 30, 15, 3)]
    ((images, labels),) = list(build_evaluation_dataset(config, batch_size=2))
    assert images.shape == (2, 30, 30, 3)
    np.testing.assert_array_equal(labels["true_image_shape"], [[15, 30, 3], [30, 15, 3]])
    np.testing.assert_array_equal(images[0, :15], alone[0][0][0])
    assert images[0, 15:].numpy().max() == 0.0
    np.testing.assert_allclose(labels["groundtruth_boxes"][0, 0], [0.125, 0.125, 0.375, 0.625])
    np.testing.assert_allclose(labels["groundtruth_boxes"][1, 0], [0.25, 0.0625, 0.75, 0.3125])
    config.train_config.batch_size = 2
    images, labels = next(iter(build_training_dataset(config)))
    assert images.shape == (2, *labels["true_image_shape"].numpy()[:, :2].max(axis=0), 3)


def test_boxes_whose_class_name_the_label_map_lacks_are_left_out_and_counted(workplace):
    boxes = [BOX, [0.0, 0.0, 0.5, 0.5], [0.5, 0.5, 1.0, 1.0]]
    workplace.write([example("some", boxes=boxes, labels=[1, 3, 2], texts=["/m/1", "Sofa", "/m/2"]), example("all")])
    ((_, labels),) = list(build_evaluation_dataset(workplace.config()))
    assert labels["groundtruth_classes"].numpy().tolist() == [[1, 2, 0, 0, 0], [1, 0, 0, 0, 0]]
    np.testing.assert_allclose(labels["groundtruth_boxes"][0, 1], boxes[2])
    assert labels["num_groundtruth_boxes"].numpy().tolist() == [2, 1]
    assert labels["num_groundtruth_boxes_unknown"].numpy().tolist() == [1, 0]


def test_features_that_boxes_do_not_need_are_not_read(workplace):
    record = edited(example("keypoints"), "image/object/keypoint/x", [0.1, 0.2, 0.3])
    record = edited(record, "image/object/mask", [b"not an image"])
    workplace.write([record])
    ((_, labels),) = list(build_evaluation_dataset(workplace.config()))
    assert labels["source_id"].numpy().tolist() == [b"keypoints"]


def test_what_was_left_out_is_said_with_the_setting_that_would_keep_it(workplace):
    seven = [[0.0, 0.0, 0.1 * (i + 1), 0.1 * (i + 1)] for i in range(7)]
    many = example("many", boxes=seven, labels=[1] * 7, texts=["/m/1"] * 6 + ["Sofa"])
    more = example("more", boxes=[*seven, BOX, BOX], labels=[1] * 9, texts=["/m/1"] * 9)
    workplace.write([many, example("one"), more])
    config = workplace.config()
    left_out = LeftOut.of_evaluation(settings_of(config))
    assert left_out.sentences() == []
    counts = [count_batch(labels) for _, labels in build_evaluation_dataset(config)]
    for of_batch in counts:
        left_out.add(of_batch)
    cut, unknown = left_out.sentences()
    assert cut == (
        "5 of 17 boxes were cut, in 2 of 3 images: eval_input_reader[0].max_number_of_boxes is 5, and 9 would have "
        "kept them all"
    )
    assert unknown.startswith("1 of 17 boxes were left out, in 1 of 3 images: the label map has no class")
    together = LeftOut.of_training(settings_of(config))
    together.add(add_counts(tf.stack(counts)))
    assert together.counts == left_out.counts
    assert "train_config.max_number_of_boxes is 5" in together.sentences()[0]
    config.train_input_reader.max_number_of_boxes = 3
    assert LeftOut.of_training(settings_of(config))._setting == "train_input_reader.max_number_of_boxes"


def shuffle_buffers(dataset) -> list[list[int]]:
    """The types of what each shuffle of a dataset holds; shuffles stand in functions that are called for each epoch."""
    found, queue = [], [dataset]
    while queue:
        part = queue.pop()
        assert "Shuffle" not in type(part).__name__
        for function in part._functions():
            graph = function.function.graph.as_graph_def()
            nodes = [*graph.node, *(node for nested in graph.library.function for node in nested.node_def)]
            found += [list(node.attr["output_types"].list.type) for node in nodes if "Shuffle" in node.op]
        queue += part._inputs()
    return found


@pytest.mark.parametrize("more", ["", "extensions { class_aware_sampling {} }"])
def test_shuffle_buffers_hold_encoded_records_and_never_images(workplace, more):
    workplace.write(numbered(4))
    buffers = shuffle_buffers(build_training_dataset(workplace.config(more)))
    # Of the files' numbers, and of records.
    assert sorted(buffers) == sorted([[tf.int64.as_datatype_enum], [tf.string.as_datatype_enum]])


def test_equal_boxes_become_one_with_several_classes_in_training_only(workplace):
    other = [0.0, 0.5, 0.5, 1.0]
    nearly = [value + 1e-6 for value in BOX]
    workplace.write(
        [
            example(
                name,
                boxes=[BOX, other, nearly],
                labels=[4, 1, 2],
                texts=["/m/4", "/m/1", "/m/2"],
                weights=[0.5, 1.0, 0.25],
                group_of=[True, False, False],
            )
            for name in ("one", "two")
        ]
    )
    config = workplace.config("train_config { merge_multiple_label_boxes: true }")
    ((_, labels),) = list(build_training_dataset(config).take(1))
    np.testing.assert_allclose(labels["groundtruth_boxes"][0], [BOX, other, [0] * 4, [0] * 4, [0] * 4], atol=1e-5)
    targets = labels["groundtruth_class_targets"]
    assert targets.dtype == tf.float32
    assert targets.numpy().tolist() == [[[0, 1, 0, 1], [1, 0, 0, 0], [0] * 4, [0] * 4, [0] * 4]] * 2
    assert labels["groundtruth_classes"][0].numpy().tolist() == [4, 1, 0, 0, 0]
    assert labels["groundtruth_weights"][0].numpy().tolist() == [0.5, 1.0, 0, 0, 0]
    assert labels["groundtruth_group_of"][0].numpy().tolist() == [True, False, False, False, False]
    assert labels["num_groundtruth_boxes"].numpy().tolist() == [2, 2]
    ((_, labels),) = list(build_evaluation_dataset(config))
    assert "groundtruth_class_targets" not in labels
    assert labels["num_groundtruth_boxes"].numpy().tolist() == [3, 3]


def test_images_without_objects_can_be_merged_too(workplace):
    workplace.write([example(name, boxes=[], labels=[], texts=[]) for name in "ab"])
    config = workplace.config("train_config { merge_multiple_label_boxes: true }")
    ((_, labels),) = list(build_training_dataset(config).take(1))
    assert labels["groundtruth_class_targets"].shape == (2, 5, 4)
    assert labels["num_groundtruth_boxes"].numpy().tolist() == [0, 0]
