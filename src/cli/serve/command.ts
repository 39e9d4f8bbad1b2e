import { OVERSAMPLING } from '../../store/defaults.js';
import cluster from 'node:cluster';
import { Command, Option } from 'commander';
import { decimal, seconds, wholeNumber, withGlobalFlags } from '../console/options.js';
import type { ServeFlags } from './run-serve.js';
import { wrappedHelp } from '../console/help-groups.js';

const HELP = `
Clients keep their code, their vector size and the collection's name. Only the address changes.

Reads   the target collection that \`migrate\` made, the encoder file and the configuration file
Writes  only what clients write, the journal folder while a collection is being migrated ("migrating"), and the
        sample of searched vectors, if you ask for one (--record-queries)

Examples:
  qdrant-tldr serve --collection docs --target docs_2s --encoder enc.onnx
      answers for "docs" on http://127.0.0.1:6433 and gRPC on 6434 from docs_2s, the collection that migrate made
  qdrant-tldr serve --config serve.json --check
      compares encoder, dimensions and layout with the target, says what would be served, and ends
  qdrant-tldr serve --config serve.json --listen 0.0.0.0:6333 --listen-grpc 0.0.0.0:6334 --workers 4
  qdrant-tldr serve --config serve.json --shadow 5%
      sends 5% of the searches to the full collections too; /metrics on port 6435 shows the overlap
  qdrant-tldr serve --collection docs --target docs_2s --encoder enc.onnx --record-queries queries.npy
      keeps a random sample of the vectors that clients search for; train reads it with --queries queries.npy
  kill -HUP <pid>      reads the file again without losing a request
  kill -TERM <pid>     accepts no more requests, finishes those under way, and exits with 0

serve.json:
  {
    "url": "http://localhost:6333",
    "collections": {
      "docs": { "target": "docs_2s", "encoder": "enc.onnx", "oversampling": 10, "full": "docs_full" }
    }
  }

Documentation: docs/serve.md, docs/connect.md (clients), docs/transparency.md (what differs), docs/config.md`;

/** `serve`: the proxy that lets clients use a compact collection as if it were the full one. */
export function serveCommand(): Command {
  const command = new Command('serve')
    .description('Serve migrated collections to unchanged clients, over REST and gRPC.')
    .option(
      '--collection <name>',
      'the collection that clients know, which the target was made from; for more than one use a file: --config',
    )
    .option('--as <name>', 'name that clients use, if it is another one')
    .option('--target <name>', 'the collection that migrate made')
    .option('--encoder <file>', 'encoder file that the target was made with')
    .addOption(
      new Option(
        '--layout <layout>',
        'expected layout of the target; refuse to start with any other',
      ).choices(['two-stage', 'compact']),
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
      'address for /healthz, /readyz, /metrics, /served (default: 127.0.0.1:6435)',
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
    .action(async (flags: ServeFlags) =>
      cluster.isWorker
        ? (await import('./worker-process.js')).serveAsWorker()
        : (await import('./run-serve.js')).runServe(flags),
    );
  command.addHelpText('after', () => wrappedHelp(HELP));
  return withGlobalFlags(command);
}
