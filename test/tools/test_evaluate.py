"""evaluate: the figures are those of the COCO library, and files that do not fit are named."""

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from vitpose_ros.core import SKELETONS
from vitpose_ros.core.runtime import integers, processor
from vitpose_ros.demo.accuracy import load_truth
from vitpose_ros.demo.sources import DEMO_CLIP
from vitpose_ros.tools import coco, evaluate

ROOT = Path(__file__).parents[2]
FRAMES = (0, 30, 60)
PEOPLE = SKELETONS['coco']


@pytest.fixture(scope='module')
def dataset(tmp_path_factory):
    """Three frames of the demo clip as a COCO keypoint file; people without feet, and a crowd."""
    folder = tmp_path_factory.mktemp('dataset')
    (folder / 'images').mkdir()
    clip = cv2.VideoCapture(str(DEMO_CLIP))
    truth = load_truth(DEMO_CLIP.with_suffix('.json'))
    images, annotations = [], []
    for number in FRAMES:
        clip.set(cv2.CAP_PROP_POS_FRAMES, number)
        _, picture = clip.read()
        height, width = picture.shape[:2]
        cv2.imwrite(str(folder / 'images' / f'{number}.png'), picture)
        images.append(
            {'id': number, 'file_name': f'{number}.png', 'height': height, 'width': width}
        )
        for person in truth[number]:
            x_min, y_min, x_max, y_max = person.box.tolist()
            keypoints = person.keypoints.copy()
            keypoints[15:] = 0  # not labelled
            annotations.append(
                {
                    'id': len(annotations) + 1,
                    'image_id': number,
                    'category_id': 1,
                    'bbox': [x_min, y_min, x_max - x_min, y_max - y_min],
                    'area': 0.53 * (x_max - x_min) * (y_max - y_min),
                    'iscrowd': 0,
                    'keypoints': keypoints.ravel().tolist(),
                    'num_keypoints': 15,
                }
            )
    crowd = {**annotations[-1], 'id': 99, 'iscrowd': 1, 'keypoints': [0] * 51, 'num_keypoints': 0}
    content = {
        'images': images,
        'annotations': [*annotations, crowd],
        'categories': [{'id': 1, 'name': 'person'}],
    }
    (folder / 'people.json').write_text(json.dumps(content))
    return folder


def run(*arguments):
    """Run the tool in a process of its own, as without ROS."""
    return subprocess.run(
        [sys.executable, '-m', 'vitpose_ros', 'evaluate', *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**os.environ, 'PYTHONPATH': str(ROOT)},
        timeout=600,
    )


def by_hand(folder, results):
    """Return the figures of a results file as the library's own example computes them."""
    truth = COCO(str(folder / 'people.json'))
    evaluation = COCOeval(truth, truth.loadRes(str(results)), 'keypoints')
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return evaluation.stats


def printed(output):
    """Return the figures in the table that the tool prints, in percent."""
    lines = output.splitlines()
    row = next(i for i, line in enumerate(lines) if line.split()[:1] == ['AP'])
    return dict(zip(lines[row].split(), map(float, lines[row + 1].split()), strict=True))


def test_the_figures_are_those_of_the_library_fed_by_hand(dataset, tmp_path):
    results = tmp_path / 'results.json'
    ran = run(dataset / 'people.json', dataset / 'images', '--results', results)
    assert ran.returncode == 0, ran.stderr
    table, figures = printed(ran.stdout), by_hand(dataset, results)
    assert table == pytest.approx(dict(zip(coco.FIGURES, 100 * figures, strict=True)), abs=0.05001)
    assert table['AP50'] > 50  # the network does find them
    people = json.loads((dataset / 'people.json').read_text())['annotations']
    assert len(json.loads(results.read_text())) == len(people) - 1  # not in the crowd's box


