export { openQdrant, type OpenQdrantOptions } from '../adapters/qdrant/open-qdrant.js';
export type { Distance } from './core/distance.js';
export { Encoder, type EncoderLayer, type EncoderMetadata, type EncoderNetwork } from './core/encoder.js';
export { isTldrError, TldrError, type ErrorCode } from './core/errors.js';
export { matrix, matrixFromRows, type Matrix } from './core/matrix.js';
export type { PointId } from './core/point-id.js';
export type { Log, Progress, RunOptions } from './core/run.js';
export type * from './core/vector-store.js';
export {
  createBenchmark,
  neighborRecall,
  type Benchmark,
  type NeighborRecall,
} from './evaluate/neighbor-recall.js';
export {
  choosePlan,
  parseTarget,
  planReportRows,
  type PlanChoice,
  type PlanReportRow,
  type PlanRow,
  type PlanTarget,
  type StorageKind,
} from './evaluate/plan.js';
export { buildKnnGraph, type KnnOptions } from './knn/build-knn-graph.js';
export { exactTopK, type ExactOptions } from './knn/exact.js';
export type { KnnGraph } from './knn/knn-graph.js';
export {
  migrateCollection,
  type MigrateOptions,
  type MigrationReport,
} from './migrate/migrate-collection.js';
export { planMigration, type MigrationPlan, type MigrationRequest } from './migrate/plan-migration.js';
export { verifyMigration, type VerifyReport } from './migrate/verify-migration.js';
export { runPlan, type PlanEncoder, type PlanResult } from './select/plan-collection.js';
export { preparePlan, type PlanOptions, type PlanSetup } from './select/plan-setup.js';
export {
  trainEncoder,
  type CandidateReport,
  type TrainEncoderOptions,
  type TrainEncoderResult,
  type TrainReport,
} from './select/train-encoder.js';
export { REFERENCE, type TrainSettings } from './train/train-options.js';
export { parseTrainState, serializeTrainState, type TrainState } from './train/train-state.js';
export { trainTldr, type TldrResult } from './train/train-tldr.js';
