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
# The one that asks for the processor to itself comes first.
alone=test/ros/test_overload.py
check timeout -k 5 $limit python -m pytest $alone

# The rest goes through a queue, three at a time. Each file that tests nodes has a process and a
# domain of its own; most of the time it waits. Those that compute go by folder, one after every
# few files, in what the nodes leave of the processor.
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
export folder
work() {
  local computing=(
    'test/core/runtime'
    'test/core --ignore=test/core/runtime'
    'test/tools'
    'test --ignore=test/ros --ignore=test/core --ignore=test/tools'
  ) count=0 file
  echo test/ros/test_training.py # takes longest
  for file in test/ros/test_*.py; do
    [[ $file == "$alone" || $file == *test_training.py ]] && continue
    ((count++ % 8)) || echo "${computing[count / 8]}"
    echo "$file"
  done
}
run() {
  local priority=0 limit=1800 output
  [[ $1 == test/ros/* ]] || priority=19 limit=5400
  output=$(nice -n $priority timeout -k 5 $limit python -m pytest "$@" 2>&1) ||
    echo "$*" >>"$folder/failed"
  exec 9>"$folder/lock" && flock 9 && echo "== python -m pytest $*" && echo "$output"
}
export -f run
work | xargs -L 1 -P 3 --process-slot-var=TEST_LANE bash -c 'run "$@"' _
[ -e "$folder/failed" ] && mapfile -t -O ${#failed[@]} failed <"$folder/failed"

if [ ${#failed[@]} -gt 0 ]; then
  printf 'failed: %s\n' "${failed[@]}"
  exit 1
fi
echo 'all checks and tests passed'
