"""Files beside the weights in which the models of a merge differ: whose the merge has is told."""

import json

from checkpoints import merge

from aya_plugins.merges import Ties, Weighted

PROCESSOR = {"image_mean": [0.5, 0.5, 0.5], "size": {"height": 224, "width": 224}}


def write(folder, name, value):
    text = value if isinstance(value, str) else json.dumps(value)
    (folder / name).write_text(text)


def test_files_that_say_the_same_are_no_news(three, out):
    for version, model in enumerate(three):
        write(model, "preprocessor_config.json", PROCESSOR)
        write(model, "generation_config.json", {"eos_token_id": 1, "transformers_version": f"5.{version}"})
    assert not merge(Weighted(), three, out)["notes"]


def test_a_processor_that_differs_is_told_with_whose_the_merge_has(three, out):
    write(three[0], "preprocessor_config.json", PROCESSOR)
    write(three[1], "preprocessor_config.json", PROCESSOR)
    write(three[2], "preprocessor_config.json", {**PROCESSOR, "image_mean": [0.0, 0.0, 0.0]})
    (note,) = merge(Weighted(), three, out)["notes"]
    assert note == "preprocessor_config.json is that of base; of b it is another"
    assert json.loads((out / "preprocessor_config.json").read_text()) == PROCESSOR
    assert note in (out / "README.md").read_text()


def test_a_file_that_the_base_lacks_is_told(three, out):
    write(three[1], "video_preprocessor_config.json", PROCESSOR)
    (note,) = merge(Ties(), three[1:], out, base=three[0])["notes"]
    assert note == "video_preprocessor_config.json of a does not come along: base, whose files do, has none"


def test_a_base_that_ends_its_answers_otherwise_than_the_models_is_told(three, out):
    write(three[0], "generation_config.json", {"eos_token_id": 1})
    for model in three[1:]:
        write(model, "generation_config.json", {"eos_token_id": [1, 106]})
    (note,) = merge(Ties(), three[1:], out, base=three[0])["notes"]
    assert note == "generation_config.json is that of base; of a, b it is another"


def test_code_is_compared_byte_by_byte(three, out):
    for model in three:
        write(model, "modeling_own.py", f"# {model.name}\n")
    (note,) = merge(Weighted(), three, out)["notes"]
    assert note == "modeling_own.py is that of base; of a, b it is another"