@pytest.mark.parametrize('backend', ['openvino', 'onnx'])
def test_int8_tells_what_it_adds_to_float32_also_where_it_is_slower(
    backend, dataset, tmp_path, capsys, monkeypatch
):
    pytest.importorskip({'onnx': 'onnxruntime'}.get(backend, backend))
    monkeypatch.setattr(integers, 'gain', lambda *_: 0.5)
    monkeypatch.setattr(processor, 'has_int8', lambda: False)
    monkeypatch.setenv('VITPOSE_ROS_CACHE', str(tmp_path / 'cache'))
    told, files = {}, {}
    for precision in ('int8', 'float32'):
        files[precision] = tmp_path / f'{precision}.json'
        arguments = ['--results', str(files[precision]), '--backend', backend, '--device', 'cpu']
        arguments += ['--precision', precision, '--no-flip-test']
        path = dataset / 'people.json'
        assert evaluate.main([str(path), str(dataset / 'images'), *arguments]) == 0
        told[precision] = capsys.readouterr().out
    lines = told['int8'].splitlines()
    [line] = [i for i, text in enumerate(lines) if text.endswith('and what int8 adds to it:')]
    assert lines[line].startswith(f'{backend} on cpu, float32, ')
    own, other = printed(told['int8']), printed(told['float32'])
    assert list(map(float, lines[line + 1].split())) == list(other.values())
    exact = [
        100 * (by_hand(dataset, files['int8']) - by_hand(dataset, files['float32']))[i]
        for i in range(len(own))
    ]
    for figure, difference, less in zip(own.values(), lines[line + 2].split(), exact, strict=True):
        assert (
            difference == '-'
            if figure == -1
            else float(difference) == pytest.approx(less, abs=0.05001)
        )
    assert files['int8'].read_bytes() != files['float32'].read_bytes()
    assert 'int8 adds' not in told['float32']


def test_people_in_images_without_a_box_are_missed(dataset, tmp_path, capsys):
    """Two images with a person each, whom the network finds exactly: one box gives AP 50.5."""
    content = json.loads((dataset / 'people.json').read_text())
    content['images'] = content['images'][:2]
    people = [
        next(
            p for p in content['annotations'] if p['image_id'] == image['id'] and not p['iscrowd']
        )
        for image in content['images']
    ]
    content['annotations'] = people
    folder, results = tmp_path / 'two', tmp_path / 'results.json'
    folder.mkdir()
    (folder / 'people.json').write_text(json.dumps(content))
    arguments = [str(folder / 'people.json'), str(dataset / 'images'), '--results', str(results)]
    assert evaluate.main(arguments) == 0
    found = {r['image_id']: r['keypoints'] for r in json.loads(results.read_text())}
    for person in people:  # the truth is what the network says
        points = np.reshape(found[person['image_id']], (17, 3))
        points[:, 2] = 2
        person.update(keypoints=points.ravel().tolist(), num_keypoints=17)
    (folder / 'people.json').write_text(json.dumps(content))
    x, y, width, height = people[0]['bbox']
    box = {'image_id': people[0]['image_id'], 'category_id': 1, 'score': 0.9}
    box['bbox'] = [x, y, width - 1, height - 1]
    (folder / 'boxes.json').write_text(json.dumps([box]))
    capsys.readouterr()
    assert evaluate.main([*arguments, '--boxes', str(folder / 'boxes.json')]) == 0
    output = capsys.readouterr().out
    assert '1 boxes (boxes.json) in 1 images; what counts: 2 people in 2 images' in output
    assert printed(output)['AP'] == 50.5
    assert 100 * by_hand(folder, results)[0] == pytest.approx(50.5, abs=0.05)


def test_a_detector_that_finds_nobody_has_an_ap_of_zero(dataset, tmp_path, capsys):
    box = {'image_id': FRAMES[0], 'category_id': 1, 'bbox': [1, 1, 9, 9], 'score': 0.1}
    arguments = [str(dataset / 'people.json'), str(dataset / 'images'), '--box-threshold', '0.2']
    arguments += ['--results', str(tmp_path / 'results.json'), '--boxes']
    for number, boxes in enumerate(([], [box])):
        path = tmp_path / f'boxes{number}.json'
        path.write_text(json.dumps(boxes))
        assert evaluate.main([*arguments, str(path)]) == 0
        told = capsys.readouterr()
        assert f'{path}: no box, so everybody is missed' in told.err
        table = printed(told.out)
        assert all(table[name] == 0 for name in ('AP', 'AP50', 'AP75', 'AR', 'AR50'))
        assert f'0 boxes ({path.name}) in 0 images' in told.out
    path.write_text(json.dumps([{**box, 'score': 0.9, 'category_id': 7}]))
    assert evaluate.main([*arguments, str(path)]) == 1
    assert 'are its image_id and category_id those of' in capsys.readouterr().err


