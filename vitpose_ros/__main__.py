"""The tools without ROS: python3 -m vitpose_ros models ... (with it, ros2 run vitpose_ros ...)."""

import argparse
import sys

from vitpose_ros.tools import bench, evaluate, models, predict

TOOLS = {
    'predict': predict.main,
    'models': models.main,
    'bench': bench.main,
    'evaluate': evaluate.main,
}


def main() -> int:
    """Hand over to the tool that is named; return the exit code."""
    parser = argparse.ArgumentParser(prog='vitpose_ros', description='Tools of vitpose_ros.')
    parser.add_argument('tool', choices=TOOLS)
    parser.add_argument('arguments', nargs=argparse.REMAINDER, help='its own; try --help')
    chosen = parser.parse_args()
    return TOOLS[chosen.tool](chosen.arguments, prog=f'vitpose_ros {chosen.tool}')


if __name__ == '__main__':
    sys.exit(main())
