import { matrix } from '../../../src/core/matrix.js';
import { Rng } from '../../../src/core/rng.js';
import type { ExampleQueries, ExampleResult, SampleMap } from '../../../src/report/input.js';
import type { ReportInput, ReportParetoRow } from '../../../src/report/render.js';
import type { ResultRow, ResultTable } from '../../../src/report/result-table.js';

/** Least a report can be: invented, like all numbers of this file. */
export const MINIMAL_REPORT: ReportInput = {
  title: 'products, 768 dimensions',
  createdBy: 'qdrant-tldr 0.1.0',
  verdict: { tone: 'bad', headline: 'Keep the collection as it is.', details: [] },
  facts: [],
  reproduce: [],
};

/** A report with every part. */
export function fullReport(): ReportInput {
  const rng = new Rng(7);
  return {
    title: 'Compact collection for “support-articles”',
    createdBy: 'Written by qdrant-tldr 0.1.0 on 3 March 2026, seed 0, 16 cores',
    verdict: {
      tone: 'good',
      headline: '128 dimensions find what 1,024 find, in a fifth of the memory.',
      details: [
        'The learned encoder beats PCA by 0.021 at the same size; the intervals do not overlap.',
        'With an oversampling of 3 and rescoring on the full vectors, recall@10 stays within 0.004 of today’s.',
        'The answer holds for queries that resemble the stored vectors. Real queries were not part of the sample.',
      ],
    },
    facts: [
      ['Collection', 'support-articles'],
      ['Points', '1,240,338'],
      ['Dimensions', '1,024'],
      ['Distance', 'cosine'],
      ['Sample', '50,000 vectors'],
      ['Held-out queries', '1,000'],
      ['Exact duplicates left out', '312'],
      ['Neighbour graph', 'exact, k 100'],
      ['Data fingerprint', '9f2c61d07ab3e845'],
    ],
    pareto: paretoRows(),
    relevanceFronts: [
      {
        name: 'topic',
        measure: 'mAP@100',
        fullVectors: 0.418,
        points: [
          { name: 'neighbourhood-kl', recallAt10: 0.931, value: 0.395, onFront: true, chosen: true },
          { name: 'pca', recallAt10: 0.902, value: 0.391, onFront: false, chosen: false },
          { name: 'blend-0.4', recallAt10: 0.84, value: 0.44, onFront: true, chosen: false },
          { name: 'tldr-mlp', recallAt10: 0.61, value: 0.501, onFront: true, chosen: false },
        ],
      },
    ],
    recallPerDim: RECALL_PER_DIM.map(({ name, recalls }) => ({
      name,
      points: recalls.map((recallAt10, i) => ({
        dim: 16 * 2 ** i,
        recallAt10,
        interval: [recallAt10 - 0.014, recallAt10 + 0.013] as const,
      })),
    })),
    perQuery: [
      { name: 'tldr', values: spreadRecalls(rng, 0.93) },
      { name: 'pca', values: spreadRecalls(rng, 0.88) },
      { name: 'random-projection', values: spreadRecalls(rng, 0.67) },
    ],
    lossCurve: { name: 'neighbourhood-kl', values: lossValues(rng) },
    map: clusterMap(rng),
    memory: {
      title: 'RAM',
      pairs: [
        { name: 'here, 1,240,338 points', before: 5.24e9, after: 1.04e9 },
        { name: 'at 5 million points', before: 21.1e9, after: 4.19e9 },
      ],
      note: 'vectors and index, estimated',
    },
    next: [
      {
        text: 'Let clients reach the target through the proxy.',
        commands: [
          'qdrant-tldr serve --collection support-articles --target support-articles_128 --encoder enc.onnx',
        ],
      },
    ],
    ways: {
      title: 'How clients connect',
      ways: [
        {
          text: 'The wrapper, in a JavaScript process.',
          commands: [
            `const client = await withProjection(new QdrantClient({ host: "qdrant.internal" }), {\n  collections: { "support-articles": {"target":"support-articles_128","encoder":"enc.onnx","oversampling":10} },\n});`,
          ],
        },
      ],
    },
    examples: exampleQueries(rng),
    reproduce: [
      'qdrant-tldr train support-articles --dim 128 --out enc.onnx --seed 0',
      'qdrant-tldr evaluate support-articles --encoder enc.onnx --dims 16,32,64,128,256 --datatypes float32,float16,uint8 --seed 0 --report report.html',
    ],
    tables: [
      candidates(),
      settings(),
      configurations(),
      {
        title: 'Recall by kind of query',
        columns: [['Kind'], ['Queries', 'whole'], ['Today', 3], ['Compact', 3], ['Difference', 'signed']],
        rows: [
          { cells: ['Short questions', 412, 0.979, 0.976, -0.003] },
          { cells: ['Error messages', 233, 0.988, 0.981, -0.007] },
          { cells: ['Whole paragraphs', 355, 0.985, 0.983, -0.002] },
        ],
        note: 'queries are grouped by their length and by whether they hold a stack trace',
      },
    ],
  };
}

