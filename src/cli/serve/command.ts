import cluster from 'node:cluster';
import { Command, Option } from 'commander';
import { parseServedSettings } from '../../config/served-setting.js';
import type { Config } from '../../config/load.js';
import { isTldrError, TldrError } from '../../core/errors.js';
import { sleep } from '../../core/run.js';
import type { ConsoleRun } from '../console/run.js';
import {
  configOf,
  decimal,
  seconds,
  wholeNumber,
  withConsole,
  withGlobalFlags,
  type GlobalFlags,
} from '../console/options.js';
import { runSingle } from './run-single.js';
import { describeServed, loadCollections, servedLine } from './collections.js';
import { ReloadSignals, sayMigrating } from './run.js';
import { serveAsMember } from './worker-process.js';
import { runCluster } from './run-cluster.js';
import { readTls } from './proxy-process.js';

const WAIT_INTERVAL_MS = 500;
/** A server is to be heard of, where nobody says otherwise. */
const LOG_LEVEL = 'info';

interface ServeFlags extends GlobalFlags {
  readonly collection?: string;
  readonly target?: string;
  readonly encoder?: string;
  readonly layout?: string;
  readonly oversampling?: number;
  readonly full?: string;
  readonly listen?: string;
  readonly listenGrpc?: string;
  readonly listenOperations?: string;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  readonly workers?: number;
  readonly shadow?: string;
  readonly drainMs?: number;
  readonly wait?: number;
  readonly check?: boolean;
}

const EXAMPLES = `
Clients keep their code, their vector size and the collection's name; only the address changes.

Examples:
  qdrant-tldr serve --collection docs --target docs_c96 --encoder enc.onnx
      answers for "docs" on http://127.0.0.1:6433 and gRPC on 6434 from the compact collection docs_c96
  qdrant-tldr serve --config serve.json --check
      checks encoder, dimensions and layout against the server, says what would be served, and ends
  qdrant-tldr serve --config serve.json --listen 0.0.0.0:6333 --listen-grpc 0.0.0.0:6334 --workers 4
  qdrant-tldr serve --config serve.json --shadow 5%
      also asks the full collections for 5% of the searches and exports the overlap: /metrics on port 6435
  kill -HUP <pid>      reads the file again without losing a request
  kill -TERM <pid>     takes no more requests, ends those under way, and exits with 0

serve.json:
  {
    "url": "http://localhost:6333",
    "collections": {
      "docs": { "target": "docs_c96", "encoder": "enc.onnx", "oversampling": 10, "full": "docs_full" }
    }
  }`;

/** `serve`: the proxy that lets clients use a compact collection as if it were the full one. */
export function serveCommand(): Command {
  const command = new Command('serve')
    .description('Serve compact collections to unchanged clients, over REST and gRPC.')
    .option('--collection <name>', 'what clients call the collection; more than one in a file: --config')
    .option('--target <name>', 'the collection that migrate made')
    .option('--encoder <file>', 'the encoder it was made with')
    .addOption(new Option('--layout <layout>', 'refuse any other').choices(['compact', 'two-stage']))
    .option('--oversampling <x>', 'two-stage layout: candidates per result (default: 10)', decimal)
    .option('--full <name>', 'the collection as it was before, for --shadow')
    .option('--listen <host:port>', 'for REST clients (default: 127.0.0.1:6433)')
    .option('--listen-grpc <host:port>', 'for gRPC clients (default: 127.0.0.1:6434)')
    .option('--listen-operations <host:port>', 'for /healthz, /readyz, /metrics (default: 127.0.0.1:6435)')
    .option('--tls-cert <file>', 'certificate shown to clients of both')
    .option('--tls-key <file>', 'its private key')
    .option('--workers <n>', 'processes (default: 1)', wholeNumber)
    .option('--shadow <percent>', 'share of searches also sent to the full collection')
    .option(
      '--drain-ms <n>',
      'longest wait for requests under way when stopping (default: 30000)',
      wholeNumber,
    )
    .option('--wait <time>', 'wait so long for a server that does not answer yet, such as 30s', seconds)
    .option('--check', 'check everything, say what would be served, and end')
    .action((flags: ServeFlags) =>
      cluster.isWorker
        ? serveAsMember()
        : withConsole(flags, (run) => serve(flags, run), {
            logLevel: LOG_LEVEL,
            settings: settingsOf(flags),
          }),
    );
  command.addHelpText('after', EXAMPLES);
  return withGlobalFlags(command);
}

