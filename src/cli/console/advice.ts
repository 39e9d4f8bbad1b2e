import { hintFields, type Hint, isTldrError, messageOf } from '../../core/errors.js';

type Fields = Readonly<Record<string, unknown>>;

const END_PROXY = ({ target }: Fields): string =>
  `remove "migrating" from the proxy's entry for ${String(target)} in "collections", restart the proxy, and run this again`;

/** What a user of the command line can do about an error, by the library's key. */
const ADVICE: Readonly<Record<Hint, string | ((fields: Fields) => string)>> = {
  'start-migration':
    'start one with `migrate start`, or give the place of its state with --record or --state',
  'resume-migration': 'run `migrate resume`',
  'resume-paused': 'run `migrate resume` to continue',
  'resume-catch-up': 'run `migrate resume --catch-up`',
  'resume-settings': '`migrate resume` puts them right',
  'finish-copy': '`migrate resume` finishes and verifies it',
  verify: 'run `migrate verify`',
  'verify-and-repair': 'pause the writers, then `migrate verify`, and `migrate resume` to repair',
  'verify-or-roll-back': '`migrate verify` compares it, `migrate rollback` takes it out of service',
  'cut-over-first':
    'run `migrate cutover` first, or add --without-cutover if clients reach it in another way',
  'cut-over-table-first':
    'run `migrate cutover --execute` first; `--form none` is enough if clients bring the query themselves',
  'roll-back-first': 'run `migrate rollback` first',
  'name-alias': 'name it with --alias',
  'clients-project':
    'Start the proxy first (`serve`), or give --clients-project if clients project their queries and points',
  'switch-own-name':
    "clients that use a collection's own name can be switched by the proxy, or with --bare-name on a single server",
  'switch-by-proxy': 'let the proxy switch them, with --by proxy',
  'migrate-with-journal': 'switch an --alias, or `migrate abort` it and start again with --journal',
  'migrate-as-float32': 'abort this migration and start it again with --datatype float32',
  'same-journal': 'continue it with the journal it began with, or `migrate abort` it first',
  'omit-catch-up': 'omit --catch-up',
  'omit-worker': 'omit --worker',
  'locate-state': ({ target }) =>
    `give its place with --record or --state. If that state is lost and nobody reads ${String(target)}, delete that collection and start again; writes that were made to it alone are lost with it`,
  'other-state-place':
    "give another --record for this one, and keep that state until the other migration is complete or aborted, since only that state says how far it is, where clients' names lead, and which journal holds their writes",
  'restore-state':
    'restore the migration state from a backup. Only the state says how far the copy is, whether clients were sent to the target and how to roll them back, and which journal holds their writes: do not delete the source. If clients read the source and no proxy keeps a journal, you may move the state away: `migrate start` then copies every point again',
  'restore-journal':
    'Restore the whole journal from a backup, or abort this migration: run `migrate rollback` if clients read the target, then `migrate abort --execute`, move the rest of the journal away, start the proxy, and migrate again',
  'fewer-ranges': 'give fewer --workers or a lower --concurrency',
  'throttle-again':
    'remove it, and set --max-load and --nice again with `migrate tune`: it holds these two settings, nothing else is lost',
  'smaller-sample': 'choose a sample of that size (--sample)',
  'parquet-column': 'name the one to read with --column, or for --queries with --query-column',
  'key-columns': 'the flag is --key-columns',
  'remove-scratch': 'remove it with plan --clean',
  'encoder-script': 'make it with the script that `sql --encoder` prints',
  'fewer-queries': 'use fewer queries (--sample) or raise read_rate_limit',
  'install-tensorflow':
    'For the CPU: npm install @tensorflow/tfjs-node@4. For an NVIDIA GPU: npm install @tensorflow/tfjs-node-gpu@4. For any platform, slower: npm install @tensorflow/tfjs@4 @tensorflow/tfjs-backend-wasm@4. Add -g if qdrant-tldr was installed with -g, or set NODE_PATH to the node_modules that has them. Node 20, 22 and 24 work. --engine-fallback takes the fastest that works; docs/gpu.md has more',
  'install-cuda-provider':
    "Install NVIDIA's driver, CUDA and the provider of the same version as onnxruntime-node (docs/gpu.md says how), use --device cpu, or let --engine-fallback take the CPU",
  'start-proxy': ({ source, target }) =>
    `run \`serve\` with "target": "${String(target)}" and "migrating": {"source": "${String(source)}", "journal": ...} of this folder, and let clients write through it`,
  'correct-proxy': 'correct its entry in "collections", or give another --journal',
  'end-proxy': END_PROXY,
  'drain-proxy': (fields) =>
    `run \`serve\` with "migrating" until \`migrate status\` shows none, and end it with SIGTERM; then ${END_PROXY(fields)}`,
  'wait-for-writes': '`migrate status` shows when none is, and `migrate resume` waits for that',
  'force-roll-back': ({ words }) =>
    `If there were no such writes, run \`serve\` with "migrating" and this journal again, then roll back. To roll back without those writes: --force "${String(words)}"`,
  'server-address': 'If that address is the right one, set it with --url or QDRANT_URL',
  'rest-address': 'Give the address of the server with --url or QDRANT_URL',
  'grpc-address': 'Give the address for gRPC with --grpc-url or QDRANT_TLDR_GRPC_URL',
  'api-key': 'set QDRANT_API_KEY to a valid key',
  'give-server': 'or give the address of a running one with --url',
};

/** Returns a message of the library with the command or flag that helps, if its fields name a hint. */
export function withAdvice(message: string, fields: Fields): string {
  const { hint } = fields;
  if (!isHint(hint)) return message;
  const known = ADVICE[hint];
  const advice = typeof known === 'string' ? known : known(fields);
  // An advice that is a sentence stands alone; any other one follows the first colon of the message.
  if (/^[A-Z]/.test(advice)) return `${message}${/[.?!]$/.test(message) ? '' : '.'} ${advice}`;
  return `${message}${message.includes(': ') ? ';' : ':'} ${advice}`;
}

/** Returns an error's message for the user of the command line: options by their flags, and what to do. */
export function errorText(error: unknown): string {
  return withAdvice(namedByFlag(error), hintFields(error));
}

function isHint(value: unknown): value is Hint {
  return typeof value === 'string' && Object.hasOwn(ADVICE, value);
}

function namedByFlag(error: unknown): string {
  const message = messageOf(error);
  const option = isTldrError(error) ? error.fields['option'] : undefined;
  if (typeof option !== 'string' || !message.startsWith(option)) return message;
  return `--${option}${message.slice(option.length)}`;
}
