"""The tokenizer of a checkpoint: which token has which id, which ones are added, and the same with more tokens."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from aya_core.api import DataError
from aya_plugins.merges.files.checkpoint import read_json

FILES = (
    "tokenizer*.json", "special_tokens_map.json", "added_tokens.json", "vocab.json", "vocab.txt", "merges.txt",
    "tokenizer.model", "spiece.model", "sentencepiece.bpe.model", "chat_template.*", "additional_chat_templates/*",
)  # fmt: skip
"""The files of a tokenizer, as patterns in a checkpoint's folder."""

SLOW = ("tokenizer.model", "spiece.model", "sentencepiece.bpe.model", "vocab.json", "vocab.txt", "merges.txt")
"""The files that say which tokens there are where no tokenizer.json does."""

PLAIN = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": True, "special": False}
"""How an added token is defined when nothing is said of it."""

_ROLES = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
_LISTS = ("additional_special_tokens", "extra_special_tokens")


@dataclass(frozen=True)
class Tokenizer:
    """A fast tokenizer, as its files define it.

    written: its tokenizer.json. settings: its tokenizer_config.json. tokens: ids by token, the added ones too. added: how
    each added token is matched (the five flags of `tokenizers.AddedToken`), by token.
    """

    folder: Path
    written: Mapping[str, Any]
    settings: Mapping[str, Any]
    tokens: Mapping[str, int]
    added: Mapping[str, Mapping[str, bool]]

    @property
    def length(self) -> int:
        """How many rows of a table it can ask for: one more than its largest id."""
        return max(self.tokens.values(), default=-1) + 1

    @cached_property
    def by_id(self) -> Mapping[int, str]:
        """Tokens by id."""
        return {index: token for token, index in self.tokens.items()}

    @property
    def roles(self) -> Mapping[str, str]:
        """The tokens that have a role (bos_token, eos_token, ...), by role."""
        return {role: _content(self.settings[role]) for role in _ROLES if self.settings.get(role)}

    def with_tokens(self, more: Mapping[str, Mapping[str, bool]]) -> Tokenizer:
        """Give the same tokenizer with more added tokens; one that it has already keeps its id and becomes an added one."""
        tokens, added = dict(self.tokens), dict(self.added)
        length = self.length
        for token, flags in more.items():
            if token not in tokens:
                tokens[token], length = length, length + 1
            added[token] = flags
        listed = sorted((tokens[token], token, flags) for token, flags in added.items())
        entries = [{"id": index, "content": token, **flags} for index, token, flags in listed]
        settings = dict(self.settings)
        if "added_tokens_decoder" in settings:
            settings["added_tokens_decoder"] = {
                str(index): {"content": token, **flags} for index, token, flags in listed
            }
        return Tokenizer(self.folder, {**self.written, "added_tokens": entries}, settings, tokens, added)

    def check(self) -> None:
        """Load it with the `tokenizers` library. Raises DataError where that finds other ids than its files say."""
        from tokenizers import Tokenizer as Loaded

        path = self.folder / "tokenizer.json"
        try:
            found = Loaded.from_str(json.dumps(self.written)).get_vocab(with_added_tokens=True)
        except Exception as error:  # the library raises nothing more exact
            raise DataError(f"{path}: the tokenizers library cannot read it ({error})") from None
        if found != self.tokens:
            token = min(token for token in {**found, **self.tokens} if found.get(token) != self.tokens.get(token))
            raise DataError(
                f"{path}: cannot add tokens to this tokenizer: {token!r} would be {found.get(token, 'absent')} instead of "
                f"{self.tokens.get(token, 'absent')}, because its ids have gaps; take `source: base`, or another base"
            )

    def save(self, out: Path) -> list[str]:
        """Write its files: those of its folder, with its tokens in those that list them. Returns their names."""
        names = copy_tokenizer(self.folder, out)
        _write_json(out / "tokenizer.json", self.written)
        if self.settings:
            _write_json(out / "tokenizer_config.json", self.settings)
        if (out / "added_tokens.json").is_file():
            _write_json(out / "added_tokens.json", {token: self.tokens[token] for token in self.added})
        return names


def read_tokenizer(folder: Path) -> Tokenizer | None:
    """Read a folder's fast tokenizer; None where it has no tokenizer.json. Raises DataError where that is none.

    Tokens that only tokenizer_config.json names get the ids that transformers gives them when it loads the tokenizer.
    """
    path = folder / "tokenizer.json"
    if not path.is_file():
        return None
    written = read_json(path)
    settings = read_json(folder / "tokenizer_config.json") if (folder / "tokenizer_config.json").is_file() else {}
    try:
        vocabulary = written["model"].get("vocab", {})
        if isinstance(vocabulary, list):  # unigram: [token, score] in order of id
            vocabulary = {entry[0]: index for index, entry in enumerate(vocabulary)}
        entries = written.get("added_tokens") or ()
        tokens = {**vocabulary, **{entry["content"]: entry["id"] for entry in entries}}
        added = {entry["content"]: _flags(entry) for entry in entries}
    except (KeyError, TypeError, AttributeError):
        raise DataError(f"{path}: not a tokenizer; expected one as the tokenizers library saves it") from None
    read = Tokenizer(folder, written, settings, tokens, added)
    late = {token: flags for token, flags in _named(settings) if token not in tokens}
    return read.with_tokens(late) if late else read


def slow_files(folder: Path) -> Mapping[str, bytes]:
    """Read the files that define a slow tokenizer, by name."""
    return {name: (folder / name).read_bytes() for name in SLOW if (folder / name).is_file()}


def copy_tokenizer(folder: Path, out: Path) -> list[str]:
    """Copy the files of a tokenizer as they are, and return their names."""
    paths = sorted({path for pattern in FILES for path in folder.glob(pattern) if path.is_file()})
    names = [path.relative_to(folder).as_posix() for path in paths]
    for name in names:
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(folder / name, out / name)
    return names


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _named(settings: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, bool]]]:
    """Go through the tokens that tokenizer_config.json names, in the order in which transformers adds them."""
    decoder = settings.get("added_tokens_decoder") or {}
    for index in sorted(decoder, key=int):
        yield _content(decoder[index]), _flags(decoder[index])
    named = [settings.get(role) for role in _ROLES]
    for key in _LISTS:
        listed = settings.get(key) or ()
        named += listed.values() if isinstance(listed, Mapping) else listed
    for token in named:
        if token:
            flags = _flags(token) if isinstance(token, Mapping) else {**PLAIN, "normalized": False}
            yield _content(token), {**flags, "special": True}


def _content(token: Any) -> str:
    return str(token["content"] if isinstance(token, Mapping) else token)


def _flags(entry: Mapping[str, Any]) -> Mapping[str, bool]:
    return {flag: bool(entry.get(flag, usual)) for flag, usual in PLAIN.items()}
