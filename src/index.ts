export {
  withProjection,
  type ProjectableClient,
  type ProjectedCollection,
  type ProjectionOptions,
} from '../adapters/qdrant/client/with-projection.js';
export { openQdrant, type OpenQdrantOptions } from '../adapters/qdrant/open-qdrant.js';
export type { Distance } from './core/distance.js';
export { Encoder, type EncoderLayer, type EncoderMetadata, type EncoderNetwork } from './core/encoder.js';
export { isTldrError, TldrError, type ErrorCode } from './core/errors.js';
export { matrix, matrixFromRows, type Matrix } from './core/matrix.js';
export type { PointId } from './core/point-id.js';
export type { Log, Progress, RunOptions } from './core/run.js';
export type { ServeOptions } from './core/serve-collection.js';
export type { VectorProjector } from './core/served-collection.js';
export type * from './core/vector-store.js';
export {
  compareCollections,
  type CollectionComparison,
  type CompareOptions,
} from './evaluate/compare-collections.js';
export { judgeEncoder, type EncoderJudgement, type JudgeEncoderOptions } from './evaluate/judge-encoder.js';
export {
  createBenchmark,
  neighborRecall,
  type Benchmark,
  type NeighborRecall,
} from './evaluate/neighbor-recall.js';
export { rankingQuality, type RankingQuality, type Relevance } from './evaluate/relevance.js';
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
export { cutOver, FORCE_WORDS, type CutOverRequest, type Switch } from './migrate/cut-over.js';
export {
  abortMigration,
  completeMigration,
  pauseMigration,
  type Abortion,
  type CompleteRequest,
  type Completion,
} from './migrate/end-migration.js';
export type { RecordedMigration } from './migrate/held-record.js';
export {
  migrateCollection,
  type MigrateOptions,
  type MigrationReport,
} from './migrate/migrate-collection.js';
export type { EventFacts, MigrationEvent, MigrationHook } from './migrate/migration-events.js';
export { migrationStatus, type MigrationStatus } from './migrate/migration-status.js';
export { planMigration, type MigrationPlan, type MigrationRequest } from './migrate/plan-migration.js';
export { recordFile } from './migrate/record-file.js';
export type { RecordPlace } from './migrate/record-place.js';
export { FORCE_BACK_WORDS, rollBack, type RollBackRequest, type WayBack } from './migrate/roll-back.js';
export { verifyMigration, type VerifyReport } from './migrate/verify-migration.js';
export { verifyRecorded, type VerifyRequest } from './migrate/verify-recorded.js';
export { runPlan, type PlanEncoder, type PlanResult } from './select/plan-collection.js';
export { preparePlan, type PlanOptions, type PlanSetup } from './select/plan-setup.js';
export { trainEncoder, type TrainEncoderResult } from './select/train-encoder.js';
export type { TrainEncoderOptions } from './select/train-encoder-options.js';
export type { CandidateReport, TrainReport } from './select/train-report.js';
export { REFERENCE, type TrainSettings } from './train/train-options.js';
export { parseTrainState, serializeTrainState, type TrainState } from './train/train-state.js';
export { trainTldr, type TldrResult } from './train/train-tldr.js';