def test_boxes_are_those_of_the_authors(tmp_path):
    """True boxes are cut to the image and lose a pixel; those of a detector stay as they are."""
    (tmp_path / 'a.png').touch()
    image = {'id': 1, 'file_name': 'a.png', 'width': 100, 'height': 80}
    boxes = [[-10, 10.5, 50, 60], [70, 30, 50, 100], [20, 20, 1, 30]]
    people = [
        {'id': i, 'image_id': 1, 'category_id': 1, 'bbox': box, 'keypoints': [1.0] * 51}
        for i, box in enumerate(boxes)
    ]
    path = tmp_path / 'people.json'
    path.write_text(json.dumps({'images': [image], 'annotations': people}))
    dataset = coco.Dataset(path, tmp_path, PEOPLE)
    [true] = dataset.with_true_boxes()
    # x1 = max(0, x), x2 = min(width - 1, x1 + w - 1), and so for y; what is empty then is none.
    assert true.boxes.tolist() == [[0, 10.5, 49, 69.5], [70, 30, 99, 79]]
    rows = [
        {'image_id': 1, 'category_id': 1, 'bbox': box, 'score': score}
        for box, score in zip(boxes, (0.5, 0.2, 0.1), strict=True)
    ]
    [found] = dataset.with_boxes(rows, 0.2)
    assert found.boxes.tolist() == [[-10, 10.5, 40, 70.5], [70, 30, 120, 130]]
    assert found.scores.tolist() == [0.5, 0.2]


def test_only_the_first_images_count_where_that_is_asked_for(dataset):
    content = json.loads((dataset / 'people.json').read_text())
    limited = coco.Dataset(dataset / 'people.json', dataset / 'images', PEOPLE, limit=2)
    assert limited.image_ids == [entry['id'] for entry in content['images'][:2]]
    assert {subjects.image_id for subjects in limited.with_true_boxes()} == set(FRAMES[:2])
    assert limited.people == len(
        [p for p in content['annotations'] if p['image_id'] in FRAMES[:2] and not p['iscrowd']]
    )


