/** Lowest level that TensorFlow's C library writes to standard error: errors. */
const ERRORS = '2';

/** Keeps what TensorFlow says about itself when it is loaded off standard error, unless the user set a level. */
export function hideTensorflowLog(environment: NodeJS.ProcessEnv = process.env): void {
  environment['TF_CPP_MIN_LOG_LEVEL'] ??= ERRORS;
}
