// Anthropic's own package for JavaScript; prints one JSON line.
import Anthropic from '@anthropic-ai/sdk';
import { fails, model, origin, picture, report, schema, token } from './answers.mjs';

const client = new Anthropic({ baseURL: origin, apiKey: token, maxRetries: 0 });
const messages = [{ role: 'user', content: 'hi' }];
const tools = [{ name: 'weather', input_schema: schema }];
const asking = (more = {}) => ({ model, max_tokens: 50, messages, ...more });
const called = (answer) => answer.content.filter(({ type }) => type === 'tool_use').map(({ name, input }) => [name, input])[0];
const said = (answer) => [answer.content[0].text, answer.usage.output_tokens];

const features = {
  whole: async () => said(await client.messages.create(asking())),
  stream: async () => said(await client.messages.stream(asking()).finalMessage()),
  tools: async () => called(await client.messages.create(asking({ tools }))),
  'streamed tools': async () => called(await client.messages.stream(asking({ tools })).finalMessage()),
  picture: async () => {
    const source = { type: 'base64', media_type: 'image/png', data: picture };
    const content = [{ type: 'text', text: 'what?' }, { type: 'image', source }];
    return (await client.messages.create(asking({ messages: [{ role: 'user', content }] }))).content[0].text;
  },
  schema: async () => {
    const output_config = { format: { type: 'json_schema', schema } };
    return JSON.parse((await client.messages.create(asking({ output_config }))).content[0].text);
  },
  models: async () => (await client.models.list()).data.some(({ id }) => id === 'mock/m'),
  error: () => fails(() => client.messages.create(asking({ model: 'nobody/m' }))),
  'broken stream': () => fails(() => client.messages.stream(asking()).finalMessage()),
};

await report(features, process.argv.slice(2));
