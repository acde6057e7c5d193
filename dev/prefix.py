"""Make a virtual environment with ROS 2 wheels look like /opt/ros/<distribution>.

Two things keep colcon from using the wheels as an underlay: paths of the machine that built
them, and the missing setup scripts of the prefix. Run with the environment's own Python; a
second run changes nothing.
"""

import re
import shutil
import sys
import sysconfig
from pathlib import Path

import numpy
from ament_package import templates

# The wheels were built under /opt/python/cp3xx-cp3xx; CMake refuses paths that do not exist.
BAKED_PYTHON_INCLUDE = re.compile(r'/opt/python/[^";]*?/include/python[0-9.]+')
BAKED_NUMPY_INCLUDE = re.compile(r'/opt/python/[^";]*?/numpy/_core/include')


def replace_baked_paths(prefix: Path) -> int:
    """Point the include directories in the CMake files to this Python and numpy.

    Returns how many files changed.
    """
    changed = 0
    for path in prefix.glob('share/*/cmake/*__rosidl_generator_pyExport.cmake'):
        text = path.read_text()
        fixed = BAKED_PYTHON_INCLUDE.sub(sysconfig.get_path('include'), text)
        fixed = BAKED_NUMPY_INCLUDE.sub(numpy.get_include(), fixed)
        if fixed != text:
            path.write_text(fixed)
            changed += 1
    return changed


def write_setup_scripts(prefix: Path) -> None:
    """Write setup.bash and its relatives, from ament's own templates."""
    values = {
        'CMAKE_INSTALL_PREFIX': str(prefix),
        'ament_package_PYTHON_EXECUTABLE': sys.executable,
    }
    for name in templates.get_prefix_level_template_names():
        template = templates.get_prefix_level_template_path(name)
        if name.endswith('.in'):
            (prefix / name[: -len('.in')]).write_text(templates.configure_file(template, values))
        else:
            shutil.copyfile(template, prefix / name)


if __name__ == '__main__':
    environment = Path(sys.prefix)
    print(f'{replace_baked_paths(environment)} CMake files point to {sys.executable} now')
    write_setup_scripts(environment)
