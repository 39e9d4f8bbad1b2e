import { basename } from 'node:path';
import { measuresOf, type TermResult } from '../../evaluate/acceptance.js';
import type { FormReport } from '../../evaluate/fidelity.js';

/** One test case of a JUnit report. */
export interface JunitCase {
  readonly name: string;
  /** The measured value, for people. */
  readonly output: string;
  /** Why it failed; absent when it passed. */
  readonly failure?: string;
}

/** Control characters that XML 1.0 cannot hold, in any form. */
const NOT_XML = /[^\t\n\r\u0020-\uD7FF\uE000-\uFFFD\u{10000}-\u{10FFFF}]/gu;

/** Escapes text for an element or for an attribute in double quotes. */
export function escapeXml(text: string): string {
  return text
    .replace(NOT_XML, '\uFFFD')
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
    .replaceAll('\t', '&#9;')
    .replaceAll('\n', '&#10;')
    .replaceAll('\r', '&#13;');
}

/** Returns a JUnit report of one suite, in the form that CI servers read. */
export function junitXml(suite: {
  readonly name: string;
  readonly seconds: number;
  readonly properties: ReadonlyMap<string, string>;
  readonly cases: readonly JunitCase[];
}): string {
  const { name, seconds, properties, cases } = suite;
  const failures = cases.filter(({ failure }) => failure !== undefined).length;
  const counts = `tests="${cases.length}" failures="${failures}" errors="0" time="${seconds.toFixed(3)}"`;
  const propertyLines = [...properties].map(
    ([key, value]) => `      <property name="${escapeXml(key)}" value="${escapeXml(value)}"/>`,
  );
  const caseLines = cases.flatMap((one) => [
    `    <testcase classname="qdrant-tldr.evaluate" name="${escapeXml(one.name)}" time="0">`,
    ...(one.failure === undefined
      ? []
      : [`      <failure message="${escapeXml(one.failure)}">${escapeXml(one.failure)}</failure>`]),
    `      <system-out>${escapeXml(one.output)}</system-out>`,
    '    </testcase>',
  ]);
  return [
    '<?xml version="1.0" encoding="UTF-8"?>',
    `<testsuites ${counts}>`,
    `  <testsuite name="${escapeXml(name)}" ${counts}>`,
    ...(propertyLines.length === 0 ? [] : ['    <properties>', ...propertyLines, '    </properties>']),
    ...caseLines,
    '  </testsuite>',
    '</testsuites>',
    '',
  ].join('\n');
}

/**
 * Returns a JUnit report: a test case per term, or without terms a passing one per measure. Measures are
 * properties too.
 */
export function evaluationJunit(
  form: FormReport,
  terms: readonly TermResult[],
  about: { readonly name: string; readonly encoder: string; readonly seconds: number },
): string {
  const measures = [...measuresOf(form)];
  return junitXml({
    name: about.name,
    seconds: about.seconds,
    properties: new Map([
      ['encoder', basename(about.encoder)],
      ['form', form.name],
      ...measures.map(([name, value]) => [name, String(value)] as const),
    ]),
    cases:
      terms.length === 0
        ? measures.map(([name, value]) => ({ name, output: `${name} = ${value}` }))
        : terms.map(({ text, metric, value, passed }) => {
            const output = `${metric} = ${value ?? 'not measured'}`;
            return { name: text, output, ...(passed ? {} : { failure: `${output}, expected ${text}` }) };
          }),
  });
}
