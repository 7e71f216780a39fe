"""Conversations to tokens: the text that a chat template writes, encoded once, and where each answer begins."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from aya_core.api import NO_MORE, DataError, Message, Prompt, assistant_turn
from aya_plugins.modeling.chat_templates import GivenTemplate
from aya_plugins.modeling.chat_writer import ChatWriter, TemplateError
from aya_plugins.modeling.decoding import AnswerDecoder
from aya_plugins.modeling.rows import Encoded, RowGatherer
from aya_plugins.modeling.whole_turns import FAULTS, SPEAKERS, RefusedError, Spelled, is_kept, spell

CHUNK = 4096
"""Rows rendered and tokenized at a time, which bounds memory."""

CHUNK_CHARACTERS = 1 << 18
"""Characters tokenized at a time: what a tokenizer says of each token is a hundred bytes."""

RARE = ("ᚠ", "𐎠", "🜁", "\ue000")
"""Characters that no vocabulary holds all of: one that has neither bytes nor a token for what is unknown drops them."""


REWRITTEN = "the chat template renders the prompt differently once it is answered"
REWRITES_EARLIER = "the chat template renders an earlier answer differently once the conversation goes on"
DROPS_ANSWER = "the chat template leaves out a part of the answer"
DROPS_SYSTEM = f"the chat template leaves out what {SPEAKERS['system']}"


class Answer(NamedTuple):
    """An answer to a prompt. more: what it holds beside its text, see `Message`. is_cut: it did not end by itself, and gets no
    end. asked: tokens of the prompt when it was sampled; 0 where that is not known."""

    prompt: Prompt
    text: str
    more: Mapping[str, Any] = NO_MORE
    is_cut: bool = False
    asked: int = 0


class _Row(NamedTuple):
    """A row as `RowGatherer.add` takes it."""

    ids: list[int]
    first: int
    between: Sequence[tuple[int, int]] = ()
    refused: str = ""
    is_unlike: bool = False


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
    training_template: the source of a template that writes rows to learn from in place of the tokenizer's own, by which the model is
        asked. Rows whose prompt then has other tokens are marked (`Encoded.unlike`), and so are those in which a token spans prompt and
        answer.
    given: what became of a chat template that the tokenizer was given.
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
        training_template: str | None = None,
        given: GivenTemplate | None = None,
    ) -> None:
        self.tokenizer = tokenizer
        self.writer = ChatWriter(
            tokenizer,
            where=where,
            system=system,
            template_arguments=template_arguments,
            training_template=training_template,
        )
        self.scratch = scratch
        self.end_ids = frozenset(end_ids) | {tokenizer.eos_token_id}
        self.max_tokens = max_tokens
        self.where = where
        self.given = given

    @cached_property
    def decoder(self) -> AnswerDecoder:
        """What makes texts of the answers."""
        return AnswerDecoder(self.tokenizer)

    @cached_property
    def _special_ids(self) -> frozenset[int]:
        return self.end_ids | {id for id, token in self.tokenizer.added_tokens_decoder.items() if token.special}

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
                found = [
                    ids or [self.start_id] for ids in self.encode_texts(self.writer.plain(prompt) for prompt in chunk)
                ]
            else:
                texts = self.writer.write_prompts(chunk)
                for prompt, text in zip(chunk, texts, strict=True):
                    if not self.writer.keeps_system(prompt, text):
                        raise DataError(
                            f"{self.where}: {DROPS_SYSTEM} (prompt '{prompt.id}'); have it say that in the user's turn, or mend "
                            "chat_template.jinja"
                        )
                found = [encoding.ids for encoding in self._tokenize(texts)]
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

    def answers(
        self,
        pairs: Sequence[tuple[Prompt, str] | Answer],
        *,
        is_whole: bool = False,
        learns_all: bool = False,
        refuses: bool = False,
    ) -> Encoded:
        """Encode each prompt with its answer.

        is_whole: leave the end as the template writes it, as `conversations` does. learns_all: the assistant's turns in the prompt are a
        part of the answer, too. A row whose answer the tokenizer drops ends before
        it, so that it has no token to learn from or to score. Raises DataError for a template that
        does not keep a prompt as it was, leaves answers out, or has no generation marker where its turns need one; where `refuses` is
        true, rows that the template does not write whole are marked instead (`Encoded.refused`).
        """
        rows = RowGatherer(self.max_tokens, self.scratch)
        for start in range(0, len(pairs), CHUNK):
            answers = [Answer(*pair) for pair in pairs[start : start + CHUNK]]
            chats = next((one.prompt for one in answers if one.prompt.messages), None)
            if chats is not None:
                self.writer.check_template()
                if not is_whole:
                    self.writer.check_marker(chats)
            found = self._rows(answers, is_whole, learns_all, refuses)
            for one, row in zip(answers, found, strict=True):
                rows.add(
                    row.ids,
                    row.first,
                    between=row.between,
                    refused=row.refused,
                    is_unlike=row.is_unlike,
                    is_unended=one.is_cut and not is_whole,
                )
        return rows.encoded()

    def _rows(self, answers: Sequence[Answer], is_whole: bool, learns_all: bool, refuses: bool) -> list[_Row]:
        """Encode some answers: those of text together, others one by one."""
        plain = [place for place, one in enumerate(answers) if _is_plain(one, learns_all)]
        try:
            texts = iter(self._plain_rows([answers[place] for place in plain], is_whole, refuses))
            return [
                next(texts) if _is_plain(one, learns_all) else self._row(one, is_whole, learns_all) for one in answers
            ]
        except TemplateError as fault:
            if not refuses:
                raise DataError(str(fault)) from None
        return [self._row(one, is_whole, learns_all) for one in answers]

    def _plain_rows(self, answers: Sequence[Answer], is_whole: bool, refuses: bool) -> Iterator[_Row]:
        """Encode answers of text to prompts of text."""
        if not answers:
            return
        heads, asked = self.writer.borders([one.prompt for one in answers])
        texts = self.writer.write_all(
            [[*one.prompt.messages, assistant_turn(one.text)] for one in answers], is_complete=True, is_training=True
        )
        if not refuses:
            for one, head, text in zip(answers, heads, texts, strict=True):
                if not text.startswith(head):
                    raise self.writer.rewritten(one.prompt, head, text)
        dropped = self.are_dropped([one.text for one in answers])
        encodings = self._tokenize(texts)
        for one, head, sampled, text, encoding, is_dropped in zip(
            answers, heads, asked, texts, encodings, dropped, strict=True
        ):
            if not text.startswith(head):
                yield _Row(encoding.ids, len(encoding.ids), refused=REWRITTEN)
                continue
            if refuses and not self.writer.keeps_system(one.prompt, head):
                yield _Row(encoding.ids, len(encoding.ids), refused=DROPS_SYSTEM)
                continue
            if refuses and not is_kept(one.text, text[len(head) :], head):
                yield _Row(encoding.ids, len(encoding.ids), refused=DROPS_ANSWER)
                continue
            first = _first_token_after(encoding, len(head), len(text))
            is_unlike = sampled != head or _is_spanned(encoding, len(head), first) or one.asked not in (0, first)
            if is_dropped:
                yield _Row(encoding.ids[:first], first, is_unlike=is_unlike)
                continue
            # Templates may strip an answer. What follows it is the template's own.
            after = _first_token_after(encoding, self._end_of(one.text, text, len(head)), len(text))
            ids = (
                encoding.ids
                if is_whole
                else encoding.ids[:after]
                if one.is_cut
                else self._with_end(encoding.ids, after)
            )
            yield _Row(ids, first, is_unlike=is_unlike)

    def _row(self, answer: Answer, is_whole: bool, learns_all: bool) -> _Row:
        """Encode an answer of any kind, or say why the template does not write it."""
        if not answer.prompt.messages:
            return self._text_row(answer)
        turns = [*self.writer.system, *answer.prompt.messages, assistant_turn(answer.text, answer.more)]
        tools = None if answer.prompt.tools is None else json.loads(answer.prompt.tools)
        last = len(turns) - 1
        learned = [last]
        if learns_all:  # an opening of the assistant's, before anybody asked, is what the conversation begins with
            asked = next((place for place, turn in enumerate(turns) if turn["role"] != "system"), 0)
            learned = [place for place, turn in enumerate(turns) if turn["role"] == "assistant" and place > asked] or [
                last
            ]
        template = self.writer.training_template or str(self.tokenizer.chat_template)
        try:
            spelled = spell(
                turns, tools, learned, template, lambda some, with_tools: self.writer.write(some, with_tools)
            )
            text = self.writer.write(spelled, tools)
            encoding = self._tokenize([text])[0]
            heads = {place: self.writer.write(spelled[:place], tools, is_complete=False) for place in learned}
            spans = []
            for place in learned:
                said = turns[place]["content"]
                spans.append(self._span(spelled, tools, place, said, heads[place], text, encoding))
        except RefusedError as refused:
            return self._refused_row(turns, str(refused))
        except FAULTS as error:
            return self._refused_row(
                turns, f"the chat template refuses the conversation ({' '.join(str(error).split()):.80})"
            )
        (first, _), (start, _) = spans[0], spans[-1]
        if not answer.more and self.are_dropped([answer.text])[0]:
            return _Row(encoding.ids[:start], start)
        after = start
        if not answer.more:
            after = _first_token_after(encoding, self._end_of(answer.text, text, len(heads[last])), len(text))
        ids = encoding.ids if is_whole else self._with_end(encoding.ids, after)
        if answer.is_cut and not is_whole:
            ids = encoding.ids[:after] if not answer.more else ids[:-1]
        is_unlike = any(
            _is_spanned(encoding, len(heads[place]), span[0]) for place, span in zip(learned, spans, strict=True)
        )
        is_unlike |= answer.asked not in (0, spans[-1][0])
        if self.writer.training_template is not None:
            is_unlike |= self.writer.write(spelled[:-1], tools, is_complete=False, is_training=False) != heads[last]
        between = [(stop, begins) for (_, stop), (begins, _) in pairwise(spans)]
        return _Row(ids, first, between, is_unlike=is_unlike)

    def _text_row(self, answer: Answer) -> _Row:
        """A text that answers nothing, with the tokenizer's own tokens around it and an end; no template has a part in it."""
        (ids,) = self.encode_texts([answer.text])
        has_end = answer.is_cut or ids[-1:] == [self.tokenizer.eos_token_id]
        return _Row(ids if has_end else [*ids, self.tokenizer.eos_token_id], 0)

    def _span(
        self, turns: Sequence[Spelled], tools: Any, place: int, said: str, head: str, text: str, encoding: Any
    ) -> tuple[int, int]:
        """Between which tokens of a conversation the assistant's turn at a place is, its end included. Raises RefusedError.

        said: its text. head: what stands before it where the model is asked. text: the conversation.
        """
        if not text.startswith(head):
            raise RefusedError(REWRITTEN if place == len(turns) - 1 else REWRITES_EARLIER)
        until = text
        if place < len(turns) - 1:
            ended = self.writer.write(turns[: place + 1], tools)
            until = self._shared(ended, text)
            rest = self._tokenize([ended[len(until) :].strip()])[0].ids
            if not self._special_ids.issuperset(rest):  # what ends a conversation may be missing here, and nothing else
                raise RefusedError(REWRITES_EARLIER)
        if not is_kept(said, until[len(head) :], head):
            raise RefusedError(DROPS_ANSWER if place == len(turns) - 1 else REWRITES_EARLIER)
        start = _first_token_after(encoding, len(head), len(until))
        stop = _first_token_after(encoding, len(until), len(text))
        ends = [token for token in range(start, stop) if encoding.ids[token] in self.end_ids]
        return start, ends[-1] + 1 if ends else stop

    def _shared(self, one: str, other: str) -> str:
        """The beginning that two texts share, up to whole special tokens: `<|end|>` and `<|user|>` share nothing."""
        same = (place for place, (a, b) in enumerate(zip(one, other, strict=False)) if a != b)
        end = next(same, min(len(one), len(other)))
        for text in (one, other):
            encoding = self._tokenize([text])[0]
            token = encoding.char_to_token(end) if end < len(text) else None
            if token is not None and encoding.ids[token] in self._special_ids:
                end = min(end, encoding.token_to_chars(token)[0])
        return one[:end]

    def _refused_row(self, turns: Sequence[Message], reason: str) -> _Row:
        """What can be shown of a conversation that the template does not write whole."""
        try:
            text = self.writer.write([{"role": turn["role"], "content": turn["content"]} for turn in turns], None)
        except FAULTS:
            text = ""
        ids: list[int] = self._tokenize([text])[0].ids
        return _Row(ids, len(ids), refused=reason)

    def conversations(self, pairs: Sequence[tuple[Prompt, str]]) -> Encoded:
        """Encode each prompt with its answer exactly as the template renders them, to the last token.

        A reward model is trained on that, and reads its score there. Where answers begin is not marked. A row whose answer the
        tokenizer drops is empty.
        """
        rows = RowGatherer(self.max_tokens, self.scratch)
        for start in range(0, len(pairs), CHUNK):
            chunk = pairs[start : start + CHUNK]
            turns = [[*prompt.messages, assistant_turn(text)] for prompt, text in chunk]
            dropped = self.are_dropped([text for _, text in chunk])
            for encoding, is_dropped in zip(
                self._tokenize(self.writer.write_all(turns, is_complete=True)), dropped, strict=True
            ):
                ids = [] if is_dropped else encoding.ids
                rows.add(ids, len(ids))
        return rows.encoded()

    def _end_of(self, answer: str, text: str, border: int) -> int:
        """Where an answer ends that the template writes as it is, strips, or puts something before."""
        before, closing = text.removesuffix(self.writer.closing), self.writer.closing
        if (before != text or not closing) and before[border:].rstrip().endswith(answer.strip()):
            return len(before)
        for form in (answer, answer.rstrip()):
            if text.startswith(form, border):
                return border + len(form)
        return border + len(answer.strip())

    def _with_end(self, ids: list[int], after: int) -> list[int]:
        for last in range(len(ids) - 1, after - 1, -1):
            if ids[last] in self.end_ids:
                return ids[: last + 1]
        return [*ids, self.tokenizer.eos_token_id]

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


def _is_spanned(encoding: Any, border: int, first: int) -> bool:
    """Whether the first token of an answer begins before it."""
    return border > 0 and first < len(encoding.ids) and encoding.char_to_token(border - 1) == first


def _is_plain(answer: Answer, learns_all: bool) -> bool:
    """Whether prompt and answer are texts, and nothing but the answer is learned."""
    prompt = answer.prompt
    if answer.more or prompt.tools is not None or not prompt.messages:
        return False
    return not any(
        "more" in turn or turn["role"] == "tool" or (learns_all and turn["role"] == "assistant")
        for turn in prompt.messages
    )


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
