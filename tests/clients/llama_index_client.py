"""LlamaIndex's OpenAILike, whole and streamed, chats and completions."""

import os

from llama_index.core.llms import ChatMessage
from llama_index.llms.openai_like import OpenAILike

llm = OpenAILike(
    model=os.environ["MODEL"],
    api_base=f"{os.environ['URL']}/v1",
    api_key="none",
    is_chat_model=True,
    temperature=0.0,
    max_tokens=24,
)
messages = [ChatMessage(role="user", content="What is the capital of France?")]
text = llm.chat(messages).message.content
assert text, "an empty answer"
assert "Paris" in text, text
assert "".join(part.delta or "" for part in llm.stream_chat(messages)) == text
assert llm.complete("What is the capital of France?").text == text
llm.is_chat_model = False
assert llm.complete("The capital of France is").text
print(f"llama-index: {text!r}")
