"""Pictures and videos that are written beside others."""

from collections import Counter
from pathlib import Path

from vitpose_ros.tools.media import Pictures


def test_thousands_of_pictures_that_were_written_before_cost_some_looks_each(
    monkeypatch, tmp_path
):
    sources, output = tmp_path / 'in', tmp_path / 'out'
    names = [f'{number}.png' for number in range(100)]
    for folder in (sources, output):
        folder.mkdir()
        for name in names:
            (folder / name).touch()
    files = [sources / name for name in names]
    calls = Counter()

    def count(method):
        real = getattr(Path, method)

        def counted(*arguments):
            calls[method] += 1
            return real(*arguments)

        monkeypatch.setattr(Path, method, counted)

    for method in ('resolve', '__eq__'):
        count(method)
    Pictures(output, files)
    monkeypatch.undo()
    assert 0 < calls['resolve'] <= 2 * len(files)
    assert calls['__eq__'] <= 2 * len(files)
