import { matrix, type Matrix } from '../../../src/core/matrix.js';
import { Encoder } from '../../../src/encoder/model.js';
import type { EncoderScriptNames } from '../../../src/store/adapter.js';
import { literal, quoted } from '../catalog/identifiers.js';
import { composeLayers, type LinearMap } from './compose-layers.js';

/** Most components of a row of weights: a row must fit into one page of 8 kB, since it is not compressed or moved out. */
const PART_COMPONENTS = 1_900;
/** Digits of the fingerprint in names. */
const NAME_DIGITS = 12;
/** The largest difference from the encoder that the script accepts. */
const TOLERANCE = 1e-5;

/** The names that one projection has in the database. */
interface ProjectionNames {
  readonly schema: string;
  readonly extension: string;
  readonly weights: string;
  readonly function: string;
}

/**
 * Returns a script that makes the encoder's tables of weights and its functions, and checks these. A symmetric encoder
 * has one function, any other a second one for queries.
 * @throws UNSUPPORTED when a layer is not linear
 */
export function encoderScript(file: Uint8Array, names: EncoderScriptNames): string {
  const encoder = Encoder.fromBytes(file);
  const { fingerprint, inputDim, outputDim, metadata, symmetric } = encoder;
  const schema = quoted(names.schema);
  return `-- Encoder ${fingerprint}: ${inputDim} to ${outputDim} dimensions.
-- Compare compact vectors by ${metadata.compactDistance}. ${symmetric ? 'One function projects rows and queries.' : 'Queries have a function of their own.'}
-- To let a role use it: grant usage on schema ${schema}, and select on the tables below.
begin;
create schema if not exists ${schema};
${encoderStatements(encoder, names)}commit;
`;
}

/** The part of a fingerprint that stands in the names of an encoder's tables and functions. */
export function encoderId(fingerprint: string): string {
  return fingerprint.slice(0, NAME_DIGITS);
}

/** Returns the statements that make the encoder's weights and functions in an existing schema. */
export function encoderStatements(encoder: Encoder, { schema, extensionSchema }: EncoderScriptNames): string {
  const { fingerprint, inputDim, symmetric } = encoder;
  const id = encoderId(fingerprint);
  const names = (kind: string): ProjectionNames => ({
    schema: quoted(schema),
    extension: quoted(extensionSchema),
    weights: `${quoted(schema)}.${quoted(`weights_${kind}${id}`)}`,
    function: `${quoted(schema)}.${quoted(`project_${kind}${id}`)}`,
  });
  const sample = sampleVector(inputDim);
  const points = projectionScript(composeLayers(encoder.network), names(''), [
    sample,
    encoder.project(sample),
  ]);
  const queries = symmetric
    ? ''
    : projectionScript(composeLayers(encoder.queryNetwork), names('query_'), [
        sample,
        encoder.projectQueries(sample),
      ]);
  return `${points}${queries}`;
}

/** A vector that uses every weight. */
function sampleVector(dim: number): Matrix {
  return matrix(
    1,
    dim,
    Float32Array.from({ length: dim }, (_, i) => Math.cos(i + 1)),
  );
}

function projectionScript(
  map: LinearMap,
  names: ProjectionNames,
  [sample, expected]: readonly [Matrix, Matrix],
): string {
  const { extension, weights } = names;
  return `
create table if not exists ${weights} (output int, part int, weights ${extension}.vector not null, bias float8 not null, primary key (output, part));
alter table ${weights} alter column weights set storage plain;
${weightRows(map, weights)}
${functionText(map, names)}
do $check$
begin
  if ${extension}.l1_distance(${names.function}(${vectorText(sample.data, extension)}), ${vectorText(expected.data, extension)}) > ${TOLERANCE * Math.max(1, ...expected.data.map(Math.abs)) * map.outputDim} then
    raise exception 'the function does not agree with the encoder: nothing was made';
  end if;
end $check$;
`;
}

function vectorText(values: ArrayLike<number>, extension: string): string {
  return `'[${Array.from(values, (value) => Math.fround(value)).join(',')}]'::${extension}.vector`;
}

function weightRows({ inputDim, outputDim, weights, bias }: LinearMap, table: string): string {
  const rows: string[] = [];
  for (let output = 0; output < outputDim; output++) {
    for (let start = 0; start < inputDim; start += PART_COMPONENTS) {
      const end = Math.min(inputDim, start + PART_COMPONENTS);
      const values = Array.from(
        weights.subarray(output * inputDim + start, output * inputDim + end),
        Math.fround,
      );
      const own = start === 0 ? (bias[output] ?? Number.NaN) : 0;
      rows.push(
        `insert into ${table} values (${output}, ${start / PART_COMPONENTS}, '[${values.join(',')}]', ${own}) on conflict (output, part) do nothing;`,
      );
    }
  }
  return rows.join('\n');
}

/** The function looks all rows of weights up each time, so that it can never work with a part of them. */
function functionText(map: LinearMap, { extension, weights, function: name }: ProjectionNames): string {
  const { inputDim, outputDim, normalizesInput, normalizesOutput } = map;
  const parts = Math.ceil(inputDim / PART_COMPONENTS);
  // Both calls copy the argument, which would else be read again from its compressed form for each row of weights.
  const copied = normalizesInput
    ? `${extension}.l2_normalize(full_vector)`
    : `${extension}.subvector(full_vector, 1, ${inputDim})`;
  const part =
    parts === 1
      ? 'own'
      : `${extension}.subvector(own, part * ${PART_COMPONENTS} + 1, least(${PART_COMPONENTS}, ${inputDim} - part * ${PART_COMPONENTS}))`;
  const compact = `compact::${extension}.vector(${outputDim})`;
  return `create or replace function ${name}(full_vector ${extension}.vector) returns ${extension}.vector
language plpgsql immutable strict parallel safe as $project$
declare
  own ${extension}.vector;
  compact float8[];
  found bigint;
begin
  if ${extension}.vector_dims(full_vector) <> ${inputDim} then
    raise exception 'cannot project a vector of % dimensions: expected ${inputDim}', ${extension}.vector_dims(full_vector)
      using errcode = 'data_exception';
  end if;
  own := ${copied};
  select pg_catalog.array_agg(value order by output), pg_catalog.sum(rows) into compact, found from (
    select output, pg_catalog.sum(bias + ${extension}.inner_product(weights, ${part})) as value, pg_catalog.count(*) as rows
    from ${weights} group by output) outputs;
  if found is distinct from ${outputDim * parts} then
    raise exception ${literal(`the weights in ${weights} are missing or incomplete: run the script of this encoder again`)}
      using errcode = 'data_corrupted';
  end if;
  return ${normalizesOutput ? `${extension}.l2_normalize(${compact})` : compact};
end $project$;`;
}
