#!/usr/bin/env bash
# pg-up.sh STATE PORT : a private PostgreSQL on loopback for tests (fsync off); prints its URL. pg-up.sh --down STATE.
# As root it runs under the account postgres, so STATE must be where that account gets to.
set -euo pipefail
BIN=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -1 || true)
[ -n "$BIN" ] || BIN=$(dirname "$(command -v postgres || true)")
[ -x "$BIN/initdb" ] || { echo "pg-up: PostgreSQL is not installed: tools/parts/install.sh" >&2; exit 1; }
as=(); [ "$(id -u)" != 0 ] || as=(setpriv --reuid=postgres --regid=postgres --init-groups)
if [ "${1:-}" = --down ]; then
  [ -f "$2/data/postmaster.pid" ] || exit 0
  cd /; exec "${as[@]}" "$BIN/pg_ctl" -D "$2/data" -m fast -w stop > /dev/null
fi
[ $# -ge 2 ] || { sed -n '2,3p' "$0" >&2; exit 2; }
mkdir -p "$1"; S=$(cd "$1" && pwd); cd "$S"
[ "$(id -u)" != 0 ] || chown postgres:postgres "$S"
[ -d data ] || "${as[@]}" "$BIN/initdb" -D "$S/data" -U fluxnex --auth=trust --no-sync -E UTF8 --locale=C.UTF-8 > /dev/null
"${as[@]}" "$BIN/pg_ctl" -D "$S/data" -w -t 30 -l "$S/postgres.log" -o "-p $2 -c listen_addresses=127.0.0.1 -c unix_socket_directories= \
  -c fsync=off -c synchronous_commit=off -c full_page_writes=off -c max_connections=400" start > /dev/null ||
  { echo "pg-up: not ready on port $2; the end of $S/postgres.log:" >&2; tail -5 "$S/postgres.log" >&2; exit 1; }
echo "postgres://fluxnex@127.0.0.1:$2/postgres?sslmode=disable"
