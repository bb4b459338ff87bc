// Who is at the desk, and how it speaks to the server. The players' session is another one: a tab
// may have both.

import { Lost, newKey, Problem, wait } from "../api.js";
import { Signal } from "../store.js";

const KEY = "grandstand.desk";
const ATTEMPTS = 4;
const TIMEOUT_MS = 15_000;
const LADDER = ["viewer", "trader", "head_trader", "admin"];

function stored() {
  try {
    return JSON.parse(sessionStorage.getItem(KEY));
  } catch {
    return null; // what can't be read is as good as absent
  }
}

/** {token} and GET /v1/desk/me in one, or null. For this tab only: it ends with the tab. */
export const member = new Signal(null);
/** Why the session ended, for the log-in form; "" when the member chose so. */
export const ended = new Signal("");
/** Rises when somebody here has stopped something, or lifted a stop. */
export const stopped = new Signal(0);
/** "connecting", "live" or "lost". */
export const line = new Signal("connecting");

let token = stored()?.token ?? "";

export const tokenNow = () => token;

function keep(latest) {
  token = latest;
  try {
    if (latest) sessionStorage.setItem(KEY, JSON.stringify({ token: latest }));
    else sessionStorage.removeItem(KEY);
  } catch {
    // The page works without; it only forgets with a reload.
  }
}

/** Whether the member's role is enough. The server looks at it again. */
export function may(role) {
  const has = member.value?.role;
  return has !== undefined && LADDER.indexOf(has) >= LADDER.indexOf(role);
}

async function attempt(method, path, { body, key } = {}) {
  const headers = { Accept: "application/json" };
  const mine = token;
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
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    answer = response.status === 204 ? null : await response.json();
  } catch {
    throw new Lost("No answer came from Grandstand.");
  }
  if (response.ok) return answer;
  const retryAfter = response.headers.get("Retry-After");
  const problem = new Problem({
    ...answer,
    status: response.status,
    ...(retryAfter && { retry_after_s: retryAfter }),
  });
  if (problem.code === "unauthenticated" && mine && mine === token) leave(problem.message);
  throw problem;
}

/** Until it is answered or attempts run out: reading, or a change with its key. */
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

export function read(path, query = {}) {
  const given = Object.entries(query).filter(([, value]) => value);
  const search = new URLSearchParams(given).toString();
  return persist("GET", `/v1/desk/${path}${search && `?${search}`}`, {});
}

/** A change. The key is the intention's: a lost answer is asked for again, never done twice. */
export function act(path, body, key = newKey()) {
  return persist("POST", `/v1/desk/${path}`, { body, key });
}

/** What changes nothing, and has no key. */
export function ask(path, body) {
  return persist("POST", `/v1/desk/${path}`, { body });
}

export async function logIn(login, password) {
  keep("");
  const session = await attempt("POST", "/v1/desk/sessions", { body: { login, password } });
  keep(session.token);
  ended.set("");
  await arrive();
}

/** Find out whose token this tab has, if it has any. */
export async function arrive() {
  if (token) member.set(await read("me"));
}

export function leave(why = "") {
  keep("");
  ended.set(why);
  member.set(null);
}

/** A session that the server can't be told to end is forgotten all the same. */
export async function logOut() {
  const ending = attempt("DELETE", "/v1/desk/sessions/current").catch(() => {});
  leave();
  await ending;
}
