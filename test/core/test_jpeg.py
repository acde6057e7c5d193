"""JPEG files that stay encoded: headers against OpenCV's own reading, and whatever is damaged."""

import cv2
import numpy as np
import pytest

from vitpose_ros.core import SKELETONS, Frame, Pose, PoseEstimator, Style, draw_poses
from vitpose_ros.core.geometry.crops import Cuts, HostCrops
from vitpose_ros.core.jpeg import ImageError, decode_image, read_jpeg

# OpenCV writes them all since 4.7; before, 4:2:0 alone.
CAN_CHOOSE = hasattr(cv2, 'IMWRITE_JPEG_SAMPLING_FACTOR')
SUBSAMPLINGS = ('411', '420', '422', '440', '444') if CAN_CHOOSE else ('420',)


def picture(height=32, width=48, channels=3):
    y, x = np.mgrid[:height, :width]
    planes = [120 + 90 * np.sin(x / 9 + k) * np.cos(y / 7 - k) for k in range(channels)]
    return np.stack(planes, axis=2).astype(np.uint8)


def encode(pixels, *settings):
    _, file = cv2.imencode('.jpg', pixels, settings)
    return file


def damaged(file):
    """Fill the first Huffman table with nonsense: the header is whole, decoding cannot be."""
    file = file.copy()
    start = file.tobytes().index(b'\xff\xc4') + 5
    file[start : start + 16] = 255
    return file


@pytest.mark.parametrize('subsampling', SUBSAMPLINGS)
@pytest.mark.parametrize('quality', [5, 75, 100])
@pytest.mark.parametrize('size', [(1, 1), (7, 300), (300, 7), (33, 47), (720, 1280)])
def test_a_header_tells_what_opencv_decodes(size, quality, subsampling):
    settings = [cv2.IMWRITE_JPEG_QUALITY, quality]
    if CAN_CHOOSE:
        sampling = getattr(cv2, f'IMWRITE_JPEG_SAMPLING_FACTOR_{subsampling}')
        settings += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, sampling]
    file = encode(picture(*size), *settings, cv2.IMWRITE_JPEG_OPTIMIZE, int(quality == 5))
    jpeg, expected = read_jpeg(file), cv2.imdecode(file, cv2.IMREAD_COLOR)
    assert jpeg.shape == expected.shape == (*size, 3)
    assert not jpeg.is_decoded
    assert np.array_equal(jpeg.pixels, expected)


def test_pixels_are_decoded_once():
    jpeg = read_jpeg(encode(picture()))
    assert jpeg.pixels is jpeg.pixels and jpeg.is_decoded


def test_a_file_that_says_it_is_turned_keeps_its_size():
    file = encode(picture()).tobytes()
    tiff = b'II*\0\x08\0\0\0' + b'\x01\0' + b'\x12\x01\x03\0\x01\0\0\0\x06\0\0\0' + b'\0\0\0\0'
    segment = b'\xff\xe1' + (8 + len(tiff)).to_bytes(2, 'big') + b'Exif\0\0' + tiff
    turned = np.frombuffer(file[:2] + segment + file[2:], np.uint8)
    assert cv2.imdecode(turned, cv2.IMREAD_COLOR).shape == (48, 32, 3)
    assert read_jpeg(turned).shape == read_jpeg(turned).pixels.shape == (32, 48, 3)


def edited(file, marker, values):
    """Change bytes of the first segment with a marker; values: by their place in its body."""
    file = file.copy()
    body = file.tobytes().index(bytes((0xFF, marker))) + 4
    for at, value in values.items():
        file[body + at] = value
    return file


def with_segment(file, marker, body):
    head = bytes((0xFF, marker)) + (len(body) + 2).to_bytes(2, 'big')
    return np.frombuffer(file[:2].tobytes() + head + body + file[2:].tobytes(), np.uint8)


