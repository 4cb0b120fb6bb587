-- +goose Up
-- When a source could not be asked, for its credential or its quota: the clock
-- of what waits for its records stands meanwhile. until NULL: it lasts.
CREATE TABLE source_block (
    tenant_id  text COLLATE "C" NOT NULL,
    source_app text NOT NULL,
    since      timestamptz NOT NULL,
    until      timestamptz,
    retry_at   timestamptz NOT NULL,
    code       text NOT NULL,
    detail     text NOT NULL,
    PRIMARY KEY (tenant_id, source_app, since)
);
CREATE UNIQUE INDEX source_block_open ON source_block (tenant_id, source_app) WHERE until IS NULL;

-- Sources that do not announce removals are asked for them. Whoever wants it
-- done now raises seq; done is the seq that the last poll answered.
CREATE TABLE source_poll (
    tenant_id  text COLLATE "C" NOT NULL,
    connection text NOT NULL,
    cursors    jsonb NOT NULL DEFAULT '{}', -- up to when each object was asked for
    next_at    timestamptz NOT NULL,        -- or, while leased, when the lease ends
    leased     boolean NOT NULL DEFAULT false,
    epoch      bigint NOT NULL DEFAULT 0,
    seq        bigint NOT NULL DEFAULT 0,
    done       bigint NOT NULL DEFAULT 0,
    polled_at  timestamptz,
    found      bigint NOT NULL DEFAULT 0,
    code       text NOT NULL DEFAULT '',
    detail     text NOT NULL DEFAULT '',
    PRIMARY KEY (tenant_id, connection)
);

-- What became of the last try, for whoever looks at what waits.
ALTER TABLE fetch_lease
    ADD COLUMN detail   text NOT NULL DEFAULT '',
    ADD COLUMN put_back boolean NOT NULL DEFAULT false; -- a try failed and nobody has it
