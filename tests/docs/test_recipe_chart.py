"""The chart of docs/benchmarks.md is drawn from its figures, and docs/choosing_a_recipe.md has every recipe."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

from tests.benchmarks.recipe_chart import CHARTS, Figure, chart, read_figures

ROOT = Path(__file__).resolve().parents[2]


def test_the_chart_is_drawn_from_the_figures_beside_it() -> None:
    drawn = chart(read_figures(CHARTS / "recipes.csv"))
    assert (CHARTS / "recipes.svg").read_text() == drawn, "run python -m tests.benchmarks.recipe_chart"


def test_each_figure_is_a_point_in_both_panels_within_the_image() -> None:
    figures = [Figure("Lite0", "rooms", 4.0, 50.0, 0.5), Figure("SSD", "street & shop", 10.0, 200.0, 0.1)]
    drawn = ElementTree.fromstring(chart(figures))
    points = [
        (float(one.get("cx", "")), float(one.get("cy", ""))) for one in drawn.iter() if one.tag.endswith("circle")
    ]
    assert len(points) == 2 + 2 * len(figures)  # the legend's first
    (lite_x, lite_y), (ssd_x, ssd_y) = points[2:4]
    assert lite_x < ssd_x
    assert lite_y < ssd_y  # more AP is higher, which SVG counts from the top
    assert all(0 < x < 940 and 0 < y < 400 for x, y in points)


def test_the_page_names_every_recipe() -> None:
    page = (ROOT / "docs" / "choosing_a_recipe.md").read_text()
    recipes = {path.stem for path in (ROOT / "configs").glob("*.config")}
    rows = {line.split("`")[1] for line in page.splitlines() if line.startswith("| `")}
    assert rows >= recipes
