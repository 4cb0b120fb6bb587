-- +goose Up
-- The delivery rows: global entity map and delivery queue in one. What changes
-- at each step of a delivery is in delivery_row, which therefore stays narrow
-- and has three indexes only; payloads and requests are in tables of their own.

-- A lane is one tenant's share of one remote account: the unit of fairness, and
-- what stops when a credential dies.
CREATE TABLE delivery_lane (
    id              integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id       text COLLATE "C" NOT NULL,
    app             text COLLATE "C" NOT NULL,
    remote_account  text COLLATE "C" NOT NULL,
    blocked_at      timestamptz,             -- the credential is dead; NULL = not blocked
    blocked_version bigint NOT NULL DEFAULT 0, -- the credential version that was refused
    blocked_code    text NOT NULL DEFAULT '',
    UNIQUE (tenant_id, app, remote_account)
);

-- What holds for a remote account, whoever's tenant uses it.
CREATE TABLE delivery_account (
    app            text COLLATE "C" NOT NULL,
    remote_account text COLLATE "C" NOT NULL,
    paused_until   timestamptz NOT NULL,
    reason         text NOT NULL,
    PRIMARY KEY (app, remote_account)
);

CREATE TABLE delivery_row (
    id                  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    lane_id             integer NOT NULL REFERENCES delivery_lane (id),
    record_id           text COLLATE "C" NOT NULL,
    object              text COLLATE "C" NOT NULL,
    source_app          text NOT NULL,
    target_name         text NOT NULL,
    -- desired: the newest state anybody asked for
    desired_generation  integer NOT NULL,
    desired_offset      bigint NOT NULL,
    desired_source      bigint NOT NULL, -- outbound offset: decides between equal revisions
    desired_slot        smallint NOT NULL,
    desired_verb        text NOT NULL,
    desired_at          timestamptz NOT NULL, -- received_at of the event that caused it
    -- in flight: what a lease holder is sending, or what is in doubt
    inflight_slot       smallint,
    inflight_generation integer NOT NULL DEFAULT 0,
    inflight_offset     bigint NOT NULL DEFAULT 0,
    inflight_source     bigint NOT NULL DEFAULT 0,
    epoch               bigint NOT NULL DEFAULT 0, -- grows with each claim; a finish must carry the newest
    -- applied: what the destination has
    applied_slot        smallint,
    applied_generation  integer NOT NULL DEFAULT 0,
    applied_offset      bigint NOT NULL DEFAULT 0,
    applied_digest      bytea,
    destination_id      text NOT NULL DEFAULT '',
    destination_type    text NOT NULL DEFAULT '',
    destination_version text NOT NULL DEFAULT '',
    destination_active  boolean NOT NULL DEFAULT false,
    applied_at          timestamptz,
    -- standing
    status              text NOT NULL CHECK (status IN ('ready', 'sending', 'backoff', 'waiting', 'failed', 'done', 'withdrawn')),
    attempt             integer NOT NULL DEFAULT 0,
    next_at             timestamptz NOT NULL, -- ready, backoff: when due; sending: when the lease ends
    class               text NOT NULL DEFAULT '',
    code                text NOT NULL DEFAULT '',
    detail              text NOT NULL DEFAULT '',
    waiting_since       timestamptz,
    undelivered_since   timestamptz, -- received_at of the oldest change not yet applied
    newer_since         timestamptz, -- the same for changes that came while one was in flight
    resend_wanted       integer NOT NULL DEFAULT 0, -- a late writer may have put an old state there:
    resend_done         integer NOT NULL DEFAULT 0, -- send the newest until the two are equal
    UNIQUE (lane_id, record_id, object)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);

-- On next_at within a lane, and on no state: an index on (status, next_at) made
-- claiming 16 times slower, and one on next_at alone lets a blocked lane's
-- backlog stand before everybody's rows.
CREATE INDEX delivery_row_due ON delivery_row (lane_id, next_at) WHERE status IN ('ready', 'backoff', 'sending');
CREATE INDEX delivery_row_stopped ON delivery_row (status, waiting_since) WHERE status IN ('waiting', 'failed');

