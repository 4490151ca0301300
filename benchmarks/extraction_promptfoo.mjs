// promptfoo's assertions over labelled answers: reads a JSON list of
// {"answer": ..., "assertion": {...}} from standard input and prints a JSON list of scores.
//
//     node benchmarks/extraction_promptfoo.mjs PACKAGE_FOLDER < rows.json

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const print = process.stdout.write.bind(process.stdout);
// Whatever promptfoo prints must not mix in with the scores.
process.stdout.write = process.stderr.write.bind(process.stderr);
const found = createRequire(`${process.argv[2]}/`).resolve('promptfoo');
const { assertions } = (await import(pathToFileURL(found).href)).default;

const scores = [];
for (const { answer, assertion } of JSON.parse(readFileSync(0, 'utf-8'))) {
  try {
    const result = await assertions.runAssertion({
      assertion,
      test: { vars: {} },
      providerResponse: { output: answer },
    });
    scores.push(result.pass ? 1 : 0);
  } catch {
    scores.push(0);
  }
}
print(JSON.stringify(scores), () => process.exit(0));