async function serve(flags: ServeFlags, run: ConsoleRun): Promise<void> {
  const reread = (): Config => withFlags(withLogs(configOf(flags, settingsOf(flags))), flags);
  const config = reread();
  const moved = Object.entries(config.collections).find(([, { migrating }]) => migrating !== undefined);
  if (moved !== undefined && config.workers > 1)
    throw new TldrError(
      'INVALID_ARGUMENT',
      `${moved[0]} is being migrated, which takes one process: the order of its writes is kept there; give --workers 1`,
    );
  checkShadow(config);
  const hangups = new ReloadSignals();
  try {
    await waitForServer(config, (flags.wait ?? 0) * 1000, run);
    if (flags.check === true) await check(config, run);
    else await (config.workers > 1 ? runCluster : runSingle)({ config, run, reread, hangups });
  } finally {
    hangups.close();
  }
  // What a reload still waits for is nobody's any more.
  if (hangups.busy) process.exit();
}

async function check(config: Config, run: ConsoleRun): Promise<void> {
  await readTls(config);
  const loaded = await loadCollections(config, run.log);
  for (const one of loaded) run.say(servedLine(one));
  sayMigrating(config, run);
  run.say('all checks passed');
  run.result({ checked: true, collections: loaded.map(describeServed) });
}

/** @throws INVALID_ARGUMENT where searches are to be compared and there is nothing to compare with */
function checkShadow({ shadow, collections }: Config): void {
  const settings = Object.values(collections);
  if (shadow > 0 && settings.length > 0 && settings.every(({ full }) => full === undefined))
    throw new TldrError(
      'INVALID_ARGUMENT',
      '--shadow repeats searches on the full collection: name it with --full, or "full" in the file',
    );
}

function settingsOf(flags: ServeFlags): Readonly<Record<string, unknown>> {
  const { listen, listenGrpc, listenOperations, tlsCert, tlsKey, workers, shadow, drainMs } = flags;
  return { listenRest: listen, listenGrpc, listenOperations, tlsCert, tlsKey, workers, shadow, drainMs };
}

function withLogs(config: Config): Config {
  return config.shown['logLevel']?.from === 'default' ? { ...config, logLevel: LOG_LEVEL } : config;
}

/** The one collection that flags describe is served beside those of the file. */
function withFlags(config: Config, flags: ServeFlags): Config {
  const { collection, target, encoder, layout, oversampling, full } = flags;
  const given = Object.entries({ target, encoder, layout, oversampling, full }).filter(
    ([, value]) => value !== undefined,
  );
  if (collection === undefined) {
    if (given.length === 0) return config;
    throw new TldrError('INVALID_ARGUMENT', `--${given[0]?.[0] ?? ''} needs --collection`);
  }
  const added = parseServedSettings({ [collection]: Object.fromEntries(given) }, '.');
  return { ...config, collections: { ...config.collections, ...added } };
}

/** @throws what loading throws once the time is up, or at once where waiting would not help */
async function waitForServer(config: Config, waitMs: number, run: ConsoleRun): Promise<void> {
  const untilMs = performance.now() + waitMs;
  for (let said = false; waitMs > 0; said = true) {
    try {
      await loadCollections(config, run.log);
      return;
    } catch (error) {
      if (!isTldrError(error, 'UNAVAILABLE') || performance.now() >= untilMs) throw error;
      if (!said) run.say(`waiting for ${config.url}`);
      await sleep(WAIT_INTERVAL_MS, run.signal);
    }
  }
}
