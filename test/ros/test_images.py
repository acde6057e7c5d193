"""Every encoding, against arrays made by hand."""

from array import array

import cv2
import numpy as np
import pytest
from pictures import ENCODERS, LOSSLESS, encoded
from sensor_msgs.msg import CompressedImage, Image

from vitpose_ros.core.jpeg import Jpeg
from vitpose_ros.ros.images import ENCODINGS, read_encoded, read_image
from vitpose_ros.ros.logs import InputError

WIDTH, HEIGHT = 48, 32


@pytest.fixture(scope='module')
def smooth():
    """An RGB picture of smooth colours, of which subsampled ones and Bayer patterns keep most."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    planes = 120 + 70 * np.sin(x / 17), 90 + 2.5 * y, 150 - 1.5 * x + y
    return np.stack(planes, axis=2).round().astype(np.uint8)


def in_rgb(image, channels):
    if channels == 'mono':
        return np.repeat(image[..., None], 3, axis=2)
    return image[..., [channels.index(name) for name in 'rgb']]


def test_every_encoding_of_the_table_is_tested():
    assert set(ENCODERS) == set(ENCODINGS)


@pytest.mark.parametrize('padding', [0, 2, 31])
@pytest.mark.parametrize('big_endian', [False, True])
@pytest.mark.parametrize('name', ENCODERS)
def test_an_encoding_gives_its_picture(name, big_endian, padding, smooth):
    message, expected = encoded(smooth, name, big_endian=big_endian, padding=padding)
    found = in_rgb(*read_image(message)).astype(int)
    difference = np.abs(found - expected)
    if name in LOSSLESS:
        assert difference.max() == 0
    else:
        assert difference[2:-2, 2:-2].max() <= 8, 'swapped colours differ by far more'


@pytest.mark.parametrize(
    'name', ['rgb8', 'bgr8', 'rgba8', 'bgra8', 'mono8', '8UC1', '8UC3', '8UC4']
)
def test_where_it_can_be_the_array_is_a_view(name, smooth):
    message, _ = encoded(smooth, name, padding=5)
    image, _ = read_image(message)
    assert np.shares_memory(image, np.frombuffer(message.data, np.uint8))


def test_the_last_row_may_lack_its_padding(smooth):
    message, expected = encoded(smooth, 'rgb8', padding=10)
    message.data = message.data[:-10]
    assert (in_rgb(*read_image(message)) == expected).all()


@pytest.mark.parametrize('name', ['yuyv', 'nv12'])
def test_odd_sizes_that_cannot_be_are_named(name, smooth):
    message, _ = encoded(smooth, name)
    message.width -= 1
    with pytest.raises(InputError, match=f'image of 47 x 32 pixels cannot be {name}'):
        read_image(message)


def test_planes_that_are_missing_are_named(smooth):
    message, _ = encoded(smooth, 'nv12')
    message.data = message.data[: WIDTH * HEIGHT]
    with pytest.raises(InputError, match=r'has 1536 bytes of data, expected 2304 \(48 rows'):
        read_image(message)


def test_a_bayer_image_of_one_pixel_is_named():
    message = Image(width=1, height=1, step=1, encoding='bayer_rggb8', data=array('B', [1]))
    try:
        read_image(message)
    except InputError as error:
        assert 'cannot be converted' in str(error)


@pytest.mark.parametrize(('suffix', 'most'), [('.png', 0), ('.jpg', 12)])
@pytest.mark.parametrize(
    ('form', 'stored'),
    [
        ('{}', 'bgr'),
        ('rgb8; {} compressed bgr8', 'bgr'),
        ('bgr8; {} compressed bgr8', 'bgr'),
        ('rgb8; {} compressed rgb8', 'rgb'),
    ],
)
def test_compressed_images_give_their_picture(suffix, most, form, stored, smooth):
    pixels = smooth if stored == 'rgb' else smooth[..., ::-1]
    _, data = cv2.imencode(suffix, pixels, [cv2.IMWRITE_JPEG_QUALITY, 98])
    form = form.format('png' if suffix == '.png' else 'jpeg')
    message = CompressedImage(format=form, data=array('B', data.tobytes()))
    assert np.abs(in_rgb(*read_image(message)).astype(int) - smooth).max() <= most


def test_a_picture_that_says_it_is_turned_stays_as_it_is(smooth):
    _, data = cv2.imencode('.jpg', smooth)
    # An EXIF segment with the orientation tag (0x0112) at 6: turned by 90 degrees.
    tiff = b'II*\0\x08\0\0\0' + b'\x01\0' + b'\x12\x01\x03\0\x01\0\0\0\x06\0\0\0' + b'\0\0\0\0'
    segment = b'\xff\xe1' + (8 + len(tiff)).to_bytes(2, 'big') + b'Exif\0\0' + tiff
    turned = data.tobytes()[:2] + segment + data.tobytes()[2:]
    assert cv2.imdecode(np.frombuffer(turned, np.uint8), 1).shape[:2] == (WIDTH, HEIGHT)
    image, _ = read_image(CompressedImage(format='jpeg', data=array('B', turned)))
    assert image.shape[:2] == (HEIGHT, WIDTH)


@pytest.mark.parametrize('read', [read_image, read_encoded])
@pytest.mark.parametrize('data', [b'', b'no picture', b'\xff\xd8\xff\xe0 broken'])
def test_compressed_data_that_is_not_readable_is_named(data, read):
    message = CompressedImage(format='jpeg', data=array('B', data))
    with pytest.raises(InputError, match=r"format 'jpeg' with \d+ bytes is not readable"):
        read(message)


@pytest.mark.parametrize('form', ['jpeg', 'rgb8; jpeg compressed rgb8'])
def test_a_jpeg_can_stay_encoded(form, smooth):
    _, data = cv2.imencode('.jpg', smooth)
    message = CompressedImage(format=form, data=array('B', data.tobytes()))
    jpeg, channels = read_encoded(message)
    assert isinstance(jpeg, Jpeg) and jpeg.shape == smooth.shape and not jpeg.is_decoded
    pixels, expected = read_image(message)
    assert channels == expected and np.array_equal(jpeg.pixels, pixels)


@pytest.mark.parametrize('kind', ['png', 'grey', 'raw'])
def test_what_cannot_stay_encoded_is_read_as_always(kind, smooth):
    _, data = cv2.imencode('.png' if kind == 'png' else '.jpg', smooth[..., 0])
    message = CompressedImage(format=kind, data=array('B', data.tobytes()))
    if kind == 'raw':
        message, _ = encoded(smooth, 'rgb8')
    image, channels = read_encoded(message)
    expected, expected_channels = read_image(message)
    assert np.array_equal(image, expected) and channels == expected_channels
