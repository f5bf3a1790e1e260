from __future__ import annotations

import io
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from data_prep.sample_rooms.annotations import annotate, item_map
from data_prep.sample_rooms.camera import look
from data_prep.sample_rooms.item import Item
from data_prep.sample_rooms.rasterizer import Faces, Visible, rasterize, silhouette
from data_prep.sample_rooms.rendering import SUPERSAMPLING, develop, random_finish, render, surface_colors
from data_prep.sample_rooms.room import Room
from data_prep.sample_rooms.sample_set import SampleSetOptions, make_image
from data_prep.sample_rooms.scene import CLASS_MIDS, Scene, random_scene
from data_prep.sample_rooms.shadows import MAP_PIXELS_PER_METRE, box_corners, contact_map, shadow_map
from data_prep.sample_rooms.shapes import Part, box, cushion, rounded_box, turned

SIZE = (256, 192)
FORWARD = {"yaw_degrees": 0.0, "pitch_degrees": 0.0, "roll_degrees": 0.0, "horizontal_view_degrees": 90.0, "size": SIZE}


def test_camera_puts_points_where_geometry_says() -> None:
    camera = look(np.array([0.0, 0.0, 1.0]), **FORWARD)
    # At 2 metres a 90 degree view is 4 metres wide: 1 metre is a quarter of the image.
    points = camera.to_pixels(camera.to_camera_axes(np.array([[0.0, 2.0, 1.0], [1.0, 2.0, 1.0], [0.0, 2.0, 1.5]])))
    np.testing.assert_allclose(points, [[128, 96], [192, 96], [128, 64]])


