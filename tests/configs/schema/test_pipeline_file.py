"""Reading, merging and writing configs, and what is said of one that does not read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from google.protobuf.message import Message

from configs.schema import pipeline_file
from configs.schema.fields import set_fields, unfilled_paths
from configs.schema.problem import ConfigError


def problems_of(text: str) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        pipeline_file.parse_pipeline_config(text, "p.config")
    assert "\n".join(caught.value.problems) == str(caught.value)
    return caught.value.problems


def problem_of(text: str) -> str:
    (problem,) = problems_of(text)
    return problem


class TestUnknownFields:
    def test_at_the_top(self) -> None:
        said = problem_of("model { }\ntrain_confg { }")
        assert (
            said == "p.config:2:1: train_confg: no such field in TrainEvalPipelineConfig; did you mean 'train_config'?"
        )

    def test_in_the_middle(self) -> None:
        said = problem_of("model {\n  ssd {\n    feature_extracter { type: 'x' }\n    num_classes: 3\n  }\n}")
        assert (
            said == "p.config:3:5: model.ssd.feature_extracter: no such field in Ssd; did you mean 'feature_extractor'?"
        )

    def test_deep_inside_and_behind_comments_and_strings_with_braces(self) -> None:
        text = """# a comment with { braces }
        model: { ssd < box_predictor { weight_shared_convolutional_box_predictor {
          conv_hyperparams { batch_norm { decay: 0.9; scale: true, epsilom: 0.1 } } # }
        } } feature_extractor { type: "} }" } > }"""
        path = "model.ssd.box_predictor.weight_shared_convolutional_box_predictor.conv_hyperparams.batch_norm.epsilom"
        assert problem_of(text) == f"p.config:3:68: {path}: no such field in BatchNorm; did you mean 'epsilon'?"

    def test_in_the_second_of_a_list(self) -> None:
        text = (
            "train_config {\n data_augmentation_options { random_horizontal_flip { } }\n"
            " data_augmentation_options { random_crop_image { min_arae: 0.5 } }\n}"
        )
        said = problem_of(text)
        assert said.startswith("p.config:3:50: train_config.data_augmentation_options[1].random_crop_image.min_arae: ")
        assert said.endswith("did you mean 'min_area'?")

    def test_in_a_list_in_brackets(self) -> None:
        said = problem_of("eval_input_reader [{ shuffle: false }, { tf_record_input_reader { input_paht: 'a' } }]")
        assert "eval_input_reader[1].tf_record_input_reader.input_paht: no such field in TFRecordInputReader" in said

    def test_in_a_map(self) -> None:
        said = problem_of('eval_config { super_categories { key: "a" valeu: "b" } }')
        assert "eval_config.super_categories[0].valeu" in said
        assert "did you mean 'value'?" in said

    def test_all_of_them_at_once_and_none_below_an_unknown_one(self) -> None:
        said = problems_of("train_config { bach_size: 3 foo { bar: 1 } }\neval_config { batch_sise: 2 }")
        assert [problem.split(": ")[1] for problem in said] == [
            "train_config.bach_size",
            "train_config.foo",
            "eval_config.batch_sise",
        ]

    def test_a_field_of_another_message_is_pointed_to(self) -> None:
        said = problem_of("model { ssd { } }\ntrain_config { shuffle: true }")
        assert "a field of this name is at train_input_reader.shuffle, eval_input_reader.shuffle" in said

    def test_part_of_a_name_finds_the_whole(self) -> None:
        said = problem_of("train_config { optimizer { adam_optimizer { learning_rate { cosine_decay { } } } } }")
        assert "train_config.optimizer.adam_optimizer.learning_rate.cosine_decay" in said
        assert "did you mean 'cosine_decay_learning_rate'?" in said

    def test_a_missing_brace_is_recognised_and_its_consequences_are_not_told(self) -> None:
        said = problem_of("model { ssd { num_classes: 3 }\ntrain_config { batch_size: 3 }\neval_config { }")
        assert said.startswith("p.config:2:1: model.train_config: no such field in DetectionModel")
        assert "closing brace missing" in said

    def test_extensions_of_somebodys_own(self) -> None:
        assert "[extension]" in problem_of("[acme.extension] { a: 1 }")

    def test_a_great_many_are_cut(self) -> None:
        said = problems_of("train_config { " + " ".join(f"nonsense_{i}: 1" for i in range(100)) + " }")
        assert len(said) == 21
        assert "80 more" in said[-1]


class TestWrongValues:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            (
                "model { ssd { feature_extractor { conv_hyperparams { activation: RELU6 } } } }",
                "p.config:1:66: model.ssd.feature_extractor.conv_hyperparams.activation: 'RELU6' is no value of "
                "Hyperparams.Activation: NONE, RELU, RELU_6, SWISH; did you mean RELU_6?",
            ),
            (
                "train_config {\n  batch_size: 'eight'\n}",
                "p.config:2:15: train_config.batch_size: needs a whole number from 0 to 4294967295, not 'eight'",
            ),
            (
                "train_config { batch_size: -1 }",
                "p.config:1:28: train_config.batch_size: needs a whole number from 0 to 4294967295, not '-1'",
            ),
            (
                "model { ssd { num_classes: 2.5 } }",
                "p.config:1:28: model.ssd.num_classes: needs a whole number from -2147483648 to 2147483647, not '2.5'",
            ),
            (
                "train_config { gradient_clipping_by_norm: ten }",
                "p.config:1:43: train_config.gradient_clipping_by_norm: needs a number, not 'ten'",
            ),
            (
                "eval_input_reader { } eval_input_reader { shuffle: perhaps }",
                "p.config:1:52: eval_input_reader[1].shuffle: needs true or false, not 'perhaps'",
            ),
            (
                "train_input_reader { label_map_path: label_map.pbtxt }",
                "p.config:1:38: train_input_reader.label_map_path: needs text in quotes, not 'label_map'",
            ),
            (
                'train_input_reader { label_map_path: "label_map.pbtxt }\nmodel { }',
                'p.config:1:38: train_input_reader.label_map_path: needs text in quotes, not "label_map.pbtxt }',
            ),
            ("model: 5", "p.config:1:8: model: needs a message in braces, not '5'"),
            ("train_config { batch_size: }", "needs a whole number from 0 to 4294967295, not '}'"),
            ("train_config { batch_size 3 }", "train_config.batch_size: Expected \":\". Found '3'."),
            ("model { ssd {\n num_classes: 3", "model.ssd: its opening brace in line 1 is never closed"),
            ("train_config { batch_size: 3 } }", "p.config:1:32: a closing brace that nothing opened"),
            (
                "model { ssd { num_classes: 3\n num_classes: 4 } }",
                "model.ssd.num_classes: is set twice, first in line 1; keep one",
            ),
            ("train_config { }\ntrain_config { }", "train_config: is set twice, first in line 1; keep one"),
            (
                "model {\n ssd { }\n faster_rcnn { } }",
                "p.config:3:2: model.faster_rcnn: excludes ssd, which line 2 sets",
            ),
        ],
    )
    def test_is_told_with_place_and_path(self, text: str, expected: str) -> None:
        assert expected in problem_of(text)

    def test_is_cut_where_it_is_long(self) -> None:
        said = problem_of("train_config { batch_size: " + "9" * 5000 + " }")
        assert "train_config.batch_size: needs a whole number" in said
        assert len(said) < 250

    def test_every_cut_of_a_good_config_ends_in_a_config_error_or_reads(self, recipe_text: str) -> None:
        """Half a config, wherever it is cut, is told in full lines; no other exception escapes."""
        told = 0
        for end in range(0, len(recipe_text), 41):
            try:
                pipeline_file.parse_pipeline_config(recipe_text[:end], "p.config")
            except ConfigError as error:
                told += 1
                for problem in error.problems:
                    assert problem.startswith("p.config:"), problem
                    assert "\n" not in problem
        assert told > 40


class TestReading:
    def test_a_file(self, tmp_path: Path) -> None:
        path = tmp_path / "p.config"
        path.write_bytes(b"\xef\xbb\xbfmodel { ssd { num_classes: 7 } }\r\ntrain_config { batch_size: 2 }\r\n")
        config = pipeline_file.read_pipeline_config(path)
        assert config.model.ssd.num_classes == 7
        assert config.train_config.batch_size == 2
        assert config.train_config.optimizer.use_moving_average is True

    def test_names_the_file_line_and_column(self, tmp_path: Path) -> None:
        path = tmp_path / "p.config"
        path.write_text("model {\n  sdd { }\n}\n")
        with pytest.raises(ConfigError, match=rf"^{path}:2:3: model\.sdd: no such field in DetectionModel"):
            pipeline_file.read_pipeline_config(path)

    def test_a_missing_file(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match=r"none\.config: no such file"):
            pipeline_file.read_pipeline_config(tmp_path / "none.config")

    def test_a_folder(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="cannot be read"):
            pipeline_file.read_pipeline_config(tmp_path)

    def test_what_is_no_text(self, tmp_path: Path) -> None:
        path = tmp_path / "p.config"
        path.write_bytes(b"model {\n ssd \xff\xfe }")
        with pytest.raises(ConfigError, match=r"p\.config:2:6: not UTF-8"):
            pipeline_file.read_pipeline_config(path)

    def test_what_is_too_large(self, tmp_path: Path) -> None:
        path = tmp_path / "p.config"
        path.write_bytes(b"#" * (pipeline_file.MAX_CONFIG_BYTES + 1))
        with pytest.raises(ConfigError, match="larger than 4194304 bytes"):
            pipeline_file.read_pipeline_config(path)

    def test_an_empty_file_is_an_empty_config(self) -> None:
        assert pipeline_file.parse_pipeline_config("").ByteSize() == 0


class TestMerging:
    def test_overrides_scalars_and_leaves_the_rest_and_the_original(self, ssd_config: Any) -> None:
        merged = pipeline_file.merge(ssd_config, "train_config { batch_size: 2 } model { ssd { num_classes: 1 } }")
        assert merged.train_config.batch_size == 2
        assert merged.model.ssd.num_classes == 1
        assert merged.train_config.num_steps == ssd_config.train_config.num_steps
        assert ssd_config.train_config.batch_size == 8

    def test_can_set_a_default(self, ssd_config: Any) -> None:
        merged = pipeline_file.merge(ssd_config, "train_config { gradient_clipping_by_norm: 0 }")
        assert merged.train_config.HasField("gradient_clipping_by_norm")
        assert merged.train_config.gradient_clipping_by_norm == 0.0

    def test_replaces_a_member_of_a_oneof(self, ssd_config: Any) -> None:
        text = "train_config { optimizer { momentum_optimizer { momentum_optimizer_value: 0.5 } } }"
        optimizer = pipeline_file.merge(ssd_config, text).train_config.optimizer
        assert optimizer.WhichOneof("optimizer") == "momentum_optimizer"
        assert optimizer.use_moving_average is False

    def test_lists_grow(self, ssd_config: Any) -> None:
        merged = pipeline_file.merge(ssd_config, "train_config { data_augmentation_options { random_rotation90 { } } }")
        steps = [s.WhichOneof("preprocessing_step") for s in merged.train_config.data_augmentation_options]
        assert steps == ["random_horizontal_flip", "random_crop_image", "random_rotation90"]

    def test_overrides_written_one_behind_another_are_merged(self, ssd_config: Any) -> None:
        """As the API's text_format.Merge does."""
        merged = pipeline_file.merge(
            ssd_config,
            "extensions { checkpoint_every_n_steps: 3 } extensions { evaluate_every_n_steps: 4 } "
            "train_config { batch_size: 2 optimizer { adam_optimizer { epsilon: 1 } } } "
            "train_config { batch_size: 4 optimizer { momentum_optimizer { } } }",
        )
        assert (merged.extensions.checkpoint_every_n_steps, merged.extensions.evaluate_every_n_steps) == (3, 4)
        assert merged.train_config.batch_size == 4
        assert merged.train_config.optimizer.WhichOneof("optimizer") == "momentum_optimizer"
        with pytest.raises(ConfigError, match=r"1:44: train_config\.batchsize: "):
            pipeline_file.merge(ssd_config, "train_config { batch_size: 2 batch_size: 3 batchsize: 2 }")

    def test_tells_what_is_wrong_with_the_override(self, ssd_config: Any) -> None:
        with pytest.raises(ConfigError, match=r"^config override:1:16: train_config\.batchsize: .*'batch_size'"):
            pipeline_file.merge(ssd_config, "train_config { batchsize: 2 }")


