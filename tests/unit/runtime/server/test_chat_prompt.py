import dataclasses
from typing import Any

import pytest
from support.tiny import FOLDER

from radixloom_runtime.errors import RequestError
from radixloom_runtime.server import catalog
from radixloom_runtime.server.chat_prompt import ChatPrompt, write
from radixloom_runtime.server.schema_chat import ChatRequest

MODEL = catalog.load(FOLDER, "tiny", takes_templates=True)
OPTIONS = "{{ reasoning_effort }} {{ enable_thinking }} {{ thinking }}"
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}


def _write(template: str, **body: Any) -> ChatPrompt:
    messages = [{"role": "user", "content": "hello"}]
    given = {"model": "tiny", "messages": messages, "chat_template": template} | body
    return write(ChatRequest.model_validate(given), MODEL)


@pytest.mark.parametrize(
    ("template", "body", "text"),
    [
        ("{{ reasoning_effort }}", {"reasoning_effort": "low"}, "low"),
        ("{{ enable_thinking }}", {"enable_thinking": True}, "True"),
        ("{{ thinking }}", {"enable_thinking": False}, "False"),
        ("{{ enable_thinking }}", {"reasoning_effort": "none"}, "False"),
        ("{{ reasoning_effort }}", {"reasoning_effort": "none"}, "none"),
        ("{{ x }}", {"chat_template_kwargs": {"x": [1]}}, "[1]"),
    ],
)
def test_options_reach_the_template(template: str, body: dict[str, Any], text: str):
    assert _write(template, **body).text == text


def test_without_options_the_templates_own_defaults_hold():
    template = "{{ enable_thinking if enable_thinking is defined else 'mine' }}"
    assert _write(template).text == "mine"


def test_a_prompt_that_opens_the_tag_begins_the_answer_in_reasoning():
    assert _write("<think>\n").reading.begins_in_reasoning
    assert not _write("<think>\n\n</think>\n\n").reading.begins_in_reasoning


def test_a_last_message_is_continued_after_its_words_though_the_template_strips_them():
    messages = [{"role": "user", "content": "x"}, {"role": "assistant", "content": " Hel \n"}]
    template = "{{ messages[0].content }}:{{ messages[1].content | trim }}<end>"
    assert _write(template, messages=messages, continue_final_message=True).text == "x:Hel"


def test_a_last_message_that_the_template_changes_cannot_be_continued():
    with pytest.raises(RequestError, match="cannot be continued"):
        _write("x", continue_final_message=True)


def test_tools_are_refused_of_a_model_whose_format_is_not_known():
    model = dataclasses.replace(MODEL, tool_format=None)
    request = ChatRequest.model_validate(
        {"model": "tiny", "messages": [{"role": "user", "content": "x"}], "tools": [TOOL]}
    )
    with pytest.raises(RequestError, match="--tool-call-parser"):
        write(request, model)
