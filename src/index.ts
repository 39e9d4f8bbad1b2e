export type { Distance } from './core/distance.js';
export { Encoder, type EncoderLayer, type EncoderMetadata, type EncoderNetwork } from './encoder/model.js';
export { isTldrError, TldrError, type ErrorCode } from './core/errors.js';
export { matrix, matrixFromRows, type Matrix } from './core/matrix.js';
export type { PointId } from './core/point-id.js';
export type { Log, Progress, RunOptions } from './core/run.js';
export type { ServeOptions } from './store/check-served.js';
export type { VectorProjector } from './store/served.js';
export type * from './store/vector-store.js';
export {
  compareCollections,
  type CollectionComparison,
  type CompareCollectionsOptions,
} from './evaluate/compare-collections.js';
export { judgeEncoder, type EncoderJudgement, type JudgeEncoderOptions } from './evaluate/score-encoder.js';
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
  type SizingRow,
  type PlanTarget,
  type StorageKind,
} from './plan/sizing-row.js';
export { buildKnnGraph, type KnnOptions } from './knn/build-knn-graph.js';
export { exactTopK, type ExactOptions } from './knn/exact.js';
export type { KnnGraph } from './knn/graph.js';
export {
  cutOver,
  FORCE_WORDS,
  type CutOverRequest,
  type Switch,
} from './migrate/cutover/cut-over-by-alias.js';
export {
  abortMigration,
  completeMigration,
  pauseMigration,
  type Abortion,
  type CompleteRequest,
  type Completion,
} from './migrate/cutover/end-migration.js';
export type { RecordedMigration } from './migrate/state/locked.js';
export {
  migrateCollection,
  type MigrateOptions,
  type MigrationReport,
} from './migrate/run/migrate-collection.js';
export type { EventFacts, MigrationEvent, MigrationHook } from './migrate/plan/migration-events.js';
export { migrationStatus, type MigrationStatus } from './migrate/run/migration-status.js';
export { planMigration, type MigrationPlan, type MigrationRequest } from './migrate/plan/migration.js';
export { recordFile } from './migrate/state/in-file.js';
export type { StateLocation } from './migrate/state/location.js';
export {
  FORCE_BACK_WORDS,
  rollBack,
  type RollBackRequest,
  type WayBack,
} from './migrate/cutover/roll-back.js';
export { verifyMigration, type VerifyReport } from './migrate/verify/all-points.js';
export { verifyRecorded, type VerifyRequest } from './migrate/verify/from-state.js';
export { runPlan, type PlanEncoder, type PlanResult } from './plan/collection.js';
export { preparePlan, type PlanOptions, type PlanSetup } from './plan/setup.js';
export { trainEncoder, type TrainEncoderResult } from './select/train-encoder.js';
export type { TrainEncoderOptions } from './select/train-encoder-options.js';
export type { CandidateReport, TrainReport } from './select/train-report.js';
export { REFERENCE, type TrainSettings } from './train/options.js';
export { parseTrainState, serializeTrainState, type TrainState } from './train/state.js';
export { trainTldr, type TldrResult } from './train/tldr.js';