class TestWriting:
    def test_reads_back_equal(self, tmp_path: Path, ssd_config: Any) -> None:
        ssd_config.train_input_reader.label_map_path = 'Möbel "label map".pbtxt'
        path = tmp_path / "new folder" / "p.config"
        pipeline_file.write_pipeline_config(path, ssd_config)
        assert pipeline_file.read_pipeline_config(path) == ssd_config
        assert "Möbel" in path.read_text(encoding="utf-8")
        assert [p.name for p in path.parent.iterdir()] == ["p.config"]

    def test_replaces_what_was_there(self, tmp_path: Path, ssd_config: Any) -> None:
        path = tmp_path / "p.config"
        path.write_text("old")
        pipeline_file.write_pipeline_config(path, ssd_config)
        assert pipeline_file.read_pipeline_config(path) == ssd_config
        ordinary = tmp_path / "ordinary"
        ordinary.write_text("made like any file")
        assert path.stat().st_mode == ordinary.stat().st_mode

    def test_a_failure_leaves_what_was_there(self, tmp_path: Path, ssd_config: Any) -> None:
        (tmp_path / "p.config").mkdir()
        with pytest.raises(OSError):
            pipeline_file.write_pipeline_config(tmp_path / "p.config", ssd_config)
        assert [p.name for p in tmp_path.iterdir()] == ["p.config"]


