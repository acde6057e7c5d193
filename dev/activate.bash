# Source this after `make demo` or `make test` to work in the checkout's environment by hand.
. "$(dirname "${BASH_SOURCE[0]}")/../.venv/bin/activate"
. "$(dirname "${BASH_SOURCE[0]}")/../install/setup.bash"
export ROS_AUTOMATIC_DISCOVERY_RANGE="${ROS_AUTOMATIC_DISCOVERY_RANGE:-LOCALHOST}"
# Images go through shared memory, unless transports were chosen already.
eval "$(python -c 'from vitpose_ros.ros.large_images import publisher_environment as environment
print(*(f"export {name}={value!r}" for name, value in environment().items()))')"
