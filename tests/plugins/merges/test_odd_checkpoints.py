"""Checkpoints whose headers, indexes and configurations are not what they should be: one sentence, whatever it is."""

import json

import pytest
import torch

from aya_core.api import DataError
from aya_plugins.merges.files.checkpoint import open_checkpoint, read_entries


def written(path, header, values=b"\0" * 64):
    """Write a safetensors file with any header: JSON, or bytes."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + values)
    return path


def tensor(**changes):
    return {"w": {"dtype": "F32", "shape": [4, 4], "data_offsets": [0, 64], **changes}}


DEEP = b"[" * 100_000

HEADERS = {
    "shape of text": tensor(shape="44"),
    "shape with text": tensor(shape=[4, "x"]),
    "shape of one text": tensor(shape=["x"]),
    "shape with fractions": tensor(shape=[4.0, 4]),
    "shape with truth": tensor(shape=[True, 16]),
    "negative shape": tensor(shape=[-4, -4]),
    "shape of nothing": tensor(shape=None),
    "shape of mappings": tensor(shape=[{}]),
    "shape too large for any": tensor(shape=[2**63, 2**63]),
    "very many dimensions": tensor(shape=[1] * 10_000),
    "dtype of lists": tensor(dtype=[[]]),
    "no dtype": tensor(dtype=None),
    "a number as dtype": tensor(dtype=32),
    "an unknown dtype": tensor(dtype="F31"),
    "one offset": tensor(data_offsets=[16]),
    "three offsets": tensor(data_offsets=[0, 64, 64]),
    "offsets of text": tensor(data_offsets="ab"),
    "offsets with text": tensor(data_offsets=["0", 64]),
    "offsets backwards": tensor(data_offsets=[64, 0]),
    "offsets beyond": tensor(data_offsets=[0, 128]),
    "negative offsets": tensor(data_offsets=[-64, 0]),
    "offsets in fractions": tensor(data_offsets=[0.0, 64.0]),
    "a list for a tensor": {"w": [1, 2]},
    "text for a tensor": {"w": "F32"},
    "nothing for a tensor": {"w": None},
    "a number for a tensor": {"w": 5},
    "a list": [tensor()],
    "text": "w",
    "nothing": None,
    "two tensors in one place": {**tensor(), "v": tensor()["w"]},
    "a hole": tensor(shape=[2, 4], data_offsets=[32, 64]),
    "no JSON": b"{",
    "no text": b"\xff\xfe\xff",
    "too deep": DEEP,
    "digits without end": b'{"w": {"dtype": "F32", "shape": [' + b"9" * 5000 + b'], "data_offsets": [0, 64]}}',
    "NaN": b'{"w": {"dtype": "F32", "shape": [NaN], "data_offsets": [0, 64]}}',
}


@pytest.mark.parametrize("name", HEADERS)
def test_an_odd_header_is_told_in_one_sentence(name, tmp_path):
    path = written(tmp_path / "model.safetensors", HEADERS[name])
    with pytest.raises(DataError, match=r"model\.safetensors: ") as caught:
        read_entries(path)
    assert len(str(caught.value)) < 500


def test_a_good_header_is_read(tmp_path):
    header = {
        "__metadata__": {"format": "pt"},
        **tensor(),
        "empty": {"dtype": "F32", "shape": [0], "data_offsets": [64, 64]},
    }
    assert read_entries(written(tmp_path / "m", header))["w"].shape == (4, 4)


INDEXES = {
    "numbers": {"weight_map": {"w": 0}},
    "mixed": {"weight_map": {"w": 0, "v": "model.safetensors"}},
    "lists": {"weight_map": {"w": ["model.safetensors"]}},
    "nothing": {"weight_map": {"w": None}},
    "a list": {"weight_map": ["w"]},
    "no map": {},
    "no tensor": {"weight_map": {}},
    "another folder": {"weight_map": {"w": "../model.safetensors"}},
    "the folder": {"weight_map": {"w": ""}},
    "a folder": {"weight_map": {"w": "."}},
    "a zero byte": {"weight_map": {"w": "a\0b"}},
    "an absolute path": {"weight_map": {"w": "/etc/passwd"}},
}


@pytest.mark.parametrize("name", INDEXES)
def test_an_odd_index_is_told_in_one_sentence(name, tmp_path):
    (tmp_path / "config.json").write_text("{}")
    written(tmp_path / "model.safetensors", tensor())
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(INDEXES[name]))
    with pytest.raises(DataError):
        open_checkpoint(tmp_path)


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xe9", DEEP, b"null", b"9" * 5000])
def test_an_odd_config_is_told_in_one_sentence(content, tmp_path):
    written(tmp_path / "model.safetensors", tensor())
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(DataError, match=r"config\.json: "):
        open_checkpoint(tmp_path)


def test_weights_without_a_tensor_are_told(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    written(tmp_path / "model.safetensors", {}, b"")
    with pytest.raises(DataError, match="its weights hold no tensor"):
        open_checkpoint(tmp_path)


class TestPickled:
    """Checkpoints in `.bin` files."""

    TENSORS = {
        "half": torch.arange(6, dtype=torch.bfloat16).reshape(2, 3),
        "turned": torch.arange(6.0).reshape(2, 3).T,
        "point": torch.tensor(7.0),
        "none": torch.zeros(0, 3),
        "counts": torch.arange(3),
        "mask": torch.tensor([True, False]),
    }

    @pytest.fixture
    def folder(self, tmp_path):
        (tmp_path / "config.json").write_text("{}")
        return tmp_path

    def check(self, folder):
        found = open_checkpoint(folder)
        assert found.entries.keys() == self.TENSORS.keys()
        for name, value in self.TENSORS.items():
            stored = found.source(name)
            assert stored.shape == tuple(value.shape)
            raw = stored.raw(0, value.numel())
            assert raw == value.contiguous().flatten().view(torch.uint8).numpy().tobytes()
            if value.is_floating_point() and value.numel() > 1:
                assert torch.equal(stored.read(1, value.numel()), value.contiguous().flatten()[1:].float())

    def test_one_file_is_read(self, folder):
        torch.save(self.TENSORS, folder / "pytorch_model.bin")
        self.check(folder)

    def test_a_file_of_an_old_torch_is_read(self, folder):
        torch.save(self.TENSORS, folder / "pytorch_model.bin", _use_new_zipfile_serialization=False)
        self.check(folder)

    def test_a_whole_state_is_read(self, folder):
        torch.save({"state_dict": self.TENSORS, "epoch": 3}, folder / "pytorch_model.bin")
        self.check(folder)

    def test_shards_are_read(self, folder):
        names = list(self.TENSORS)
        places = {}
        for number, part in enumerate((names[:2], names[2:])):
            file = f"pytorch_model-{number + 1:05d}-of-00002.bin"
            torch.save({name: self.TENSORS[name] for name in part}, folder / file)
            places |= dict.fromkeys(part, file)
        (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": places}))
        self.check(folder)

    def test_safetensors_are_preferred(self, folder):
        torch.save(self.TENSORS, folder / "pytorch_model.bin")
        written(folder / "model.safetensors", tensor())
        assert open_checkpoint(folder).entries.keys() == {"w"}

    @pytest.mark.parametrize("old", [False, True])
    def test_nothing_that_a_file_holds_is_run(self, old, folder):
        torch.save(
            {"w": Bomb(folder / "gone off")}, folder / "pytorch_model.bin", _use_new_zipfile_serialization=not old
        )
        with pytest.raises(DataError, match=r"pytorch_model\.bin: holds more than tensors.*save_pretrained"):
            open_checkpoint(folder)
        assert not (folder / "gone off").exists()

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ([1], "holds list; expected tensors by name"),
            ({"w": 1}, "'w' is int; expected tensors by name"),
            ({1: torch.ones(1)}, "'1' is Tensor; expected tensors by name"),
            ({"w": torch.ones(2, dtype=torch.complex64)}, "'w' is no plain array"),
            ({"w": torch.ones(2, 2).to_sparse()}, "'w' is no plain array"),
            ({}, "hold no tensor"),
        ],
    )
    def test_what_is_no_checkpoint_is_told(self, content, message, folder):
        torch.save(content, folder / "pytorch_model.bin")
        with pytest.raises(DataError, match=message):
            open_checkpoint(folder)

    @pytest.mark.parametrize("keep", [0, 1, 10, 300, -1])
    def test_a_file_that_is_not_whole_is_told(self, keep, folder):
        torch.save(self.TENSORS, folder / "whole")
        (folder / "pytorch_model.bin").write_bytes((folder / "whole").read_bytes()[:keep])
        with pytest.raises(DataError, match=r"pytorch_model\.bin"):
            open_checkpoint(folder)


class Bomb:
    """Goes off where it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))
