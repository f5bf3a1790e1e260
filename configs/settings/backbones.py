"""Settings of Model Garden's backbones, which `feature_extractor.type: "ssd_model_garden_fpn"` stands on."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from configs.schema.problem import Note, Problem
from configs.settings.declaration import Settings
from configs.settings.values import items, scalar

# The extractor that reads these settings.
READER = "ssd_model_garden_fpn"
_DROP, _MODEL_GARDEN = "stochastic_depth_drop_rate", "write one of Model Garden's"
# The parameters of each backbone, by its name.
MODEL_GARDEN_BACKBONES: dict[str, tuple[str, ...]] = {
    "dilated_resnet": (
        *("last_stage_repeats", "model_id", "multigrid", "output_stride", "replace_stem_max_pool"),
        *("resnetd_shortcut", "se_ratio", "stem_type", _DROP),
    ),
    "efficientnet": ("model_id", "se_ratio", _DROP),
    "mobiledet": ("filter_size_scale", "model_id"),
    "mobilenet": (
        *("filter_size_scale", "flat_stochastic_depth_drop_rate", "model_id"),
        *("output_intermediate_endpoints", "output_stride", _DROP),
    ),
    "resnet": (
        *("bn_trainable", "depth_multiplier", "model_id", "replace_stem_max_pool", "resnetd_shortcut"),
        *("scale_stem", "se_ratio", "stem_type", _DROP),
    ),
    "revnet": ("model_id",),
    "spinenet": ("max_level", "min_level", "model_id", _DROP),
    "spinenet_mobile": (
        *("expand_ratio", "max_level", "min_level", "model_id", "se_ratio", _DROP, "use_keras_upsampling_2d"),
    ),
    "vit": (
        *("hidden_size", "init_stochastic_depth_rate", "layer_scale_init_value", "model_name", "original_init"),
        *("output_2d_feature_maps", "output_attention_scores", "output_encoded_tokens", "patch_size", "pooler"),
        *("pos_embed_shape", "representation_size", "transformer", "transformer_partition_dims"),
    ),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelGardenBackbone(Settings, message="ModelGardenBackbone"):
    """A backbone of Model Garden's vision library.

    Attributes:
        type: Its name there, one of `MODEL_GARDEN_BACKBONES`.
        parameter: `NAME: VALUE` of each of its parameters that is not to have its default.
    """

    type: str = scalar()
    parameter: tuple[str, ...] = items()

    def problems(self) -> Iterator[Problem]:
        """See `Settings.problems`."""
        if self.type not in MODEL_GARDEN_BACKBONES:
            given = f"{self.type!r} is none of them" if self.type else "is not set"
            yield Problem("type", given, f"{_MODEL_GARDEN}: {', '.join(MODEL_GARDEN_BACKBONES)}")
            return
        names = MODEL_GARDEN_BACKBONES[self.type]
        for index, text in enumerate(self.parameter):
            name, _, value = text.partition(":")
            if not value.strip() or name.strip() not in names:
                reason = f"{text!r} names no parameter of {self.type}"
                yield Problem(f"parameter[{index}]", reason, f"write NAME: VALUE, with one of {', '.join(names)}")


def check_backbone(backbone: ModelGardenBackbone | None, extractor_type: str) -> Iterator[Problem | Note]:
    """Yields what `extensions.model_garden_backbone` and the feature extractor contradict each other in.

    Args:
        backbone: The extension's; None where it is not written.
        extractor_type: `feature_extractor.type`.
    """
    if extractor_type == READER and backbone is None:
        instead = "write extensions { model_garden_backbone { type: ... } }"
        yield Problem("extensions.model_garden_backbone.type", "is not set", instead)
    elif extractor_type != READER and backbone is not None:
        text = f"has no effect: feature_extractor.type is {extractor_type!r}, and only {READER!r} reads it"
        yield Note("extensions.model_garden_backbone", text)
