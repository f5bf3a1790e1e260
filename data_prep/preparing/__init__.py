"""The whole way from annotations to records and a config: steps that are commands, run one after the other."""
