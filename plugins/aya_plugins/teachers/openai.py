"""A teacher behind an OpenAI-compatible server: `vllm serve`, llama.cpp, hosted APIs."""

from __future__ import annotations

import os

from aya_core.api import DataError, Teacher, TeacherStrategy
from aya_plugins.teachers.runtime.settings import ServerSettings


class OpenAI(ServerSettings, TeacherStrategy):
    """Ask any OpenAI-compatible server: vLLM, llama.cpp, hosted APIs.

    The server applies the chat template, but to what is asked as text (/completions). Reasoning is kept apart from the answer, whether
    the server returns it apart or leaves it inside (`<think>`). vLLM fills what a request leaves open from the model's
    generation_config.json; start it with `--generation-config vllm` to have the sampling settings alone decide.
    """

    version = 2
    imports = ("aiohttp", "aya_plugins.teachers.runtime.openai")
    remote = True
    extra = "api"
    execution_settings = frozenset(
        {
            "base_url", "api_key_env", "concurrency", "requests_per_minute", "tokens_per_minute", "timeout_seconds", "retries",
            "patience_seconds", "backoff_seconds", "max_failures", "max_tokens_field",
        }
    )  # fmt: skip

    def build(self) -> Teacher:
        """Read the key and make the teacher; the server is first spoken to when it is asked."""
        from aya_plugins.teachers.runtime.openai import OpenAITeacher

        return OpenAITeacher(self, _read_key(self.api_key_env))


def _read_key(variable: str | None) -> str | None:
    if variable is None:
        return None
    key = os.environ.get(variable, "").strip()
    if not key:
        raise DataError(
            f"teacher 'openai': the environment variable '{variable}' is not set; it should hold the server's key "
            f"(export {variable}=...), or drop `api_key_env` for a server that wants none"
        )
    if not (key.isascii() and key.isprintable()):
        raise DataError(f"teacher 'openai': '{variable}' holds characters that no key has; expected one line of ASCII")
    return key