ADOBE = b'Adobe\0\x64\0\0\0\0'
OTHERS = {
    'grey': lambda _: encode(picture(channels=1)),
    'progressive': lambda _: encode(picture(), cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
    'a PNG file': lambda _: cv2.imencode('.png', picture())[1],
    'of 12 bits': lambda file: edited(file, 0xC0, {0: 12}),
    'of height 0': lambda file: edited(file, 0xC0, {1: 0, 2: 0}),
    'larger than 8K': lambda file: edited(file, 0xC0, {1: 255, 3: 255}),
    'with other names': lambda file: edited(file, 0xC0, {6: ord('R')}),
    'Adobe RGB': lambda file: with_segment(file, 0xEE, ADOBE + b'\0'),
    'without end': lambda file: file[:-2],
    'without body': lambda file: file[: len(file) // 4],
    'without Huffman tables': lambda file: np.frombuffer(
        file.tobytes().replace(b'\xff\xc4', b'\xff\xea'), np.uint8
    ),
    'with a scan of luma alone': lambda file: edited(file, 0xDA, {0: 1}),
    'nothing': lambda file: file[:0],
    'a start alone': lambda file: file[:2],
}


@pytest.mark.parametrize('kind', OTHERS)
def test_what_not_every_decoder_reads_alike_is_left_to_opencv(kind):
    assert read_jpeg(OTHERS[kind](encode(picture()))) is None


def test_comments_padding_and_fill_bytes_do_no_harm():
    file = with_segment(encode(picture()), 0xFE, b'\xff\xc0 no frame \xff\xda')
    file = with_segment(file, 0xEE, ADOBE + b'\1')
    filled = np.frombuffer(file.tobytes().replace(b'\xff\xdb', b'\xff\xff\xff\xdb'), np.uint8)
    for data in (file, filled, np.concatenate((file, np.zeros(100, np.uint8)))):
        assert np.array_equal(read_jpeg(data).pixels, decode_image(data))


def test_damage_behind_a_whole_header_is_named():
    jpeg = read_jpeg(damaged(encode(picture())))
    with pytest.raises(ImageError, match=r'JPEG of 48 x 32 pixels with \d+ bytes is not readable'):
        _ = jpeg.pixels
    assert not jpeg.is_decoded


def test_random_damage_is_read_as_opencv_does_or_named():
    random = np.random.default_rng(0)
    files = [encode(picture(), cv2.IMWRITE_JPEG_QUALITY, quality) for quality in (10, 95)]
    kept = 0
    for number in range(3000):
        file = files[number % 2].copy()
        most = (len(file), 650)[number % 2]  # anywhere, or in the header
        places = random.integers(2, most, random.integers(1, 4))
        file[places] ^= (1 << random.integers(0, 8, len(places))).astype(np.uint8)
        if number % 5 == 0:
            file = file[: random.integers(0, len(file))]
        jpeg = read_jpeg(file)
        if jpeg is None:
            continue
        kept += 1
        expected = decode_image(file)
        if expected is None:
            with pytest.raises(ImageError):
                _ = jpeg.pixels
        else:
            assert np.array_equal(jpeg.pixels, expected)
    assert 500 < kept < 2700


def test_a_frame_takes_a_jpeg_for_its_pixels():
    file, boxes = encode(picture(90, 120)), np.array([[10, 10, 60, 80], [-5, 30, 90, 100]])
    frame, plain = Frame(read_jpeg(file), boxes, 'bgr'), Frame(decode_image(file), boxes, 'bgr')
    regions, places = np.array([[5.0, 4, 48, 64], [-9, 30, 90, 120]]), np.arange(2)
    cut = []
    for one in (frame, plain):
        host = HostCrops((64, 48))
        host.begin(2)
        host.cut(one, Cuts(regions, np.array([True, False]), places))
        cut.append(host.batch())
    assert (cut[0] == cut[1]).all() and cut[0].float().std() > 30


def test_a_frame_names_what_is_wrong_beside_a_jpeg():
    jpeg = read_jpeg(encode(picture()))
    with pytest.raises(ValueError, match='lies wholly outside the image of 48 x 32 pixels'):
        Frame(jpeg, [[50, 5, 60, 20]], 'bgr')
    with pytest.raises(ValueError, match=r'shape \(32, 48, 3\); rgba images have \(h, w, 4\)'):
        Frame(jpeg, [], 'rgba')


def test_poses_are_drawn_into_the_pixels():
    jpeg = read_jpeg(encode(picture()))
    points = np.linspace(5, 25, 2 * len(SKELETONS['coco']), dtype=np.float32).reshape(-1, 2)
    pose = Pose('coco', points, np.ones(len(points), np.float32))
    drawn = draw_poses(jpeg, [pose], channels='bgr')
    assert np.array_equal(drawn, draw_poses(jpeg.pixels, [pose], channels='bgr'))
    assert np.array_equal(jpeg.pixels, decode_image(jpeg.data)) and (drawn != jpeg.pixels).any()


def test_its_colours_are_those_of_the_file_unless_something_else_is_said():
    file = encode(picture())
    jpeg, box = read_jpeg(file), [0, 0, 10, 10]
    assert Frame(jpeg, box).channels == 'bgr' and Frame(jpeg.pixels, box).channels == 'rgb'
    assert Frame(jpeg, box, 'rgb').channels == 'rgb', 'encoded swapped'
    estimator = PoseEstimator.load('nano', 'cpu', backend='torch', precision='float32')
    found, expected = estimator.estimate(jpeg), estimator.estimate(jpeg.pixels, channels='bgr')
    assert np.array_equal(found.keypoints, expected.keypoints)
    style = Style(min_score=0.0)
    drawn = found.draw(read_jpeg(file), style=style)
    assert np.array_equal(drawn, found.draw(jpeg.pixels, channels='bgr', style=style))
    assert not np.array_equal(drawn, found.draw(jpeg.pixels, style=style))