function candidates(): ResultTable {
  const rows = [
    ['tldr', 0.931, [0.924, 0.938], 0.991, 0.998, 'cosine', 131072, 212.4],
    ['pca', 0.902, [0.894, 0.909], 0.983, 0.996, 'euclid', 131072, 6.3],
    ['pca-uncentred', 0.899, [0.891, 0.907], 0.982, 0.995, 'cosine', 131072, 6.1],
    ['truncation', 0.742, [0.731, 0.753], 0.905, 0.968, 'cosine', 0, 0],
    ['random-projection', 0.671, [0.659, 0.682], 0.874, 0.957, 'cosine', 131072, 0.2],
  ] satisfies ResultRow['cells'][];
  return {
    title: 'Candidates',
    columns: [
      ['candidate'],
      ['recall@10', 3],
      ['95 % interval', 3],
      ['R10@30', 3],
      ['R10@100', 3],
      ['distance'],
      ['multiply-adds', 'whole'],
      ['seconds', 1],
    ],
    rows: rows.map((cells, i) => ({ cells, starred: i === 0, picked: i === 0 ? 'saved' : undefined })),
    legend: 'All of it is measured on held-out queries.',
  };
}

function settings(): ResultTable {
  return {
    title: 'Settings',
    columns: [['setting'], ['recall@10', 3], ['95 % interval', 3], ['RAM', 'bytes'], ['latency', 2]],
    rows: paretoRows().map(({ label, recallAt10, interval, ramBytes, latencyMs, chosen, onFrontier }) => ({
      cells: [label, recallAt10, interval, ramBytes, latencyMs],
      starred: onFrontier,
      picked: chosen ? 'chosen' : undefined,
      folded: !onFrontier,
    })),
  };
}

/** As many columns as the widest table of a command has. */
function configurations(): ResultTable {
  return {
    title: 'Configurations',
    columns: [
      ['configuration'],
      ['rescored'],
      ['predicted', 3],
      ['95 % interval', 3],
      ['at 20,000', 3],
      ['nDCG@10', 3],
      ['RAM/million', 'bytes'],
      ['RAM', 'bytes'],
      ['disk', 'bytes'],
      ['ms p50', 1],
      ['p95', 1],
    ],
    rows: paretoRows().map(
      ({ label, oversampling, recallAt10, interval, ramBytes, diskBytes, onFrontier }) => ({
        cells: [
          `${label}, m 16`,
          `${oversampling}x`,
          recallAt10,
          interval,
          recallAt10,
          recallAt10,
          ramBytes,
          ramBytes,
          diskBytes,
          11.4,
          112.5,
        ],
        starred: onFrontier,
      }),
    ),
    note: '* no other configuration has at least this recall for less RAM',
  };
}

const RECALL_PER_DIM = [
  { name: 'tldr', recalls: [0.612, 0.764, 0.868, 0.931, 0.964] },
  { name: 'pca', recalls: [0.534, 0.705, 0.828, 0.902, 0.955] },
  { name: 'truncation', recalls: [0.288, 0.455, 0.611, 0.742, 0.861] },
  { name: 'random-projection', recalls: [0.201, 0.342, 0.507, 0.671, 0.792] },
] as const;

