"""The tables of leases, and what is asked of them."""

SCHEMA = """
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS leases (
    identity   TEXT PRIMARY KEY,
    home_agent TEXT NOT NULL,
    address    BLOB NOT NULL UNIQUE CHECK (length(address) = 16)
) STRICT, WITHOUT ROWID;
-- The leases' own time in seconds: how far it is ahead of the clock, and the latest that was seen.
CREATE TABLE IF NOT EXISTS time (
    one    INTEGER PRIMARY KEY CHECK (one = 1),
    ahead  REAL NOT NULL,
    latest REAL NOT NULL
) STRICT;
-- Who may have used an address last, and until when.
CREATE TABLE IF NOT EXISTS authorisations (
    address  BLOB PRIMARY KEY CHECK (length(address) = 16),
    identity TEXT NOT NULL,
    until    REAL NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS authorisations_by_end ON authorisations (until);
CREATE INDEX IF NOT EXISTS authorisations_by_identity ON authorisations (identity);
-- The number of leases at a home agent: to count them for every request would take longer and
-- longer.
CREATE TABLE IF NOT EXISTS loads (
    home_agent TEXT PRIMARY KEY,
    leases     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TRIGGER IF NOT EXISTS lease_begins AFTER INSERT ON leases BEGIN
    INSERT INTO loads VALUES (new.home_agent, 1)
    ON CONFLICT (home_agent) DO UPDATE SET leases = leases + 1;
END;
CREATE TRIGGER IF NOT EXISTS lease_ends AFTER DELETE ON leases BEGIN
    UPDATE loads SET leases = leases - 1 WHERE home_agent = old.home_agent;
END;
CREATE TRIGGER IF NOT EXISTS lease_moves AFTER UPDATE OF home_agent ON leases BEGIN
    UPDATE loads SET leases = leases - 1 WHERE home_agent = old.home_agent;
    INSERT INTO loads VALUES (new.home_agent, 1)
    ON CONFLICT (home_agent) DO UPDATE SET leases = leases + 1;
END;
DELETE FROM loads;
INSERT INTO loads SELECT home_agent, count(*) FROM leases GROUP BY home_agent;
-- Files without it were written by time.time().
INSERT OR IGNORE INTO time
    SELECT 1, 0.0, iif(EXISTS (SELECT 1 FROM authorisations), strftime('%s') + 0.0, 0.0);
COMMIT;
"""

GO_ON = """
UPDATE time SET ahead = max(ahead, latest - :clock), latest = max(latest, :clock + ahead)
RETURNING ahead
"""
SEEN = "UPDATE time SET latest = max(latest, ?)"

AUTHORISE = """
INSERT INTO authorisations (address, identity, until) VALUES (?, ?, ?)
ON CONFLICT (address) DO UPDATE SET
    until = iif(identity = excluded.identity, max(until, excluded.until), excluded.until),
    identity = excluded.identity
"""

TAKEN = """
SELECT address FROM leases WHERE address BETWEEN :first AND :last AND identity != :identity
UNION
SELECT address FROM authorisations
WHERE address BETWEEN :first AND :last AND identity != :identity AND until > :now
ORDER BY address
"""

RESTING = """
SELECT address FROM authorisations
WHERE identity = :identity AND address BETWEEN :first AND :last AND until > :now
EXCEPT SELECT address FROM leases WHERE identity = :identity
ORDER BY address
"""

EXPIRED = "SELECT 1 FROM authorisations WHERE until <= ? LIMIT 1"
EXPIRE = (
    "DELETE FROM leases WHERE (address, identity) IN "
    "(SELECT address, identity FROM authorisations WHERE until <= ?)"
)
EXPIRE_OTHERS = f"{EXPIRE} AND identity != ?"
FORGET = "DELETE FROM authorisations WHERE until <= ?"

SELECT = "SELECT identity, home_agent, address FROM leases"
