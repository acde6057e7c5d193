#!/usr/bin/env bash
# Run all checks and tests; go on after a failure, and fail at the end.
set -o pipefail
cd "$(dirname "$0")/.."
. dev/activate.bash

failed=()
limit=3600 # seconds, for hangs
check() {
  echo "== $*"
  "$@" || failed+=("$*")
}

check ruff check .
check ruff format --check .
# The one that asks for the processor to itself comes first.
alone=test/ros/test_overload.py
check timeout -k 5 $limit python -m pytest $alone

# Each file that starts nodes has a process and a domain of its own; most of the time it waits, so
# two run at a time. What computes goes by folder, in what the nodes leave of the processor.
folder=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null; rm -rf "$folder"' EXIT
export folder limit
run() {
  local priority=0 output TIMEFORMAT='took %R s; processor %U s, and %S s in the system'
  if [[ $* != *test/ros/* ]]; then
    priority=19
    export OMP_NUM_THREADS=1 # those of several processes would wait for each other
  fi
  output=$({ time nice -n $priority timeout -k 5 $limit python -m "$@"; } 2>&1) ||
    echo "$*" >>"$folder/failed"
  exec 9>"$folder/lock" && flock 9 && echo "== python -m $*" && echo "$output"
}
export -f run
queue() {
  xargs -L 1 -P "$1" --process-slot-var=TEST_LANE bash -c 'run "$@"' _
}
queue 1 <<<'pytest test/core/runtime
pytest test/tools' &
{
  echo pytest test/ros/test_training.py # takes longest
  starts='start\(|subprocess'
  grep -lE "$starts" test/ros/test_*.py | grep -v -e $alone -e test_training | sed 's/^/pytest /'
  echo mypy
  echo pytest $(grep -LE "$starts" test/ros/test_*.py) # without nodes
  echo pytest test/core --ignore=test/core/runtime
  echo pytest test --ignore=test/ros --ignore=test/core --ignore=test/tools
} | queue 2
wait
[ -e "$folder/failed" ] && mapfile -t -O ${#failed[@]} failed <"$folder/failed"

if [ ${#failed[@]} -gt 0 ]; then
  printf 'failed: %s\n' "${failed[@]}"
  exit 1
fi
echo 'all checks and tests passed'
