"""The per-image work of data preparation as an Apache Beam pipeline; its command is `data_prep.beam_pipeline`."""
