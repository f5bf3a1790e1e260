"""A depth buffer of planes: which polygon is seen at each pixel, and how far away."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from data_prep.sample_rooms.camera import NEAREST_DEPTH, Camera
from data_prep.sample_rooms.shapes import Part, Texture

LARGEST_SILHOUETTE = 500  # pixels

Window = tuple[int, int, int, int]
Outline = list[tuple[float, float]]


@dataclass(frozen=True)
class Faces:
    """All polygons that face the camera; entry 0 stands for "nothing seen".

    Attributes:
        normals: [F, 3] unit vectors towards the camera's side.
        planes: [F, 3] see `Camera.inverse_depth_of_planes`.
        colors: [F, 3] red, green, blue in 0..255.
        emission: [F].
        part: [F] index into the parts, -1 for entry 0.
        textures: By face.
        windows: By face with a texture, where in the image it can be seen: left, top, right, bottom in pixels.
        outlines: By part, the outlines of its faces, those beyond the image's edges too.
    """

    normals: np.ndarray
    planes: np.ndarray
    colors: np.ndarray
    emission: np.ndarray
    part: np.ndarray
    textures: dict[int, Texture]
    windows: dict[int, Window]
    outlines: list[list[Outline]]


@dataclass(frozen=True)
class Visible:
    """Nearest polygon of each pixel.

    Attributes:
        face: [height, width] int32 index into `Faces`, 0 where nothing is seen.
        inverse_depth: [height, width] float32, 1 over metres along the direction of view; 0 where nothing is seen.
    """

    face: np.ndarray
    inverse_depth: np.ndarray


def rasterize(parts: Sequence[Part], camera: Camera) -> tuple[Faces, Visible]:
    """Finds for each pixel the nearest polygon.

    Args:
        parts: Solids and sheets, in any order; they may run into each other.
        camera: Its size is the size of the result.
    """
    nothing: np.ndarray = np.zeros((1, 3))
    normals, colors, on_plane = [nothing], [nothing], [nothing]
    emission, owner = [np.zeros(1)], [np.full(1, -1)]
    textures: dict[int, Texture] = {}
    windows: dict[int, Window] = {}
    all_outlines: list[list[Outline]] = [[] for _ in parts]
    outlines: list[list[tuple[int, Outline]]] = []
    count = 1
    for index, part in enumerate(parts):
        kept, kept_normals = _facing(part, camera)
        in_camera = camera.to_camera_axes(part.vertices)
        pixels = camera.to_pixels(in_camera) if np.all(in_camera[:, 2] > NEAREST_DEPTH) else None
        shown = []
        order: Sequence[int] = range(len(kept))
        if part.two_sided:  # not convex: the farther polygons of the part are drawn first
            distance = [-in_camera[list(part.polygons[polygon]), 2].mean() for polygon in kept]
            order = sorted(order, key=distance.__getitem__)
        for position in order:
            polygon = part.polygons[kept[position]]
            outline = _outline(polygon, in_camera, pixels, camera)
            if outline is None:
                continue
            all_outlines[index].append(outline)
            window = _window([outline], camera.width, camera.height)
            if window is None:
                continue
            shown.append((count + position, outline))
            if kept[position] in part.textures:
                textures[count + position] = part.textures[kept[position]]
                windows[count + position] = window
        outlines.append(shown)
        normals.append(kept_normals)
        on_plane.append(part.vertices[[part.polygons[polygon][0] for polygon in kept]].reshape(-1, 3))
        colors.append(np.tile(np.asarray(part.color, dtype=np.float64), (len(kept), 1)))
        emission.append(np.full(len(kept), part.emission))
        owner.append(np.full(len(kept), index))
        count += len(kept)
    all_normals = np.concatenate(normals)
    planes = camera.inverse_depth_of_planes(all_normals, np.concatenate(on_plane))
    planes[0] = 0.0
    faces = Faces(
        normals=all_normals.astype(np.float32),
        planes=planes,
        colors=np.concatenate(colors),
        emission=np.concatenate(emission).astype(np.float32),
        part=np.concatenate(owner),
        textures=textures,
        windows=windows,
        outlines=all_outlines,
    )
    visible = Visible(
        face=np.zeros((camera.height, camera.width), np.int32),
        inverse_depth=np.zeros((camera.height, camera.width), np.float32),
    )
    for shown in outlines:
        _draw_part(shown, planes, visible)
    return faces, visible


@dataclass(frozen=True)
class Silhouette:
    """How much of the image an object would cover with nothing in front of it, in pixels.

    Attributes:
        area: All of it, beyond the image's edges too (as far as an image's width and height beyond).
        area_inside: What lies inside the image.
        window: Where in the image it can be seen: left, top, right, bottom in pixels; None where nowhere.
    """

    area: float
    area_inside: float
    window: Window | None


def silhouette(outlines: Sequence[Outline], width: int, height: int) -> Silhouette:
    """Returns how much an object with these outlines would cover of an image of `width` by `height` pixels."""
    moved = [[(x + width, y + height) for x, y in outline] for outline in outlines]
    window = _window(moved, 3 * width, 3 * height) if moved else None
    if window is None:
        return Silhouette(0.0, 0.0, None)
    left, top, right, bottom = window
    # A large object need not be measured to the pixel.
    scale = min(1.0, LARGEST_SILHOUETTE / max(right - left, bottom - top))
    mask = Image.new("L", (math.ceil((right - left) * scale), math.ceil((bottom - top) * scale)), 0)
    draw = ImageDraw.Draw(mask)
    for outline in moved:
        draw.polygon([((x - left) * scale, (y - top) * scale) for x, y in outline], fill=1)
    covered = np.asarray(mask)
    columns = [round(min(max((edge - left) * scale, 0), mask.width)) for edge in (width, 2 * width)]
    rows = [round(min(max((edge - top) * scale, 0), mask.height)) for edge in (height, 2 * height)]
    inside = covered[rows[0] : rows[1], columns[0] : columns[1]]
    return Silhouette(
        area=float(covered.sum()) / scale**2,
        area_inside=float(inside.sum()) / scale**2,
        window=_window(outlines, width, height),
    )


def _facing(part: Part, camera: Camera) -> tuple[list[int], np.ndarray]:
    """Returns the indices of the polygons that face the camera, and their unit normals [F, 3] towards it."""
    corners = np.array([(polygon[0], polygon[1], polygon[2], polygon[-1]) for polygon in part.polygons])
    points = part.vertices[corners]
    # The two diagonals of a four-sided polygon: a good normal even where it is not quite flat, or a side has no length.
    normals = np.cross(points[:, 2] - points[:, 0], points[:, 3] - points[:, 1])
    many = np.array([len(polygon) != 4 for polygon in part.polygons])
    if many.any():
        for index in np.flatnonzero(many):
            ring = part.vertices[list(part.polygons[index])]
            normals[index] = np.cross(ring, np.roll(ring, -1, axis=0)).sum(axis=0)
    length = np.linalg.norm(normals, axis=1)
    normals = normals / np.maximum(length, 1e-12)[:, None]
    towards = np.einsum("fi,fi->f", normals, camera.position - points[:, 0])
    if part.two_sided:
        normals = np.where(towards[:, None] < 0, -normals, normals)
        towards = np.abs(towards)
    kept = np.flatnonzero((towards > 1e-6) & (length > 1e-12))
    return kept.tolist(), normals[kept]


def _outline(
    polygon: tuple[int, ...], in_camera: np.ndarray, pixels: np.ndarray | None, camera: Camera
) -> Outline | None:
    """Returns a polygon's corners in pixels, with what lies behind the camera cut off; None where all of it does."""
    if pixels is not None:
        return [tuple(corner) for corner in pixels[list(polygon)].tolist()]
    corners = in_camera[list(polygon)]
    cut: list[np.ndarray] = []
    for current, following in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        inside, next_inside = current[2] >= NEAREST_DEPTH, following[2] >= NEAREST_DEPTH
        if inside:
            cut.append(current)
        if inside != next_inside:
            share = (NEAREST_DEPTH - current[2]) / (following[2] - current[2])
            cut.append(current + share * (following - current))
    if len(cut) < 3:
        return None
    return [tuple(corner) for corner in camera.to_pixels(np.array(cut)).tolist()]


