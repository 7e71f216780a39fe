"""Which tokens a merged model has, and which row each model has for each of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from aya_core.api import AyaError, DataError, TokenRow, Vocabulary, did_you_mean
from aya_plugins.merges.files.checkpoint import read_json
from aya_plugins.merges.tokens.chat_template import choose_chat_template, store_chat_template
from aya_plugins.merges.tokens.notes import appended, conflicts, orphans
from aya_plugins.merges.tokens.same_vocabulary import Model, are_one_slow_tokenizer, check_same
from aya_plugins.merges.tokens.token_ids import vocabulary_rows, with_token_ids, with_vocabulary_rows
from aya_plugins.merges.tokens.tokenizer import PLAIN, Tokenizer, copy_tokenizer, read_tokenizer, slow_files

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Given(NamedTuple):
    """The row that the settings give a token. model: its index, None for zeros. force: for models that have the token, too."""

    model: int | None
    row: int
    force: bool


@dataclass(frozen=True)
class VocabularyPlan:
    """The vocabulary of a merged model.

    models: names. donor: index of the base, or of the first model where there is none. rows: of the merged tables.
    maps: for each model an int64 array of length `rows`: the model's row for each merged row, -1 where it has none.
    given: rows that the settings give, by merged row. padding: merged rows that no token has. missing: whose rows a model
    gets for tokens it lacks. notes: what the person who merges should know, a sentence each.
    """

    models: tuple[str, ...]
    folders: tuple[Path, ...]
    donor: int
    rows: int
    maps: tuple[NDArray[np.int64], ...]
    sizes: tuple[int, ...]
    given: Mapping[int, Given]
    padding: NDArray[np.int64]
    missing: str
    tokenizer: Tokenizer
    source: Tokenizer
    extended: bool
    notes: tuple[str, ...]

    def is_identity(self, model: int) -> bool:
        """Whether a model's tables are the merged ones' rows as they are."""
        import numpy as np

        same = self.sizes[model] == self.rows and np.array_equal(self.maps[model], np.arange(self.rows))
        return bool(same) and not any(given.force for given in self.given.values())

    @cached_property
    def new_padding(self) -> NDArray[np.int64]:
        """The padding rows that no model has, rising."""
        import numpy as np

        held = np.any([rows[self.padding] >= 0 for rows in self.maps], axis=0)
        new: NDArray[np.int64] = self.padding[~held]
        return new

    @property
    def changes_nothing(self) -> bool:
        """Whether all tables are taken as they are, and the tokenizer is the donor's, and there is nothing to say."""
        untouched = not self.extended and self.tokenizer.folder == self.folders[self.donor]
        return untouched and not self.notes and all(self.is_identity(model) for model in range(len(self.models)))

    def config(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """Give the donor's config.json, or generation_config.json, as it is with this vocabulary."""
        changed = with_token_ids(config, self._moved) if self._ids_move else dict(config)
        return changed if vocabulary_rows(config) is None else with_vocabulary_rows(changed, self.rows)

    def write(self, out: Path, chat_template: str | None = None) -> list[str]:
        """Write the tokenizer and generation_config.json into a folder, and return the names of their files.

        Files in which nothing changes are copied byte for byte. chat_template: see `choose_chat_template`; None keeps that
        of the tokenizer. config.json is left to the caller (see `config`).
        """
        template = choose_chat_template(chat_template, self.folders) if chat_template else None
        names = self.tokenizer.save(out) if self.extended else copy_tokenizer(self.tokenizer.folder, out)
        generation = self.folders[self.donor] / "generation_config.json"
        if generation.is_file():
            names.append(generation.name)
            content = generation.read_bytes()
            if self._ids_move:
                content = (json.dumps(self.config(read_json(generation)), indent=2) + "\n").encode()
            (out / generation.name).write_bytes(content)
        if template:
            store_chat_template(out, template)
        return sorted({*names, *(["chat_template.jinja"] if (out / "chat_template.jinja").is_file() else [])})

    @cached_property
    def _ids_move(self) -> bool:
        found = self.tokenizer.tokens
        return any(found.get(token) != index for token, index in self.source.tokens.items())

    def _moved(self, key: str, index: int) -> int | None:
        """Find the token of an id, or else the one in its role, in the merged vocabulary."""
        token = self.source.by_id.get(index)
        if token is not None and token in self.tokenizer.tokens:
            return self.tokenizer.tokens[token]
        role = self.tokenizer.roles.get(key.removesuffix("_id"))
        return self.tokenizer.tokens.get(role) if role else None


def plan_vocabulary(models: Sequence[Model], base: int | None, settings: Vocabulary) -> VocabularyPlan | None:
    """Work out the vocabulary of a merge; None where nothing changes, and all models' tables are taken as they are.

    `union` keeps the ids of the base (or the first model) and appends the tokens that the others have beyond it, in order
    of model and id, as mergekit 0.1.5 does. Appended tokens are *added* tokens, also those that are ordinary tokens of
    their model: its merge rules do not come along, so that text is cut at every literal occurrence of such a token. Tokens
    are matched as they are written in tokenizer.json. A token with an id beyond a model's rows is one that it lacks.

    The merged tables have as many rows as the base's, or as the tokenizer needs where those are more, rounded up as asked.
    A row that no token has is padding, and is that same row of each model that has it and no token for it either.

    base: index of the base model, if there is one. Raises DataError where vocabularies differ and the settings say
    `same`, or where they cannot be matched; AyaError where the settings name what there is not.
    """
    donor = base or 0
    plain = not settings.tokens and settings.pad_to_multiple_of is None
    if settings.source == "same":
        check_same(models, donor)
    own = settings.source in ("base", "union", models[donor].name)
    if plain and (settings.source == "same" or (own and are_one_slow_tokenizer(models))):
        return None
    tokenizers = [_tokenizer(model) for model in models]
    sizes = [_rows(model) for model in models]
    out, least = _output(models, tokenizers, sizes, donor, settings)
    more: dict[str, Mapping[str, bool]] = {}
    order = [donor, *(index for index in range(len(models)) if index != donor)]
    if settings.source == "union":
        more |= _beyond(out, [(tokenizers[index], sizes[index]) for index in order])
    for token in settings.tokens:
        if token not in out.tokens and token not in more:
            more[token] = next((t.added[token] for t in (tokenizers[i] for i in order) if token in t.added), PLAIN)
    notes = [*appended(out, more, tokenizers)]
    if more:
        out = out.with_tokens(more)
        out.check()
    rows = max(least, out.length)
    if settings.pad_to_multiple_of:
        rows = -(-rows // settings.pad_to_multiple_of) * settings.pad_to_multiple_of
    given = {out.tokens[token]: _given(token, settings, models, tokenizers, sizes) for token in settings.tokens}
    maps, padding = _maps(out, rows, tokenizers, sizes)
    names = tuple(model.name for model in models)
    notes += [*conflicts(out, names, tokenizers), *orphans(out, maps, given)]
    plan = VocabularyPlan(
        models=names,
        folders=tuple(model.folder for model in models),
        donor=donor,
        rows=rows,
        maps=tuple(maps),
        sizes=tuple(sizes),
        given=given,
        padding=padding,
        missing=settings.missing,
        tokenizer=out,
        source=tokenizers[donor],
        extended=bool(more),
        notes=tuple(notes),
    )
    return None if plan.changes_nothing else plan


def vocabulary_tables(shapes: Sequence[Mapping[str, tuple[int, ...]]], sizes: Sequence[int]) -> frozenset[str]:
    """Say which tensors are vocabulary tables, by their names.

    A table is a matrix outside the numbered layers (no part of its dotted name is a number) whose first dimension is the
    model's own vocabulary size, in every model that has it. A vector as long as the vocabulary is one where it shares all
    but the last part of its name with such a matrix (lm_head.bias). No architecture is known by name.

    shapes: of each model's tensors, by name. sizes: each model's vocabulary size.
    """

    def is_table(name: str, dimensions: int) -> bool:
        found = [(shape[name], size) for shape, size in zip(shapes, sizes, strict=True) if name in shape]
        return all(len(shape) == dimensions and shape[0] == size for shape, size in found)

    names = {name for shape in shapes for name in shape if not any(part.isdigit() for part in name.split("."))}
    matrices = {name for name in names if is_table(name, 2)}
    prefixes = {name.rpartition(".")[0] for name in matrices}
    return frozenset(matrices | {name for name in names if name.rpartition(".")[0] in prefixes and is_table(name, 1)})


def _tokenizer(model: Model) -> Tokenizer:
    tokenizer = read_tokenizer(model.folder)
    if tokenizer is not None:
        return tokenizer
    found = next(iter(slow_files(model.folder)), None)
    has = f"only {found}, a slow tokenizer" if found else "no tokenizer"
    raise DataError(
        f"model '{model.name}' has {has}; rows are matched by token with tokenizer.json: load it with transformers' "
        f"AutoTokenizer, and save_pretrained into {model.folder}"
    )


def _rows(model: Model) -> int:
    size = vocabulary_rows(model.config)
    if size is None:
        raise DataError(
            f"{model.folder / 'config.json'}: no vocab_size in it, which says how many rows the tables have"
        )
    return size


def _output(
    models: Sequence[Model], tokenizers: Sequence[Tokenizer], sizes: Sequence[int], donor: int, settings: Vocabulary
) -> tuple[Tokenizer, int]:
    """Give the tokenizer to start from, and the rows that it has."""
    if settings.source in ("same", "base", "union"):
        return tokenizers[donor], sizes[donor]
    names = [model.name for model in models]
    if settings.source in names:
        index = names.index(settings.source)
        return tokenizers[index], sizes[index]
    folder = Path(settings.source)
    if not folder.is_dir():
        raise AyaError(
            f"vocabulary.source: '{settings.source}' is neither a model of this merge nor a folder; expected same, base, "
            f"union, one of {', '.join(names)}, or the folder of a tokenizer"
        )
    tokenizer = read_tokenizer(folder)
    if tokenizer is None:
        raise DataError(f"vocabulary.source: {folder}: no tokenizer.json here; expected the folder of a fast tokenizer")
    config = folder / "config.json"
    return tokenizer, (vocabulary_rows(read_json(config)) or 0) if config.is_file() else 0


def _beyond(out: Tokenizer, others: Sequence[tuple[Tokenizer, int]]) -> dict[str, Mapping[str, bool]]:
    """Find the tokens to append or to turn into added ones, in order of model and id."""
    more: dict[str, Mapping[str, bool]] = {}
    for tokenizer, size in others:
        for token, index in sorted(tokenizer.tokens.items(), key=lambda item: item[1]):
            if index < size and token not in out.added and (token in tokenizer.added or token not in out.tokens):
                if token in tokenizer.added and more.get(token, PLAIN) is PLAIN:
                    more[token] = tokenizer.added[token]
                else:
                    more.setdefault(token, PLAIN)
    return more


def _given(
    token: str, settings: Vocabulary, models: Sequence[Model], tokenizers: Sequence[Tokenizer], sizes: Sequence[int]
) -> Given:
    wanted = settings.tokens[token]
    row = wanted.source
    if isinstance(row, str):
        row = TokenRow(kind="model_token", model=row, token=token)
    if row.kind == "zero" or row.model is None:
        return Given(None, 0, wanted.force)
    where = f"vocabulary.tokens: {token!r}"
    names = [model.name for model in models]
    if row.model not in names:
        raise AyaError(f"{where}: no model '{row.model}' in this merge; {did_you_mean(row.model, names)}")
    model = names.index(row.model)
    index = tokenizers[model].tokens.get(row.token) if row.token is not None else row.token_id
    if index is None:
        raise AyaError(
            f"{where}: model '{row.model}' has no token {row.token!r}; tokens are written as in its tokenizer.json, where a "
            "space is often Ġ or ▁"
        )
    if index >= sizes[model]:
        raise AyaError(f"{where}: row {index} of model '{row.model}', which has {sizes[model]} rows")
    return Given(model, index, wanted.force)


def _maps(
    out: Tokenizer, rows: int, tokenizers: Sequence[Tokenizer], sizes: Sequence[int]
) -> tuple[list[NDArray[np.int64]], NDArray[np.int64]]:
    import numpy as np

    ids = np.fromiter(out.tokens.values(), np.int64, len(out.tokens))
    free = np.ones(rows, bool)
    free[ids] = False
    maps = []
    for tokenizer, size in zip(tokenizers, sizes, strict=True):
        found = np.fromiter((tokenizer.tokens.get(token, -1) for token in out.tokens), np.int64, len(ids))
        found[found >= size] = -1
        own = np.zeros(max(rows, size, tokenizer.length), bool)
        own[:size] = True
        own[np.fromiter(tokenizer.tokens.values(), np.int64, len(tokenizer.tokens))] = False
        padding = np.flatnonzero(free & own[:rows])
        where = np.full(rows, -1, np.int64)
        where[padding] = padding
        where[ids] = found
        maps.append(where)
    return maps, np.flatnonzero(free)
