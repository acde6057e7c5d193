#!/usr/bin/env bash
# Run all checks and tests; go on after a failure, and fail at the end.
set -o pipefail
cd "$(dirname "$0")/.."
. dev/activate.bash

failed=()
check() {
  echo "== $*"
  "$@" || failed+=("$*")
}

check ruff check .
check ruff format --check .
check mypy
check mypy --strict --package vitpose_ros.core
check timeout -k 5 900 python -m pytest test --ignore=test/ros
# A process and a time limit for each file that runs nodes; test/ros/conftest.py gives each its
# own domain.
for file in test/ros/test_*.py; do
  check timeout -k 5 240 python -m pytest "$file"
done

if [ ${#failed[@]} -gt 0 ]; then
  printf 'failed: %s\n' "${failed[@]}"
  exit 1
fi
echo 'all checks and tests passed'
