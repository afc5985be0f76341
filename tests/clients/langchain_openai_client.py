"""LangChain's client of OpenAI's API: chats, tools and structured output."""

import math

from asking import MODEL, PERSON, QUESTION, TOOL, URL, tell
from langchain_openai import ChatOpenAI, OpenAI, OpenAIEmbeddings

llm = ChatOpenAI(
    model=MODEL,
    base_url=f"{URL}/v1",
    api_key="none",
    temperature=0.0,
    max_completion_tokens=128,
    max_retries=0,
)
PERSON_IN_WORDS = "Jason is 25 years old and happy."


def chat():
    assert "Paris" in llm.invoke(QUESTION).text


def stream():
    assert "".join(chunk.text for chunk in llm.stream(QUESTION)) == llm.invoke(QUESTION).text


def tools():
    [call] = llm.bind_tools([TOOL], tool_choice="note").invoke(PERSON_IN_WORDS).tool_calls
    assert call["name"] == "note", call
    assert call["args"]["mood"] in ("happy", "sad"), call


def json_schema():
    schema = {"title": "person", **PERSON}
    found = llm.with_structured_output(schema, method="json_schema").invoke(PERSON_IN_WORDS)
    assert set(found) == set(PERSON["properties"]), found


def logprobs():
    answer = llm.bind(logprobs=True, top_logprobs=2).invoke(QUESTION)
    assert answer.response_metadata["logprobs"]["content"]


def completions():
    given = {"model": MODEL, "base_url": f"{URL}/v1", "api_key": "none", "temperature": 0.0}
    assert "Paris" in OpenAI(max_tokens=8, **given).invoke("The capital of France is")


def embeddings():
    given = {"model": MODEL, "base_url": f"{URL}/v1", "api_key": "none"}
    # Token ids are what it sends unless told not to, made with a tokenizer that is not the model's.
    vectors = OpenAIEmbeddings(check_embedding_ctx_length=False, **given)
    one, [again] = vectors.embed_query(QUESTION), vectors.embed_documents([QUESTION])
    assert math.dist(one, again) < 1e-3


tell("langchain-openai", chat, stream, tools, json_schema, logprobs, completions, embeddings)
