"""Conversations to tokens: the tokenizer's own chat template, applied once, and where each answer begins."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import jinja2

from aya_core.api import Context, DataError, Message, Prompt
from aya_plugins.modeling.decoding import AnswerDecoder
from aya_plugins.modeling.rows import Encoded, RowGatherer

CHUNK = 4096
"""Rows rendered and tokenized at a time, which bounds memory."""

CHUNK_CHARACTERS = 1 << 18
"""Characters tokenized at a time: what a tokenizer says of each token is a hundred bytes."""

PROBE = "7f3a answer"
"""An answer by which is found what a template puts before answers."""

RARE = ("ᚠ", "𐎠", "🜁", "\ue000")
"""Characters that no vocabulary holds all of: one that has neither bytes nor a token for what is unknown drops them."""


class ChatEncoder:
    """Encodes conversations for one tokenizer.

    The chat template writes all special tokens, so the tokenizer adds none (no second BOS). An answer is encoded as
    part of its whole conversation: the tokens of the text as training and scoring see it. A token that spans the
    border of prompt and answer counts as the answer's.

    end_ids: tokens that end a turn. An answer ends with the last of these that the template writes after it,
        or else with `tokenizer.eos_token`, which is then appended; what the template writes later is never
        generated, so it is dropped.
    max_tokens: longer rows lose their end and are marked as truncated.
    system: a system message put before every conversation.
    where: the checkpoint, for messages.
    scratch: a folder for the tokens of answers, where there are many; None keeps them in memory.
    template_arguments: of the chat template, such as enable_thinking. Raises DataError for one that it does not name.
    """

    def __init__(
        self,
        tokenizer: Any,
        end_ids: Iterable[int],
        *,
        max_tokens: int,
        where: str,
        system: str | None = None,
        template_arguments: Mapping[str, Any] | None = None,
        scratch: Path | None = None,
    ) -> None:
        self.tokenizer = tokenizer
        self.scratch = scratch
        self.end_ids = frozenset(end_ids) | {tokenizer.eos_token_id}
        self.max_tokens = max_tokens
        self.where = where
        self.template_arguments = dict(template_arguments or {})
        self._check_arguments()
        self._is_checked = False
        self.system: tuple[Message, ...] = () if system is None else ({"role": "system", "content": system},)

    @cached_property
    def decoder(self) -> AnswerDecoder:
        """What makes texts of the answers."""
        return AnswerDecoder(self.tokenizer)

    @property
    def pad_id(self) -> int:
        """What fills up short rows."""
        pad = self.tokenizer.pad_token_id
        return int(self.tokenizer.eos_token_id if pad is None else pad)

    @property
    def start_id(self) -> int:
        """What stands before a text that has nothing before it."""
        bos = self.tokenizer.bos_token_id
        return int(self.tokenizer.eos_token_id if bos is None else bos)

    @cached_property
    def _start_text(self) -> str:
        text: str = self.tokenizer.decode(self.start_id)
        return text

    @cached_property
    def _may_drop_text(self) -> bool:
        try:
            return any(not encoding.ids for encoding in self._tokenize(list(RARE)))
        except Exception:  # of a library that knows no such text at all
            return True

    def are_dropped(self, texts: Sequence[str]) -> list[bool]:
        """Say which texts say something, but have no token: the tokenizer drops every character of them."""
        if not self._may_drop_text:
            return [False] * len(texts)
        found = list(self.encode_texts(texts, is_whole=False))
        return [bool(text.strip()) and not ids for text, ids in zip(texts, found, strict=True)]

    def prompts(self, prompts: Sequence[Prompt], *, as_text: bool = False) -> Encoded:
        """Encode prompts as a model reads them before it answers. None is truncated.

        A prompt with a turn of which the tokenizer drops everything is an empty row: it cannot be asked.
        as_text: their turns as they are, without chat template, and the tokenizer's own tokens around them.
        """
        rows = RowGatherer(self.max_tokens)
        for start in range(0, len(prompts), CHUNK):
            chunk = prompts[start : start + CHUNK]
            if as_text:
                found = [ids or [self.start_id] for ids in self.encode_texts(self.plain(prompt) for prompt in chunk)]
            else:
                found = [encoding.ids for encoding in self._tokenize(self._render_prompts(chunk))]
            for ids, is_dropped in zip(found, self._have_dropped_turns(chunk), strict=True):
                kept = [] if is_dropped else ids
                rows.add(kept, len(kept), may_cut=False)
        return rows.encoded()

    def _have_dropped_turns(self, prompts: Sequence[Prompt]) -> list[bool]:
        turns = [(place, turn["content"]) for place, prompt in enumerate(prompts) for turn in prompt.messages]
        dropped = self.are_dropped([text for _, text in turns])
        found = [False] * len(prompts)
        for (place, _), is_dropped in zip(turns, dropped, strict=True):
            found[place] |= is_dropped
        return found

    def plain(self, prompt: Prompt) -> str:
        """A prompt as text to be continued: what its turns say, the system's first."""
        return "".join(turn["content"] for turn in (*self.system, *prompt.messages))

    def context(self, context: Context) -> str:
        """Write what comes before a continuation as text."""
        if isinstance(context, str):
            return context
        (text,) = self._render([list(context)], is_complete=False)
        return text

    def encode_texts(self, texts: Iterable[str], *, is_whole: bool = True) -> Iterator[list[int]]:
        """Encode texts as they are, with the tokenizer's own tokens around those that do not begin with `start_id`.

        is_whole: False adds none to any.
        """
        for chunk in _by_characters(texts):
            ids: list[list[int]] = [[] for _ in chunk]
            for adds in (True, False):
                places = [
                    place
                    for place, text in enumerate(chunk)
                    if adds is (is_whole and not text.startswith(self._start_text))
                ]
                found = self._tokenize([chunk[place] for place in places], add_special_tokens=adds)
                for place, encoding in zip(places, found, strict=True):
                    ids[place] = encoding.ids
            yield from ids

    def answers(self, pairs: Sequence[tuple[Prompt, str]], *, is_whole: bool = False) -> Encoded:
        """Encode each prompt with its answer.

        is_whole: leave the end as the template writes it, as `conversations` does. A row whose answer the tokenizer drops ends before
        it, so that it has no token to learn from or to score. Raises DataError for a template that
        does not keep a prompt as it was, leaves answers out, or has no generation marker where its turns need one.
        """
        if pairs and not is_whole:
            self._check_marker(pairs[0][0])
        rows = RowGatherer(self.max_tokens, self.scratch)
        for start in range(0, len(pairs), CHUNK):
            chunk = pairs[start : start + CHUNK]
            before = self._borders([prompt for prompt, _ in chunk])
            texts = self._render([[*prompt.messages, _answer(text)] for prompt, text in chunk], is_complete=True)
            for (prompt, _), head, text in zip(chunk, before, texts, strict=True):
                if not text.startswith(head):
                    raise self._rewritten(prompt, head, text)
            dropped = self.are_dropped([answer for _, answer in chunk])
            encodings = self._tokenize(texts)
            for (_, answer), head, text, encoding, is_dropped in zip(
                chunk, before, texts, encodings, dropped, strict=True
            ):
                first = _first_token_after(encoding, len(head), len(text))
                if is_dropped:
                    rows.add(encoding.ids[:first], first)
                    continue
                # Templates may strip an answer. What follows it is the template's own.
                after = _first_token_after(encoding, len(head) + len(answer.strip()), len(text))
                rows.add(encoding.ids if is_whole else self._with_end(encoding.ids, after), first)
        return rows.encoded()

    def conversations(self, pairs: Sequence[tuple[Prompt, str]]) -> Encoded:
        """Encode each prompt with its answer exactly as the template renders them, to the last token.

        A reward model is trained on that, and reads its score there. Where answers begin is not marked. A row whose answer the
        tokenizer drops is empty.
        """
        rows = RowGatherer(self.max_tokens, self.scratch)
        for start in range(0, len(pairs), CHUNK):
            chunk = pairs[start : start + CHUNK]
            turns = [[*prompt.messages, _answer(text)] for prompt, text in chunk]
            dropped = self.are_dropped([text for _, text in chunk])
            for encoding, is_dropped in zip(
                self._tokenize(self._render(turns, is_complete=True)), dropped, strict=True
            ):
                ids = [] if is_dropped else encoding.ids
                rows.add(ids, len(ids))
        return rows.encoded()

    def _check_arguments(self) -> None:
        """Refuse what would change nothing."""
        template = str(self.tokenizer.chat_template or "")
        for name in self.template_arguments:
            if not re.search(rf"\b{re.escape(name)}\b", template):
                raise DataError(
                    f"{self.where}: its chat template names no argument '{name}', which `chat_template_kwargs` sets; "
                    "take it out, or look for its name in chat_template.jinja"
                )

    def _check_marker(self, prompt: Prompt) -> None:
        """Refuse a template that opens the assistant's turn in finished conversations only.

        The opening would count as part of each answer, and a model that is asked would have to write it. Templates in which
        an answer follows its prompt without any, as Llama 2's, need no marker.
        """
        if self._is_checked:
            return
        turns = list(prompt.messages)
        (asked,), (plain,) = (self._render([turns], is_complete=flag) for flag in (False, True))
        (answered,) = self._render([[*turns, _answer(PROBE)]], is_complete=True)
        place = answered.find(PROBE)
        if place < 0:
            raise DataError(
                f"{self.where}: its chat template leaves out what the assistant says; mend chat_template.jinja"
            )
        opening = answered[len(asked) : place]
        if asked == plain and answered.startswith(asked) and opening.strip():
            marker = "{% if add_generation_prompt %}{{ " + repr(opening) + " }}{% endif %}"
            raise DataError(
                f"{self.where}: its chat template has no generation marker: it ignores add_generation_prompt, yet puts "
                f"{opening!r} before an answer, which a model that is asked would have to write itself; end "
                f"chat_template.jinja with {marker}"
            )
        self._is_checked = True

    def _rewritten(self, prompt: Prompt, head: str, text: str) -> DataError:
        return DataError(
            f"{self.where}: its chat template renders prompt '{prompt.id}' differently once it is answered; "
            "use a template "
            "that keeps the generation prompt and does not rewrite earlier turns\n"
            f"  asked:    {head[-80:]!r}\n  answered: {text[max(0, len(head) - 80) : len(head) + 20]!r}"
        )

    def _with_end(self, ids: list[int], after: int) -> list[int]:
        for last in range(len(ids) - 1, after - 1, -1):
            if ids[last] in self.end_ids:
                return ids[: last + 1]
        return [*ids, self.tokenizer.eos_token_id]

    def _borders(self, prompts: Sequence[Prompt]) -> list[str]:
        distinct: list[Prompt] = []
        places = []
        for prompt in prompts:  # the answers to one prompt come one after the other
            if not distinct or distinct[-1] is not prompt:
                distinct.append(prompt)
            places.append(len(distinct) - 1)
        rendered = self._render_prompts(distinct)
        return [rendered[place] for place in places]

    def _render_prompts(self, prompts: Sequence[Prompt]) -> list[str]:
        return self._render([list(prompt.messages) for prompt in prompts], is_complete=False)

    def _render(self, conversations: list[list[Message]], *, is_complete: bool) -> list[str]:
        if not self.tokenizer.chat_template:
            raise DataError(
                f"{self.where}: its tokenizer has no chat template to write a conversation with; ask it as text (`prompting: text`), or "
                "copy chat_template.jinja from the model it was made of"
            )
        if self.system:
            conversations = [[*self.system, *turns] for turns in conversations]
        try:
            texts: list[str] = self.tokenizer.apply_chat_template(
                conversations, tokenize=False, add_generation_prompt=not is_complete, **self.template_arguments
            )
        except jinja2.TemplateError as error:
            raise DataError(
                f"{self.where}: its chat template refuses a conversation ({error}); check the roles of the "
                "messages, "
                "it may know only user and assistant"
            ) from None
        return texts

    def _tokenize(self, texts: list[str], *, add_special_tokens: bool = False) -> Sequence[Any]:
        if not texts:
            return []
        encodings: Sequence[Any] = self.tokenizer(
            texts,
            add_special_tokens=add_special_tokens,
            return_attention_mask=False,
            return_token_type_ids=False,
            verbose=False,
        ).encodings
        return encodings


def _first_token_after(encoding: Any, border: int, end: int) -> int:
    """Find the first token that holds text at or after a character; the number of tokens where none does."""
    for place in range(border, end):  # more than one turn only where offsets leave spaces out
        token = encoding.char_to_token(place)
        if token is not None:
            return int(token)
    return len(encoding.ids)


def _by_characters(texts: Iterable[str]) -> Iterator[list[str]]:
    chunk: list[str] = []
    size = 0
    for text in texts:
        chunk.append(text)
        size += len(text)
        if size > CHUNK_CHARACTERS or len(chunk) == CHUNK:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def _answer(text: str) -> Message:
    return {"role": "assistant", "content": text}
