"""Settings: each message of a pipeline config described once, as a frozen, typed dataclass that checks itself."""
