from __future__ import annotations

import json

from data_prep.formats.label_map import LabelMapItem, read_label_map
from data_prep.make_label_map import main


def test_ids_follow_the_order_given_and_names_are_mids(open_images_files, run):
    path = open_images_files.folder / "label_map.pbtxt"
    words = ("--class_description_path", open_images_files.descriptions, "--label_map_path", path)
    outcome = run(main, "--classes", "wall clock", "/m/03ssj5", *words)
    assert outcome.code == 0
    assert "wrote 2 classes, 1 'Wall clock' to 2 'Bed'" in outcome.output
    assert path.read_text().startswith('item {\n  name: "/m/0h8mzrc"\n  id: 1\n  display_name: "Wall clock"\n}\n')
    assert read_label_map(path).items == (
        LabelMapItem(1, "/m/0h8mzrc", "Wall clock"),
        LabelMapItem(2, "/m/03ssj5", "Bed"),
    )
    trainable = open_images_files.folder / "trainable.txt"
    trainable.write_text("/m/07c52\nLamp\n")
    assert run(main, "--trainable_classes_path", trainable, *words).code == 0
    assert read_label_map(path).names_by_id() == {1: "Television", 2: "Lamp"}


def test_a_hierarchy_is_written_as_ids_of_the_classes_above_and_below(open_images_files, run):
    path, hierarchy = open_images_files.folder / "label_map.pbtxt", open_images_files.folder / "hierarchy.json"
    television = {"LabelName": "/m/device", "Subcategory": [{"LabelName": "/m/07c52"}]}
    kinds = [{"LabelName": "/m/03ssj5"}, {"LabelName": "/m/0h8mzrc", "Subcategory": [television]}]
    hierarchy.write_text(json.dumps({"LabelName": "/m/all", "Subcategory": kinds}))
    words = ("--classes", "Bed", "Wall clock", "Television", "--label_map_path", path)
    words += ("--class_description_path", open_images_files.descriptions, "--write_hierarchy")
    assert run(main, *words, "--hierarchy_path", hierarchy).code == 0
    found = {item.display_name: (item.ancestor_ids, item.descendant_ids) for item in read_label_map(path)}
    assert found == {"Bed": ((), ()), "Wall clock": ((), (3,)), "Television": ((2,), ())}
    assert "--write_hierarchy needs --hierarchy_path" in run(main, *words).error
    hierarchy.write_text(json.dumps({"LabelName": "/m/all"}))
    refused = run(main, *words, "--hierarchy_path", hierarchy)
    assert (refused.code, refused.error.count("\n")) == (2, 1)
    assert "none of the classes, such as /m/03ssj5, is in the hierarchy" in refused.error


def test_without_classes_all_described_ones_are_taken(open_images_files, run):
    path = open_images_files.folder / "label_map.pbtxt"
    outcome = run(main, "--class_description_path", open_images_files.descriptions, "--label_map_path", path)
    assert outcome.code == 0
    assert list(read_label_map(path).names_by_id().values()) == ["Bed", "Television", "Lamp", "Table", "Wall clock"]


def test_a_header_is_no_class_and_shifts_no_id(open_images_files, run):
    path = open_images_files.folder / "label_map.pbtxt"
    descriptions = open_images_files.descriptions
    words = ("--class_description_path", descriptions, "--label_map_path", path)
    content = descriptions.read_text()
    descriptions.write_text("id,name\n" + content)
    outcome = run(main, *words)
    assert outcome.code == 0
    assert outcome.error == f"note: {descriptions}:1: 'id,name' is passed over as a header\n"
    assert "wrote 5 classes, 1 'Bed' to 5 'Wall clock'" in outcome.output
    descriptions.write_text("identifier,text\n" + content)
    outcome = run(main, *words)
    assert outcome.code == 2
    assert f"{descriptions}:1: 'identifier,text' is neither a MID and its name" in outcome.error
    assert outcome.error.count("\n") == 1


def test_without_descriptions_classes_are_labels(open_images_files, run):
    path = open_images_files.folder / "label_map.pbtxt"
    assert run(main, "--classes", "sofa", "/m/03ssj5", "--label_map_path", path).code == 0
    assert read_label_map(path).items == (LabelMapItem(1, "sofa"), LabelMapItem(2, "/m/03ssj5"))


def test_mistakes_end_in_one_line_and_leave_the_earlier_label_map(open_images_files, run):
    path = open_images_files.folder / "label_map.pbtxt"
    path.write_text("earlier")
    words = ("--class_description_path", open_images_files.descriptions, "--label_map_path", path)
    for mistake, message in [
        (("--classes", "Televison", *words), "class 'Televison' is not in the class descriptions; did you mean 'Telev"),
        (("--classes", "Bed", "bed", *words), "class 'bed' is given twice"),
        (("--classes", "Bed", "--trainable_classes_path", "x", *words), "exclude each other"),
        (("--trainable_classes_path", "nowhere.txt", *words), "nowhere.txt: No such file"),
        (("--label_map_path", path), "no classes given"),
        (("--classes", *words), "expected at least one argument"),
    ]:
        outcome = run(main, *mistake)
        assert outcome.code == 2
        assert message in outcome.error
        assert outcome.error.count("\n") == 1
        assert path.read_text() == "earlier"


def test_ids_of_an_earlier_run_stay_and_new_classes_come_after(open_images_files, run):
    path = open_images_files.folder / "label_map.pbtxt"
    words = ("--class_description_path", open_images_files.descriptions, "--label_map_path", path)
    assert run(main, "--classes", "Television", "Bed", *words).code == 0
    grown = ("--classes", "Lamp", "Bed", "Table", *words, "--earlier_label_map_path", path)
    outcome = run(main, *grown)
    assert outcome.code == 0
    assert read_label_map(path).names_by_id() == {1: "Television", 2: "Bed", 3: "Lamp", 4: "Table"}
    assert "2 classes keep their ids, 2 are new: 3 'Lamp', 4 'Table'" in outcome.output
    assert "1 were not asked for and keep their ids all the same: 1 'Television'" in outcome.output
    time = path.stat().st_mtime_ns
    outcome = run(main, *grown)
    assert f"nothing to do: {path} holds these 4 classes already" in outcome.output
    assert path.stat().st_mtime_ns == time
    path.write_text('item { name: "/m/03ssj5" id: 7 display_name: "Couch" }')
    assert run(main, *grown).code == 0
    assert read_label_map(path).names_by_id() == {7: "Couch", 8: "Lamp", 9: "Table"}
    outcome = run(main, *grown[:-1], open_images_files.folder / "none.pbtxt")
    assert (outcome.code, outcome.error.count("\n")) == (2, 1)


def test_kinds_of_a_class_follow_it(open_images_files, run):
    folder = open_images_files.folder
    hierarchy, path = folder / "hierarchy.json", folder / "label_map.pbtxt"
    hierarchy.write_text('{"LabelName": "/m/04bcr3", "Subcategory": [{"LabelName": "/m/0dtln"}]}')
    words = ("--class_description_path", open_images_files.descriptions, "--label_map_path", path)
    more = ("--with_descendants", "--hierarchy_path", hierarchy)
    assert run(main, "--classes", "table", "bed", *words, *more).code == 0
    assert read_label_map(path).names_by_id() == {1: "Table", 2: "Lamp", 3: "Bed"}