@pytest.mark.parametrize("angles", [(30.0, 0.0, 0.0), (0.0, -20.0, 0.0), (15.0, -10.0, 5.0)])
def test_camera_axes_are_at_right_angles(angles: tuple[float, float, float]) -> None:
    names = ("yaw_degrees", "pitch_degrees", "roll_degrees")
    camera = look(np.zeros(3), **{**FORWARD, **dict(zip(names, angles, strict=True))})
    axes = np.stack([camera.right, camera.up, camera.forward])
    np.testing.assert_allclose(axes @ axes.T, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(np.cross(camera.right, camera.forward), camera.up, atol=1e-12)


def test_nearer_things_hide_farther_ones_in_any_order_and_where_they_run_into_each_other() -> None:
    camera = look(np.array([0.0, 0.0, 1.0]), **FORWARD)
    near = box((-0.5, 1.5, 0.5), (0.5, 2.5, 1.5), (255, 0, 0))
    far = box((-2.0, 3.0, 0.5), (2.0, 3.5, 1.5), (0, 0, 255))
    across = box((-2.0, 1.9, 0.9), (2.0, 2.1, 1.1), (0, 255, 0))
    first = None
    for parts in ([near, far, across], [across, far, near], [far, near, across]):
        faces, visible = rasterize(parts, camera)
        seen = faces.colors[visible.face].astype(int)
        assert tuple(seen[96, 128]) == (255, 0, 0), "the bar runs through the near box, unseen"
        assert tuple(seen[96, 40]) == (0, 255, 0)
        assert tuple(seen[80, 60]) == (0, 0, 255)
        first = seen if first is None else first
        np.testing.assert_array_equal(seen, first)


def test_depth_is_that_of_the_surface() -> None:
    camera = look(np.array([0.0, 0.0, 1.0]), **FORWARD)
    _, visible = rasterize([box((-9, 4, -9), (9, 5, 9), (9, 9, 9))], camera)
    np.testing.assert_allclose(visible.inverse_depth, 0.25, rtol=1e-5)


def test_what_reaches_behind_the_camera_is_cut_off_not_turned_inside_out() -> None:
    camera = look(np.array([0.0, 0.0, 1.0]), **FORWARD)
    floor = box((-9.0, -9.0, -1.0), (9.0, 30.0, 0.0), (7, 7, 7))
    faces, visible = rasterize([floor], camera)
    part = faces.part[visible.face]
    assert (part[110:] == 0).all()
    assert (part[:90] == -1).all()


@pytest.mark.parametrize(
    "part",
    [
        rounded_box((-0.5, -0.4, 0.0), (0.5, 0.4, 0.6), (1, 1, 1), 0.1),
        turned([(0.2, 0.0), (0.4, 0.3), (0.1, 0.6)], (1, 1, 1)),
        cushion(0.6, 0.4, 0.2, (1, 1, 1)),
        box((-1, -1, -1), (1, 1, 1), (1, 1, 1)),
    ],
)
def test_solids_are_closed_and_their_polygons_look_outwards(part: Part) -> None:
    """The volume by the divergence theorem is positive and near what is expected, so no polygon is turned over."""
    volume = 0.0
    for polygon in part.polygons:
        corners = part.vertices[list(polygon)]
        for i in range(1, len(corners) - 1):
            volume += np.dot(corners[0], np.cross(corners[i], corners[i + 1])) / 6
    extent = part.vertices.max(axis=0) - part.vertices.min(axis=0)
    assert 0.25 * extent.prod() < volume <= extent.prod() * 1.001


def test_texture_lies_the_right_way_round() -> None:
    image = Image.new("RGB", (64, 64), (0, 0, 0))
    image.paste((255, 0, 0), (0, 0, 32, 32))  # top left
    image.paste((0, 255, 0), (32, 32, 64, 64))  # bottom right
    part = box((-1.0, 3.0, 0.0), (1.0, 3.2, 2.0), (9, 9, 9), textures={"front": image})
    camera = look(np.array([0.0, 0.0, 1.0]), **FORWARD)
    faces, visible = rasterize([part], camera)
    colors = surface_colors(faces, visible, camera)
    assert tuple(colors[75, 107, :3]) == (255, 0, 0)
    assert tuple(colors[117, 149, :3]) == (0, 255, 0)


def test_turned_item_keeps_its_shape_and_its_bounds_are_foreseen() -> None:
    item = Item((box((-1.0, -0.2, 0.0), (1.0, 0.2, 0.5), (1, 1, 1)),))
    placed = item.placed((3.0, 1.0, 0.0), 90)
    low, high = placed.bounds()
    np.testing.assert_allclose(low, [2.8, 0.0, 0.0], atol=1e-12)
    np.testing.assert_allclose(high, [3.2, 2.0, 0.5], atol=1e-12)
    np.testing.assert_allclose(item.bounds_if_placed((3.0, 1.0, 0.0), 90), (low, high), atol=1e-12)


def test_silhouette_counts_what_lies_beyond_the_edge() -> None:
    square = [(-50.0, 10.0), (49.0, 10.0), (49.0, 59.0), (-50.0, 59.0)]
    whole = silhouette([square], 200, 100)
    assert whole.area == pytest.approx(5000, rel=0.02)
    assert whole.area_inside == pytest.approx(2500, rel=0.03)
    assert silhouette([], 200, 100).window is None


@pytest.fixture(scope="module")
def scenes() -> list[tuple[Scene, Faces, Visible]]:
    """A few scenes with what was seen of them."""
    result = []
    for index in range(6):
        scene = random_scene(np.random.default_rng([5, index]), (SIZE[0] * SUPERSAMPLING, SIZE[1] * SUPERSAMPLING))
        result.append((scene, *rasterize(scene.parts, scene.camera)))
    return result


def test_boxes_are_tight_around_what_is_seen(scenes: list[tuple[Scene, Faces, Visible]]) -> None:
    checked = 0
    for scene, faces, visible in scenes:
        items = item_map(scene, faces, visible)
        height, width = items.shape
        boxes = annotate(scene, faces, visible)
        masks = {
            index: items == index
            for index, item in enumerate(scene.items)
            if item.class_name and (items == index).any()
        }
        for found in boxes:
            assert 0 <= found.xmin < found.xmax <= 1
            assert 0 <= found.ymin < found.ymax <= 1
            corners = found.ymin * height, found.xmin * width, found.ymax * height, found.xmax * width
            top, left, bottom, right = (round(value) for value in corners)
            matching = [
                index
                for index, mask in masks.items()
                if scene.items[index].class_name == found.class_name
                and mask[top].any()
                and mask[bottom - 1].any()
                and mask[:, left].any()
                and mask[:, right - 1].any()
                and mask.sum() == mask[top:bottom, left:right].sum()
            ]
            assert matching, f"no {found.class_name} touches all four sides of {found}"
            checked += 1
    assert checked >= 12


def test_flags_say_what_is_cut_off_and_what_is_hidden() -> None:
    """A wardrobe-like box in front of a bed-like one, which runs out of the image."""
    scene = random_scene(np.random.default_rng(3), SIZE)
    camera = look(np.array([0.0, 0.0, 1.0]), **FORWARD)
    behind = Item((box((-4.0, 3.0, 0.5), (0.0, 3.5, 1.5), (9, 9, 9)),), "Bed")
    whole = Item((box((1.0, 3.0, 0.5), (1.5, 3.5, 1.5), (9, 9, 9)),), "Lamp")
    front = Item((box((-1.0, 2.0, 0.4), (-0.2, 2.2, 1.6), (9, 9, 9)),), "Table")
    buried = Item((box((-0.8, 2.6, 0.8), (-0.5, 2.7, 1.0), (9, 9, 9)),), "Window")
    items = (behind, whole, front, buried)
    parts = tuple(item.parts[0] for item in items)
    changed = replace(scene, camera=camera, items=items, parts=parts, item_of_part=(0, 1, 2, 3))
    faces, visible = rasterize(changed.parts, camera)
    found = {box.class_name: box for box in annotate(changed, faces, visible)}
    assert set(found) == {"Bed", "Lamp", "Table"}, "what is hidden wholly is not annotated"
    assert (found["Bed"].is_occluded, found["Bed"].is_truncated) == (True, True)
    assert (found["Lamp"].is_occluded, found["Lamp"].is_truncated) == (False, False)
    assert (found["Table"].is_occluded, found["Table"].is_truncated) == (False, False)


def test_images_are_lit_and_not_flat(scenes: list[tuple[Scene, Faces, Visible]]) -> None:
    scene = scenes[0][0]
    linear, faces, _ = render(scene)
    assert linear.shape == (SIZE[1], SIZE[0], 3)
    assert np.isfinite(linear).all()
    assert linear.min() >= 0
    rng = np.random.default_rng(1)
    image = Image.open(io.BytesIO(develop(linear, random_finish(rng, night=scene.night), rng)))
    assert (image.format, image.mode, image.size) == ("JPEG", "RGB", SIZE)
    values = np.asarray(image, dtype=np.float32)
    assert 40 < values.mean() < 225
    assert values.std() > 20
    assert len(faces.colors) > 30


def test_shadows_darken_the_floor_under_furniture() -> None:
    floor = Room(4.0, 4.0, 2.5).planes()["floor"]
    corners = box_corners([box((-0.5, 1.5, 0.3), (0.5, 2.5, 0.5), (9, 9, 9))])
    lamp = np.array([0.0, 2.0, 2.0])
    shadow = shadow_map(floor, lamp, corners, blur_metres=0.01)
    assert shadow is not None
    # From 2 metres up, an edge at 0.5 metres and 0.5 metres off the axis shades the floor to 0.667 metres off it.
    row = shadow[round(2.0 * MAP_PIXELS_PER_METRE)]
    dark = np.flatnonzero(row > 0.5) / MAP_PIXELS_PER_METRE - 2.0
    assert dark.min() == pytest.approx(-0.667, abs=0.05)
    assert dark.max() == pytest.approx(0.667, abs=0.05)
    contact = contact_map(floor, corners)
    assert contact[round(2.0 * MAP_PIXELS_PER_METRE), round(2.0 * MAP_PIXELS_PER_METRE)] > contact[5, 5] + 0.05


def test_every_class_is_common_and_an_image_has_several_things() -> None:
    with_class: Counter[str] = Counter()
    boxes = 0
    count = 28
    for index in range(count):
        scene = random_scene(np.random.default_rng([11, index]), SIZE)
        faces, visible = rasterize(scene.parts, scene.camera)
        found = annotate(scene, faces, visible)
        boxes += len(found)
        with_class.update({box.class_name for box in found})
    assert set(with_class) == set(CLASS_MIDS)
    assert min(with_class.values()) >= 0.2 * count, with_class
    assert 2.5 <= boxes / count <= 8


def test_an_image_depends_on_its_place_in_the_set_alone() -> None:
    options = SampleSetOptions(num_train=2, num_validation=1, seed=4, image_width=128, image_height=96)
    longer = SampleSetOptions(num_train=9, num_validation=5, seed=4, image_width=128, image_height=96)
    assert make_image(options, "train", 1) == make_image(longer, "train", 1)
    assert make_image(options, "train", 0).jpeg != make_image(options, "validation", 0).jpeg
