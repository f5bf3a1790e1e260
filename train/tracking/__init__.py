"""Where a training is watched: TensorBoard's event files, Weights & Biases, MLflow."""
