"""A pinhole camera: where a point of the room falls in the image, and which ray a pixel looks along."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

NEAREST_DEPTH = 0.05  # metres; what is nearer than this is cut off


@dataclass(frozen=True)
class Camera:
    """A pinhole camera that looks into the room.

    Attributes:
        position: [3] in metres.
        right: [3] unit vector, to the right in the image.
        up: [3] unit vector, upwards in the image.
        forward: [3] unit vector, the direction of view.
        focal_pixels: The focal length, in pixels of the image.
        width: Of the image, in pixels.
        height: Of the image, in pixels.
    """

    position: np.ndarray
    right: np.ndarray
    up: np.ndarray
    forward: np.ndarray
    focal_pixels: float
    width: int
    height: int

    def to_camera_axes(self, points: np.ndarray) -> np.ndarray:
        """Returns points [N, 3] of the room along the camera's right, up and forward axes, in metres."""
        return (points - self.position) @ np.stack([self.right, self.up, self.forward], axis=1)

    def to_pixels(self, points_in_camera_axes: np.ndarray) -> np.ndarray:
        """Returns [N, 2] pixel coordinates x, y of points in front of the camera, given along its axes."""
        depth = points_in_camera_axes[:, 2]
        x = self.width / 2 + self.focal_pixels * points_in_camera_axes[:, 0] / depth
        y = self.height / 2 - self.focal_pixels * points_in_camera_axes[:, 1] / depth
        return np.stack([x, y], axis=1)

    def inverse_depth_of_planes(self, normals: np.ndarray, points: np.ndarray) -> np.ndarray:
        """Returns [F, 3] coefficients a, b, c: plane i is seen at pixel x, y at the depth 1 / (a x + b y + c).

        Inverse depth is linear in the image, which is what makes a depth buffer of planes cheap and exact.

        Args:
            normals: [F, 3] of planes that face the camera.
            points: [F, 3], one point on each plane.
        """
        offset = np.einsum("fi,fi->f", normals, points - self.position)
        offset = np.where(np.abs(offset) < 1e-9, -1e-9, offset)
        a = normals @ self.right / self.focal_pixels
        b = -(normals @ self.up) / self.focal_pixels
        # Pixel i covers i to i + 1, so its ray goes through i + 0.5.
        c = normals @ self.forward - a * (self.width / 2 - 0.5) - b * (self.height / 2 - 0.5)
        return (np.stack([a, b, c], axis=1) / offset[:, None]).astype(np.float32)


def look(
    position: np.ndarray,
    *,
    yaw_degrees: float,
    pitch_degrees: float,
    roll_degrees: float,
    horizontal_view_degrees: float,
    size: tuple[int, int],
) -> Camera:
    """Returns a camera.

    Args:
        position: [3] in metres.
        yaw_degrees: 0 looks along y, at the back wall; positive turns to the right.
        pitch_degrees: Positive looks up.
        roll_degrees: Positive leans the camera to the right.
        horizontal_view_degrees: The angle of view from the left to the right edge of the image.
        size: The image's width and height in pixels.
    """
    yaw, pitch, roll = (math.radians(angle) for angle in (yaw_degrees, pitch_degrees, roll_degrees))
    forward = np.array([math.sin(yaw) * math.cos(pitch), math.cos(yaw) * math.cos(pitch), math.sin(pitch)])
    level_right = np.array([math.cos(yaw), -math.sin(yaw), 0.0])
    level_up = np.cross(level_right, forward)
    return Camera(
        position=np.asarray(position, dtype=np.float64),
        right=math.cos(roll) * level_right - math.sin(roll) * level_up,
        up=math.sin(roll) * level_right + math.cos(roll) * level_up,
        forward=forward,
        focal_pixels=size[0] / 2 / math.tan(math.radians(horizontal_view_degrees) / 2),
        width=size[0],
        height=size[1],
    )
