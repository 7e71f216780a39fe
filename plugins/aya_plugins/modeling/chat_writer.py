"""Conversations as text, by the chat template of a tokenizer."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any

from aya_core.api import Context, DataError, Message, Prompt, assistant_turn
from aya_plugins.modeling.chat_templates import BUNDLED
from aya_plugins.modeling.whole_turns import FAULTS, Spelled, is_kept
from aya_plugins.time_limit import SlowError, within

SECONDS, SECONDS_EACH = 20.0, 0.1
"""That a template may take, and in addition for each conversation; a usual one writes some thousands in a second."""

PROBE = "7f3a answer"
"""An answer by which is found what a template puts before answers."""


class TemplateError(DataError):
    """A template that refuses some conversation."""


class ChatWriter:
    """Writes conversations by one tokenizer's chat template, and says what is wrong with the template.

    For the settings see `ChatEncoder`.
    """

    def __init__(
        self,
        tokenizer: Any,
        *,
        where: str,
        system: str | None,
        template_arguments: Mapping[str, Any] | None,
        training_template: str | None,
    ) -> None:
        self.tokenizer = tokenizer
        self.where = where
        self.template_arguments = dict(template_arguments or {})
        self.training_template = training_template
        self.system: tuple[Message, ...] = () if system is None else ({"role": "system", "content": system},)
        self._is_checked = False
        self._check_arguments()

    def keeps_system(self, prompt: Prompt, text: str) -> bool:
        """Whether a text that the template wrote holds what the system prompts say."""
        return all(
            is_kept(turn["content"], text, "") for turn in (*self.system, *prompt.messages) if turn["role"] == "system"
        )

    def plain(self, prompt: Prompt) -> str:
        """A prompt as text to be continued: what its turns say, the system's first."""
        return "".join(turn["content"] for turn in (*self.system, *prompt.messages))

    def context(self, context: Context) -> str:
        """Write what comes before a continuation as text."""
        if isinstance(context, str):
            return context
        (text,) = self.write_all([list(context)], is_complete=False)
        return text

    def write(self, turns: Sequence[Spelled], tools: Any, *, is_complete: bool = True, is_training: bool = True) -> str:
        """Render one conversation; what the template raises is passed on."""
        with self._in_time(1):
            text: str = self.tokenizer.apply_chat_template(
                list(turns), tools=tools, tokenize=False, add_generation_prompt=not is_complete,
                chat_template=self.training_template if is_training else None, **self.template_arguments,
            )  # fmt: skip
        return text

    @contextmanager
    def _in_time(self, conversations: int) -> Iterator[None]:
        """Give up on a template that may never end: it comes with a model, from whoever made that. Raises DataError."""
        seconds = SECONDS + conversations * SECONDS_EACH
        try:
            with within(seconds):
                yield
        except SlowError:
            raise DataError(
                f"{self.where}: its chat template takes longer than {seconds:.0f} s to write {conversations} conversation"
                f"{'s' * (conversations != 1)}; look at chat_template.jinja"
            ) from None

    def _check_arguments(self) -> None:
        """Refuse what would change nothing."""
        template = str(self.tokenizer.chat_template or "")
        for name in self.template_arguments:
            if not re.search(rf"\b{re.escape(name)}\b", template):
                raise DataError(
                    f"{self.where}: its chat template names no argument '{name}', which `chat_template_kwargs` sets; "
                    "take it out, or look for its name in chat_template.jinja"
                )

    def check_marker(self, prompt: Prompt) -> None:
        """Refuse a template that opens the assistant's turn in finished conversations only.

        The opening would count as part of each answer, and a model that is asked would have to write it. Templates in which
        an answer follows its prompt without any, as Llama 2's, need no marker.
        """
        if self._is_checked:
            return
        turns = list(prompt.messages)
        try:
            (asked,), (plain,), (answered,) = (
                self.write_all([some], is_complete=flag, is_training=True)
                for some, flag in ((turns, False), (turns, True), ([*turns, assistant_turn(PROBE)], True))
            )
        except TemplateError:
            return  # said of the row itself
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

    @cached_property
    def closing(self) -> str:
        """What the template puts after an answer at the end of a conversation."""
        turns: list[Spelled] = [{"role": "user", "content": "a"}, {"role": "assistant", "content": PROBE}]
        try:
            text = self.write(turns, None)
        except FAULTS:
            return ""
        return text[text.rfind(PROBE) + len(PROBE) :] if PROBE in text else ""

    def check_template(self) -> None:
        """Raise DataError where there is no template."""
        if not self.tokenizer.chat_template:
            raise DataError(
                f"{self.where}: its tokenizer has no chat template to write a conversation with; ask it as text (`prompting: text`), or "
                "copy chat_template.jinja from the model it was made of. Training gives a base model one by `chat_template` of the "
                f"trainer: {', '.join(BUNDLED)}, a file, or another model"
            )

    def rewritten(self, prompt: Prompt, head: str, text: str) -> DataError:
        """Make the error for a prompt that is another once it is answered. head: as it is asked. text: with the answer."""
        return DataError(
            f"{self.where}: its chat template renders prompt '{prompt.id}' differently once it is answered; "
            "use a template "
            "that keeps the generation prompt and does not rewrite earlier turns\n"
            f"  asked:    {head[-80:]!r}\n  answered: {text[max(0, len(head) - 80) : len(head) + 20]!r}"
        )

    def borders(self, prompts: Sequence[Prompt]) -> tuple[list[str], list[str]]:
        """What stands before each answer: in training, and where the model is asked."""
        distinct: list[Prompt] = []
        places = []
        for prompt in prompts:  # the answers to one prompt come one after the other
            if not distinct or distinct[-1] is not prompt:
                distinct.append(prompt)
            places.append(len(distinct) - 1)
        asked = trained = self.write_prompts(distinct)
        if self.training_template is not None:
            turns = [list(prompt.messages) for prompt in distinct]
            trained = self.write_all(turns, is_complete=False, is_training=True)
        return [trained[place] for place in places], [asked[place] for place in places]

    def write_prompts(self, prompts: Sequence[Prompt]) -> list[str]:
        """Render prompts as a model reads them before it answers."""
        return self.write_all([list(prompt.messages) for prompt in prompts], is_complete=False)

    def write_all(
        self, conversations: list[list[Message]], *, is_complete: bool, is_training: bool = False
    ) -> list[str]:
        """Render conversations. is_complete: nothing follows; otherwise the assistant's turn is opened. is_training: by the template of
        training, where there is one. Raises TemplateError for a conversation that the template refuses.
        """
        self.check_template()
        if self.system:
            conversations = [[*self.system, *turns] for turns in conversations]
        try:
            with self._in_time(len(conversations)):
                texts: list[str] = self.tokenizer.apply_chat_template(
                    conversations, tokenize=False, add_generation_prompt=not is_complete,
                    chat_template=self.training_template if is_training else None, **self.template_arguments,
                )  # fmt: skip
        except FAULTS as error:
            raise TemplateError(
                f"{self.where}: its chat template refuses a conversation ({error}); check the roles of the "
                "messages, "
                "it may know only user and assistant"
            ) from None
        return texts
