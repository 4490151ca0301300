// OpenAI's own package for JavaScript; prints one JSON line.
import OpenAI from 'openai';
import { address, fails, model, picture, report, schema, token } from './answers.mjs';

const client = new OpenAI({ baseURL: address, apiKey: token, maxRetries: 0 });
const messages = [{ role: 'user', content: 'hi' }];
const tools = [{ type: 'function', function: { name: 'weather', parameters: schema } }];
const asking = (more = {}) => ({ model, messages, ...more });
const called = ([call]) => [call.function.name, JSON.parse(call.function.arguments)];

const features = {
  whole: async () => {
    const answer = await client.chat.completions.create(asking());
    return [answer.choices[0].message.content, answer.usage.completion_tokens];
  },
  stream: async () => {
    const stream = client.chat.completions.stream(asking({ stream_options: { include_usage: true } }));
    const answer = await stream.finalChatCompletion();
    return [answer.choices[0].message.content, answer.usage.completion_tokens];
  },
  tools: async () =>
    called((await client.chat.completions.create(asking({ tools }))).choices[0].message.tool_calls),
  'streamed tools': async () => {
    const stream = client.chat.completions.stream(asking({ tools }));
    return called((await stream.finalChatCompletion()).choices[0].message.tool_calls);
  },
  picture: async () => {
    const image = { type: 'image_url', image_url: { url: `data:image/png;base64,${picture}` } };
    const content = [{ type: 'text', text: 'what?' }, image];
    const asked = { model, messages: [{ role: 'user', content }] };
    return (await client.chat.completions.create(asked)).choices[0].message.content;
  },
  schema: async () => {
    const response_format = { type: 'json_schema', json_schema: { name: 'place', schema, strict: true } };
    const answer = await client.chat.completions.parse(asking({ response_format }));
    return JSON.parse(answer.choices[0].message.content);
  },
  embeddings: async () =>
    (await client.embeddings.create({ model: 'mock/emb', input: 'one' })).data[0].embedding,
  models: async () => (await client.models.list()).data.some(({ id }) => id === 'mock/m'),
  error: () => fails(() => client.chat.completions.create(asking({ model: 'nobody/m' }))),
  'broken stream': () => fails(() => client.chat.completions.stream(asking()).finalChatCompletion()),
};

await report(features, process.argv.slice(2));
