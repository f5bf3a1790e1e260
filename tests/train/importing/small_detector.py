"""What a small SSD's names and shapes say of it."""

from train.importing.ssd_config import SsdShape

SHAPE = SsdShape(
    type="ssd_mobilenet_v2_keras",
    num_classes=3,
    num_maps=3,
    depth_multiplier=0.25,
    use_depthwise=True,
    head_kernel=3,
    head_depthwise=False,
    head_layers=0,
    head_depth=0,
    has_scale=True,
)
