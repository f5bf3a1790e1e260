"""From a scene to a photograph: colours, light, glow, lens and sensor."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter

from data_prep.sample_rooms.camera import Camera
from data_prep.sample_rooms.lighting import Lighting
from data_prep.sample_rooms.rasterizer import Faces, Visible, rasterize
from data_prep.sample_rooms.scene import Scene
from data_prep.sample_rooms.shapes import Texture

SUPERSAMPLING = 2  # the scene's camera is this much larger than the image, which smooths edges
GLOW_AT_NIGHT = 0.8  # of screens and lamps, for a camera opens up in the dark and they would be white
ROWS_AT_ONCE = 48
_TO_LINEAR = ((np.arange(256) / 255.0) ** 2.2).astype(np.float32)
_FROM_LINEAR = np.round(255 * np.linspace(0, 1, 4096) ** (1 / 2.2)).astype(np.uint8)


@dataclass(frozen=True)
class Finish:
    """Effects of lens, sensor and file format on an image.

    Attributes:
        exposure: How bright the image's middle grey comes out; 0.18 is usual.
        color_cast: [3] gains of red, green and blue.
        contrast: 1 leaves it as it is.
        glow: How far bright things shine over their edges, 0..1.
        vignette: How much darker the corners are, 0..1.
        noise: Standard deviation of the sensor's noise, in 0..255.
        blur_pixels: Radius of the lens' blur.
        jpeg_quality: 1..95.
        jpeg_subsampling: 0 keeps all colour, 2 halves it both ways.
    """

    exposure: float
    color_cast: tuple[float, float, float]
    contrast: float
    glow: float
    vignette: float
    noise: float
    blur_pixels: float
    jpeg_quality: int
    jpeg_subsampling: int


def random_finish(rng: np.random.Generator, *, night: bool) -> Finish:
    """Returns a finish such as a telephone or a small camera gives."""
    warmth, tint = rng.normal(0, 0.055), rng.normal(0, 0.015)
    return Finish(
        exposure=float(rng.uniform(0.15, 0.24) if night else rng.uniform(0.22, 0.34)),
        color_cast=(1 + warmth, 1 + tint, 1 - warmth),
        contrast=float(rng.uniform(0.94, 1.1)),
        glow=float(rng.uniform(0.25, 0.55)),
        vignette=float(rng.uniform(0.0, 0.3)),
        noise=float(rng.uniform(0.5, 5.0) if night else rng.uniform(0.3, 3.2)),
        blur_pixels=float(max(0.0, rng.normal(0.1, 0.35))),
        jpeg_quality=int(rng.integers(72, 95)),
        jpeg_subsampling=int(rng.choice([0, 2])),
    )


def render(scene: Scene) -> tuple[np.ndarray, Faces, Visible]:
    """Returns the image in linear light, [height, width, 3] float32 at the image's size, and what was seen where.

    `Faces` and `Visible` are at the scene camera's size, `SUPERSAMPLING` times the image's.
    """
    faces, visible = rasterize(scene.parts, scene.camera)
    albedo = surface_colors(faces, visible, scene.camera)
    lighting = Lighting(
        scene.camera,
        faces,
        visible,
        room=scene.room,
        parts=scene.parts,
        plane_of_part=scene.plane_of_part,
        illumination=scene.illumination,
    )
    glow = faces.emission * np.float32(GLOW_AT_NIGHT if scene.night else 1)
    height, width = (side // SUPERSAMPLING for side in visible.face.shape)
    image = np.empty((height, width, 3), np.float32)
    for top in range(0, height, ROWS_AT_ONCE):
        rows = min(ROWS_AT_ONCE, height - top)
        band = slice(top * SUPERSAMPLING, (top + rows) * SUPERSAMPLING)
        light = lighting.on_rows(band.start, band.stop)
        # What glows is seen by its own light, and a little by the room's.
        emission = glow[visible.face[band]]
        light *= np.where(emission > 0, np.float32(0.25), np.float32(1))
        light += emission
        for channel in range(3):
            radiance = light[channel] * _TO_LINEAR[albedo[band, :, channel]]
            np.minimum(radiance, 6.0, out=radiance)
            image[top : top + rows, :, channel] = _shrunk(radiance)
    return image, faces, visible


def develop(linear: np.ndarray, finish: Finish, rng: np.random.Generator) -> bytes:
    """Returns the JPEG that a camera with `finish` makes of an image in linear light [height, width, 3]."""
    height, width = linear.shape[:2]
    luminance = linear[::4, ::4] @ np.array([0.2126, 0.7152, 0.0722], np.float32)
    # As a camera does: exposed for the room, not for its lamps and windows, but not at the cost of all that is light.
    middle = float(np.exp(np.mean(np.log(np.clip(luminance, 0.004, 1.2)))))
    metered = middle**0.7 * (float(np.percentile(luminance, 92)) / 2.6) ** 0.3
    image = linear * (np.asarray(finish.color_cast, np.float32) * np.float32(finish.exposure / metered))
    image += _glow(image, finish.glow)
    x, y = np.linspace(-1, 1, width, dtype=np.float32), np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    image *= (1 - np.float32(finish.vignette) * (x * x + y * y) / 2)[..., None]
    # A film's shoulder: highlights fade out instead of clipping.
    shoulder = image * np.float32(1 / 9)
    shoulder += 1
    shoulder *= image
    image *= np.float32(0.6)
    image += 1
    np.divide(shoulder, image, out=image)
    np.clip(image, 0, 1, out=image)
    image *= 4095
    values = _FROM_LINEAR[image.astype(np.int16)]
    if finish.blur_pixels > 0.2:
        values = np.asarray(Image.fromarray(values).filter(ImageFilter.GaussianBlur(finish.blur_pixels)))
    noisy = rng.standard_normal((height, width, 3), dtype=np.float32)
    noisy *= np.float32(finish.noise)
    noisy += values * np.float32(finish.contrast)
    noisy += np.float32(118 * (1 - finish.contrast) + 0.5)
    np.clip(noisy, 0, 255, out=noisy)
    final = Image.fromarray(noisy.astype(np.uint8))
    encoded = io.BytesIO()
    final.save(encoded, "JPEG", quality=finish.jpeg_quality, subsampling=finish.jpeg_subsampling)
    return encoded.getvalue()


def _shrunk(values: np.ndarray) -> np.ndarray:
    """Returns the means of squares of `SUPERSAMPLING` by `SUPERSAMPLING` values."""
    rows = values[::SUPERSAMPLING].copy()
    for offset in range(1, SUPERSAMPLING):
        rows += values[offset::SUPERSAMPLING]
    result = rows[:, ::SUPERSAMPLING].copy()
    for offset in range(1, SUPERSAMPLING):
        result += rows[:, offset::SUPERSAMPLING]
    result *= np.float32(1 / SUPERSAMPLING**2)
    return result


def surface_colors(faces: Faces, visible: Visible, camera: Camera) -> np.ndarray:
    """Returns each pixel's own colour without light, [height, width, 4] uint8, of which the fourth means nothing."""
    palette = np.zeros((len(faces.part), 4), np.uint8)
    palette[:, :3] = faces.colors.round()
    packed = palette.view(np.uint32)[:, 0]
    result = packed[visible.face]
    for face, texture in faces.textures.items():
        left, top, right, bottom = faces.windows[face]
        window = (slice(top, bottom), slice(left, right))
        shown = visible.face[window] == face
        count = int(np.count_nonzero(shown))
        if count:
            warped = _warp(texture, camera, faces.windows[face], count)
            np.copyto(result[window], warped, where=shown)
    return result.view(np.uint8).reshape(*visible.face.shape, 4)


