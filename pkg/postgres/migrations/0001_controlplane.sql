-- +goose Up
-- Each object's declared form is kept as JSON in spec, exactly what `fluxnex
-- get` shows; the columns beside it are what the database has to enforce or join.

CREATE TABLE tenant (
    id         text PRIMARY KEY,
    slug       text NOT NULL UNIQUE,
    disabled   boolean NOT NULL DEFAULT false,
    spec       jsonb NOT NULL,
    version    bigint NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

-- Ids are never used again: an old key must never mean a new tenant.
CREATE TABLE tenant_tombstone (
    id        text PRIMARY KEY,
    erased_at timestamptz NOT NULL DEFAULT now(),
    erased_by text NOT NULL
);

-- +goose StatementBegin
CREATE FUNCTION tenant_id_is_new() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM tenant_tombstone WHERE id = NEW.id) THEN
        RAISE EXCEPTION 'tenant id % was erased and is never used again', NEW.id USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
-- +goose StatementEnd
CREATE TRIGGER tenant_id_is_new BEFORE INSERT ON tenant
    FOR EACH ROW EXECUTE FUNCTION tenant_id_is_new();

CREATE TABLE app_connection (
    tenant_id      text NOT NULL REFERENCES tenant (id),
    name           text NOT NULL,
    app            text NOT NULL,
    remote_account text NOT NULL,
    spec           jsonb NOT NULL,
    version        bigint NOT NULL,
    PRIMARY KEY (tenant_id, name)
);
CREATE INDEX app_connection_account ON app_connection (app, remote_account);

CREATE TABLE integration_route (
    tenant_id text NOT NULL REFERENCES tenant (id),
    entity    text NOT NULL,
    target    text NOT NULL,
    spec      jsonb NOT NULL,
    version   bigint NOT NULL,
    PRIMARY KEY (tenant_id, entity, target),
    FOREIGN KEY (tenant_id, target) REFERENCES app_connection (tenant_id, name)
);

CREATE TABLE mapping (
    tenant_id text NOT NULL REFERENCES tenant (id),
    entity    text NOT NULL,
    app       text NOT NULL,
    spec      jsonb NOT NULL,
    version   bigint NOT NULL,
    PRIMARY KEY (tenant_id, entity, app)
);

-- Ciphertext only; tenant, connection and field are its associated data, so a
-- row cannot be moved to another owner.
CREATE TABLE credential (
    tenant_id  text NOT NULL,
    connection text NOT NULL,
    field      text NOT NULL,
    ciphertext bytea NOT NULL,
    -- What was last declared with apply, encrypted alike: applying the same
    -- file again must not put an old refresh token over a rotated one.
    declared   bytea,
    -- Access tokens and the like; NULL does not expire.
    expires_at timestamptz,
    version    bigint NOT NULL DEFAULT 1,
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, connection, field),
    FOREIGN KEY (tenant_id, connection) REFERENCES app_connection (tenant_id, name) ON DELETE CASCADE
);

-- A known text under the key set in use: a process with the wrong key set is
-- refused at start and not at the first delivery.
CREATE TABLE keyset_check (
    one        boolean PRIMARY KEY DEFAULT true CHECK (one),
    ciphertext bytea NOT NULL
);

-- One row for each applied change; the greatest is the current version.
CREATE TABLE config_version (
    version    bigint PRIMARY KEY,
    applied_at timestamptz NOT NULL DEFAULT now(),
    applied_by text NOT NULL
);
INSERT INTO config_version (version, applied_by) VALUES (0, 'migration');

CREATE TABLE audit (
    seq         bigint PRIMARY KEY,
    at          timestamptz NOT NULL,
    actor       text NOT NULL,
    action      text NOT NULL,
    tenant_id   text NOT NULL,
    object      text NOT NULL,
    before_hash text NOT NULL,
    after_hash  text NOT NULL,
    result      text NOT NULL,
    detail      text NOT NULL,
    prev_hash   bytea NOT NULL,
    hash        bytea NOT NULL
);

-- The end of the chain, so that cutting off its last rows is seen too. Its row
-- lock orders the writers.
CREATE TABLE audit_head (
    one  boolean PRIMARY KEY DEFAULT true CHECK (one),
    seq  bigint NOT NULL,
    hash bytea NOT NULL
);
INSERT INTO audit_head (seq, hash) VALUES (0, '');

-- +goose StatementBegin
CREATE FUNCTION audit_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit is append-only';
END $$;
-- +goose StatementEnd
CREATE TRIGGER audit_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit
    FOR EACH STATEMENT EXECUTE FUNCTION audit_is_append_only();

CREATE TABLE notification (
    id                  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id           text NOT NULL,
    source_app          text NOT NULL,
    record_id           text NOT NULL,
    audience            text NOT NULL,
    stage               text NOT NULL,
    class               text NOT NULL,
    code                text NOT NULL,
    message             text NOT NULL,
    remedy              text NOT NULL,
    target              text NOT NULL,
    object              text NOT NULL,
    fingerprint         text NOT NULL,
    revision_generation integer NOT NULL,
    revision_offset     bigint NOT NULL,
    seen                bigint NOT NULL DEFAULT 1,
    first_at            timestamptz NOT NULL,
    last_at             timestamptz NOT NULL,
    resolved_at         timestamptz,
    UNIQUE (tenant_id, record_id, target, fingerprint)
);
CREATE INDEX notification_open ON notification (tenant_id, last_at DESC) WHERE resolved_at IS NULL;

CREATE TABLE job (
    id         uuid PRIMARY KEY,
    kind       text NOT NULL,
    tenant_id  text NOT NULL,
    state      text NOT NULL CHECK (state IN ('pending', 'running', 'paused', 'done', 'failed', 'cancelled')),
    params     jsonb NOT NULL,
    progress   jsonb NOT NULL DEFAULT '{}',
    error      text NOT NULL DEFAULT '',
    created_by text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX job_live ON job (created_at) WHERE state IN ('pending', 'running', 'paused');

