"""One command, `detection`, over all commands of the project; this package's version is the project's."""

__version__ = "0.1.0"
