import { TldrError } from '../../../src/core/errors.js';
import { matrix, type Matrix } from '../../../src/core/matrix.js';
import { Encoder, type EncoderNetwork } from '../../../src/encoder/model.js';
import type { EncoderScript, EncoderScriptNames } from '../../../src/store/adapter.js';
import { literal, quoted } from '../catalog/identifiers.js';
import { grantedPolicy } from '../catalog/granted-policy.js';
import { composeLayers, type LinearMap } from './compose-layers.js';

/** Type of the column of weights. */
export type WeightsType = 'vector' | 'halfvec';

/** Types of the weights that a database has of an encoder; null where it has none. */
export interface StoredWeights {
  readonly points: WeightsType | null;
  readonly queries: WeightsType | null;
}

/** How weights are stored. */
interface WeightsForm {
  readonly type: WeightsType;
  /** Most components of a row: it must fit into one page of 8 kB, since it is not compressed or moved out. */
  readonly partComponents: number;
  /** The largest difference from the encoder that the script accepts, per component. */
  readonly tolerance: number;
}
const FORMS = {
  float32: { type: 'vector', partComponents: 1_900, tolerance: 1e-5 },
  float16: { type: 'halfvec', partComponents: 3_800, tolerance: 1e-3 },
} as const satisfies Readonly<Record<string, WeightsForm>>;
/** The largest number in half precision. */
const HALF_MAX = 65_504;
/** Digits of the fingerprint in names. */
const NAME_DIGITS = 12;

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
export function encoderScript(file: Uint8Array, names: EncoderScriptNames): EncoderScript {
  const encoder = Encoder.fromBytes(file);
  const { fingerprint, inputDim, outputDim, metadata, symmetric } = encoder;
  const schema = quoted(names.schema);
  const notes = encoderNotes(encoder, names);
  const text = `-- Encoder ${fingerprint}: ${inputDim} to ${outputDim} dimensions.
-- Compare compact vectors by ${metadata.compactDistance}. ${symmetric ? 'One function projects rows and queries.' : 'Queries have a function of their own.'}
-- To let a role use it: grant usage on schema ${schema}, and select on the tables below.
${notes.map((note) => `-- ${note}\n`).join('')}begin;
create schema if not exists ${schema};
${encoderStatements(encoder, names, null)}commit;
`;
  return { text, notes };
}

/** Returns what a user should know of an encoder's weights, for people. */
export function encoderNotes(encoder: Encoder, { weights }: EncoderScriptNames): readonly string[] {
  const { inputDim } = encoder;
  if (weights !== undefined || formOf(composeLayers(encoder.network), weights) === FORMS.float32) return [];
  return [
    `The weights are in half precision: of ${inputDim} dimensions, a row of weights in full precision does not fit into a page.`,
  ];
}

/** Returns the asked form, or half precision where a row of weights does not fit into a page. @throws UNSUPPORTED */
function formOf({ inputDim, weights }: LinearMap, asked: EncoderScriptNames['weights']): WeightsForm {
  const isTooLarge = weights.some((weight) => Math.abs(weight) > HALF_MAX);
  if (asked === 'float16' && isTooLarge)
    throw new TldrError(
      'UNSUPPORTED',
      `this encoder has weights beyond ${HALF_MAX.toLocaleString('en-US')}, which half precision cannot hold`,
    );
  if (asked !== undefined) return FORMS[asked];
  return inputDim > FORMS.float32.partComponents && !isTooLarge ? FORMS.float16 : FORMS.float32;
}

function formOfType(type: WeightsType): WeightsForm {
  return type === 'halfvec' ? FORMS.float16 : FORMS.float32;
}

/** The part of a fingerprint that stands in the names of an encoder's tables and functions. */
export function encoderId(fingerprint: string): string {
  return fingerprint.slice(0, NAME_DIGITS);
}

