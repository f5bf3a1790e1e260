"""From images to the feature maps that a detector predicts on: the networks that `feature_extractor.type` names."""
