// Who is at the desk, and how it speaks to the server. The players' session is another one: a tab
// may have both.

import { caller, newKey } from "../request.js";
import { Signal } from "../store.js";

const KEY = "grandstand.desk";
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

const { attempt, get, post } = caller({
  token: tokenNow,
  over: (problem) => leave(problem.message),
});

export const read = (path, query) => get(`/v1/desk/${path}`, query);

/** A change. The key is the intention's: a lost answer is asked for again, never done twice. */
export const act = (path, body, key = newKey()) => post(`/v1/desk/${path}`, body, key);

/** What changes nothing, and has no key. */
export const ask = (path, body) => post(`/v1/desk/${path}`, body);

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
