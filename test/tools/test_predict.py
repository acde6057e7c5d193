"""The command that turns pictures and videos into poses: pictures, a video and JSON."""

import json
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from vitpose_ros.core import PoseEstimator
from vitpose_ros.demo.sources import ImageSource
from vitpose_ros.tools import predict

DATA = Path(__file__).parents[2] / 'vitpose_ros' / 'demo' / 'data'
CLIP, TRUTH = DATA / 'demo_clip.mp4', json.loads((DATA / 'demo_clip.json').read_text())
FRAMES = 4
RUN = ('--device', 'cpu', '--backend', 'torch', '--precision', 'float32')


@pytest.fixture(scope='module')
def images():
    video = cv2.VideoCapture(str(CLIP))
    return [video.read()[1] for _ in range(FRAMES)]


@pytest.fixture
def folder(tmp_path, images):
    """Pictures of the clip, in a folder, with a file that is none."""
    pictures = tmp_path / 'pictures'
    pictures.mkdir()
    for index, image in enumerate(images):
        cv2.imwrite(str(pictures / f'{index}.png'), image)
    (pictures / 'notes.txt').write_text('no picture')
    return pictures


@pytest.fixture
def video(tmp_path, images):
    path = tmp_path / 'short.avi'
    size = images[0].shape[1::-1]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'MJPG'), 10.0, size)
    for image in images:
        writer.write(image)
    writer.release()
    return path


def boxes_file(tmp_path, about):
    """Write the true boxes of each frame; about: what says which picture each is of."""
    rows = [
        {
            'bbox': person['bbox'],
            'score': 0.75,
            'category_id': 1,
            'track_id': person['id'],
            **about(i),
        }
        for i, people in enumerate(TRUTH['frames'][:FRAMES])
        for person in people
    ]
    (tmp_path / 'boxes.json').write_text(json.dumps(rows))
    return tmp_path / 'boxes.json'


def run(*arguments):
    return predict.main([*map(str, arguments), *RUN], prog='predict')


def written(path):
    return json.loads(path.read_text())


def assert_people(entries):
    """Assert that each subject is the person of its box, with keypoints on the true ones."""
    for entry, people in zip(entries, TRUTH['frames'], strict=False):
        assert (entry['width'], entry['height']) == (TRUTH['width'], TRUTH['height'])
        assert len(entry['subjects']) == len(people)
        for subject, person in zip(entry['subjects'], people, strict=True):
            assert subject['bbox'] == person['bbox'] and subject['skeleton'] == 'coco'
            assert (subject['class'], subject['score']) == ('person', 0.75)
            assert subject['track_id'] == str(person['id'])
            found = np.array(subject['keypoints']).reshape(17, 3)
            true = np.array(person['keypoints'])
            errors = np.linalg.norm(found[:, :2] - true[:, :2], axis=1)[true[:, 2] == 2]
            assert np.median(errors) < 0.04 * person['bbox'][3]


def test_pictures_of_a_folder_get_the_boxes_of_their_names(folder, tmp_path, images):
    boxes = boxes_file(
        tmp_path, lambda index: {'file_name': f'{index}.png', 'image_id': 100 + index}
    )
    out = tmp_path / 'out'
    assert run(folder, '--boxes', boxes, '--json', tmp_path / 'x.json', '--output', out) == 0
    found = written(tmp_path / 'x.json')
    assert [Path(entry['source']).name for entry in found] == [f'{i}.png' for i in range(FRAMES)]
    assert {entry['frame'] for entry in found} == {0}
    assert_people(found)
    assert sorted(path.name for path in out.iterdir()) == [f'{i}.png' for i in range(FRAMES)]
    estimator = PoseEstimator.load('nano', 'cpu', backend='torch', precision='float32')
    people = TRUTH['frames'][0]
    corners = np.array([person['bbox'] for person in people], np.float32)
    corners[:, 2:] += corners[:, :2]
    poses = estimator.estimate(
        images[0],
        corners,
        channels='bgr',
        class_names=['person'] * len(people),
        track_ids=[str(person['id']) for person in people],
    )
    expected = poses.draw(images[0], channels='bgr').astype(int)
    drawn = cv2.imread(str(out / '0.png'))
    assert (drawn != images[0]).any() and np.abs(drawn - expected).max() <= 1


