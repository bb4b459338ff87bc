// HTTP, as every page speaks it. Every change carries an idempotency key, and is repeated with the
// same key for as long as its outcome is not known: the server answers a repeated key with its
// first answer.

const ATTEMPTS = 5;
const TIMEOUT_MS = 15_000;

/** The server's no: an RFC 9457 problem document. Nothing was changed. */
export class Problem extends Error {
  constructor(document) {
    super(document.detail || document.title || "The server refused.");
    this.document = document;
    this.status = document.status;
    this.code = document.code;
  }

  /** Whether the same request may get another answer later: not an outcome, only a delay. */
  get passing() {
    return this.status >= 500 || this.code === "overloaded";
  }

  /** The field of the request that is not as it should be, or undefined. */
  get field() {
    return this.code === "invalid_request" ? /\$\.(\w+)/.exec(this.message)?.[1] : undefined;
  }

  get retryAfterMs() {
    return Math.min(Number(this.document.retry_after_s) || 1, 30) * 1000;
  }
}

/** No answer came. Whether the request was carried out is not known. */
export class Lost extends Error {}

/** 128 random bits. `crypto.randomUUID` is missing on plain-HTTP pages, so not that. */
export function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export function wait(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/**
 * How a page speaks to the server. `token()` is whose session it is, or ""; `over(problem)` hears
 * that the session of that token has ended.
 *
 * `attempt` is one request: the decoded answer, a `Problem`, or `Lost`. `get` and `post` may be
 * repeated without harm: they go on until they are answered or attempts run out.
 */
export function caller({ token, over }) {
  async function attempt(method, path, { body, key, timeoutMs = TIMEOUT_MS } = {}) {
    const mine = token();
    const headers = { Accept: "application/json" };
    if (mine) headers.Authorization = `Bearer ${mine}`;
    if (key) headers["Idempotency-Key"] = key;
    if (body !== undefined) headers["Content-Type"] = "application/json";
    let response;
    let answer;
    try {
      response = await fetch(path, {
        method,
        headers,
        body: body === undefined ? undefined : JSON.stringify(body),
        signal: AbortSignal.timeout(timeoutMs),
      });
      answer = response.status === 204 ? null : await response.json();
    } catch {
      // Cut off, timed out, or something in between answered in another language than JSON.
      throw new Lost("No answer came from Grandstand.");
    }
    if (response.ok) return answer;
    const retryAfter = response.headers.get("Retry-After");
    const problem = new Problem({
      ...answer,
      status: response.status,
      ...(retryAfter && { retry_after_s: retryAfter }),
    });
    // Somebody may have logged in anew meanwhile.
    if (problem.code === "unauthenticated" && mine && mine === token()) over(problem);
    throw problem;
  }

  async function persist(method, path, options) {
    for (let tried = 1; ; tried++) {
      try {
        return await attempt(method, path, options);
      } catch (error) {
        const again = error instanceof Lost || (error instanceof Problem && error.passing);
        if (!again || tried === ATTEMPTS) throw error;
        await wait(error instanceof Problem ? error.retryAfterMs : 250 * 2 ** tried);
      }
    }
  }

  return {
    attempt,
    get(path, query = {}) {
      const given = Object.entries(query).filter(([, value]) => value);
      const search = new URLSearchParams(given).toString();
      return persist("GET", search ? `${path}?${search}` : path, {});
    },
    post: (path, body, key, options = {}) => persist("POST", path, { body, key, ...options }),
  };
}

/** What to tell whoever is there about an error of any kind. */
export function explain(error) {
  if (error instanceof Lost) {
    return "We could not reach Grandstand. Check your connection and try again.";
  }
  if (error.code === "rate_limited") return `Too many attempts. ${error.message}`;
  if (error.code === "payment_pending") {
    return "The processor has not answered yet. Press again to ask it: nothing is paid twice.";
  }
  if (error instanceof Problem && error.passing) {
    return "Grandstand is very busy just now. Please try again in a moment.";
  }
  return error.message;
}
