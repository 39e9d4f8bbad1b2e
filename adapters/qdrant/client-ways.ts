import type { ClientWay, MigratedCollection } from '../../src/store/adapter.js';

/** Results that the example request asks for. */
const LIMIT = 10;

/** Returns the ways for clients of Qdrant to use a migrated collection without the proxy. */
export function clientWays(migrated: MigratedCollection): ClientWay[] {
  return [wrapper(migrated), ownProjection(migrated)];
}

function wrapper({
  url,
  collection,
  target,
  encoderFile,
  layout,
  oversampling,
}: MigratedCollection): ClientWay {
  const settings = {
    target,
    encoder: encoderFile,
    ...(layout === 'two-stage' ? { oversampling } : {}),
  };
  return {
    title: 'the wrapper, in a JavaScript or TypeScript process: the same client and the same calls',
    lines: [
      "import { QdrantClient } from '@qdrant/js-client-rest';",
      "import { withProjection } from 'qdrant-tldr/qdrant';",
      `const client = await withProjection(new QdrantClient({ url: ${JSON.stringify(url)} }), {`,
      `  collections: { ${JSON.stringify(collection)}: ${JSON.stringify(settings)} },`,
      '});',
    ],
  };
}

function ownProjection(migrated: MigratedCollection): ClientWay {
  const { target, encoderFile, inputDim, outputDim } = migrated;
  const request = JSON.stringify(requestOf(migrated)).replace(/"<([^"]*)>"/g, '[$1]');
  return {
    title: 'your own projection: the client projects its queries and writes, and names the target itself',
    lines: [
      "import { Encoder, matrix } from 'qdrant-tldr';",
      `const encoder = await Encoder.load(${JSON.stringify(encoderFile)});`,
      `const compact = encoder.projectQueries(matrix(1, ${inputDim}, Float32Array.from(query))).data; // ${outputDim} numbers; points: encoder.project`,
      `POST /collections/${encodeURIComponent(target)}/points/query ${request}`,
    ],
  };
}

function requestOf(migrated: MigratedCollection): object {
  const { layout, vector, compact, inputDim, outputDim, oversampling } = migrated;
  const using = (name: string): object => (name === '' ? {} : { using: name });
  const first = { query: `<${outputDim} numbers>`, ...using(compact) };
  if (layout === 'compact') return { ...first, limit: LIMIT };
  return {
    prefetch: { ...first, limit: LIMIT * oversampling },
    query: `<${inputDim} numbers>`,
    ...using(vector),
    limit: LIMIT,
  };
}
