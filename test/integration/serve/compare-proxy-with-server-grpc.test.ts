import { decodeAnswer, encodeRequest, pathOf } from '../../support/wire/grpc-schemas.js';
import { bytesOf, grpcCases } from '../../support/wire/stored-cases.js';
import { steady, steadyMessage } from '../../support/proxy-answers/stored-answers.js';
import { isServed } from '../../support/proxy-answers/compared-servers.js';
import { compareProxyWithServer } from '../../support/proxy-answers/compare-proxy-with-server.js';
import { PlainGrpc } from '../../support/server/grpc-call.js';

const CHANGES_POINTS = /^Points\/(Upsert|Update|Delete|SetPayload|OverwritePayload|ClearPayload|Create)/;
const CHANGES_COLLECTION = /^Collections\/(Create|Update|Delete)/;

await compareProxyWithServer({
  name: 'grpc',
  cases: grpcCases(),
  ask: async ({ grpcUrl }, { method, request }) => {
    const grpc = new PlainGrpc(grpcUrl);
    const message = bytesOf(request, (json) => encodeRequest(method, json));
    const answer = await grpc.call({ path: pathOf(method), message });
    grpc.close();
    const refused = answer.code !== 0;
    const text = refused ? steady(answer.text) : steadyMessage(decodeAnswer(method, answer.message));
    return { status: answer.code, refused, text, headers: [] };
  },
  decided: (outcome) => {
    const refusal = 'status' in outcome ? { status: outcome.status, text: outcome.message } : null;
    return { refusal, own: 'lookup' in outcome || refusal !== null };
  },
  changed: ({ method, request }) => {
    if (!CHANGES_POINTS.test(method) && !CHANGES_COLLECTION.test(method)) return null;
    const name = /"collectionName":"(\w+)/.exec(JSON.stringify(request))?.[1] ?? 'docs';
    return isServed(name) && !method.endsWith('Aliases') ? name : '';
  },
  aboutPoints: ({ method }) => CHANGES_POINTS.test(method),
  mendedByPoints: ({ method }) => !/Field|^Collections/.test(method),
});
