// What the whole page knows: who is logged in, the wallet, and how the player likes things.

/** A value that tells its followers when it changes. */
export class Signal {
  #value;
  #followers = new Set();

  constructor(value) {
    this.#value = value;
  }

  get value() {
    return this.#value;
  }

  set(value) {
    if (value === this.#value) return;
    this.#value = value;
    for (const follower of this.#followers) follower(value);
  }

  /** Call `follower` with every new value, and once with the present one. */
  follow(follower) {
    this.#followers.add(follower);
    follower(this.#value);
  }
}

/** A signal that is kept in `storage`, which may be full, forbidden or hold nonsense. */
function kept(storage, name, initial, valid) {
  const key = `grandstand.${name}`;
  let value = initial;
  try {
    const stored = JSON.parse(storage.getItem(key));
    if (stored !== null && valid(stored)) value = stored;
  } catch {
    // What can't be read is as good as absent.
  }
  const signal = new Signal(value);
  signal.follow((latest) => {
    try {
      storage.setItem(key, JSON.stringify(latest));
    } catch {
      // The page works without; it only forgets with the tab.
    }
  });
  return signal;
}

/** {token, player_id, expires_at} or null. For this tab only: it ends with the tab. */
export const session = kept(sessionStorage, "session", null, (it) => typeof it.token === "string");
/** GET /v1/me, or null. */
export const player = new Signal(null);
/** GET /v1/wallet, or null. */
export const wallet = new Signal(null);
/** "connecting", "live" or "lost". */
export const connection = new Signal("connecting");
export const oddsFormat = kept(localStorage, "odds", "decimal", (it) =>
  ["decimal", "fractional", "american"].includes(it),
);
/** Which price changes are taken without asking: "none", "better" or "any". */
export const policy = kept(localStorage, "policy", "none", (it) =>
  ["none", "better", "any"].includes(it),
);
/** The selections on the betslip, bets under way among them: a reload loses none of them. */
export const slip = kept(sessionStorage, "slip", [], Array.isArray);
/** The bets of several lines on it, likewise. */
export const multiples = kept(sessionStorage, "multiples", [], Array.isArray);
/** The bets that were placed last, as the server answered them. */
export const receipts = kept(sessionStorage, "receipts", [], Array.isArray);

/** Take a wallet that came in, unless a later one is known: answers overtake each other. */
export function takeWallet(latest) {
  const known = wallet.value;
  if (session.value && (!known || latest.version >= known.version)) wallet.set(latest);
}

/** Why the session ended, for the log-in dialog; "" when the player chose so. */
export const sessionEnded = new Signal("");

export function logOutHere(why) {
  sessionEnded.set(why);
  session.set(null);
  player.set(null);
  wallet.set(null);
}
