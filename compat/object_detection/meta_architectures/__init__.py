"""The two families of models, by the API's names."""
