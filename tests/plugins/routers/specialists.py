"""A teacher of the micro-world that is right in some tasks and answers with a part of the question in others."""

from aya_core.api import Completion, Field, Teacher, TeacherStrategy, hookimpl


class Specialist(TeacherStrategy):
    """Answer some tasks rightly, and all others with the question less its instruction."""

    tasks: tuple[str, ...] = Field(description="Tasks of the micro-world that it is good at.")

    def build(self) -> Teacher:
        return self

    def answer(self, prompts, sampling, seed):
        for prompt in prompts:
            is_right = prompt.meta["task"] in self.tasks
            text = prompt.reference if is_right else prompt.text.partition(" ")[2]
            yield Completion(prompt.id, "", 0, text, completion_tokens=len(text.split()) + 1)


@hookimpl
def aya_teachers():
    return {"specialist": Specialist}
