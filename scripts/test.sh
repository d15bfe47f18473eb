#!/usr/bin/env bash
# All tests but the slow campaigns. Those through a real Dagster wait for it most of their time, so they run beside the
# others, in two halves, and their output comes last. Each runner has a temporary folder of its own: they clean up what
# they find there.
set -uo pipefail
set -m # else what runs beside would ignore Ctrl-C, and hand that on to Dagster, which these tests end so
cd "$(dirname "$0")/.."
own=$(mktemp -d)
e2e=brand_detect_tests/e2e
beside=()
for half in "$e2e/test_[a-j]*.py" "$e2e/test_[k-z]*.py"; do
  folder=$own/${#beside[@]}
  mkdir "$folder"
  # shellcheck disable=SC2086 # the pattern stands for files
  TMPDIR=$folder .venv/bin/pytest -m "not slow" $half >"$folder.log" 2>&1 &
  beside+=("$!")
done
trap 'kill -INT "${beside[@]}" 2>/dev/null && wait "${beside[@]}"; rm -rf "$own"' EXIT
.venv/bin/pytest -m "not slow" --ignore "$e2e"
failed=$?
for runner in "${beside[@]}"; do
  wait "$runner" || failed=1
done
cat "$own"/*.log
[ "$failed" = 0 ]
