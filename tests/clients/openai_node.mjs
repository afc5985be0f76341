// OpenAI's own client for Node: chats, completions and responses, whole and streamed.
import assert from "node:assert/strict";
import OpenAI from "openai";

const model = process.env.MODEL;
const client = new OpenAI({ baseURL: `${process.env.URL}/v1`, apiKey: "none", maxRetries: 0 });
const question = "What is the capital of France?";
const chat = {
  model,
  messages: [{ role: "user", content: question }],
  max_completion_tokens: 24,
  temperature: 0,
};

const text = (await client.chat.completions.create(chat)).choices[0].message.content;
assert.match(text, /Paris/);

const streaming = client.chat.completions.stream(chat);
assert.equal((await streaming.finalChatCompletion()).choices[0].message.content, text);

const asked = { model, input: question, max_output_tokens: 24, temperature: 0 };
const response = await client.responses.create(asked);
assert.equal(response.output_text, text);
const told = await client.responses.stream(asked).finalResponse();
assert.equal(told.output_text, text);
assert.equal((await client.responses.retrieve(told.id)).id, told.id);

let streamed = "";
const completion = { model, prompt: "The capital of France is", max_tokens: 8, temperature: 0 };
for await (const chunk of await client.completions.create({ ...completion, stream: true })) {
  streamed += chunk.choices[0].text;
}
assert.equal((await client.completions.create(completion)).choices[0].text, streamed);

await assert.rejects(client.chat.completions.create({ ...chat, model: "nobody" }), {
  status: 404,
  code: "model_not_found",
});
console.log(`openai for node: '${text}'`);
