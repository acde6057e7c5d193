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
# two run at a time (node_tests.py). What computes goes by folder, in what the nodes leave of the
# processor; two lanes more once all nodes are done.
folder=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null; rm -rf "$folder"' EXIT
starts='start\(|subprocess'
nodes() {
  echo test/ros/test_training.py # takes longest
  grep -lE "$starts" test/ros/test_*.py | grep -v -e $alone -e test_training
}
computing() {
  # Short ones last: so no lane is left with a long one.
  echo pytest test/core/runtime
  echo pytest test/core --ignore=test/core/runtime --ignore=test/core/model
  echo pytest test --ignore=test/ros --ignore=test/core --ignore=test/tools
  echo pytest test/tools
  echo pytest test/core/model
  echo mypy
  echo pytest $(grep -LE "$starts" test/ros/test_*.py) # without nodes
}
computing >"$folder/computing"

# take LIST: print its first line and remove it; false if there is none.
take() {
  local line
  exec 8>"$folder/taking" && flock 8
  read -r line <"$folder/$1" && sed -i 1d "$folder/$1" && echo "$line"
  local found=$?
  exec 8>&-
  return $found
}
run() {
  local output TIMEFORMAT='took %R s; processor %U s, and %S s in the system'
  export OMP_NUM_THREADS=1 # those of several processes would wait for each other
  output=$({ time nice -n 19 timeout -k 5 $limit python -m "$@"; } 2>&1) ||
    echo "$*" >>"$folder/failed"
  exec 9>"$folder/lock" && flock 9 && echo "== python -m $*" && echo "$output"
  exec 9>&-
}
# lane LIST: run what the list has, one after the other.
lane() {
  local job
  while job=$(take "$1"); do
    (run $job)
  done
}
lane computing &
python dev/node_tests.py "$folder/lock" "$folder/failed" $(nodes) || failed+=('node_tests.py')
lane computing &
lane computing &
wait
[ -e "$folder/failed" ] && mapfile -t -O ${#failed[@]} failed <"$folder/failed"

if [ ${#failed[@]} -gt 0 ]; then
  printf 'failed: %s\n' "${failed[@]}"
  exit 1
fi
echo 'all checks and tests passed'
