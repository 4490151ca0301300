// The promptfoo side of the evaluation benchmark: told a number, it evaluates so many samples and
// tells the seconds that took. At its fastest: as a library, without a cache, nothing written.
//
//     node benchmarks/evals_promptfoo.mjs PACKAGE_FOLDER BASE_URL CONCURRENCY

import { createInterface } from 'node:readline';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const [folder, baseUrl, width] = process.argv.slice(2);
// Its command line sets this from `-j`; as a library it would stay with 4 connections.
process.env.PROMPTFOO_FETCH_CONNECTIONS = width;
const tell = process.stdout.write.bind(process.stdout);
// Whatever promptfoo prints must not mix in with what is told.
process.stdout.write = process.stderr.write.bind(process.stderr);
const found = createRequire(`${folder}/`).resolve('promptfoo');
const promptfoo = (await import(pathToFileURL(found).href)).default;

async function work(count) {
  const provider = {
    id: 'openai:chat:mock-model',
    config: { apiBaseUrl: baseUrl, apiKey: 'none' },
  };
  const tests = Array.from({ length: count }, (_, number) => ({
    vars: { number },
    assert: [{ type: 'contains', value: 'one' }],
  }));
  const asked = {
    prompts: ['question {{number}}'],
    providers: [provider],
    tests,
    writeLatestResults: false,
    sharing: false,
  };
  const done = await promptfoo.evaluate(asked, {
    maxConcurrency: Number(width),
    cache: false,
    showProgressBar: false,
  });
  const results = (await done.toEvaluateSummary?.()) ?? done;
  if (results.stats.successes !== count) {
    throw new Error(`only ${results.stats.successes} of ${count} were right`);
  }
}

tell('ready\n');
for await (const line of createInterface({ input: process.stdin })) {
  const begun = performance.now();
  await work(Number(line));
  tell(`${(performance.now() - begun) / 1000}\n`);
}
process.exit(0);
