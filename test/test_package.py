"""The package as a whole: its version, its types, and where its modules come from."""

import os
import re
import subprocess
import sys
from pathlib import Path

import vitpose_ros

ROOT = Path(__file__).parents[1]


def python(code, *paths, folder):
    """Run code with these folders as the first on the path of modules; return what it prints."""
    result = subprocess.run(
        [sys.executable, '-c', code],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, 'PYTHONPATH': ':'.join(map(str, paths))},
        timeout=300,
    )
    return result.stdout + result.stderr


def test_the_version_is_the_same_everywhere():
    package = re.search('<version>(.*)</version>', (ROOT / 'package.xml').read_text())[1]
    setup = re.search("version='(.*)'", (ROOT / 'setup.py').read_text())[1]
    assert vitpose_ros.__version__ == package == setup


def test_type_checkers_are_told_that_there_are_types():
    assert (Path(vitpose_ros.__file__).parent / 'py.typed').is_file()
    assert 'py.typed' in (ROOT / 'setup.py').read_text()


def copy(folder, name, *, messages):
    """Make a package of this name, with a module old, and messages or none; return its folder."""
    package = folder / name / 'vitpose_ros'
    package.mkdir(parents=True)
    (package / '__init__.py').write_text((ROOT / 'vitpose_ros' / '__init__.py').read_text())
    (package / f'of_{name}.py').write_text('')
    if messages:
        (package / 'msg').mkdir()
        (package / 'msg' / '__init__.py').write_text(f'where = {name!r}\n')
    return package.parent


LOOK = (
    'import importlib.util as u, vitpose_ros\n'
    "found = [n for n in ('checkout', 'newer', 'older') if u.find_spec(f'vitpose_ros.of_{n}')]\n"
    'try:\n'
    '    from vitpose_ros.msg import where\n'
    'except ImportError:\n'
    '    where = None\n'
    'print(found, where)\n'
)


def test_a_checkout_takes_its_messages_from_the_first_install_alone(tmp_path):
    checkout = copy(tmp_path, 'checkout', messages=False)
    newer, older = (copy(tmp_path, name, messages=True) for name in ('newer', 'older'))
    found = python(LOOK, checkout, newer, older, folder=tmp_path)
    assert found == "['checkout', 'newer'] newer\n"


def test_an_install_takes_nothing_from_another(tmp_path):
    newer, older = (copy(tmp_path, name, messages=True) for name in ('newer', 'older'))
    assert python(LOOK, newer, older, folder=tmp_path) == "['newer'] newer\n"
    assert python(LOOK, older, newer, folder=tmp_path) == "['older'] older\n"


def test_without_an_install_there_are_no_messages(tmp_path):
    checkout = copy(tmp_path, 'checkout', messages=False)
    assert python(LOOK, checkout, folder=tmp_path).endswith("['checkout'] None\n")


def test_where_opencv_is_missing_the_remedy_is_named(tmp_path):
    code = "import sys\nsys.modules['cv2'] = None\nimport vitpose_ros.core\n"
    found = python(code, ROOT, folder=tmp_path)
    assert 'OpenCV (cv2) is missing: apt install python3-opencv, or pip install opencv' in found


def test_what_needs_no_network_does_not_wait_for_pytorch(tmp_path):
    code = (
        'import sys\n'
        'import vitpose_ros.core as core\n'
        'core.draw_poses, core.Poses\n'
        "assert 'torch' not in sys.modules\n"
        'missing = [name for name in core.__all__ if not hasattr(core, name)]\n'
        "print(missing, hasattr(core, 'PoseEstimators'), 'torch' in sys.modules)\n"
    )
    assert python(code, ROOT, folder=tmp_path) == '[] False True\n'


def test_all_errors_that_users_may_catch_are_exported(tmp_path):
    code = (
        'import importlib, pkgutil\n'
        'import vitpose_ros.core as core\n'
        "for module in pkgutil.walk_packages(core.__path__, 'vitpose_ros.core.'):\n"
        "    if 'cuda' not in module.name:\n"
        '        importlib.import_module(module.name)\n'
        'own = {kind.__name__ for kind in core.VitposeError.__subclasses__()\n'
        "       if kind.__module__.startswith('vitpose_ros.core.')}\n"
        'print(len(own) > 5, sorted(own - set(core.__all__)))\n'
    )
    assert python(code, ROOT, folder=tmp_path) == 'True []\n'
