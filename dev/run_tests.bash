#!/usr/bin/env bash
# Run all checks and tests; go on after a failure, and fail at the end.
set -o pipefail
cd "$(dirname "$0")/.."
. dev/activate.bash

failed=()
limit=1800 # seconds for a file that runs nodes; limits are for hangs
check() {
  echo "== $*"
  "$@" || failed+=("$*")
}

check ruff check .
check ruff format --check .
check mypy
check mypy --strict --package vitpose_ros.core
# The one that asks for the processor to itself comes first. The other tests of nodes wait most of
# the time: those that compute run meanwhile, in what is left of the processor, and are shown at
# the end.
alone=test/ros/test_overload.py
check timeout -k 5 $limit python -m pytest $alone
output=$(mktemp)
nice -n 19 timeout -k 5 7200 python -m pytest test --ignore=test/ros >"$output" 2>&1 &
computing=$!
trap 'kill $computing 2>/dev/null; rm -f "$output"' EXIT
# A process and a time limit for each file that runs nodes; test/ros/conftest.py gives each its
# own domain.
for file in test/ros/test_*.py; do
  [ "$file" = $alone ] || check timeout -k 5 $limit python -m pytest "$file"
done
echo '== python -m pytest test --ignore=test/ros'
wait $computing || failed+=('python -m pytest test --ignore=test/ros')
cat "$output"

if [ ${#failed[@]} -gt 0 ]; then
  printf 'failed: %s\n' "${failed[@]}"
  exit 1
fi
echo 'all checks and tests passed'
