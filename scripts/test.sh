#!/usr/bin/env bash
# All tests but the slow campaigns, in four runners side by side. Those through a real Dagster wait for it most of their
# time; so two cores stay busy. The output of the runners beside the first comes last. Each has a temporary folder of its
# own: they clean up what they find there.
set -uo pipefail
set -m # else what runs beside would ignore Ctrl-C, and hand that on to Dagster, which these tests end so
cd "$(dirname "$0")/.."
own=$(mktemp -d)
tests=brand_detect_tests
beside=()
for part in "$tests/e2e/test_[a-j]*.py" "$tests/e2e/test_[k-z]*.py" "$tests/orchestration $tests/test_*.py"; do
  folder=$own/${#beside[@]}
  mkdir "$folder"
  # shellcheck disable=SC2086 # the pattern stands for files
  TMPDIR=$folder .venv/bin/pytest -m "not slow" $part >"$folder.log" 2>&1 &
  beside+=("$!")
done
trap 'kill -INT "${beside[@]}" 2>/dev/null && wait "${beside[@]}"; rm -rf "$own"' EXIT
.venv/bin/pytest -m "not slow" --ignore $tests/e2e --ignore $tests/orchestration --ignore-glob "$tests/test_*.py"
failed=$?
for runner in "${beside[@]}"; do
  wait "$runner" || failed=1
done
cat "$own"/*.log
[ "$failed" = 0 ]
