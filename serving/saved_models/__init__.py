"""SavedModels loaded and run in this process, as TensorFlow Serving runs them."""
