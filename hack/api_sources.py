"""Whose parameters those of docs/api.md are, where they are not OpenAI's."""

from collections.abc import Mapping

_BOTH = "vLLM, SGL-JAX"
SOURCES: Mapping[str, str] = {
    "add_generation_prompt": "vLLM",
    "chat_template": "vLLM",
    "chat_template_kwargs": _BOTH,
    "continue_final_message": _BOTH,
    "enable_thinking": "Qwen",
    "guided_choice": "vLLM",
    "guided_grammar": "vLLM",
    "guided_json": "vLLM",
    "guided_regex": "vLLM",
    "ignore_eos": _BOTH,
    "min_p": _BOTH,
    "min_tokens": _BOTH,
    "priority": "vLLM",
    "prompt_logprobs": "vLLM (its form differs)",
    "repetition_penalty": _BOTH,
    "return_token_ids": "vLLM",
    "separate_reasoning": "SGL-JAX",
    "skip_special_tokens": _BOTH,
    "structured_outputs": "vLLM",
    "stop_token_ids": _BOTH,
    "timeout": "Radixloom",
    "top_k": _BOTH,
}
"""Where a parameter's name and meaning come from, if not from OpenAI."""
