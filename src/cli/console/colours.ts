import { styleText } from 'node:util';

/** What a text is, for its colour. */
export type Tone = 'good' | 'bad' | 'warning' | 'chosen' | 'command';

const STYLES = {
  good: 'green',
  bad: 'red',
  warning: 'yellow',
  chosen: 'bold',
  command: 'cyan',
} as const satisfies Record<Tone, Parameters<typeof styleText>[0]>;

/**
 * Returns the text in the colour of its tone if the stream is a terminal with colours. NO_COLOR, FORCE_COLOR and TERM
 * have their usual meanings. A pipe or a file gets the text as it is.
 */
export function painted(text: string, tone: Tone, stream: NodeJS.WriteStream): string {
  if (!stream.isTTY || !stream.hasColors()) return text;
  // The stream was looked at above: by default, newer versions of Node look at standard output instead.
  return styleText(STYLES[tone], text, { validateStream: false });
}
