export { Encoder, type EncoderLayer, type EncoderMetadata, type EncoderNetwork } from './core/encoder.js';
export { TldrError, isTldrError, type ErrorCode } from './core/errors.js';
export type { Distance } from './core/distance.js';
export { matrix, matrixFromRows, type Matrix } from './core/matrix.js';
export type { PointId } from './core/point-id.js';
export type { Log, Progress, RunOptions } from './core/run.js';
export type * from './core/vector-store.js';
