"""The tools without ROS: python3 -m vitpose_ros models ... (with it, ros2 run vitpose_ros ...)."""

import argparse
import importlib
import sys

# What each module of vitpose_ros.tools is for. They are imported when they are asked for: with
# PyTorch that takes seconds.
TOOLS = {
    'predict': 'estimate poses in pictures and videos: draw them, and write them as JSON',
    'models': 'list, fetch, convert, quantise, export and describe the weights of networks',
    'bench': 'measure crops, network and decoding on this machine',
    'evaluate': 'measure the average precision of a network on images with known keypoints',
}


def main() -> int:
    """Hand over to the tool that is named; return the exit code."""
    parser = argparse.ArgumentParser(
        prog='vitpose_ros',
        description='Tools of vitpose_ros.',
        epilog='\n'.join(f'  {name:<10}{words}' for name, words in TOOLS.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('tool', choices=TOOLS)
    parser.add_argument('arguments', nargs=argparse.REMAINDER, help='its own; try --help')
    chosen = parser.parse_args()
    tool = importlib.import_module(f'vitpose_ros.tools.{chosen.tool}')
    code: int = tool.main(chosen.arguments, prog=f'vitpose_ros {chosen.tool}')
    return code


if __name__ == '__main__':
    sys.exit(main())
