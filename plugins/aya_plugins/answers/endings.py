"""How an answer ended, in our words, from those of servers and files."""

from __future__ import annotations

LONGEST = 40
"""Letters of a server's own word that are kept."""

BROKEN = "error"
"""Of an answer that the server broke off: whatever stands there is none."""

WORDS = {
    "stop": ("stop", "end_turn", "eos", "eos_token", "stop_sequence", "end_of_turn", "complete", "completed", "finished", "stop_word"),
    "length": (
        "length", "max_tokens", "max_length", "max_output_tokens", "max_new_tokens", "model_length", "truncated", "error_limit",
        "model_context_window_exceeded", "incomplete",
    ),
    "filtered": (
        "content_filter", "content_filtered", "filtered", "filter", "safety", "recitation", "prohibited_content", "blocklist", "spii",
        "guardrail_intervened", "error_toxic", "sensitive",
    ),
    "refused": ("refusal", "refused"),
    BROKEN: (
        "error", "abort", "aborted", "cancel", "cancelled", "canceled", "user_cancel",
        "timeout", "network_error", "insufficient_system_resource",
        "malformed_function_call", "expired", "failed",
    ),
}  # fmt: skip
"""Our words, and those of others that mean the same: of OpenAI, Anthropic, Gemini, Bedrock, Mistral, Cohere, DeepSeek, Zhipu,
OpenRouter and local servers."""

_OURS = {theirs: ours for ours, words in WORDS.items() for theirs in words}


def ending(word: object, otherwise: str) -> str:
    """How an answer ended. A word that nobody knows is kept, in small letters. otherwise: for none at all."""
    if word is None or word == "":
        return otherwise
    theirs = str(word).strip().lower().replace("-", "_").removeprefix("finishreason.").removeprefix("finish_reason_")
    return _OURS.get(theirs, theirs[:LONGEST]) or otherwise
