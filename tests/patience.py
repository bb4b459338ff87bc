"""How long a test waits for what has to happen: far longer than it takes, so that a machine with
much else to do fails no test. Only what never happens does."""

from actors.risk.referral import MAX_VALID_MS, MAX_WAIT_MS
from actors.risk.settings import LimitClasses, LimitSettings, ReferralSettings, RiskSettings
from actors.trading import MAX_REOFFER_MS

PATIENCE_S = 60.0
PATIENCE_MS = 60_000
LASTING = RiskSettings(
    limits=LimitClasses(LimitSettings(reoffer_ms=MAX_REOFFER_MS)),
    referrals=ReferralSettings(wait_ms=MAX_WAIT_MS, valid_ms=MAX_VALID_MS),
)
"""What is promised to players lasts as long as it can: no test is too late for it."""
