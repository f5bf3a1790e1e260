"""The API's `*_pb2` modules: message classes by the module that holds each there, from the project's descriptor set.

No file is generated, so that no version of protobuf refuses one. A module is here as soon as this package is imported:
`from object_detection.protos import pipeline_pb2` and `import object_detection.protos.pipeline_pb2` both find it.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper

from configs.schema.descriptors import PACKAGE, message_class, schema_pool

# Messages and enums by module.
_MODULES = {
    "anchor_generator": "AnchorGenerator",
    "argmax_matcher": "ArgMaxMatcher",
    "bipartite_matcher": "BipartiteMatcher",
    "box_coder": "BoxCoder",
    "box_predictor": "BoxPredictor ConvolutionalBoxPredictor MaskRCNNBoxPredictor RfcnBoxPredictor "
    "WeightSharedConvolutionalBoxPredictor",
    "calibration": "CalibrationConfig ClassIdFunctionApproximations ClassIdSigmoidCalibrations FunctionApproximation "
    "SigmoidCalibration SigmoidParameters TemperatureScalingCalibration TrainingDataType XYPairs",
    "center_net": "AugmentedSelfSupervisionLoss CenterNet CenterNetFeatureExtractor LossNormalize",
    "eval": "CocoKeypointMetrics EvalConfig KeypointEdge ParameterizedMetric",
    "faster_rcnn": "AttentionPosition Context FasterRcnn FasterRcnnFeatureExtractor",
    "faster_rcnn_box_coder": "FasterRcnnBoxCoder",
    "flexible_grid_anchor_generator": "AnchorGrid FlexibleGridAnchorGenerator",
    "fpn": "BidirectionalFeaturePyramidNetworks FeaturePyramidNetworks",
    "graph_rewriter": "GraphRewriter Quantization",
    "grid_anchor_generator": "GridAnchorGenerator",
    "hyperparams": "BatchNorm GroupNorm Hyperparams Initializer L1Regularizer L2Regularizer RandomNormalInitializer "
    "Regularizer TruncatedNormalInitializer VarianceScalingInitializer",
    "image_resizer": "ConditionalShapeResizer FixedShapeResizer IdentityResizer ImageResizer KeepAspectRatioResizer "
    "PadToMultipleResizer ResizeType",
    "input_reader": "ExternalInputReader InputReader InputType InstanceMaskType TFRecordInputReader",
    "keypoint_box_coder": "KeypointBoxCoder",
    "losses": "BootstrappedSigmoidClassificationLoss ClassificationLoss HardExampleMiner L1LocalizationLoss "
    "LocalizationLoss Loss PenaltyReducedLogisticFocalLoss RandomExampleSampler SigmoidFocalClassificationLoss "
    "WeightedDiceClassificationLoss WeightedGIOULocalizationLoss WeightedIOULocalizationLoss "
    "WeightedL2LocalizationLoss "
    "WeightedSigmoidClassificationLoss WeightedSmoothL1LocalizationLoss WeightedSoftmaxClassificationAgainstLogitsLoss "
    "WeightedSoftmaxClassificationLoss",
    "matcher": "Matcher",
    "mean_stddev_box_coder": "MeanStddevBoxCoder",
    "model": "DetectionModel ExperimentalModel",
    "multiscale_anchor_generator": "MultiscaleAnchorGenerator",
    "optimizer": "AdamOptimizer ConstantLearningRate CosineDecayLearningRate ExponentialDecayLearningRate LearningRate "
    "ManualStepLearningRate MomentumOptimizer Optimizer RMSPropOptimizer",
    "pipeline": "TrainEvalPipelineConfig",
    "post_processing": "BatchNonMaxSuppression PostProcessing",
    "preprocessor": "AdjustGamma AutoAugmentImage ConvertClassLogitsToSoftmax DropLabelProbabilistically "
    "NormalizeImage PreprocessingStep RGBtoGray RandomAbsolutePadImage RandomAdjustBrightness RandomAdjustContrast "
    "RandomAdjustHue RandomAdjustSaturation RandomBlackPatches RandomCropImage RandomCropPadImage "
    "RandomCropToAspectRatio RandomDistortColor RandomDownscaleToTargetPixels RandomHorizontalFlip "
    "RandomImageScale RandomJitterBoxes RandomJpegQuality RandomPadImage RandomPatchGaussian "
    "RandomPixelValueScale RandomRGBtoGray RandomResizeMethod RandomRotation90 RandomScaleCropAndPadToSquare "
    "RandomSelfConcatImage RandomSquareCropByScale RandomVerticalFlip RemapLabels ResizeImage SSDRandomCrop "
    "SSDRandomCropFixedAspectRatio SSDRandomCropFixedAspectRatioOperation SSDRandomCropOperation SSDRandomCropPad "
    "SSDRandomCropPadFixedAspectRatio SSDRandomCropPadFixedAspectRatioOperation SSDRandomCropPadOperation "
    "ScaleBoxesToPixelCoordinates SubtractChannelMean",
    "region_similarity_calculator": "IoaSimilarity IouSimilarity NegSqDistSimilarity RegionSimilarityCalculator "
    "ThresholdedIouSimilarity",
    "square_box_coder": "SquareBoxCoder",
    "ssd": "Ssd SsdFeatureExtractor",
    "ssd_anchor_generator": "SsdAnchorGenerator",
    "string_int_label_map": "LVISFrequency StringIntLabelMap StringIntLabelMapItem",
    "target_assigner": "TargetAssigner",
    "train": "CheckpointVersion TrainConfig",
}


def _contents(names: str) -> dict[str, Any]:
    """Message classes, enums, and the enums' values, by name."""
    found: dict[str, Any] = {}
    for name in names.split():
        try:
            found[name] = message_class(name)
        except KeyError:
            found[name] = wrapper = EnumTypeWrapper(schema_pool().FindEnumTypeByName(f"{PACKAGE}.{name}"))
            found |= dict(wrapper.items())
    return found


def _module(name: str, names: str) -> ModuleType:
    module = ModuleType(f"{__name__}.{name}_pb2", f"What the API's {name}.proto describes.")
    vars(module).update(_contents(names))
    sys.modules[module.__name__] = module
    return module


globals().update({f"{name}_pb2": _module(name, names) for name, names in _MODULES.items()})
