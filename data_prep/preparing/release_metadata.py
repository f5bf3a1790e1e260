"""A release's files in a folder: those at hand are taken as they are, the others fetched."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from data_prep.preparing.file_download import fetch
from data_prep.preparing.release_requests import RemoteFile, ask, new_session
from data_prep.runtime.command_line import UserError
from data_prep.runtime.url_credentials import without_credentials


class ReleaseMetadata:
    """The files of a release.

    Attributes:
        directory: Where they are, and where they are fetched to.
        session: By which their server is asked.
    """

    def __init__(self, directory: Path, base_url: str) -> None:
        """Prepares.

        Args:
            directory: Holds what is at hand, under its name or under its path below `base_url`, plain or gzipped.
            base_url: Where the others are fetched from.
        """
        self.directory = directory
        self._base_url = base_url
        self.session = new_session()

    def find(self, name: str) -> Path | None:
        """Returns where a file is at hand; None where it is not.

        Releases have files of one name and other content: what is fetched goes under its path, and is looked for first.
        """
        places = (self.directory / name, self.directory / Path(name).name)
        return next(
            (path for place in places for path in (place, place.with_name(place.name + ".gz")) if path.is_file()), None
        )

    def ask(self, names: Sequence[str]) -> dict[str, RemoteFile]:
        """Returns what the server says of those of the files that are not at hand; raises UserError if it lacks one."""
        return {name: ask(self.session, f"{self._base_url}/{name}") for name in names if self.find(name) is None}

    def have(self, names: Sequence[str]) -> list[Path]:
        """Returns where the files are, once those that are not at hand have been fetched; tells the sizes first.

        Raises:
            UserError: One cannot be had.
        """
        self.compare(names)
        remotes = self.ask(names)
        if remotes:
            print(f"to fetch into {self.directory}: {_total_size(list(remotes.values()))}")
            for remote in remotes.values():
                print(f"  {_size(remote):>10}  {without_credentials(remote.url)}", flush=True)
        for name, remote in remotes.items():
            target = self.directory / name
            fetched = fetch(self.session, remote, target)
            print(f"fetched {target}: {_size(fetched)}, {_checked_by(fetched)}", flush=True)
        return [path for name in names if (path := self.find(name)) is not None]

    def compare(self, names: Sequence[str]) -> None:
        """Notes files of another size than the release's, such as one that a browser has fetched half.

        What lies under its path was fetched here, and verified then; what lies under its name alone may be anything. It
        is taken, for it may be a part on purpose, and the server may be out of reach.
        """
        for name in names:
            path = self.find(name)
            if path != self.directory / Path(name).name or path == self.directory / name:
                continue
            try:
                remote = ask(self.session, f"{self._base_url}/{name}", max_tries=1)
            except UserError as error:
                why = without_credentials(str(error))
                print(f"note: {path} is taken as it is, for its size cannot be compared: {why}")
                return
            size, of_release = path.stat().st_size, _size(remote)
            if remote.num_bytes not in (None, size):
                print(
                    f"note: {path} has {size_in_words(size)}, and {of_release} in the release; it is taken as it is "
                    "(moved away, it is fetched)"
                )


def _total_size(remotes: Sequence[RemoteFile]) -> str:
    known = [remote.num_bytes for remote in remotes if remote.num_bytes is not None]
    unknown = len(remotes) - len(known)
    more = f", and {unknown} of a size that the server does not tell" if unknown else ""
    return f"{len(remotes)} file{'s' * (len(remotes) > 1)}, {size_in_words(sum(known))}{more}"


def _size(remote: RemoteFile) -> str:
    return "size unknown" if remote.num_bytes is None else size_in_words(remote.num_bytes)


def size_in_words(num_bytes: float) -> str:
    """Returns a size in the unit that suits it."""
    for unit, bytes_of_unit in (("GB", 1e9), ("MB", 1e6)):
        if num_bytes >= bytes_of_unit:
            return f"{num_bytes / bytes_of_unit:,.1f} {unit}"
    return f"{num_bytes / 1e3:.1f} kB"


def _checked_by(remote: RemoteFile) -> str:
    names = [name for name, value in (("MD5", remote.md5), ("CRC-32C", remote.crc32c)) if value not in ("", None)]
    if remote.num_bytes is not None:
        names.insert(0, "size")
    return f"verified by {' and '.join(names)}" if names else "not verified, for the server tells nothing of it"