def test_without_names_the_number_counts_in_sorted_order(folder, tmp_path):
    boxes = boxes_file(tmp_path, lambda index: {'image_id': index})
    pictures = sorted(folder.glob('*.png'), reverse=True)
    assert run(*pictures, '--boxes', boxes, '--json', tmp_path / 'x.json') == 0
    assert_people(written(tmp_path / 'x.json'))


@pytest.mark.parametrize('named', [True, False])
def test_a_video_becomes_a_video_of_as_many_frames(named, video, tmp_path):
    def about(index):
        return {'image_id': index, **({'file_name': video.name} if named else {})}

    out, boxes = tmp_path / 'out', boxes_file(tmp_path, about)
    assert run(video, '--boxes', boxes, '--output', out, '--json', tmp_path / 'x.json') == 0
    found = written(tmp_path / 'x.json')
    assert [entry['frame'] for entry in found] == list(range(FRAMES))
    assert_people(found)
    result = cv2.VideoCapture(str(out / 'short.mp4'))
    assert int(result.get(cv2.CAP_PROP_FRAME_COUNT)) == FRAMES
    assert result.get(cv2.CAP_PROP_FPS) == pytest.approx(10)
    frame = result.read()[1]
    assert frame.shape == (TRUTH['height'], TRUTH['width'], 3)


def test_the_poses_may_lie_in_the_new_folder_and_none_is_left_where_nothing_was_made(
    folder, tmp_path
):
    out = tmp_path / 'new' / 'out'
    arguments = (folder / '0.png', '--output', out, '--json', out / 'x.json')
    assert run(*arguments, '--model', tmp_path / 'absent.pth') == 1
    assert not out.parent.exists()
    assert run(*arguments) == 0
    assert sorted(path.name for path in out.iterdir()) == ['0.png', 'x.json']
    assert len(written(out / 'x.json')) == 1