-- The states a row holds: desired, in flight and applied point to one of three
-- slots each, so finishing moves a number and not a payload.
CREATE TABLE delivery_state (
    row_id          bigint NOT NULL,
    slot            smallint NOT NULL,
    verb            text NOT NULL,
    type            text NOT NULL,
    reason          text NOT NULL,
    gateway_id      text NOT NULL,
    payload         bytea NOT NULL,
    sent            bytea, -- what was sent, where references or a merge made it another text
    refs            json,
    name            text NOT NULL,
    document_number text NOT NULL,
    mapping_version bigint NOT NULL,
    config_version  bigint NOT NULL,
    lineage         json NOT NULL,
    PRIMARY KEY (row_id, slot)
) WITH (fillfactor = 70);

-- A request is here from before it is sent until its outcome is known: a row
-- with one is in doubt.
CREATE TABLE delivery_request (
    row_id     bigint PRIMARY KEY,
    epoch      bigint NOT NULL,
    request_id text NOT NULL,
    step       integer NOT NULL,
    final      boolean NOT NULL,
    head       json NOT NULL,  -- the request without its body
    body       bytea,
    base       json,           -- the destination object it was made against
    payload    bytea,          -- what the body was made of, where it is not the state's own
    stored_at  timestamptz NOT NULL
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);

-- What a row waits for.
CREATE TABLE delivery_wait (
    row_id    bigint NOT NULL,
    lane_id   integer NOT NULL,
    record_id text COLLATE "C" NOT NULL,
    object    text COLLATE "C" NOT NULL,
    PRIMARY KEY (row_id, record_id, object)
);

-- What people look for; changes seldom, so the hot table needs no such index.
CREATE TABLE delivery_search (
    row_id          bigint PRIMARY KEY,
    lane_id         integer NOT NULL,
    name            text NOT NULL DEFAULT '',
    document_number text NOT NULL DEFAULT '',
    destination_id  text NOT NULL DEFAULT ''
) WITH (fillfactor = 90);
CREATE INDEX delivery_search_name ON delivery_search (lower(name), lane_id) WHERE name <> '';
CREATE INDEX delivery_search_number ON delivery_search (lower(document_number), lane_id) WHERE document_number <> '';
CREATE INDEX delivery_search_destination ON delivery_search (destination_id, lane_id) WHERE destination_id <> '';

-- How far the outbound topics are consumed, moved in the transaction that
-- stores what was consumed.
CREATE TABLE delivery_offset (
    topic       text COLLATE "C" NOT NULL,
    partition   integer NOT NULL,
    next_offset bigint NOT NULL,
    PRIMARY KEY (topic, partition)
);

-- Messages that have to be published, written with what they tell.
CREATE TABLE delivery_outbox (
    id    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind  text NOT NULL CHECK (kind IN ('result', 'notification', 'dead_letter')),
    value bytea NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);

-- Work only one process may do at a time (the outbox keeps its order).
CREATE TABLE delivery_duty (
    name  text PRIMARY KEY,
    owner text NOT NULL,
    until timestamptz NOT NULL
);

-- One row for each record a fetcher asks a source for, however many need it.
CREATE TABLE fetch_lease (
    tenant_id    text COLLATE "C" NOT NULL,
    record_id    text COLLATE "C" NOT NULL,
    source_app   text NOT NULL,
    entity_type  text NOT NULL,
    reason       text NOT NULL,
    depth        integer NOT NULL,
    requested    timestamptz NOT NULL,
    seq          bigint NOT NULL DEFAULT 0, -- grows with each request: an answer settles those before it
    attempt      integer NOT NULL DEFAULT 0,
    epoch        bigint NOT NULL DEFAULT 0,
    next_at      timestamptz NOT NULL,
    code         text NOT NULL DEFAULT '',
    PRIMARY KEY (tenant_id, record_id)
) WITH (fillfactor = 80);
CREATE INDEX fetch_lease_due ON fetch_lease (next_at);

CREATE VIEW global_entity_map AS
    SELECT l.tenant_id, l.app, l.remote_account, r.record_id, r.object, r.target_name,
           r.destination_id, r.destination_type, r.destination_version, r.destination_active,
           r.applied_generation, r.applied_offset, r.applied_at, r.status
    FROM delivery_row r JOIN delivery_lane l ON l.id = r.lane_id;
