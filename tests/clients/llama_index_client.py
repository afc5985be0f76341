"""LlamaIndex's OpenAILike, whole and streamed, chats and completions."""

from asking import MODEL, PERSON, QUESTION, URL, check_person, tell
from llama_index.core.llms import ChatMessage
from llama_index.core.tools import FunctionTool
from llama_index.llms.openai_like import OpenAILike

GIVEN = {"model": MODEL, "api_base": f"{URL}/v1", "api_key": "none", "temperature": 0.0}
llm = OpenAILike(
    is_chat_model=True, is_function_calling_model=True, max_tokens=128, max_retries=0, **GIVEN
)
QUESTIONS = [ChatMessage(role="user", content=QUESTION)]


def note(name: str, age: int) -> str:
    """Note a person."""
    return f"{name}, {age}"


def chat():
    assert "Paris" in llm.chat(QUESTIONS).message.content


def stream():
    streamed = "".join(part.delta or "" for part in llm.stream_chat(QUESTIONS))
    assert streamed == llm.chat(QUESTIONS).message.content


def tools():
    tool = FunctionTool.from_defaults(note)
    answer = llm.chat_with_tools([tool], user_msg="Jason is 25.", tool_choice="note")
    [call] = llm.get_tool_calls_from_response(answer)
    assert call.tool_name == "note", call
    assert isinstance(call.tool_kwargs["age"], int), call


def json_schema():
    form = {"type": "json_schema", "json_schema": {"name": "person", "schema": PERSON}}
    said = [ChatMessage(role="user", content="Jason is 25 years old and happy.")]
    check_person(llm.chat(said, response_format=form).message.content)


def completions():
    completing = OpenAILike(is_chat_model=False, max_tokens=8, **GIVEN)
    assert "Paris" in completing.complete("The capital of France is").text


tell("llama-index-llms-openai-like", chat, stream, tools, json_schema, completions)
