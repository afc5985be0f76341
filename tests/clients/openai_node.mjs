// OpenAI's own client for Node.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import OpenAI from "openai";

const about = new URL("node_modules/openai/package.json", import.meta.url);
const { version } = JSON.parse(readFileSync(about));
const model = process.env.MODEL;
const client = new OpenAI({ baseURL: `${process.env.URL}/v1`, apiKey: "none", maxRetries: 0 });
const question = "What is the capital of France?";
const chat = {
  model,
  messages: [{ role: "user", content: question }],
  max_completion_tokens: 24,
  temperature: 0,
};
const person = {
  type: "object",
  properties: {
    name: { type: "string", maxLength: 16 },
    age: { type: "integer", minimum: 0, maximum: 120 },
  },
  required: ["name", "age"],
  additionalProperties: false,
};
const extracting = {
  ...chat,
  messages: [{ role: "user", content: "Jason is 25 years old." }],
  max_completion_tokens: 128,
};

function checkPerson(text) {
  const found = JSON.parse(text);
  assert.deepEqual(Object.keys(found).sort(), ["age", "name"]);
  assert.ok(Number.isInteger(found.age), text);
}

const answerTo = async (body) => (await client.chat.completions.create(body)).choices[0];

const tries = {
  async chat() {
    assert.match((await answerTo(chat)).message.content, /Paris/);
  },
  async stream() {
    const told = await client.chat.completions.stream(chat).finalChatCompletion();
    assert.equal(told.choices[0].message.content, (await answerTo(chat)).message.content);
  },
  async tools() {
    const tool = { type: "function", function: { name: "note", parameters: person } };
    const choice = { type: "function", function: { name: "note" } };
    const answer = await answerTo({ ...extracting, tools: [tool], tool_choice: choice });
    assert.equal(answer.message.tool_calls.length, 1);
    checkPerson(answer.message.tool_calls[0].function.arguments);
  },
  async "json schema"() {
    const form = { type: "json_schema", json_schema: { name: "person", schema: person } };
    checkPerson((await answerTo({ ...extracting, response_format: form })).message.content);
  },
  async logprobs() {
    const answer = await answerTo({ ...chat, logprobs: true, top_logprobs: 2 });
    assert.ok(answer.logprobs.content.every((entry) => entry.top_logprobs.length === 2));
  },
  async completions() {
    const body = { model, prompt: "The capital of France is", max_tokens: 8, temperature: 0 };
    let streamed = "";
    for await (const chunk of await client.completions.create({ ...body, stream: true })) {
      streamed += chunk.choices[0].text;
    }
    assert.equal((await client.completions.create(body)).choices[0].text, streamed);
  },
  async responses() {
    const body = { model, input: question, max_output_tokens: 24, temperature: 0 };
    const response = await client.responses.create(body);
    assert.match(response.output_text, /Paris/);
    const told = await client.responses.stream(body).finalResponse();
    assert.equal(told.output_text, response.output_text);
    assert.equal((await client.responses.retrieve(told.id)).id, told.id);
  },
  async embeddings() {
    const { data } = await client.embeddings.create({ model, input: [question, "A goat eats."] });
    const [first, other] = data.map((entry) => entry.embedding);
    assert.ok(Math.abs(Math.hypot(...first) - 1) < 1e-4);
    assert.ok(Math.hypot(...first.map((value, index) => value - other[index])) > 0.1);
  },
  async errors() {
    await assert.rejects(client.chat.completions.create({ ...chat, model: "nobody" }), {
      status: 404,
      code: "model_not_found",
    });
  },
};

for (const [tried, attempt] of Object.entries(tries)) {
  let error = null;
  try {
    await attempt();
  } catch (problem) {
    error = String(problem.stack);
    process.exitCode = 1;
  }
  // the form that asking.py writes, blanks included
  console.log(`{"tried": ${JSON.stringify(tried)}, ${JSON.stringify({ version, error }).slice(1)}`);
}