def _draw_part(shown: Sequence[tuple[int, Outline]], planes: np.ndarray, visible: Visible) -> None:
    """Draws one part's polygons where they are nearer than what was drawn before."""
    if not shown:
        return
    height, width = visible.face.shape
    found = _window([outline for _, outline in shown], width, height)
    if found is None:
        return
    left, top, right, bottom = found
    x = np.arange(left, right, dtype=np.float32)
    y = np.arange(top, bottom, dtype=np.float32)[:, None]
    if len(shown) == 1:
        face, outline = shown[0]
        mask = Image.new("L", (right - left, bottom - top), 0)
        ImageDraw.Draw(mask).polygon([(u - left, v - top) for u, v in outline], fill=1)
        a, b, c = planes[face]
        inverse_depth = a * x + (b * y + c)
        inverse_depth *= np.asarray(mask)
        drawn: np.ndarray | np.int32 = np.int32(face)
    else:
        canvas = Image.new("I", (right - left, bottom - top), 0)
        draw = ImageDraw.Draw(canvas)
        for face, outline in shown:
            draw.polygon([(u - left, v - top) for u, v in outline], fill=face)
        drawn = np.asarray(canvas)
        inverse_depth = planes[:, 0][drawn] * x
        inverse_depth += planes[:, 1][drawn] * y
        inverse_depth += planes[:, 2][drawn]
    window = (slice(top, bottom), slice(left, right))
    nearer = inverse_depth > visible.inverse_depth[window]
    np.copyto(visible.inverse_depth[window], inverse_depth, where=nearer)
    np.copyto(visible.face[window], drawn, where=nearer)


def _window(outlines: Sequence[Outline], width: int, height: int) -> Window | None:
    """Returns the pixels (left, top, right, bottom) that outlines can cover; None where they miss the image."""
    xs = [x for outline in outlines for x, _ in outline]
    ys = [y for outline in outlines for _, y in outline]
    left, top = max(math.floor(min(xs)), 0), max(math.floor(min(ys)), 0)
    right, bottom = min(math.ceil(max(xs)) + 1, width), min(math.ceil(max(ys)) + 1, height)
    return (left, top, right, bottom) if left < right and top < bottom else None
