import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { escapeXml, junitXml } from '../../../src/cli/evaluate/junit.js';

test('a report names every case, counts failures and holds the measures', () => {
  const xml = junitXml({
    name: 'docs -> "docs" & <co>',
    seconds: 1.5,
    properties: new Map([['recall@10', '0.9']]),
    cases: [
      { name: 'recall@10>=0.85', output: 'recall@10 = 0.9' },
      { name: 'min>=0.5', output: 'min@10 = 0.4', failure: 'min@10 = 0.4, expected min>=0.5' },
    ],
  });
  expect(xml).toBe(`<?xml version="1.0" encoding="UTF-8"?>
<testsuites tests="2" failures="1" errors="0" time="1.500">
  <testsuite name="docs -&gt; &quot;docs&quot; &amp; &lt;co&gt;" tests="2" failures="1" errors="0" time="1.500">
    <properties>
      <property name="recall@10" value="0.9"/>
    </properties>
    <testcase classname="qdrant-tldr.evaluate" name="recall@10&gt;=0.85" time="0">
      <system-out>recall@10 = 0.9</system-out>
    </testcase>
    <testcase classname="qdrant-tldr.evaluate" name="min&gt;=0.5" time="0">
      <failure message="min@10 = 0.4, expected min&gt;=0.5">min@10 = 0.4, expected min&gt;=0.5</failure>
      <system-out>min@10 = 0.4</system-out>
    </testcase>
  </testsuite>
</testsuites>
`);
});

test('whatever a collection is called, the report stays XML', () => {
  expect(escapeXml('a\u0000b\u001b\uFFFE')).toBe('a\uFFFDb\uFFFD\uFFFD');
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (name) => {
      expect(escapeXml(name)).not.toMatch(/[<>"\t\n\r\0\uFFFE]|&(?!(amp|lt|gt|quot|#9|#10|#13);)/);
    }),
    { seed: 7 },
  );
});
