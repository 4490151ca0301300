// The Vercel AI SDK with the package of one API, named by the first argument; prints one JSON line.
import { createAnthropic } from '@ai-sdk/anthropic';
import { createOpenAI } from '@ai-sdk/openai';
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { address, fails, model, picture, report, schema, token } from './answers.mjs';
import { embed, generateObject, generateText, jsonSchema, streamText, tool } from 'ai';

const [kind, ...names] = process.argv.slice(2);
const settings = { baseURL: address, apiKey: token };
const gateway = {
  compatible: () =>
    createOpenAICompatible({
      name: 'gateway',
      ...settings,
      includeUsage: true,
      supportsStructuredOutputs: true,
    }),
  openai: () => createOpenAI(settings), // its default is the Responses API
  anthropic: () => createAnthropic(settings),
}[kind]();
const tools = { weather: tool({ description: 'The weather.', inputSchema: jsonSchema(schema) }) };
const asking = (name = model) => ({ model: gateway(name), prompt: 'hi', maxRetries: 0 });
const called = ([call]) => [call.toolName, call.input];
const drain = async (options) => {
  const made = streamText({ ...options, onError: () => {} });
  let text = '';
  for await (const part of made.fullStream) {
    if (part.type === 'error') throw part.error instanceof Error ? part.error : new Error(JSON.stringify(part.error));
    if (part.type === 'text-delta') text += part.text;
  }
  return { made, text };
};

const features = {
  whole: async () => {
    const { text, usage } = await generateText(asking());
    return [text, usage.outputTokens];
  },
  stream: async () => {
    const { made, text } = await drain(asking());
    return [text, (await made.usage).outputTokens];
  },
  tools: async () => called((await generateText({ ...asking(), tools })).toolCalls),
  'streamed tools': async () => called(await (await drain({ ...asking(), tools })).made.toolCalls),
  picture: async () => {
    const content = [{ type: 'text', text: 'what?' }, { type: 'image', image: picture, mediaType: 'image/png' }];
    return (await generateText({ model: gateway(model), messages: [{ role: 'user', content }], maxRetries: 0 })).text;
  },
  schema: async () => (await generateObject({ ...asking(), schema: jsonSchema(schema) })).object,
  embeddings: async () =>
    (await embed({ model: gateway.textEmbeddingModel('mock/emb'), value: 'one', maxRetries: 0 })).embedding,
  error: () => fails(() => generateText(asking('nobody/m'))),
  'broken stream': () => fails(() => drain(asking())),
};

await report(features, names);
