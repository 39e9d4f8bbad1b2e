/**
 * Writes docs/images/report.png, the picture of a report that README shows: the first screen of the page that `shrink`
 * writes about the demo's embeddings, measured on the packaged server. Needs a build and Chromium; takes minutes.
 *
 *   node scripts/picture-of-report.mjs              # measures, then takes the picture
 *   node scripts/picture-of-report.mjs page.html    # takes the picture of a page that exists
 */
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { chromium } from 'playwright-core';
import { startLocalQdrant } from '../dist/adapters/qdrant/local/start.js';
import { readNpy } from '../dist/src/files/npy.js';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const PICTURE = join(ROOT, 'docs/images/report.png');
const BROWSER = process.env.CHROMIUM ?? '/usr/bin/chromium';
const WIDTH = 1060;
const BATCH = 500;

const [given] = process.argv.slice(2);
if (given === undefined) {
  const folder = await mkdtemp(join(tmpdir(), 'report-picture-'));
  const server = await startLocalQdrant();
  try {
    await load(server.url);
    await promisify(execFile)(
      process.execPath,
      [
        join(ROOT, 'dist/src/cli/main.js'),
        ...'shrink docs --yes --choose safe --report page.html'.split(' '),
      ],
      { cwd: folder, env: { ...process.env, QDRANT_URL: server.url, QDRANT_TLDR_GRPC_URL: server.grpcUrl } },
    );
    await takePicture(join(folder, 'page.html'));
  } finally {
    await server.stop();
    await rm(folder, { recursive: true, force: true });
  }
} else await takePicture(resolve(given));

/** Loads the demo's embeddings with their texts into the collection `docs`. */
async function load(url) {
  const { data, rows, cols } = await readNpy(join(ROOT, 'demo/data/base.npy'));
  const texts = (await readFile(join(ROOT, 'demo/data/base.txt'), 'utf8')).split('\n');
  const put = async (path, body) => {
    const response = await globalThis.fetch(`${url}${path}`, {
      method: 'PUT',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
    if (!response.ok) throw new Error(`${path}: ${await response.text()}`);
    await response.arrayBuffer();
  };
  await put('/collections/docs', { vectors: { size: cols, distance: 'Cosine' } });
  for (let start = 0; start < rows; start += BATCH) {
    const ids = Array.from({ length: Math.min(BATCH, rows - start) }, (_, i) => start + i);
    const points = ids.map((id) => ({
      id,
      vector: [...data.subarray(id * cols, (id + 1) * cols)],
      payload: { text: texts[id] },
    }));
    await put('/collections/docs/points?wait=true', { points });
  }
}

/** Takes the picture of a page's top: its title and its verdict. */
async function takePicture(page) {
  const browser = await chromium.launch({ executablePath: BROWSER, args: ['--headless', '--no-sandbox'] });
  try {
    const tab = await browser.newPage({ colorScheme: 'light', viewport: { width: WIDTH, height: 900 } });
    await tab.goto(pathToFileURL(page).href);
    const height = await tab.evaluate(
      "document.querySelector('.verdict').getBoundingClientRect().bottom + 28",
    );
    await tab.screenshot({ path: PICTURE, clip: { x: 0, y: 0, width: WIDTH, height }, fullPage: true });
  } finally {
    await browser.close();
  }
}