/**
 * Returns the statements that make the encoder's weights and functions in an existing schema.
 * @param stored what the statements keep as it is; null to change the weights to the asked precision if nothing uses them
 */
export function encoderStatements(
  encoder: Encoder,
  { schema, extensionSchema, weights }: EncoderScriptNames,
  stored: StoredWeights | null,
): string {
  const { fingerprint, inputDim, symmetric } = encoder;
  const id = encoderId(fingerprint);
  const names = (kind: string): ProjectionNames => ({
    schema: quoted(schema),
    extension: quoted(extensionSchema),
    weights: `${quoted(schema)}.${quoted(`weights_${kind}${id}`)}`,
    function: `${quoted(schema)}.${quoted(`project_${kind}${id}`)}`,
  });
  const sample = sampleVector(inputDim);
  const script = (kind: string, network: EncoderNetwork, type: WeightsType | null = null): string => {
    const map = composeLayers(network);
    const form = type === null ? formOf(map, weights) : formOfType(type);
    const onOtherType = stored === null ? 'change' : 'refuse';
    const expected = kind === '' ? encoder.project(sample) : encoder.projectQueries(sample);
    return projectionScript({ map, names: names(kind), form, fingerprint, onOtherType }, sample, expected);
  };
  const points = script('', encoder.network, stored?.points);
  return symmetric ? points : `${points}${script('query_', encoder.queryNetwork, stored?.queries)}`;
}

/** A vector that uses every weight. */
function sampleVector(dim: number): Matrix {
  return matrix(
    1,
    dim,
    Float32Array.from({ length: dim }, (_, i) => Math.cos(i + 1)),
  );
}

/** One map, its names in the database, and how its weights are stored. */
interface Projection {
  readonly map: LinearMap;
  readonly names: ProjectionNames;
  readonly form: WeightsForm;
  readonly fingerprint: string;
  /** What the script does with weights of another type. */
  readonly onOtherType: 'change' | 'refuse';
}

function projectionScript(projection: Projection, sample: Matrix, expected: Matrix): string {
  const { map, names, form } = projection;
  const { extension, weights } = names;
  const type = `${extension}.${form.type}`;
  const accepted = form.tolerance * Math.max(1, ...expected.data.map(Math.abs)) * map.outputDim;
  return `
create table if not exists ${weights} (output int, part int, weights ${type} not null, bias float8 not null, primary key (output, part));
do $form$
begin
  if exists (select from pg_catalog.pg_attribute a where a.attrelid = ${literal(weights)}::pg_catalog.regclass
      and a.attname = 'weights' and a.atttypid <> ${literal(type)}::pg_catalog.regtype) then
    -- An earlier script stored them in another precision.
${otherTypeText(projection, type)}
  end if;
end $form$;
alter table ${weights} alter column weights set storage plain;
${grantedPolicy(weights)};
${weightRows(projection)}
${functionText(projection)}
do $check$
begin
  if ${extension}.l1_distance(${names.function}(${vectorText(sample.data, extension)}), ${vectorText(expected.data, extension)}) > ${accepted} then
    raise exception 'the function does not agree with the encoder: nothing was made';
  end if;
end $check$;
`;
}

/** Weights that compact vectors were made by are never changed: later vectors would be projected in another way. */
function otherTypeText({ names, fingerprint, onOtherType }: Projection, type: string): string {
  const { schema, extension, weights, function: name } = names;
  if (onOtherType === 'refuse')
    return `    raise exception 'the precision of the weights in % was changed meanwhile: begin the migration, or write its steps, again', ${literal(weights)};`;
  const refuse = (use: string): string =>
    `raise exception '% uses the weights in %, so their precision cannot change', ${literal(use)}, ${literal(weights)};`;
  const migrations = `    if pg_catalog.to_regclass('"tldr"."migration"') is not null then
      if exists (select from "tldr"."migration" where fingerprint = ${literal(fingerprint)}) then
        ${refuse('a migration')}
      end if;
    end if;
`;
  return `    if exists (select from pg_catalog.pg_depend d where d.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass
        and d.refobjid = pg_catalog.to_regprocedure(${literal(`${name}(${extension}.vector)`)})
        and d.classid in ('pg_catalog.pg_class'::pg_catalog.regclass, 'pg_catalog.pg_attrdef'::pg_catalog.regclass)) then
      ${refuse('an index or a column')}
    end if;
${schema === '"tldr"' ? migrations : ''}    set local lock_timeout = '5s';
    truncate ${weights};
    alter table ${weights} alter column weights type ${type} using weights::${type};`;
}

