"""The API's `create_*_tf_record` command lines."""
