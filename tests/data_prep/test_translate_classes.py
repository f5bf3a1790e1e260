from __future__ import annotations

import json

from data_prep.translate_classes import main


def words(files, classes, output):
    path = files.folder / "trainable_classes.txt"
    path.write_text(classes)
    return (
        *("--trainable_classes_path", path, "--class_description_path", files.descriptions),
        *("--trainable-translated-path", output),
    )


def test_names_come_in_the_order_of_the_list(open_images_files, run):
    output = open_images_files.folder / "new" / "names.json"
    outcome = run(main, *words(open_images_files, "/m/07c52\n\n# rooms\n/m/0h8mzrc\nBed\n", output))
    assert outcome.code == 0
    assert "wrote 3 class names, 'Television' to 'Bed'" in outcome.output
    assert json.loads(output.read_text()) == ["Television", "Wall clock", "Bed"]


def test_quotes_in_a_name_stay(open_images_files, run):
    with open_images_files.descriptions.open("a", encoding="utf-8") as file:
        file.write("/m/0jack,Jack-o'-lantern\n/m/0cafe,Café\n")
    output = open_images_files.folder / "names.json"
    assert run(main, *words(open_images_files, "/m/0jack\n/m/0cafe\n", output)).code == 0
    assert output.read_text() == '["Jack-o\'-lantern", "Café"]\n'


def test_an_unknown_mid_is_named_with_file_line_and_the_nearest(open_images_files, run):
    output = open_images_files.folder / "names.json"
    output.write_text("[]")
    outcome = run(main, *words(open_images_files, "/m/07c52\n/m/03ssj6\n", output))
    assert outcome.code == 2
    assert outcome.error.startswith(f"error: {open_images_files.folder / 'trainable_classes.txt'}:2: class '/m/03ssj6'")
    assert "did you mean 'Bed' (/m/03ssj5)" in outcome.error
    assert outcome.error.count("\n") == 1
    assert output.read_text() == "[]"


def test_missing_files_and_flags(open_images_files, run):
    good = words(open_images_files, "Bed", open_images_files.folder / "names.json")
    outcome = run(main, *good, "--class_description_path", "nowhere.csv")
    assert (outcome.code, outcome.error) == (2, "error: nowhere.csv: No such file or directory\n")
    outcome = run(main, "--trainable_classes_path", "x")
    assert outcome.code == 2
    assert "--class_description_path" in outcome.error


def test_kinds_follow_their_class(open_images_files, run):
    folder = open_images_files.folder
    with open_images_files.descriptions.open("a", encoding="utf-8") as file:
        file.write("/m/0furn,Furniture\n/m/0sofa,Sofa\n")
    hierarchy = folder / "hierarchy.json"
    kinds = [{"LabelName": "/m/03ssj5"}, {"LabelName": "/m/0sofa"}]
    hierarchy.write_text(
        json.dumps({"LabelName": "/m/0bl9f", "Subcategory": [{"LabelName": "/m/0furn", "Subcategory": kinds}]})
    )
    output = folder / "names.json"
    given = words(open_images_files, "Furniture\nTelevision\n", output)
    assert run(main, *given, "--with_descendants", "--hierarchy_path", hierarchy).code == 0
    assert json.loads(output.read_text()) == ["Furniture", "Bed", "Sofa", "Television"]
    for half in (("--with_descendants",), ("--hierarchy_path", hierarchy)):
        outcome = run(main, *given, *half)
        assert outcome.code == 2
        assert "--with_descendants and --hierarchy_path belong together" in outcome.error
