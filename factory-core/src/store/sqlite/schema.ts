/**
 * Tables and their migrations. The triggers say in the database what the code says above it: what was signed and what was
 * logged is never changed or deleted, not even by hand.
 */

/** `PRAGMA application_id`: "lnfa". Tells our file from any other SQLite database. */
export const APPLICATION_ID = 0x6c6e6661

/** Migration i leads from `user_version` i to i + 1. Append only: a released one never changes. */
export const MIGRATIONS: readonly string[] = [
  `
  CREATE TABLE machine (
    instance TEXT NOT NULL PRIMARY KEY CHECK (length(instance) = 64),
    role TEXT NOT NULL CHECK (role IN ('lsp', 'client')),
    state TEXT
  ) STRICT;
  CREATE TRIGGER machine_role_is_fixed BEFORE UPDATE OF instance, role ON machine
    WHEN old.instance IS NOT new.instance OR old.role IS NOT new.role
    BEGIN SELECT RAISE(ABORT, 'the role of an instance is fixed'); END;
  CREATE TRIGGER machine_is_kept BEFORE DELETE ON machine
    BEGIN SELECT RAISE(ABORT, 'an instance is never deleted'); END;

  CREATE TABLE sign_record (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    txid TEXT NOT NULL CHECK (length(txid) = 64),
    vout INTEGER NOT NULL CHECK (vout BETWEEN 0 AND 4294967295),
    class TEXT NOT NULL CHECK (class IN ('child', 'distribution', 'poison', 'cooperative')),
    idx INTEGER NOT NULL CHECK (idx >= 0),
    sighash BLOB NOT NULL CHECK (length(sighash) = 32),
    rule TEXT NOT NULL CHECK (rule IN ('once', 'increasing')),
    instance TEXT NOT NULL REFERENCES machine (instance),
    UNIQUE (txid, vout, class, idx)
  ) STRICT;
  CREATE TRIGGER sign_record_follows_its_rule BEFORE INSERT ON sign_record
    WHEN EXISTS (
      SELECT 1 FROM sign_record WHERE txid = new.txid AND vout = new.vout AND class = new.class
        AND (rule = 'once' OR new.rule = 'once' OR idx >= new.idx)
    )
    BEGIN SELECT RAISE(ABORT, 'the outpoint is signed already'); END;
  CREATE TRIGGER sign_record_is_fixed BEFORE UPDATE ON sign_record
    BEGIN SELECT RAISE(ABORT, 'a sign record is never changed'); END;
  CREATE TRIGGER sign_record_is_kept BEFORE DELETE ON sign_record
    BEGIN SELECT RAISE(ABORT, 'a sign record is never deleted'); END;

  CREATE TABLE item (
    instance TEXT NOT NULL REFERENCES machine (instance),
    key TEXT NOT NULL CHECK (length(key) BETWEEN 1 AND 200),
    value BLOB NOT NULL,
    PRIMARY KEY (instance, key)
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE log (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    time INTEGER NOT NULL,
    instance TEXT REFERENCES machine (instance),
    kind TEXT NOT NULL,
    text TEXT NOT NULL
  ) STRICT;
  CREATE INDEX log_by_instance ON log (instance, seq);
  CREATE TRIGGER log_is_fixed BEFORE UPDATE ON log
    BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END;
  CREATE TRIGGER log_is_kept BEFORE DELETE ON log
    BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END;

  CREATE TABLE setting (
    key TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
  ) STRICT, WITHOUT ROWID;
  `,
  `
  CREATE INDEX sign_record_by_instance ON sign_record (instance, id);
  CREATE TABLE seal (
    instance TEXT NOT NULL PRIMARY KEY REFERENCES machine (instance)
  ) STRICT, WITHOUT ROWID;
  CREATE TRIGGER seal_is_fixed BEFORE UPDATE ON seal
    BEGIN SELECT RAISE(ABORT, 'a seal is never changed'); END;
  CREATE TRIGGER seal_is_kept BEFORE DELETE ON seal
    BEGIN SELECT RAISE(ABORT, 'a seal is never broken'); END;
  CREATE TRIGGER sealed_instance_signs_nothing BEFORE INSERT ON sign_record
    WHEN EXISTS (SELECT 1 FROM seal WHERE instance = new.instance)
    BEGIN SELECT RAISE(ABORT, 'the instance is sealed'); END;
  `,
]
