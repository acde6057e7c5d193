# Source this after `make demo` or `make test` to work in the checkout's environment by hand.
. "$(dirname "${BASH_SOURCE[0]}")/../.venv/bin/activate"
. "$(dirname "${BASH_SOURCE[0]}")/../install/setup.bash"
export ROS_AUTOMATIC_DISCOVERY_RANGE="${ROS_AUTOMATIC_DISCOVERY_RANGE:-LOCALHOST}"