function vectorText(values: ArrayLike<number>, extension: string): string {
  return `'[${Array.from(values, (value) => Math.fround(value)).join(',')}]'::${extension}.vector`;
}

function weightRows({ map, names, form }: Projection): string {
  const { inputDim, outputDim, weights, bias } = map;
  const { partComponents } = form;
  const rows: string[] = [];
  for (let output = 0; output < outputDim; output++) {
    for (let start = 0; start < inputDim; start += partComponents) {
      const end = Math.min(inputDim, start + partComponents);
      const values = Array.from(
        weights.subarray(output * inputDim + start, output * inputDim + end),
        Math.fround,
      );
      const own = start === 0 ? (bias[output] ?? Number.NaN) : 0;
      rows.push(
        `insert into ${names.weights} values (${output}, ${start / partComponents}, '[${values.join(',')}]', ${own}) on conflict (output, part) do nothing;`,
      );
    }
  }
  return rows.join('\n');
}

/** The function looks all rows of weights up each time, so that it can never work with a part of them. */
function functionText({ map, names, form }: Projection): string {
  const { extension, weights, function: name } = names;
  const { inputDim, outputDim, normalizesInput, normalizesOutput } = map;
  const { type, partComponents } = form;
  const parts = Math.ceil(inputDim / partComponents);
  const isHalf = type === 'halfvec';
  const unit = `${extension}.l2_normalize(full_vector)`;
  // Each copies the argument, which would else be read again from its compressed form for each row of weights. In half
  // precision, it is of unit length, since its values may be too large.
  const copied = isHalf
    ? `${unit}::${extension}.halfvec(${inputDim})`
    : normalizesInput
      ? unit
      : `${extension}.subvector(full_vector, 1, ${inputDim})`;
  const part =
    parts === 1
      ? 'own'
      : `${extension}.subvector(own, part * ${partComponents} + 1, least(${partComponents}, ${inputDim} - part * ${partComponents}))`;
  const scale = isHalf && !normalizesInput ? 'norm * ' : '';
  const compact = `compact::${extension}.vector(${outputDim})`;
  return `create or replace function ${name}(full_vector ${extension}.vector) returns ${extension}.vector
language plpgsql immutable strict parallel safe as $project$
declare
  own ${extension}.${type};${scale === '' ? '' : `\n  norm float8 := ${extension}.vector_norm(full_vector);`}
  compact float8[];
  found bigint;
begin
  if ${extension}.vector_dims(full_vector) <> ${inputDim} then
    raise exception 'cannot project a vector of % dimensions: expected ${inputDim}', ${extension}.vector_dims(full_vector)
      using errcode = 'data_exception';
  end if;
  own := ${copied};
  select pg_catalog.array_agg(value order by output), pg_catalog.sum(rows) into compact, found from (
    select output, pg_catalog.sum(bias + ${scale}${extension}.inner_product(weights, ${part})) as value, pg_catalog.count(*) as rows
    from ${weights} group by output) outputs;
  if found is distinct from ${outputDim * parts} then
    raise exception ${literal(`the weights in ${weights.replaceAll('%', '%%')} are missing or incomplete: run the script of this encoder again`)}
      using errcode = 'data_corrupted';
  end if;
  return ${normalizesOutput ? `${extension}.l2_normalize(${compact})` : compact};
end $project$;`;
}
