import { pcaNetwork } from '../../src/baselines/pca.js';
import type { Matrix } from '../../src/core/matrix.js';
import type { EncoderNetwork } from '../../src/encoder/network.js';
import { BUDGET_TLDR, RESIDUAL, TLDR_MLP } from '../../src/hyper-parameters/fit-of-candidates.js';
import { createBenchmark, neighborRecall } from '../../src/evaluate/neighbor-recall.js';
import { buildKnnGraph } from '../../src/knn/build-knn-graph.js';
import { fitBlends } from '../../src/select/blend-candidates.js';
import { geometryOf, type Candidate } from '../../src/select/candidate.js';
import { fitClosedForms } from '../../src/select/fit-closed-forms.js';
import { perplexityFor } from '../../src/select/training-schedules.js';
import type { TldrOptions } from '../../src/train/options.js';
import { trainTldr } from '../../src/train/tldr.js';

export interface Fit {
  readonly dim: number;
  readonly seed: number;
  readonly threads: number;
  /** Queries by which the start is judged, as `train` does: its recall sets the width of a neighbourhood. */
  readonly queries: Matrix;
  /** Steps as a share of those in `STEPS`. */
  readonly stepsShare: number;
  /** Also those that were tried as a middle way and are no candidates of the product. */
  readonly tried: boolean;
}

/** Fixed numbers of steps, so that a run repeats exactly. */
export const STEPS = { linear: 100, residual: 120, tldrMlp: 160, tldr: 120, short: 20, onward: 60 } as const;

const KL = { loss: 'neighbourhood-kl' } as const;
const NEIGHBOURS = { neighbourhoodKl: 100, tldr: 5 } as const;

interface Training {
  readonly name: string;
  readonly settings: Partial<TldrOptions> & { readonly steps: number };
  /** The linear encoder to start from; PCA's, a candidate's, or none for random weights. */
  readonly start?: string;
}

const PRODUCT: readonly Training[] = [
  { name: 'neighbourhood-kl', settings: { ...KL, steps: STEPS.linear }, start: 'pca-uncentred' },
  {
    name: 'neighbourhood-kl-residual',
    settings: {
      ...KL,
      encoder: RESIDUAL.encoder,
      learningRate: RESIDUAL.learningRate,
      steps: STEPS.residual,
    },
    start: 'neighbourhood-kl',
  },
  { name: 'tldr-mlp', settings: { ...BUDGET_TLDR, encoder: TLDR_MLP, steps: STEPS.tldrMlp } },
  { name: 'linear TLDR from random weights', settings: { ...BUDGET_TLDR, steps: STEPS.tldr } },
];

const TRIED: readonly Training[] = [
  {
    name: 'linear TLDR from `neighbourhood-kl`',
    settings: { ...BUDGET_TLDR, learningRate: 0.0001, steps: STEPS.tldr },
    start: 'neighbourhood-kl',
  },
  {
    name: '`neighbourhood-kl` from linear TLDR',
    settings: { ...KL, learningRate: 0.003, steps: STEPS.short },
    start: 'linear TLDR from random weights',
  },
  {
    name: 'residual TLDR from `neighbourhood-kl`',
    settings: { ...BUDGET_TLDR, encoder: 'residual-512', steps: STEPS.onward },
    start: 'neighbourhood-kl',
  },
];

/** Fits the candidates of both aims and those between them to the rows of x, compared by cosine. */
export async function fitCandidates(x: Matrix, fit: Fit): Promise<readonly Candidate[]> {
  const { dim, seed, threads, queries, stepsShare, tried } = fit;
  const shared = { distance: 'cosine', seed, threads } as const;
  const geometry = geometryOf(x, 'cosine', 'cosine');
  const closed = await fitClosedForms(x, { dim, seed, threads, geometry, fitQueries: null });
  const directions = closed.directions.forTraining;
  const graphs = {
    'neighbourhood-kl': await buildKnnGraph(x, { ...shared, k: NEIGHBOURS.neighbourhoodKl }),
    'barlow-twins': await buildKnnGraph(x, { ...shared, k: NEIGHBOURS.tldr }),
  };
  const pca = pcaNetwork(closed.axes, { dim, distance: 'cosine' });
  const benchmark = await createBenchmark({ base: x, queries, distance: 'cosine' }, { threads });
  const start = await neighborRecall(
    benchmark,
    { network: pca, compactDistance: 'cosine', seed },
    { threads },
  );
  const perplexity = perplexityFor(start.recallAt10);
  const networks = new Map<string, EncoderNetwork>([['pca-uncentred', pca]]);
  const trained: Candidate[] = [];
  for (const { name, settings, start: from } of tried ? [...PRODUCT, ...TRIED] : PRODUCT) {
    const { loss = 'neighbourhood-kl' } = settings;
    const initialWeight = from === undefined ? undefined : networks.get(from)?.layers[0]?.weight;
    const { network, totalSteps, secondsPerStep } = await trainTldr(
      x,
      {
        ...settings,
        ...shared,
        perplexity,
        epochs: null,
        steps: Math.round(settings.steps * stepsShare),
        nNeighbors: graphs[loss].k,
        outputDim: dim,
        compactDistance: 'cosine',
        ...(initialWeight === undefined ? {} : { initialWeight }),
        ...(directions === undefined ? {} : { directions }),
      },
      { graph: graphs[loss] },
    );
    networks.set(name, network);
    trained.push({
      name,
      network,
      distances: ['cosine'],
      hyperParameters: { steps: totalSteps },
      seconds: secondsPerStep * totalSteps,
    });
  }
  return [...closed.candidates, ...trained, ...(await fitBlends(x, trained, { dim, threads }))];
}