def test_given_boxes_are_used_and_doubles_dropped(dataset, tmp_path):
    people = json.loads((dataset / 'people.json').read_text())['annotations']
    box = {key: people[0][key] for key in ('image_id', 'category_id', 'bbox')}
    elsewhere = {**box, 'image_id': 12345, 'score': 1.0}
    boxes = [{**box, 'score': 0.9}, {**box, 'score': 0.5}, {**box, 'score': 0.1}, elsewhere]
    (tmp_path / 'boxes.json').write_text(json.dumps(boxes))
    results = tmp_path / 'results.json'
    ran = run(
        dataset / 'people.json', dataset / 'images', '--boxes', tmp_path / 'boxes.json',
        '--box-threshold', 0.2, '--no-flip-test', '--results', results,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert '2 boxes (boxes.json) in 1 images' in ran.stdout
    [result] = json.loads(results.read_text())
    scores = np.array(result['keypoints'])[2::3]
    assert result['score'] == pytest.approx(0.9 * scores[scores > 0.2].mean(), abs=1e-3)


def test_of_poses_alike_in_an_image_the_best_stays():
    points = np.random.default_rng(0).uniform(0, 100, (17, 2))

    def result(shift, score, image=1):
        rows = np.column_stack((points + shift, np.ones(17)))
        return {'image_id': image, 'keypoints': rows.ravel().tolist(), 'score': score}

    results = [result(0, 0.5), result(1, 0.9), result(60, 0.4), result(0, 0.1, image=2)]
    kept = coco.without_doubles(results, np.full(4, 100.0 * 200), PEOPLE)
    assert [r['score'] for r in kept] == [0.9, 0.4, 0.1]
    # The area decides what is alike: in small regions a pixel is far.
    kept = coco.without_doubles(results, np.full(4, 10.0 * 20), PEOPLE)
    assert len(kept) == 4


def perfect_results(content):
    """Return results that say the truth; of what is not labelled anything."""
    return [
        {
            'image_id': person['image_id'],
            'category_id': 1,
            'keypoints': np.column_stack(
                (np.reshape(person['keypoints'], (-1, 3))[:, :2], np.ones(17))
            ).ravel().tolist(),
            'score': 1.0,
        }
        for person in content['annotations']
        if not person['iscrowd']
    ]  # fmt: skip


def test_perfect_predictions_give_one(dataset):
    content = json.loads((dataset / 'people.json').read_text())
    figures = coco.average_precision(content, perfect_results(content), PEOPLE, FRAMES)
    assert {figures[name] for name in ('AP', 'AP50', 'AP75', 'AR')} == {1.0}


def test_a_shift_by_a_known_oks_passes_the_thresholds_below_it(dataset):
    content = json.loads((dataset / 'people.json').read_text())
    results = perfect_results(content)
    people = [p for p in content['annotations'] if not p['iscrowd']]
    for result, person in zip(results, people, strict=True):
        # Each keypoint so far off that its similarity is 0.72.
        spread = 2 * np.array(PEOPLE.sigmas) * np.sqrt(-2 * person['area'] * np.log(0.72))
        points = np.array(result['keypoints']).reshape(17, 3)
        points[:, 0] += spread
        result['keypoints'] = points.ravel().tolist()
    figures = coco.average_precision(content, results, PEOPLE, FRAMES)
    assert figures['AP'] == pytest.approx(0.5)  # 0.50 to 0.70 of 0.50 to 0.95
    assert (figures['AP50'], figures['AP75']) == (1.0, 0.0)


def test_whole_body_lists_are_joined(tmp_path):
    lists = {'foot_kpts': 6, 'face_kpts': 68, 'lefthand_kpts': 21, 'righthand_kpts': 21}
    person = {
        'id': 1, 'image_id': 1, 'category_id': 1, 'bbox': [0, 0, 10, 10],
        'keypoints': [1.0] * 51, **{name: [2.0] * 3 * n for name, n in lists.items()},
    }  # fmt: skip
    path = tmp_path / 'whole.json'
    path.write_text(
        json.dumps({'images': [{'id': 1, 'file_name': 'a.png'}], 'annotations': [person]})
    )
    data = coco.Dataset(path, tmp_path, SKELETONS['wholebody'])
    [joined] = data.content['annotations']
    assert joined['keypoints'] == [1.0] * 51 + [2.0] * 3 * 116


def test_what_does_not_fit_is_named(dataset, tmp_path, capsys):
    people = dataset / 'people.json'
    empty = tmp_path / 'empty.json'
    empty.write_text('[]')
    for arguments, words in (
        ((people, tmp_path), f'{tmp_path}/0.png: no image there'),
        ((tmp_path / 'none.json', dataset), "none.json': No such file"),
        ((empty, dataset), 'empty.json: not a COCO annotation file; it has no images'),
        ((people, dataset / 'images', '--boxes', people), "not COCO's results format"),
    ):
        given = [*arguments, '--results', tmp_path / 'results.json']
        assert evaluate.main([str(argument) for argument in given]) == 1
        assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ('arguments', 'words'),
    [
        (['--results', '/nowhere/x.json'], 'argument --results: there is no folder /nowhere'),
        (['--results', '/'], 'is a folder'),
        (['--threads', '-3'], 'argument --threads: threads is -3; give 0 to 1024'),
        (['--max-batch', '0'], 'argument --max-batch: max_batch is 0; give 1 to 1024'),
        (['--cuda-graphs', 'on'], "argument --cuda-graphs: cuda_graphs is 'on'; give auto or off"),
        (['--limit', '0'], 'argument --limit: 0 is too few'),
    ],
)
def test_wrong_arguments_are_named_before_any_work(arguments, words, capsys):
    with pytest.raises(SystemExit):
        evaluate.main(['absent.json', 'absent', *arguments])
    assert words in capsys.readouterr().err


def test_files_are_read_before_the_network_is_loaded(dataset, tmp_path, capsys):
    for arguments, words in (
        ([str(tmp_path / 'none.json')], "none.json': No such file"),
        ([str(dataset / 'people.json'), '--boxes', str(tmp_path / 'b')], "b': No such file"),
    ):
        images = str(dataset / 'images')
        assert evaluate.main([arguments[0], images, *arguments[1:], '--model', 'absent']) == 1
        assert words in capsys.readouterr().err


