import { OVERSAMPLING } from '../../store/defaults.js';
import cluster from 'node:cluster';
import { Command, Option } from 'commander';
import { parseServedSettings } from '../../config/served-collection-settings.js';
import type { Config } from '../../config/load.js';
import { isTldrError, TldrError } from '../../core/errors.js';
import { sleep } from '../../core/run-options.js';
import type { ConsoleRun } from '../console/command-output.js';
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
import { describeServed, loadCollections, servedLine } from './load-collections.js';
import { ReloadSignals, sayMigrating } from './reload-and-announce.js';
import { serveAsWorker } from './worker-process.js';
import { runCluster } from './run-cluster.js';
import { readTls } from './proxy-process.js';
import { RecordedQueries } from './recorded-queries.js';

const WAIT_INTERVAL_MS = 500;
/** Default log level of `serve`: operators expect logs of a server. */
const LOG_LEVEL = 'info';

interface ServeFlags extends GlobalFlags {
  readonly collection?: string;
  readonly target?: string;
  readonly encoder?: string;
  readonly layout?: string;
  readonly oversampling?: number;
  readonly full?: string;
  readonly recordQueries?: string;
  readonly listen?: string;
  readonly listenGrpc?: string;
  readonly listenOperations?: string;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  readonly workers?: number;
  readonly shadow?: string;
  readonly driftAlert?: string;
  readonly drainMs?: number;
  readonly wait?: number;
  readonly check?: boolean;
}

const HELP = `
Clients keep their code, their vector size and the collection's name. Only the address changes.

Reads   the target collection that \`migrate\` made, the encoder file and the configuration file
Writes  only what clients write, the journal folder while a collection is being migrated ("migrating"), and the
        sample of searched vectors, if you ask for one (--record-queries)

Examples:
  qdrant-tldr serve --collection docs --target docs_c96 --encoder enc.onnx
      answers for "docs" on http://127.0.0.1:6433 and gRPC on 6434 from the compact collection docs_c96
  qdrant-tldr serve --config serve.json --check
      compares encoder, dimensions and layout with the target, says what would be served, and ends
  qdrant-tldr serve --config serve.json --listen 0.0.0.0:6333 --listen-grpc 0.0.0.0:6334 --workers 4
  qdrant-tldr serve --config serve.json --shadow 5%
      sends 5% of the searches to the full collections too; /metrics on port 6435 shows the overlap
  qdrant-tldr serve --collection docs --target docs_c96 --encoder enc.onnx --record-queries queries.npy
      keeps a random sample of the vectors that clients search for; train reads it with --queries queries.npy
  kill -HUP <pid>      reads the file again without losing a request
  kill -TERM <pid>     accepts no more requests, finishes those under way, and exits with 0

serve.json:
  {
    "url": "http://localhost:6333",
    "collections": {
      "docs": { "target": "docs_c96", "encoder": "enc.onnx", "oversampling": 10, "full": "docs_full" }
    }
  }

Documentation: docs/serve.md, docs/connect.md (clients), docs/transparency.md (what differs), docs/config.md`;

/** `serve`: the proxy that lets clients use a compact collection as if it were the full one. */
export function serveCommand(): Command {
  const command = new Command('serve')
    .description('Serve compact collections to unchanged clients, over REST and gRPC.')
    .option('--collection <name>', 'name that clients use; for more than one collection use a file: --config')
    .option('--target <name>', 'the collection that migrate made')
    .option('--encoder <file>', 'encoder file that the target was made with')
    .addOption(
      new Option(
        '--layout <layout>',
        'expected layout of the target; refuse to start with any other',
      ).choices(['compact', 'two-stage']),
    )
    .option(
      '--oversampling <x>',
      `two-stage layout: first-stage results per requested result (default: ${OVERSAMPLING})`,
      decimal,
    )
    .option('--full <name>', 'the collection with the full vectors, for --shadow')
    .option(
      '--record-queries <file>',
      'keep a random sample of the vectors that clients search for, for train --queries (.npy)',
    )
    .option('--listen <host:port>', 'address for REST clients (default: 127.0.0.1:6433)')
    .option('--listen-grpc <host:port>', 'address for gRPC clients (default: 127.0.0.1:6434)')
    .option(
      '--listen-operations <host:port>',
      'address for /healthz, /readyz, /metrics (default: 127.0.0.1:6435)',
    )
    .option('--tls-cert <file>', 'certificate for REST and gRPC clients (PEM)')
    .option('--tls-key <file>', 'private key of the certificate (PEM)')
    .option('--workers <n>', 'number of processes that serve (default: 1)', wholeNumber)
    .option(
      '--shadow <percent>',
      'share of searches also sent to the full collection, such as 5% (default: 0%)',
    )
    .option(
      '--drift-alert <percent>',
      "warn if more of the written points or queries are unlike the encoder's training sample (default: 10%)",
    )
    .option(
      '--drain-ms <n>',
      'longest wait for requests under way when stopping (default: 30000)',
      wholeNumber,
    )
    .option(
      '--wait <time>',
      'at the start, wait this long for a server that does not answer yet, such as 30s',
      seconds,
    )
    .option('--check', 'check everything, say what would be served, and end')
    .action((flags: ServeFlags) =>
      cluster.isWorker
        ? serveAsWorker()
        : withConsole(flags, (run) => serve(flags, run), {
            logLevel: LOG_LEVEL,
            settings: settingsOf(flags),
          }),
    );
  command.addHelpText('after', HELP);
  return withGlobalFlags(command);
}

