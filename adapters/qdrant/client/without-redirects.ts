import { isRedirect, RedirectError } from '../../../src/core/masked-address-and-redirect.js';

/** An operation of the official client. */
export type Call<Payload> = (payload: Payload, init?: unknown) => Promise<ApiResponse>;

export interface ApiResponse {
  readonly data: unknown;
  readonly status: number;
}

/** The client's error for an answer with an error status. */
export interface Answered extends Error, ApiResponse {
  readonly headers: unknown;
  readonly url: string;
  readonly statusText: string;
}

/** Returns whether an error of the client holds an answer. */
export function isAnswered(error: unknown): error is Answered {
  return error instanceof Error && 'status' in error && typeof error.status === 'number' && 'data' in error;
}

/** Returns the operation with redirects refused: `fetch` would send the client's API key to their address. */
export function withoutRedirects<Payload>(call: Call<Payload>): Call<Payload> {
  return async (payload, init) => {
    const options = typeof init === 'object' && init !== null ? init : {};
    try {
      return await call(payload, { ...options, redirect: 'manual' });
    } catch (error) {
      if (!isAnswered(error) || !isRedirect(error.status)) throw error;
      const { headers, url: from, status } = error;
      const location = headers instanceof Headers ? (headers.get('location') ?? undefined) : undefined;
      throw new RedirectError({ from, status, location, setting: 'the url of the QdrantClient' });
    }
  };
}
