/**
 * Trains encoders, migrates collections and measures the result, whatever the database.
 * @module qdrant-tldr
 */
export type { Distance } from './core/distance.js';
export { Encoder, type EncoderLayer, type EncoderMetadata, type EncoderNetwork } from './encoder/model.js';
export type { SampleSummary } from './encoder/sample-summary.js';
export { type ErrorCode, type Hint, isTldrError, TldrError } from './core/errors.js';
export { matrix, matrixFromRows, type Matrix } from './core/matrix.js';
export type { PointId } from './core/point-id.js';
export type { Log, Progress, RunOptions } from './core/run-options.js';
export type { ServeOptions } from './store/check-served.js';
export type { VectorProjector } from './store/served.js';
export type * from './store/collection.js';
export type * from './store/copy-target.js';
export type * from './store/points.js';
export type * from './store/beside/projecting-source.js';
export type * from './store/beside/scratch-store.js';
export type * from './store/search.js';
export type * from './store/storage.js';
export type * from './store/vector-source.js';
export {
  compareCollections,
  type CollectionComparison,
  type CompareCollectionsOptions,
} from './evaluate/compare-collections.js';
export {
  judgeEncoder,
  type EncoderJudgement,
  type JudgeEncoderOptions,
  type SpaceReport,
} from './evaluate/score-encoder.js';
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
} from './plan/sizing-row.js';
export { buildKnnGraph, type KnnOptions } from './knn/build-knn-graph.js';
export { exactTopK, type ExactOptions } from './knn/exact-search-in-worker.js';
export type { KnnGraph } from './knn/graph.js';
export {
  cutOver,
  type CutOverRequest,
  type Switch,
  type CutOverReport,
} from './migrate/cutover/cut-over-by-alias.js';
export { FORCE_WORDS } from './migrate/cutover/force-words.js';
export {
  abortMigration,
  completeMigration,
  pauseMigration,
  type Abortion,
  type CompleteRequest,
  type Completion,
} from './migrate/cutover/end-migration.js';
export type { StartedMigration } from './migrate/state/with-lock.js';
export {
  migrateCollection,
  type MigrateOptions,
  type MigrationReport,
} from './migrate/run/migrate-collection.js';
export type { EventFacts, MigrationEvent, MigrationHook } from './migrate/plan/migration-events.js';
export {
  migrationStatus,
  type MigrationStatus,
  type NextStep,
  type WorkerStatus,
} from './migrate/run/migration-status.js';
export {
  planMigration,
  type MigrationPlan,
  type MigrationRequest,
  type PlanMigrationOptions,
} from './migrate/plan/migration.js';
export { stateFile } from './migrate/state/in-file.js';
export type { StateLocation } from './migrate/state/location.js';
export { rollBack, type RollBackRequest, type WayBack } from './migrate/cutover/roll-back.js';
export { FORCE_BACK_WORDS } from './migrate/cutover/force-words.js';
export { verifyMigration, type VerifyReport, type Writing } from './migrate/verify/all-points.js';
export { verifyAgain, type VerifyRequest } from './migrate/verify/from-state.js';
export { runPlan, type PlanEncoder, type PlanResult } from './plan/run-plan.js';
export { preparePlan, type PlanOptions, type PlanSetup, type DrawnSample } from './plan/prepare-plan.js';
export { trainEncoder, type TrainEncoderResult, type TrainDetails } from './select/train-encoder.js';
export type { StoredReport } from './select/judge-stored.js';
export type { NeighbourSearch, TrainEncoderOptions } from './select/train-encoder-options.js';
export type { LabelField, MeasuredCandidate, RelevanceReport } from './select/measure-relevance.js';
export type { OldAndNew } from './select/warm-start.js';
export type { HiddenWeights } from './train/model.js';
export type {
  CandidateReport,
  TrainReport,
  LearnedReport,
  RefitReport,
  TimeReport,
} from './select/train-report.js';
export {
  REFERENCE,
  type TrainSettings,
  type LossName,
  type OptimizerName,
  type TldrOptions,
} from './train/options.js';
export type { DeviceName, EngineChoice, EngineName, EngineReport } from './train/engine/engine-report.js';
export {
  parseTrainState,
  serializeTrainState,
  type EarlyStop,
  type SteadyRun,
  type TimeLimit,
  type TrainState,
} from './train/state.js';
export { trainTldr, type TldrResult, type TldrRun } from './train/tldr.js';
export type { PerQuery } from './core/recall-per-query.js';
export type { SampleFacts } from './core/clean-and-split-sample.js';
export type { RequestLimits } from './core/request-pacer.js';
export type { ReusedRowMemory } from './core/reused-row-memory.js';
export type { DriftMeasures, FormReport, Latency, Quality, RecallAtK } from './evaluate/fidelity.js';
export type { JudgedPoints } from './evaluate/judgements-of-existing-points.js';
export type { ExampleQueryResults } from './evaluate/example-queries.js';
export type { Strata, Stratum } from './evaluate/payload-strata.js';
export type { QuerySet } from './evaluate/send-queries.js';
export type { ProjectedTarget } from './store/projected-search.js';
export type { Fields, StateStore } from './store/state-store.js';
export type { StateBackend, TargetDescription } from './store/target-description.js';
export type { CatchUpRequest, CaughtUp } from './migrate/catch-up/repeat-passes.js';
export type { ThrottleSettings } from './migrate/throttle/settings.js';
export type { CutOver, Phase } from './migrate/state/migration-state.js';
export type { LoadSeen } from './migrate/throttle/throttle.js';
export type { ComparePointsOptions, Projector, Sides } from './migrate/points/compare-points.js';
export type { FitGap, RecallEvidence } from './plan/extrapolate-recall.js';
