import { isTldrError, messageOf } from '../../core/errors.js';
import type { EngineCheck } from './check-engine.js';
import type { EngineChoice } from './engine-report.js';

/** Runs in a process of its own, so that a library that does not suit the processor ends that process alone. */
async function check(choice: EngineChoice): Promise<EngineCheck> {
  if (choice.engine === 'tfjs') {
    const { loadTfjs } = await import('./tfjs-backend.js');
    const { report, fellBack } = await loadTfjs(choice);
    return { report, fellBack };
  }
  const { findOnnxDevice } = await import('./onnx-executor.js');
  return findOnnxDevice(choice);
}

process.once('message', (choice: EngineChoice) => {
  void check(choice)
    .catch((error: unknown) => ({
      message: messageOf(error),
      fields: isTldrError(error) ? { ...error.fields, hint: error.hint } : {},
    }))
    // Without the channel to its parent, the process has nothing left to wait for.
    .then((answer) => process.send?.(answer, () => process.disconnect()));
});
