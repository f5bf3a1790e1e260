"""Digests of container images: asked of a registry over its HTTP API, and written where YAML files name images.

The API is that of the Open Container Initiative's distribution specification; tokens are Docker's.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import requests
from requests.utils import parse_dict_header

from data_prep.runtime.command_line import UserError

DOCKER_HUB = "https://registry-1.docker.io"
SECONDS_TO_ANSWER = 30.0
# An index of several platforms before one platform's manifest: the digest that a pull by tag would take.
_MANIFESTS = ", ".join(
    (
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    )
)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_IMAGE = re.compile(
    r"^(?P<before>\s*(?:- )?image:\s*)(?P<name>[^\s@#:]+(?::\d+/[^\s@#:]+)?):(?P<tag>[\w.-]+)(?:@(?P<digest>\S+))?",
    re.MULTILINE,
)
# Of a kustomization, whose image has another tag than the file that it changes.
_NEW_TAG = re.compile(
    r"^(?P<before>(?P<indent>\s*)- name:\s*)(?P<name>\S+)\n(?P<middle>\s*newTag:\s*)(?P<tag>[\w.-]+)"
    r"(?P<digest_line>\n\s*digest:\s*(?P<digest>\S+))?",
    re.MULTILINE,
)


@dataclass(frozen=True)
class ImageReference:
    """An image as a file names it.

    Attributes:
        name: Without tag, such as `tensorflow/serving`, or with a registry's host before it.
        tag: Such as `2.20.0`.
        digest: `sha256:...` where it is pinned; "" where not.
    """

    name: str
    tag: str
    digest: str = ""

    def __str__(self) -> str:
        """As people write it, without the digest."""
        return f"{self.name}:{self.tag}"


def references_in(text: str) -> list[ImageReference]:
    """Returns the images that a YAML file names: `image:` of compose and Kubernetes, `newTag:` of kustomizations."""
    matches = [*_IMAGE.finditer(text), *_NEW_TAG.finditer(text)]
    return [ImageReference(match["name"], match["tag"], match["digest"] or "") for match in matches]


def pinned(text: str, digests: dict[str, str]) -> str:
    """Returns a YAML file's text with the digest of each image.

    Args:
        text: All of the file; comments and layout stay.
        digests: `NAME:TAG` -> `sha256:...`, of all that `references_in` finds.
    """

    def image(match: re.Match[str]) -> str:
        return f"{match['before']}{match['name']}:{match['tag']}@{digests[match['name'] + ':' + match['tag']]}"

    def new_tag(match: re.Match[str]) -> str:
        digest = digests[match["name"] + ":" + match["tag"]]
        kept = f"{match['before']}{match['name']}\n{match['middle']}{match['tag']}"
        return f"{kept}\n{match['indent']}  digest: {digest}"

    return _NEW_TAG.sub(new_tag, _IMAGE.sub(image, text))


def digest_of(image: ImageReference, session: requests.Session, mirror: str | None = None) -> str:
    """Asks a registry for the digest that a tag stands for now.

    Args:
        image: Whose.
        session: What asks; it keeps no credentials, images are public.
        mirror: URL of a registry that is asked in place of Docker Hub, for images without a host in their name.

    Returns:
        `sha256:` and 64 hexadecimal digits, of the index where there are several platforms.

    Raises:
        UserError: The registry cannot be asked, has no such image, or says no digest.
    """
    registry, name = _registry_of(image.name, mirror)
    url = f"{registry}/v2/{name}/manifests/{image.tag}"
    try:
        answer = session.head(url, headers={"Accept": _MANIFESTS}, timeout=SECONDS_TO_ANSWER)
        if answer.status_code == requests.codes.unauthorized:
            token = _token(answer.headers.get("WWW-Authenticate", ""), name, registry, session)
            headers = {"Accept": _MANIFESTS, "Authorization": f"Bearer {token}"}
            answer = session.head(url, headers=headers, timeout=SECONDS_TO_ANSWER)
    except requests.RequestException as error:
        raise UserError(f"{image}: {registry} cannot be asked: {type(error).__name__}") from error
    if answer.status_code == requests.codes.not_found:
        raise UserError(f"{image}: {registry} has no such image")
    if answer.status_code != requests.codes.ok:
        raise UserError(f"{image}: {registry} answers {answer.status_code} {answer.reason}")
    digest = answer.headers.get("Docker-Content-Digest", "")
    if not _DIGEST.fullmatch(digest):
        raise UserError(f"{image}: {registry} answers without a digest in Docker-Content-Digest")
    return digest


def _registry_of(name: str, mirror: str | None) -> tuple[str, str]:
    """Returns a registry's URL and the image's name there: by Docker's rule for names without a host."""
    host, _, rest = name.partition("/")
    if rest and ("." in host or ":" in host or host == "localhost"):
        plain = host.split(":")[0] in ("localhost", "127.0.0.1")
        return f"{'http' if plain else 'https'}://{host}", rest
    return (mirror or DOCKER_HUB).rstrip("/"), name if rest else f"library/{name}"


def _token(challenge: str, name: str, registry: str, session: requests.Session) -> str:
    kind, _, rest = challenge.partition(" ")
    wanted = parse_dict_header(rest)
    realm = wanted.get("realm") or ""
    if kind.lower() != "bearer" or not realm.startswith(("https://", registry)):
        raise UserError(f"{name}: {registry} wants a login; pin this image by hand")
    words = {"service": wanted.get("service") or "", "scope": f"repository:{name}:pull"}
    answer = session.get(realm, params=words, timeout=SECONDS_TO_ANSWER)
    try:
        document = answer.json()
        return str(document.get("token") or document["access_token"])
    except (ValueError, KeyError, AttributeError) as error:
        raise UserError(f"{name}: {realm} gives no token ({answer.status_code}); is the image public?") from error