function paretoRows(): ReportParetoRow[] {
  const points = 1_240_338;
  const rows: Omit<ReportParetoRow, 'onFrontier'>[] = [
    {
      label: '1,024-d float32',
      dim: 1024,
      datatype: 'float32',
      oversampling: 1,
      recallAt10: 0.983,
      interval: [0.979, 0.987],
      ramBytes: points * 1024 * 4.25,
      diskBytes: points * 1024 * 4.3,
      latencyMs: 6.81,
      kind: 'current',
      chosen: false,
    },
  ];
  for (const [datatype, bytes, loss] of [
    ['float16', 2, 0.0004],
    ['uint8', 1, 0.011],
  ] as const) {
    rows.push({
      label: `1,024-d ${datatype}`,
      dim: 1024,
      datatype,
      oversampling: 1,
      recallAt10: 0.983 - loss,
      interval: [0.979 - loss, 0.987 - loss],
      ramBytes: points * 1024 * bytes * 1.1,
      diskBytes: points * 1024 * bytes * 1.2,
      latencyMs: 5.9,
      kind: 'full',
      chosen: false,
    });
  }
  for (const [dim, recall] of [
    [32, 0.764],
    [64, 0.868],
    [128, 0.931],
    [256, 0.964],
  ] as const) {
    for (const [datatype, bytes, loss] of [
      ['float32', 4, 0],
      ['uint8', 1, 0.008],
    ] as const) {
      for (const oversampling of [1, 3]) {
        const value = oversampling === 1 ? recall - loss : 0.982 - (0.98 - recall) * 0.05 - loss / 4;
        rows.push({
          label: `${dim}-d ${datatype}${oversampling === 1 ? '' : `, ${oversampling}x rescored`}`,
          dim,
          datatype,
          oversampling,
          recallAt10: value,
          interval: [value - 0.006, value + 0.005],
          ramBytes: points * dim * bytes * 1.6 + (oversampling === 1 ? 0 : 2e7),
          diskBytes: points * 1024 * 4.3 + points * dim * bytes,
          latencyMs: dim === 32 ? null : 1.2 + dim / 128 + oversampling,
          kind: 'compact',
          chosen: dim === 128 && datatype === 'float32' && oversampling === 3,
        });
      }
    }
  }
  return rows.map((row) => ({
    ...row,
    onFrontier: !rows.some((other) => other.ramBytes < row.ramBytes && other.recallAt10 >= row.recallAt10),
  }));
}

function spreadRecalls(rng: Rng, mean: number): Float64Array {
  return Float64Array.from({ length: 1000 }, () => {
    const difficulty = mean + 0.12 * rng.normal();
    let found = 0;
    for (let i = 0; i < 10; i++) if (rng.uniform() < difficulty) found++;
    return found / 10;
  });
}

function lossValues(rng: Rng): number[] {
  const values = Array.from({ length: 12_000 }, (_, step) => {
    const trend = 0.42 + 1.9 * Math.exp(-step / 900) + 0.3 * Math.exp(-step / 5000);
    return trend * (1 + 0.06 * rng.normal());
  });
  values[40] = NaN;
  return values;
}

const TOPICS = [
  'billing',
  'sign-in and passwords',
  'exports',
  'mobile app',
  'integrations',
  'privacy',
  'performance',
  'onboarding',
  'legal',
  'careers',
];

/** Both views of the map: the second is the first one with a little noise. */
function clusterMap(rng: Rng): SampleMap {
  const rows = 5000;
  const centres = TOPICS.map(() => [3 * rng.normal(), 2 * rng.normal(), 0.4 + 0.4 * rng.uniform()] as const);
  const [before, after] = [matrix(rows, 2), matrix(rows, 2)];
  const labels = Array.from({ length: rows }, (_, i) => {
    const topic = Math.floor(TOPICS.length * rng.uniform() ** 1.6);
    const [x, y, spread] = centres[topic]!;
    before.data.set([x + spread * rng.normal(), y + spread * rng.normal()], 2 * i);
    after.data.set(
      before.data.subarray(2 * i, 2 * i + 2).map((value) => value + 0.1 * rng.normal()),
      2 * i,
    );
    return TOPICS[topic]!;
  });
  return {
    views: [
      { name: 'Before: 1,024 dimensions', points: before },
      { name: 'After: 128 dimensions', points: after },
    ],
    labels,
    labelledBy: 'payload field “topic”',
  };
}

const ARTICLES = [
  'Reset your password when you no longer have access to the e-mail address of your account',
  'Why was my card charged twice?',
  'Export all invoices of a year as one PDF',
  'The mobile app signs me out every day',
  'Connect a calendar',
  'Who can see my data, and for how long is it kept?',
  'Invite colleagues and give them roles',
  'Large tables load slowly',
  'Close an account for good',
  'Change the language of the user interface',
  'Webhooks arrive late or twice',
  'Two-factor authentication with a security key',
];

function exampleQueries(rng: Rng): ExampleQueries {
  const queries = Array.from({ length: 10 }, (_, i) => {
    const found = i < 3 ? 7 + i : 10;
    const order = Array.from(rng.permutation(ARTICLES.length));
    const side = (from: number, to: number, onBothSides: boolean): ExampleResult[] =>
      order.slice(from, to).map((at) => ({ text: ARTICLES[at]!, onBothSides }));
    return {
      text: ARTICLES[i]!,
      full: [...side(0, found, true), ...side(found, 10, false)],
      compact: [...side(0, found, true), ...side(10, 20 - found, false)],
    };
  });
  return { queries, note: 'The three queries that lose most, then seven at random.' };
}
