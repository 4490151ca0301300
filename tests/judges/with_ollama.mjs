// Ollama's own package for JavaScript; prints one JSON line.
import { Ollama } from 'ollama';
import { fails, model, origin, picture, report, schema, token } from './answers.mjs';

const client = new Ollama({ host: origin, headers: { Authorization: `Bearer ${token}` } });
const messages = [{ role: 'user', content: 'hi' }];
const tools = [{ type: 'function', function: { name: 'weather', parameters: schema } }];
const asking = (more = {}) => ({ model, messages, ...more });
const drain = async (more) => {
  let text = '';
  let calls = [];
  let last;
  for await (const part of await client.chat(asking({ ...more, stream: true }))) {
    text += part.message.content;
    calls = [...calls, ...(part.message.tool_calls ?? [])];
    last = part;
  }
  return { text, calls, last };
};
const called = ([call]) => [call.function.name, call.function.arguments];

const features = {
  whole: async () => {
    const answer = await client.chat(asking());
    return [answer.message.content, answer.eval_count];
  },
  stream: async () => {
    const { text, last } = await drain();
    return [text, last.eval_count];
  },
  tools: async () => called((await client.chat(asking({ tools }))).message.tool_calls),
  'streamed tools': async () => called((await drain({ tools })).calls),
  picture: async () => {
    const asked = [{ role: 'user', content: 'what?', images: [picture] }];
    return (await client.chat(asking({ messages: asked }))).message.content;
  },
  schema: async () => JSON.parse((await client.chat(asking({ format: schema }))).message.content),
  models: async () => (await client.list()).models.some(({ name }) => name === 'mock/m'),
  error: () => fails(() => client.chat(asking({ model: 'nobody/m' }))),
  'broken stream': () => fails(() => drain()),
};

await report(features, process.argv.slice(2));