async function serve(flags: ServeFlags, run: ConsoleRun): Promise<void> {
  const reread = (): Config => withFlags(withLogs(configOf(flags, settingsOf(flags))), flags);
  const config = reread();
  const moved = Object.entries(config.collections).find(([, { migrating }]) => migrating !== undefined);
  if (moved !== undefined && config.workers > 1)
    throw new TldrError(
      'INVALID_ARGUMENT',
      `${moved[0]} is being migrated, which needs a single process, because that process keeps the order of writes: give --workers 1`,
    );
  checkShadow(config);
  const reloadSignals = new ReloadSignals();
  try {
    await waitForServer(config, (flags.wait ?? 0) * 1000, run);
    if (flags.check === true) await check(config, run);
    else await (config.workers > 1 ? runCluster : runSingle)({ config, run, reread, reloadSignals });
  } finally {
    reloadSignals.close();
  }
  // A reload that still runs has no proxy to change any more: do not wait for it.
  if (reloadSignals.busy) process.exit();
}

async function check(config: Config, run: ConsoleRun): Promise<void> {
  await readTls(config);
  await RecordedQueries.check(config);
  const loaded = await loadCollections(config, run.log);
  for (const one of loaded) run.say(servedLine(one));
  sayMigrating(config, run);
  run.say('all checks passed');
  run.result({ checked: true, collections: loaded.map(describeServed) });
}

/** @throws INVALID_ARGUMENT when --shadow is given and no collection names its full collection */
function checkShadow({ shadow, collections }: Config): void {
  const settings = Object.values(collections);
  if (shadow > 0 && settings.length > 0 && settings.every(({ full }) => full === undefined))
    throw new TldrError(
      'INVALID_ARGUMENT',
      '--shadow repeats searches on the full collection: name it with --full, or "full" in the file',
    );
}

function settingsOf(flags: ServeFlags): Readonly<Record<string, unknown>> {
  const { listen: listenRest, listenGrpc, listenOperations, tlsCert, tlsKey } = flags;
  const { workers, shadow, driftAlert, drainMs } = flags;
  return {
    listenRest,
    listenGrpc,
    listenOperations,
    tlsCert,
    tlsKey,
    workers,
    shadow,
    driftAlert,
    drainMs,
  };
}

function withLogs(config: Config): Config {
  return config.shown['logLevel']?.from === 'default' ? { ...config, logLevel: LOG_LEVEL } : config;
}

/** Adds the collection that the flags describe to those of the file. */
function withFlags(config: Config, flags: ServeFlags): Config {
  const { collection, target, encoder, layout, oversampling, full, recordQueries } = flags;
  const given = Object.entries({ target, encoder, layout, oversampling, full, recordQueries }).filter(
    ([, value]) => value !== undefined,
  );
  if (collection === undefined) {
    const [first] = given;
    if (first === undefined) return config;
    const flag = first[0].replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
    throw new TldrError('INVALID_ARGUMENT', `--${flag} needs --collection`);
  }
  const added = parseServedSettings({ [collection]: Object.fromEntries(given) }, '.');
  return { ...config, collections: { ...config.collections, ...added } };
}

/** @throws the error of loading, after the time is up, or at once if waiting would not help */
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
