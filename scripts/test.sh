#!/usr/bin/env bash
# All tests but the slow campaigns. Those through a real Dagster wait for it most of their time, so they run beside the
# others, and their output comes last. Each runner has a temporary folder of its own: they clean up what they find there.
set -uo pipefail
set -m # else what runs beside would ignore Ctrl-C, and hand that on to Dagster, which these tests end so
cd "$(dirname "$0")/.."
own=$(mktemp -d)
TMPDIR=$own .venv/bin/pytest -m "not slow" brand_detect_tests/e2e >"$own/log" 2>&1 &
served=$!
trap 'kill -INT "$served" 2>/dev/null && wait "$served"; rm -rf "$own"' EXIT
.venv/bin/pytest -m "not slow" --ignore brand_detect_tests/e2e
others=$?
wait "$served"
through_dagster=$?
cat "$own/log"
[ "$others" = 0 ] && [ "$through_dagster" = 0 ]
