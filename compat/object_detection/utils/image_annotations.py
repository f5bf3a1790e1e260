"""Boxes with lines of text, keypoints and masks on one image: what `visualization_utils` draws with."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageColor, ImageDraw, ImageFont

from data_prep.images.drawing import font_size_for, readable_on


def draw_bounding_box_on_image_array(
    image: np.ndarray,
    ymin: float,
    xmin: float,
    ymax: float,
    xmax: float,
    color: str = "red",
    thickness: int = 4,
    display_str_list: Sequence[str] = (),
    use_normalized_coordinates: bool = True,
) -> None:
    """Draws a box on an array [height, width, 3], in place; see `draw_bounding_box_on_image`."""
    pil_image = Image.fromarray(np.asarray(image, np.uint8)).convert("RGB")
    draw_bounding_box_on_image(
        pil_image, ymin, xmin, ymax, xmax, color, thickness, display_str_list, use_normalized_coordinates
    )
    np.copyto(image, np.array(pil_image))


def draw_bounding_box_on_image(
    image: Image.Image,
    ymin: float,
    xmin: float,
    ymax: float,
    xmax: float,
    color: str = "red",
    thickness: int = 4,
    display_str_list: Sequence[str] = (),
    use_normalized_coordinates: bool = True,
) -> None:
    """Draws a box, and lines of text above it, or below its bottom where there is no room above.

    Args:
        image: Changed in place.
        ymin: Of the box.
        xmin: Of the box.
        ymax: Of the box.
        xmax: Of the box.
        color: Of the box and behind the text.
        thickness: In pixels; 0 draws no box.
        display_str_list: A line each.
        use_normalized_coordinates: Whether the box is in 0..1; else pixels.
    """
    width, height = image.size if use_normalized_coordinates else (1, 1)
    left, right, top, bottom = xmin * width, xmax * width, ymin * height, ymax * height
    draw = ImageDraw.Draw(image)
    if thickness > 0:
        corners = [(left, top), (left, bottom), (right, bottom), (right, top), (left, top)]
        draw.line(corners, width=thickness, fill=color)
    lines = [line for line in display_str_list if line]
    if not lines:
        return
    font = ImageFont.load_default(size=font_size_for(image.size))
    sizes = [draw.textbbox((0, 0), line, font=font)[2:] for line in lines]
    margins = [math.ceil(0.05 * line_height) for _, line_height in sizes]
    total = sum(line_height + 2 * margin for (_, line_height), margin in zip(sizes, margins, strict=True))
    y = top - total if top > total else bottom
    ink = readable_on(ImageColor.getrgb(color)[:3])
    for line, (line_width, line_height), margin in zip(lines, sizes, margins, strict=True):
        draw.rectangle([(left, y), (left + line_width + 2 * margin, y + line_height + 2 * margin)], fill=color)
        draw.text((left + margin, y + margin), line, fill=ink, font=font)
        y += line_height + 2 * margin


def draw_bounding_boxes_on_image_array(
    image: np.ndarray,
    boxes: Any,
    color: str = "red",
    thickness: int = 4,
    display_str_list_list: Sequence[Sequence[str]] = (),
) -> None:
    """Draws boxes on an array, in place; see `draw_bounding_boxes_on_image`."""
    pil_image = Image.fromarray(image)
    draw_bounding_boxes_on_image(pil_image, boxes, color, thickness, display_str_list_list)
    np.copyto(image, np.array(pil_image))


def draw_bounding_boxes_on_image(
    image: Image.Image,
    boxes: Any,
    color: str = "red",
    thickness: int = 4,
    display_str_list_list: Sequence[Sequence[str]] = (),
) -> None:
    """Draws boxes.

    Args:
        image: Changed in place.
        boxes: [N, 4], ymin xmin ymax xmax in 0..1.
        color: Of all boxes.
        thickness: In pixels.
        display_str_list_list: Lines of text, of each box.

    Raises:
        ValueError: `boxes` are not [N, 4].
    """
    boxes = np.asarray(boxes)
    if not boxes.shape:
        return
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(f"boxes have the shape {boxes.shape}, and must be [N, 4]")
    for index, box in enumerate(boxes.tolist()):
        lines = display_str_list_list[index] if display_str_list_list else ()
        ymin, xmin, ymax, xmax = box
        draw_bounding_box_on_image(image, ymin, xmin, ymax, xmax, color, thickness, lines)


def draw_keypoints_on_image_array(image: np.ndarray, keypoints: Any, *arguments: Any, **options: Any) -> None:
    """Draws keypoints on an array, in place; arguments as `draw_keypoints_on_image`."""
    pil_image = Image.fromarray(np.asarray(image, np.uint8)).convert("RGB")
    draw_keypoints_on_image(pil_image, keypoints, *arguments, **options)
    np.copyto(image, np.array(pil_image))


def draw_keypoints_on_image(
    image: Image.Image,
    keypoints: Any,
    keypoint_scores: Any = None,
    min_score_thresh: float = 0.5,
    color: str = "red",
    radius: float = 2,
    use_normalized_coordinates: bool = True,
    keypoint_edges: Sequence[tuple[int, int]] | None = None,
    keypoint_edge_color: str = "green",
    keypoint_edge_width: int = 2,
) -> None:
    """Draws points, and lines between them.

    Args:
        image: Changed in place.
        keypoints: [K, 2], y before x; those that are no number are left out.
        keypoint_scores: [K]; where they are given, those must exceed `min_score_thresh`.
        min_score_thresh: See there.
        color: Of points.
        radius: Of points, in pixels.
        use_normalized_coordinates: Whether points are in 0..1; else pixels.
        keypoint_edges: Pairs of points to connect.
        keypoint_edge_color: Of lines.
        keypoint_edge_width: Of lines, in pixels.
    """
    width, height = image.size if use_normalized_coordinates else (1, 1)
    points = np.asarray(keypoints, np.float64).reshape(-1, 2)[:, ::-1] * (width, height)
    shown = np.asarray(np.isfinite(points).all(axis=1))
    if keypoint_scores is not None:
        shown &= np.asarray(keypoint_scores) > min_score_thresh
    draw = ImageDraw.Draw(image)
    for x, y in points[shown]:
        draw.ellipse([(x - radius, y - radius), (x + radius, y + radius)], outline=color, fill=color)
    for start, end in keypoint_edges or ():
        if max(start, end) < len(points) and min(start, end) >= 0 and shown[start] and shown[end]:
            draw.line([*points[start], *points[end]], fill=keypoint_edge_color, width=keypoint_edge_width)


def draw_mask_on_image_array(image: np.ndarray, mask: np.ndarray, color: str = "red", alpha: float = 0.4) -> None:
    """Colours where a mask is not 0, in place.

    Args:
        image: uint8 [height, width, 3].
        mask: uint8 [height, width].
        color: Of the mask.
        alpha: How much it covers, 0..1.

    Raises:
        ValueError: A type or a shape is another.
    """
    for name, array in (("image", image), ("mask", mask)):
        if array.dtype != np.uint8:
            raise ValueError(f"{name} is {array.dtype}, and must be uint8")
    pil_image = Image.fromarray(image)
    blend_mask(pil_image, mask, color, alpha)
    np.copyto(image, np.array(pil_image))


def blend_mask(image: Image.Image, mask: Any, color: str, alpha: float) -> None:
    """Colours where a mask [height, width] is not 0, in place.

    Raises:
        ValueError: The mask has another size than the image.
    """
    mask = np.asarray(mask)
    if mask.shape != (image.height, image.width):
        raise ValueError(f"the image has the size {(image.height, image.width)}, and the mask {mask.shape}")
    image.paste(ImageColor.getrgb(color), mask=Image.fromarray(np.asarray(255 * alpha * (mask > 0), np.uint8)))
