#!/usr/bin/env bash
# table.sh REPORT REASONS : the closing table: each part, how the tests had it, how often, and why it was skipped.
set -euo pipefail
echo "part                  how        uses  what"
awk -F '\t' '
  { key = $1 "\t" $2; n[key]++; if (!(key in what)) what[key] = $3 }
  END { for (k in n) { split(k, a, "\t"); printf "%-21s %-9s %5d  %s\n", a[1], a[2], n[k], what[k] } }
' "$1" | sort
[ ! -s "$2" ] || awk -F '\t' '{ printf "%-21s %-9s %5s  %s\n", $1, "absent", "-", $2 }' "$2"