class TestFields:
    def test_lists_leaves_with_indices_keys_and_empty_messages(self) -> None:
        config = pipeline_file.parse_pipeline_config(
            "model { ssd { similarity_calculator { iou_similarity { } } num_classes: 0 } }"
            "train_config { data_augmentation_options { random_horizontal_flip { } }"
            " data_augmentation_options { random_pad_image { pad_color: [1, 2] } } }"
            'eval_config { super_categories { key: "pets" value: "cat,dog" } }'
        )
        found = {path: value for path, _, value in set_fields(config)}
        assert list(found) == [
            "model.ssd.num_classes",
            "model.ssd.similarity_calculator.iou_similarity",
            "train_config.data_augmentation_options[0].random_horizontal_flip",
            "train_config.data_augmentation_options[1].random_pad_image.pad_color[0]",
            "train_config.data_augmentation_options[1].random_pad_image.pad_color[1]",
            'eval_config.super_categories["pets"]',
        ]
        assert found["model.ssd.num_classes"] == 0
        assert found["train_config.data_augmentation_options[1].random_pad_image.pad_color[1]"] == 2.0
        assert isinstance(found["model.ssd.similarity_calculator.iou_similarity"], Message)

    def test_finds_what_is_to_be_filled_in(self, ssd_config: Any) -> None:
        assert unfilled_paths(ssd_config) == [
            "train_input_reader.label_map_path",
            "train_input_reader.tf_record_input_reader.input_path[0]",
            "eval_input_reader[0].label_map_path",
            "eval_input_reader[0].tf_record_input_reader.input_path[0]",
        ]
