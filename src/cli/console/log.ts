import type { Logger } from 'pino';
import type { Config } from '../../config/load.js';
import type { Log } from '../../core/run-options.js';
import { withAdvice } from './advice.js';
import { painted } from './colours.js';
import { terminalColumns, wrapWords } from './wrap-words.js';

/**
 * Opens the structured log on standard error: lines for people on a terminal, lines of JSON elsewhere. If logs are
 * silent, warnings are printed as plain lines.
 * @param beforeLine is called before each line, so that lines that are rewritten in place can make way
 */
export async function openLog(
  level: Config['logLevel'],
  beforeLine: () => void = () => undefined,
): Promise<Log> {
  const logger = level === 'silent' ? null : await openLogger(level);
  return (of, told, fields = {}) => {
    const message = withAdvice(told, fields);
    if (logger !== null) {
      if (logger.isLevelEnabled(of)) beforeLine();
      logger[of](fields, message);
    } else if (of === 'warn') {
      beforeLine();
      const line = `${painted('warning:', 'warning', process.stderr)} ${message}`;
      console.error(wrapWords(line, terminalColumns(process.stderr)));
    }
  };
}

async function openLogger(level: Config['logLevel']): Promise<Logger> {
  const { pino } = await import('pino');
  if (!process.stderr.isTTY) return pino({ level }, pino.destination({ dest: 2, sync: true }));
  const { default: pretty } = await import('pino-pretty');
  const lines = pretty({
    destination: 2,
    sync: true,
    colorize: process.stderr.hasColors(),
    ignore: 'pid,hostname',
    translateTime: 'SYS:HH:MM:ss',
  });
  return pino({ level }, lines);
}
