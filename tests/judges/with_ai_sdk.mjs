// The Vercel AI SDK with its package for OpenAI-compatible servers; prints one JSON line.
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { embed, generateObject, generateText, jsonSchema, streamText, tool } from 'ai';

const gateway = createOpenAICompatible({
  name: 'gateway',
  baseURL: process.env.GATEWAY_URL,
  apiKey: process.env.GATEWAY_TOKEN,
  includeUsage: true,
  supportsStructuredOutputs: true,
});
const schema = jsonSchema({
  type: 'object',
  properties: { city: { type: 'string' } },
  required: ['city'],
  additionalProperties: false,
});
const tools = { weather: tool({ description: 'The weather.', inputSchema: schema }) };
const asking = (model = 'mock/m') => ({ model: gateway(model), prompt: 'hi', maxRetries: 0 });
const picture =
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGNgYPgPAAEDAQAIicLsAAAAAElFTkSuQmCC';

const called = ([call]) => [call.toolName, call.input];
const fails = async (act) => {
  try {
    return `no error but ${JSON.stringify(await act())}`;
  } catch (error) {
    return `${error.name ?? 'Error'}: ${error.message} ${error.responseBody ?? ''}`;
  }
};
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
    return (await generateText({ model: gateway('mock/m'), messages: [{ role: 'user', content }], maxRetries: 0 })).text;
  },
  schema: async () => (await generateObject({ ...asking(), schema })).object,
  embeddings: async () =>
    (await embed({ model: gateway.textEmbeddingModel('mock/emb'), value: 'one', maxRetries: 0 })).embedding,
  error: () => fails(() => generateText(asking('nobody/m'))),
  'broken stream': () => fails(() => drain(asking())),
};

const told = {};
for (const name of process.argv.slice(2)) {
  try {
    told[name] = await features[name]();
  } catch (error) {
    told[name] = `${error.name}: ${error.message} ${error.responseBody ?? ''}`;
  }
}
console.log(JSON.stringify(told));
