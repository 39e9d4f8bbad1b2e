import { isWithinNoise, type TrainReport } from '../../select/train-report.js';
import { table, type ConsoleRun } from '../console/run.js';

/** Prints the table of candidates; a star marks the candidate that is saved. */
export function printReport(run: ConsoleRun, report: TrainReport): void {
  const share = (value: number): string => (Number.isNaN(value) ? '-' : value.toFixed(3));
  run.say('');
  run.say(
    `recall of the true 10 nearest neighbours, ${report.inputDim} -> ${report.outputDim} dimensions; ${report.heldOutQueries} held-out queries choose, ${report.confirmQueries} others confirm:`,
  );
  if (report.fitQueries > 0)
    run.say(
      `leanvec-sphering was trained with ${report.fitQueries} other queries, which do not measure recall`,
    );
  const fidelity = report.objective === 'recall@10';
  const rows = [...report.candidates].sort((a, b) => b.objective - a.objective);
  run.say(
    table([
      [
        'candidate',
        ...(fidelity ? [] : [report.objective]),
        'recall@10',
        '95 % interval',
        'confirmed',
        'R10@30',
        'R10@100',
        'distance',
        'multiply-adds',
        'seconds',
      ],
      ...rows.map((one) => [
        `${one.name === report.shipped ? '* ' : '  '}${one.name}`,
        ...(fidelity ? [] : [share(one.objective)]),
        share(one.recallAt10),
        one.interval.map(share).join(' - '),
        share(fidelity ? one.confirmed.recallAt10 : one.confirmed.objective),
        share(one.r10At30),
        share(one.r10At100),
        one.compactDistance,
        one.multiplyAdds.toLocaleString('en-US'),
        one.seconds.toFixed(1),
      ]),
    ]),
  );
  if (report.leadOverPca !== null) {
    const points = report.leadOverPca.map((value) => `${value >= 0 ? '+' : ''}${(value * 100).toFixed(1)}`);
    if (isWithinNoise(report.leadOverPca))
      run.log(
        'warn',
        'the saved candidate is not shown to be better than PCA: the difference is within the noise of these queries; give more queries to tell them apart',
      );
    run.say(
      `* is saved; compared with the better PCA: ${points.join(' to ')} points of ${report.objective} (95 %, same queries); on the confirming queries ${(report.confirmedGap * 100).toFixed(1)} points below the best candidate`,
    );
  }
  if (report.graph !== null) {
    const { method, k, recall } = report.graph;
    const trained = report.training.map(({ name, steps }) => `${name} ${steps}`).join(', ');
    run.say(
      `steps: ${trained}; neighbours: ${method}, k ${k}, recall ${recall.toFixed(3)}; seed ${report.seed}; ${report.hardware}`,
    );
  }
  const { zeroRows, duplicateRows } = report.sample;
  if (zeroRows + duplicateRows > 0)
    run.say(`left out of the sample: ${zeroRows} zero vectors, ${duplicateRows} exact duplicates`);
}
