import { afterAll, beforeAll, describe, expect } from '@jest/globals';
import { decodeAnswer, encodeRequest, pathOf } from '../adapters/serve/grpc-schemas.js';
import {
  bytesOf,
  grpcCases,
  type Filed,
  type GrpcCase,
  type GrpcOutcome,
} from '../adapters/serve/stored-cases.js';
import {
  expectAsOriginal,
  steady,
  steadyMessage,
  StoredAnswers,
  type Answer,
  type Answers,
  type Decided,
} from './contract-answers.js';
import { isServed, LAYOUTS, startContractPlace, type ContractPlace } from './contract-place.js';
import { PlainGrpc } from './grpc-call.js';
import { testsOn } from './test-server.js';

const test = await testsOn('configured');

const cases = grpcCases();
const sent = cases.filter(({ notLive }) => notLive === undefined);
const stored = new StoredAnswers('grpc', [...new Set(cases.map(({ file }) => file))]);

let place: ContractPlace;

beforeAll(async () => {
  place = await startContractPlace();
});

afterAll(async () => {
  stored.save();
  await place.stop();
});

/** The call as it is stored, to a server or to the proxy before it. */
async function ask(url: string, { method, request }: GrpcCase): Promise<Answer> {
  const grpc = new PlainGrpc(url);
  const message = bytesOf(request, (json) => encodeRequest(method, json));
  const answer = await grpc.call({ path: pathOf(method), message });
  grpc.close();
  const refused = answer.code !== 0;
  const text = refused ? steady(answer.text) : steadyMessage(decodeAnswer(method, answer.message));
  return { status: answer.code, refused, text, headers: [] };
}

async function askAll(one: GrpcCase): Promise<Answers> {
  const through = async (layout: 'two-stage' | 'compact'): Promise<Answer> =>
    ask((await place.proxy(layout, one.facts)).grpcUrl, one);
  const [original, twoStage, compact] = await Promise.all([
    ask(place.servers.original.grpcUrl, one),
    through('two-stage'),
    through('compact'),
  ]);
  return { original, 'two-stage': twoStage, compact };
}

function decided(outcome: GrpcOutcome): Decided {
  const refusal = 'status' in outcome ? { status: outcome.status, text: outcome.message } : null;
  return { refusal, own: 'lookup' in outcome || refusal !== null };
}

const CHANGES_POINTS = /^Points\/(Upsert|Update|Delete|SetPayload|OverwritePayload|ClearPayload|Create)/;
const CHANGES_COLLECTION = /^Collections\/(Create|Update|Delete)/;

/** The collection that a call may change, '' for all; null where it only reads. */
function changed({ method, request }: GrpcCase): string | null {
  if (!CHANGES_POINTS.test(method) && !CHANGES_COLLECTION.test(method)) return null;
  const name = /"collectionName":"(\w+)/.exec(JSON.stringify(request))?.[1] ?? 'docs';
  return isServed(name) && !method.endsWith('Aliases') ? name : '';
}

async function restore({ method }: GrpcCase, name: string): Promise<void> {
  if (name === '') await place.tidy();
  else if (/Field|^Collections/.test(method)) await place.restore(name);
  else await place.restorePoints(name);
}

/** What the proxy refuses changes nothing; a server may have done a part of it. */
async function expectSameContent(one: GrpcCase, name: string): Promise<void> {
  for (const layout of LAYOUTS)
    if (CHANGES_POINTS.test(one.method) && decided(one.expected[layout]).refusal === null)
      expect(await place.differences(name, layout)).toEqual([]);
}

async function run(one: Filed<GrpcCase>): Promise<void> {
  const answers = await askAll(one);
  const name = changed(one);
  try {
    stored.keep(one, answers);
    expectAsOriginal(one, answers, {
      'two-stage': decided(one.expected['two-stage']),
      compact: decided(one.expected.compact),
    });
    if (place.pinned) stored.check(one, answers);
    if (name !== null && name !== '') await expectSameContent(one, name);
  } finally {
    const refused = Object.values(answers).every((answer) => answer.refused);
    if (name !== null && (!refused || CHANGES_POINTS.test(one.method))) await restore(one, name);
  }
}

/** What only reads comes first, so that numbers of versions are the same in every run. */
describe.each([
  ['reads', sent.filter((one) => changed(one) === null)],
  ['writes', sent.filter((one) => changed(one) !== null)],
])('%s', (_, some) => {
  test.each(some.map((one) => [one.file, one.name, one.rows.join('; '), one] as const))(
    '%s: %s (%s)',
    (_file, _name, _rows, one) => run(one),
  );
});

describe.skip('not sent', () => {
  test.each(cases.filter(({ notLive }) => notLive !== undefined))('$file: $name: $notLive', () => undefined);
});

test('every stored answer belongs to a case, and what differs is stored', () => {
  expect(stored.leftOver(sent)).toEqual([]);
});