def test_without_boxes_each_picture_is_one_subject(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    picture = folder / '0.png'
    assert run(picture) == 0
    assert [path.name for path in (tmp_path / 'predicted').iterdir()] == ['0.png']
    assert run(picture, '--json', 'x.json') == 0
    [entry] = written(tmp_path / 'x.json')
    [subject] = entry['subjects']
    assert subject['bbox'] == [0, 0, TRUTH['width'], TRUTH['height']]
    assert subject['class'] is subject['score'] is subject['track_id'] is None


def test_subjects_get_the_keypoints_of_their_class(folder, tmp_path):
    rows = [
        {'file_name': '0.png', 'bbox': TRUTH['frames'][0][0]['bbox'], 'class': name}
        for name in ('dog', 'person', 'lamp')
    ]
    (tmp_path / 'boxes.json').write_text(json.dumps(rows))
    arguments = ('--boxes', tmp_path / 'boxes.json', '--json', tmp_path / 'x.json')
    assert run(folder / '0.png', *arguments, '--keypoint-sets', 'mpii,coco') == 0
    subjects = written(tmp_path / 'x.json')[0]['subjects']
    assert [subject['skeleton'] for subject in subjects] == ['mpii', 'mpii', 'mpii']
    assert [subject['class'] for subject in subjects] == ['dog', 'person', 'lamp']


def test_what_is_no_box_or_no_picture_costs_itself_alone(folder, tmp_path, capsys):
    rows = [
        {'file_name': '0.png', 'bbox': [5, 5, -2, 8]},
        {'file_name': '0.png', 'bbox': TRUTH['frames'][0][0]['bbox']},
        {'file_name': '0.png', 'bbox': [5, 5, 50, 80], 'score': 0.1},
    ]
    (tmp_path / 'boxes.json').write_text(json.dumps(rows))
    (folder / '00.png').write_bytes(b'nonsense')
    arguments = ('--boxes', tmp_path / 'boxes.json', '--json', tmp_path / 'x.json')
    assert run(folder, *arguments, '--box-threshold', 0.5) == 1
    found = written(tmp_path / 'x.json')
    assert [len(entry['subjects']) for entry in found] == [1, 0, 0, 0]
    errors = capsys.readouterr().err
    assert 'has no positive size; it is left out' in errors
    assert "predict: OpenCV does not read '" in errors and '00.png' in errors


@pytest.mark.parametrize(
    ('arguments', 'words'),
    [
        (['absent.png'], "'absent.png' is not there"),
        (['empty'], "'empty': no picture and no video in that folder"),
        (['a.png', '--boxes', 'absent.json'], "'absent.json': No such file"),
        (['a.png', '--boxes', 'a.png'], "'a.png': not JSON"),
        (['a.png', '--boxes', 'object.json'], 'which is a list of boxes'),
        (['a.png', '--boxes', 'odd.json'], 'box 0 has bbox 3, expected 4 numbers'),
        (['x' * 300], "xxx…' is not there"),
        (['a.png', '--output', '.'], "'a.png' would overwrite a source"),
        (['a.png', 'empty/../a.png', '--output', 'o'], "two sources would become 'o/a.png'"),
        (['a.png', '--output', 'object.json'], "'object.json': File exists"),
        (['a.png', '--model', 'absent.pth'], 'absent.pth'),
        (['a.png', '--json', 'no/x.json'], '--json: there is no folder no'),
        (['a.png', '--json', 'empty'], '--json: empty is a folder'),
        (['a.png', '--json', 'x' * 300], 'File name too long'),
        (['a.png', '--box-threshold', '0.5'], 'give --boxes or --detector'),
        (['a.png', '--detector-every', '3'], 'give --detector'),
    ],
)
def test_what_cannot_be_is_named_in_one_line(
    arguments, words, tmp_path, monkeypatch, capsys, images
):
    monkeypatch.chdir(tmp_path)
    cv2.imwrite('a.png', images[0])
    Path('empty').mkdir()
    Path('object.json').write_text('{}')
    Path('odd.json').write_text('[{"bbox": 3}]')
    assert predict.main(arguments, prog='predict') == 1
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith('predict: ') and words in line


@pytest.mark.parametrize(
    ('arguments', 'words'),
    [
        (['--threads', '-1'], '--threads: threads is -1; give 0 to 1024'),
        (['--threads', 'two'], "--threads: threads is 'two'; give a whole number, 0 to 1024"),
        (['--device', 'cpu:0'], "--device: device is 'cpu:0'; give auto, cpu, cuda, cuda:N"),
        (['--image-size', '16x16'], '--image-size: image_size is (16, 16); give height and width'),
        (['--keypoint-sets', 'coco,body'], "--keypoint-sets: keypoint_sets has 'body'"),
        (['--decode', 'dark'], "--decode: decode is 'dark'; give reference or hybrid"),
    ],
)
def test_what_an_option_does_not_take_reads_as_in_python(arguments, words, capsys):
    with pytest.raises(SystemExit):
        predict.main(['a.png', *arguments], prog='predict')
    error = capsys.readouterr().err
    assert 'argument --' in error and words in error


BOX = {'bbox': [5, 5, 50, 80], 'file_name': '0.png'}


@pytest.mark.parametrize(
    ('change', 'words'),
    [
        ({'bbox': '1234'}, "has bbox '1234', expected 4 numbers"),
        ({'bbox': [1, 2, True, 4]}, 'has bbox [1, 2, True, 4]'),
        ({'bbox': [10**400, 2, 3, 4]}, 'has bbox [1000'),
        ({'bbox': None}, "without 'bbox'"),
        ({'score': 10**400}, 'has score 1000'),
        ({'score': '0.5'}, "has score '0.5', expected a number"),
        ({'image_id': 1e999}, 'has image_id inf, expected a whole number'),
        ({'image_id': 0.7}, 'has image_id 0.7'),
        ({'image_id': True}, 'has image_id True'),
        ({'file_name': ['0.png']}, "has file_name ['0.png'], expected a name"),
        ({'file_name': None}, 'has neither file_name nor image_id'),
    ],
)
def test_a_box_that_is_none_is_named_with_its_value(change, words, folder, tmp_path, capsys):
    (tmp_path / 'boxes.json').write_text(json.dumps([BOX, {**BOX, **change}]))
    arguments = ('--boxes', tmp_path / 'boxes.json', '--model', 'absent', '--json', 'x.json')
    assert run(folder, *arguments) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert f"boxes.json': box 1 {words}" in line and len(line) < 500


@pytest.mark.parametrize(
    ('about', 'words'),
    [
        ({'image_id': 397133}, 'with image_id 397133; without file_name it is the index'),
        ({'image_id': -1}, 'with image_id -1;'),
        ({'image_id': 5, 'file_name': None}, 'with image_id 5;'),
        ({'file_name': 'other.png'}, "with file_name 'other.png'; file_name is the name of"),
        ({'file_name': 'short.avi'}, "with file_name 'short.avi'; of a video each box needs"),
    ],
)
def test_boxes_of_no_picture_are_counted_and_the_first_is_named(
    about, words, folder, tmp_path, capsys
):
    lost = {'bbox': [5, 5, 50, 80], **about}
    arguments = (folder / '0.png', '--boxes', tmp_path / 'boxes.json', '--json', tmp_path / 'x')
    (tmp_path / 'boxes.json').write_text(json.dumps([BOX, lost, lost]))
    assert run(*arguments) == 0
    [line] = [line for line in capsys.readouterr().err.splitlines() if 'warning: ' in line]
    assert '2 of 3 boxes are of no picture, the first is box 1 ' + words in line
    (tmp_path / 'boxes.json').write_text(json.dumps([lost]))
    assert run(*arguments) == 1
    assert f'1 of 1 boxes are of no picture, the first is box 0 {words}' in capsys.readouterr().err


def test_a_box_that_may_be_of_several_pictures_is_an_error(folder, tmp_path, capsys):
    (tmp_path / 'below').mkdir()
    (tmp_path / 'below' / '0.png').write_bytes((folder / '0.png').read_bytes())
    (tmp_path / 'boxes.json').write_text(json.dumps([BOX]))
    sources = folder / '0.png', tmp_path / 'below' / '0.png'
    arguments = ('--boxes', tmp_path / 'boxes.json', '--json', tmp_path / 'x')
    assert run(*sources, *arguments) == 1
    said = capsys.readouterr().err
    assert all(str(source) in said for source in sources) and 'give the whole path' in said
    (tmp_path / 'boxes.json').write_text(json.dumps([{**BOX, 'file_name': str(sources[1])}]))
    assert run(*sources, *arguments) == 0
    assert [len(frame['subjects']) for frame in written(tmp_path / 'x')] in ([0, 1], [1, 0])


def test_what_is_null_is_not_known(folder, tmp_path):
    names = ('score', 'track_id', 'class', 'category_id', 'image_id')
    (tmp_path / 'boxes.json').write_text(json.dumps([{**BOX, **dict.fromkeys(names)}]))
    arguments = ('--boxes', tmp_path / 'boxes.json', '--json', tmp_path / 'x.json')
    assert run(folder / '0.png', *arguments, '--box-threshold', 0.5) == 0
    [subject] = written(tmp_path / 'x.json')[0]['subjects']
    assert subject['class'] is subject['score'] is subject['track_id'] is None


def test_numbers_of_tracks_out_of_a_table_have_no_point(folder, tmp_path):
    (tmp_path / 'boxes.json').write_text(json.dumps([{**BOX, 'track_id': 7.0}]))
    arguments = ('--boxes', tmp_path / 'boxes.json', '--json', tmp_path / 'x.json')
    assert run(folder / '0.png', *arguments) == 0
    [subject] = written(tmp_path / 'x.json')[0]['subjects']
    assert subject['track_id'] == '7'


def test_a_picture_that_claims_to_be_huge_costs_itself_alone(folder, tmp_path, capsys):
    content = bytearray((folder / '1.png').read_bytes())
    header = b'IHDR' + struct.pack('>II', 40000, 40000) + content[24:29]
    content[12:33] = header + struct.pack('>I', zlib.crc32(header))
    (folder / '1.png').write_bytes(content)
    (folder / 'dir.jpg').mkdir()
    assert run(folder, '--json', tmp_path / 'x.json') == 1
    assert len(written(tmp_path / 'x.json')) == FRAMES - 1
    error = capsys.readouterr().err
    assert f"OpenCV does not read '{folder / '1.png'}': left out" in error
    with pytest.raises(ValueError, match='not readable; is it damaged'):
        list(ImageSource(str(folder)).images())


def test_a_file_stays_as_it_is_where_the_network_cannot_be_loaded(folder, tmp_path):
    (tmp_path / 'keep.json').write_text('mine')
    assert run(folder, '--json', tmp_path / 'keep.json', '--model', 'nonsense') == 1
    assert (tmp_path / 'keep.json').read_text() == 'mine'


def test_what_is_read_is_not_written_over(tmp_path, capsys):
    picture, boxes = tmp_path / 'a.png', tmp_path / 'boxes.json'
    cv2.imwrite(str(picture), np.zeros((64, 48, 3), np.uint8))
    boxes.write_text(json.dumps([{'image_id': 0, 'bbox': [1, 1, 30, 40]}]))
    (tmp_path / 'link.json').symlink_to(picture)
    before = picture.read_bytes(), boxes.read_bytes()
    for out in (picture, boxes, tmp_path / 'link.json'):
        assert predict.main([str(picture), '--boxes', str(boxes), '--json', str(out)]) == 1
        assert f"--json '{out}' would overwrite what is read" in capsys.readouterr().err
    assert before == (picture.read_bytes(), boxes.read_bytes())


def test_what_is_no_picture_by_its_name_is_refused(tmp_path, capsys):
    path = tmp_path / 'notes.txt'
    path.write_text('words')
    assert predict.main([str(path), '--json', str(tmp_path / 'x.json')]) == 1
    assert 'is no picture and no video by its name; give one of .jpg' in capsys.readouterr().err


@pytest.mark.parametrize('word', ['nan', 'inf', 'much'])
def test_a_threshold_is_a_number(word, capsys):
    with pytest.raises(SystemExit):
        predict.main(['a.png', '--box-threshold', word])
    assert f"'{word}' is no number" in capsys.readouterr().err


def test_people_of_a_video_keep_their_ids_where_tracking_is_on(video, tmp_path):
    boxes = boxes_file(tmp_path, lambda index: {'image_id': index})
    out = tmp_path / 'x.json'
    assert run(video, '--boxes', boxes, '--json', out, '--tracking', 'on') == 0
    ids = [[subject['track_id'] for subject in entry['subjects']] for entry in written(out)]
    assert len(set(ids[0])) == len(ids[0]) > 1
    assert ids == [ids[0]] * len(ids)
    assert not set(ids[0]) & {str(person['id']) for person in TRUTH['frames'][0]}


def test_smoothing_needs_tracking(video, tmp_path, capsys):
    assert run(video, '--json', tmp_path / 'x.json', '--smoothing', 'light') == 1
    assert "smoothing is 'light', tracking is 'off'" in capsys.readouterr().err
