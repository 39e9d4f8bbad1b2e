/** A .npy file as NumPy writes it. */
export function npyBytes(header: string, data: Uint8Array, version = 1): Buffer {
  const length = Buffer.alloc(version === 1 ? 2 : 4);
  if (version === 1) length.writeUInt16LE(header.length);
  else length.writeUInt32LE(header.length);
  return Buffer.concat([
    Buffer.from('\x93NUMPY', 'latin1'),
    Buffer.from([version, 0]),
    length,
    Buffer.from(header, 'latin1'),
    data,
  ]);
}

/** Whole numbers with one axis, in NumPy's type of that name. */
export function integerNpy(descr: string, values: readonly (number | bigint)[]): Buffer {
  const bytes = Number(descr.slice(2));
  const data = Buffer.alloc(values.length * bytes);
  values.forEach((value, i) => {
    let rest = BigInt.asUintN(bytes * 8, BigInt(value));
    for (let b = 0; b < bytes; b++) {
      data[i * bytes + b] = Number(rest & 255n);
      rest >>= 8n;
    }
  });
  return npyBytes(`{'descr': '${descr}', 'fortran_order': False, 'shape': (${values.length},), }\n`, data);
}