def _warp(texture: Texture, camera: Camera, window: tuple[int, int, int, int], shown_pixels: int) -> np.ndarray:
    """Returns how a texture looks in a window (left, top, right, bottom) of the image, as packed uint32 colours."""
    image = texture.image
    left, top, right, bottom = window
    # A texture with far more pixels than are shown would glitter: it is shrunk first.
    if image.width * image.height > 6 * shown_pixels and min(image.size) >= 8:
        factor = max(1, min(8, round((image.width * image.height / (3 * shown_pixels)) ** 0.5)))
        image = image.reduce(factor)
    # Two more pixels all round, for sampling at the very edge.
    padded = Image.fromarray(np.pad(np.asarray(image), ((2, 2), (2, 2), (0, 0)), mode="edge")).convert("RGBX")
    corner, right_corner, below = texture.corners
    basis = np.stack([right_corner - corner, below - corner, corner - camera.position], axis=1)
    view = np.stack([camera.right, -camera.up, camera.forward])
    to_pixel = np.diag([camera.focal_pixels, camera.focal_pixels, 1.0])
    to_pixel[:2, 2] = camera.width / 2 - left, camera.height / 2 - top
    back = np.linalg.inv(to_pixel @ view @ basis)
    to_texture = np.array([[image.width, 0, 2], [0, image.height, 2], [0, 0, 1]])
    back = to_texture @ back
    back = back / back[2, 2]
    coefficients = tuple(float(value) for value in back.ravel()[:8])
    warped = padded.transform(
        (right - left, bottom - top), Image.Transform.PERSPECTIVE, coefficients, Image.Resampling.BILINEAR
    )
    return np.asarray(warped).view(np.uint32)[..., 0]


def _glow(image: np.ndarray, strength: float) -> np.ndarray:
    """Returns the soft light that bright things spread around them, [height, width, 3]."""
    height, width = image.shape[:2]
    rows, columns = height // 4 * 4, width // 4 * 4
    small = image[:rows:2, :columns:2].reshape(rows // 4, 2, columns // 4, 2, 3).mean(axis=(1, 3))
    bright = Image.fromarray((np.clip(small - 0.9, 0, 2.5) * (255 / 2.5)).astype(np.uint8))
    near, far = (bright.filter(ImageFilter.GaussianBlur(width / share)) for share in (160, 45))
    spread = Image.blend(near, far, 0.5).resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(spread) * np.float32(strength * 2.5 / 255)
