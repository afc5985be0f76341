import json
from pathlib import Path

import pytest
from support.tiny import FOLDER, tiny_template

from radixloom_runtime.errors import ModelError, RequestError
from radixloom_runtime.text import chat_template
from radixloom_runtime.text.chat_template import ChatTemplate

CONVERSATION = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Hi <b>&</b> 語"},
    {"role": "assistant", "content": "Hello."},
    {"role": "user", "content": "Bye"},
]


def _render(source: str, **special_tokens: str) -> str:
    return ChatTemplate(source, special_tokens).render(CONVERSATION)


def test_the_prompt_ends_where_the_assistant_begins_to_speak():
    assert tiny_template().render([{"role": "user", "content": "Hi"}]) == (
        "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    )


@pytest.mark.slow
def test_transformers_renders_the_same_prompt():
    from transformers import AutoTokenizer

    reference = AutoTokenizer.from_pretrained(FOLDER).apply_chat_template(
        CONVERSATION, tokenize=False, add_generation_prompt=True
    )
    assert tiny_template().render(CONVERSATION) == reference


def test_special_tokens_are_known_by_their_names():
    assert _render("{{ bos_token }}!", bos_token="<s>") == "<s>!"


def test_blocks_are_trimmed_and_loops_can_break():
    source = """\
{% for message in messages %}
    {% if loop.index > 2 %}{% break %}{% endif %}
{{ message.role }}
{% endfor %}"""
    assert _render(source) == "system\nuser\n"


def test_json_is_not_escaped_for_html():
    assert _render("{{ messages[1] | tojson }}") == '{"role": "user", "content": "Hi <b>&</b> 語"}'


def test_generation_blocks_are_their_content():
    assert _render("{% generation %}{{ messages[2].content }}{% endgeneration %}") == "Hello."


def test_a_template_may_ask_for_the_date():
    assert _render("{{ strftime_now('%Y') }}").isdigit()


def test_what_the_template_refuses_is_the_clients_error():
    with pytest.raises(RequestError, match="roles must alternate") as caught:
        _render("{{ raise_exception('roles must alternate') }}")
    assert caught.value.param == "messages"


def test_a_template_cannot_leave_its_sandbox():
    with pytest.raises(RequestError, match="unsafe"):
        _render("{{ ''.__class__.__mro__ }}")


def test_a_broken_template_is_the_models_error():
    with pytest.raises(ModelError, match="line 1"):
        ChatTemplate("{% if %}", {})


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("chat_template.jinja", "it"),
        ("chat_template.json", json.dumps({"chat_template": "it"})),
        ("tokenizer_config.json", json.dumps({"chat_template": "it"})),
        (
            "tokenizer_config.json",
            json.dumps(
                {
                    "chat_template": [
                        {"name": "tool_use", "template": "other"},
                        {"name": "default", "template": "it"},
                    ]
                }
            ),
        ),
    ],
)
def test_the_template_is_found_wherever_checkpoints_keep_it(
    tmp_path: Path, name: str, content: str
):
    (tmp_path / name).write_text(content)
    template = chat_template.load(tmp_path, {})
    assert template is not None
    assert template.render(CONVERSATION) == "it"


def test_a_checkpoint_may_have_no_template(tmp_path: Path):
    assert chat_template.load(tmp_path, {}) is None


TOOLS = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
CALLED = [
    {"role": "user", "content": "Hi"},
    {
        "role": "assistant",
        "content": "",
        "tool_calls": [
            {"id": "a", "type": "function", "function": {"name": "f", "arguments": {"x": "Ω"}}}
        ],
    },
    {"role": "tool", "tool_call_id": "a", "content": "3"},
]


@pytest.mark.slow
def test_transformers_renders_the_same_prompt_with_tools():
    from transformers import AutoTokenizer

    reference = AutoTokenizer.from_pretrained(FOLDER).apply_chat_template(
        CALLED, tools=TOOLS, tokenize=False, add_generation_prompt=True
    )
    assert tiny_template().render(CALLED, tools=TOOLS) == reference


def test_a_template_that_joins_arguments_to_text_gets_them_as_text():
    source = "{{ 'args: ' + messages[1].tool_calls[0].function.arguments }}"
    assert ChatTemplate(source, {}).render(CALLED) == 'args: {"x": "Ω"}'


def test_a_template_tells_which_variables_it_reads():
    template = ChatTemplate("{% set y = x %}{{ y }}{{ messages }}", {})
    assert template.variables == {"x", "messages"}


def test_options_are_variables_of_the_template():
    template = ChatTemplate("{{ enable_thinking }}", {})
    assert template.render(CONVERSATION, options={"enable_thinking": False}) == "False"


def test_a_template_for_tools_of_its_own_is_found(tmp_path: Path):
    named = [{"name": "default", "template": "a"}, {"name": "tool_use", "template": "b"}]
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"chat_template": named}))
    template = chat_template.load(tmp_path, {})
    assert template is not None
    assert template.render(CONVERSATION) == "a"
    assert template.with_tools.render(CONVERSATION) == "b"


@pytest.mark.parametrize(
    "source", ["{{ 1 / 0 }}", "{{ messages[0]['content'] % 5 }}", "{{ 'a' * (10 ** 14) }}"]
)
def test_what_goes_wrong_in_a_template_is_the_clients_error(source: str):
    with pytest.raises(RequestError, match="refused the messages"):
        _render(source)


def test_a_template_that_is_nested_too_deeply_is_refused():
    with pytest.raises(ModelError, match="nested"):
        ChatTemplate("{% for a in messages %}" * 30 + "{% endfor %}" * 30, {})