def changed_file(dataset, tmp_path, change):
    """Write the keypoint file, changed."""
    content = json.loads((dataset / 'people.json').read_text())
    change(content)
    (tmp_path / 'changed.json').write_text(json.dumps(content))
    return str(tmp_path / 'changed.json')


@pytest.mark.parametrize(
    ('change', 'words'),
    [
        (lambda c: c.update(annotations=[5]), "an annotation is 5; is this COCO's format?"),
        (lambda c: c.update(annotations=5), 'annotations is 5, expected a list'),
        (lambda c: c.update(images=[None]), 'an image is None'),
        (lambda c: c.update(categories=[{}]), "a category without 'id'"),
        (lambda c: c['images'][0].pop('file_name'), "an image without 'file_name'"),
        (lambda c: c['images'][0].update(file_name=3), 'an image has file_name 3'),
        (lambda c: c['images'][0].update(width='x'), "an image has width 'x', expected a number"),
        (lambda c: c['images'][0].update(id=[1]), 'an image has id [1]'),
        (lambda c: c['annotations'][0].update(keypoints=5), 'an annotation has keypoints 5'),
        (
            lambda c: c['annotations'][0].update(keypoints=['a']),
            "keypoints ['a'], expected a list",
        ),
        (lambda c: c['annotations'][0].update(bbox=['x', 1, 2, 3]), "bbox ['x', 1, 2, 3]"),
        (lambda c: c['annotations'][0].update(area='x'), "an annotation has area 'x'"),
        (lambda c: c['annotations'][0].pop('image_id'), "an annotation without 'image_id'"),
    ],
)
def test_entries_that_do_not_fit_are_named_before_the_network_is_loaded(
    change, words, dataset, tmp_path, capsys
):
    path = changed_file(dataset, tmp_path, change)
    assert evaluate.main([path, str(dataset / 'images'), '--model', 'absent']) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert f'{path}: ' in line and words in line


def test_categories_may_have_names_of_keypoints(dataset, tmp_path):
    def change(content):
        content['categories'][0].update(keypoints=['nose'], skeleton=[[1, 2]])

    coco.read_keypoint_file(Path(changed_file(dataset, tmp_path, change)))


@pytest.mark.parametrize(
    ('change', 'words'),
    [
        ({'bbox': ['a', 1, 2, 3]}, "box 0 has bbox ['a', 1, 2, 3], expected 4 numbers"),
        ({'bbox': [1, 1, None, 3]}, 'box 0 has bbox [1, 1, None, 3]'),
        ({'bbox': [1, 1, 10**400, 3]}, 'box 0 has bbox [1, 1, 1000'),
        ({'score': None}, "box 0 without 'score'"),
        ({'image_id': [1]}, 'box 0 has image_id [1]'),
    ],
)
def test_boxes_that_do_not_fit_are_named_before_the_network_is_loaded(
    change, words, dataset, tmp_path, capsys
):
    box = {'image_id': 0, 'category_id': 1, 'bbox': [1, 1, 9, 9], 'score': 0.5}
    path = tmp_path / 'boxes.json'
    path.write_text(json.dumps([{**box, **change}]))
    arguments = [str(dataset / 'people.json'), str(dataset / 'images'), '--boxes', str(path)]
    assert evaluate.main([*arguments, '--model', 'absent']) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert f"'{path}': {words}" in line and len(line) < 500


def test_without_pycocotools_the_way_to_get_it_is_named(dataset, monkeypatch, capsys):
    monkeypatch.setattr(evaluate.importlib.util, 'find_spec', lambda _: None)
    assert evaluate.main([str(dataset / 'people.json'), str(dataset)]) == 1
    error = capsys.readouterr().err
    assert 'pip install pycocotools' in error and 'vitpose_ros[' not in error


def test_a_set_with_other_keypoints_is_named(dataset):
    with pytest.raises(coco.DatasetError, match="has 17 keypoints, the network's set 'mpii'"):
        coco.Dataset(dataset / 'people.json', dataset, SKELETONS['mpii'])
