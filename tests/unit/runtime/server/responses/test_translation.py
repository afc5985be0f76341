from radixloom_runtime.server.responses.items import ITEMS
from radixloom_runtime.server.responses.translation import messages


def _message(role: str, text: str) -> dict[str, str]:
    return {"role": role, "content": text}


THOUGHT = {"type": "reasoning", "content": [{"type": "reasoning_text", "text": "Hm."}]}
CALL = {"type": "function_call", "call_id": "a", "name": "f", "arguments": ""}
CALLED = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}


def _translated(*items: object) -> list[dict[str, object]]:
    return messages(ITEMS.validate_python(list(items)))


def test_what_the_assistant_did_in_one_go_is_one_message():
    assert _translated(THOUGHT, _message("assistant", "I look."), CALL, CALL) == [
        {
            "role": "assistant",
            "reasoning_content": "Hm.",
            "content": "I look.",
            "tool_calls": [CALLED, CALLED],
        }
    ]


def test_an_assistant_who_speaks_or_thinks_again_begins_another():
    assert _translated(_message("assistant", "A"), _message("assistant", "B"), THOUGHT, CALL) == [
        {"role": "assistant", "content": "A"},
        {"role": "assistant", "content": "B"},
        {"role": "assistant", "reasoning_content": "Hm.", "tool_calls": [CALLED]},
    ]


def test_outputs_of_functions_come_between_an_assistants_turns():
    output = {"type": "function_call_output", "call_id": "a", "output": "B"}
    assert _translated(CALL, output, CALL) == [
        {"role": "assistant", "tool_calls": [CALLED]},
        {"role": "tool", "tool_call_id": "a", "content": "B"},
        {"role": "assistant", "tool_calls": [CALLED]},
    ]
