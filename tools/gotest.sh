#!/usr/bin/env bash
# gotest.sh ARGS... : go test with its output shown, which fails as well when no test ran.
set -uo pipefail
out=$(mktemp); trap 'rm -f "$out"' EXIT
go test "$@" 2>&1 | tee "$out"
code=${PIPESTATUS[0]}
if [ "$code" = 0 ] && ! grep '^ok ' "$out" | grep -qv 'no tests to run'; then
  echo "go test $*: no test ran" >&2
  exit 1
fi
exit "$code"
