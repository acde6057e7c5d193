"""Pictures in every encoding, made with numpy alone."""

from array import array

import numpy as np
from sensor_msgs.msg import Image


def _luma(rgb):
    return (rgb @ [0.299, 0.587, 0.114]).round()


def _repeat(plane):
    return np.repeat(plane[..., None], 3, axis=2)


def _bytes(channels):
    """The RGB picture as these channels of 8 bits."""

    def encode(rgb, _):
        planes = {'r': rgb[..., 0], 'g': rgb[..., 1], 'b': rgb[..., 2]}
        planes['a'] = np.full_like(planes['r'], 77)
        planes['y'] = _luma(rgb).astype(np.uint8)
        expected = _repeat(planes['y']) if channels == 'y' else rgb
        return np.stack([planes[name] for name in channels], axis=2), expected

    return encode


def _wide(encode):
    """The same with 16 bits a channel; the lower 8 hold something else."""

    def wide(rgb, big_endian):
        rows, expected = encode(rgb, big_endian)
        pair = [rows, 255 - rows] if big_endian else [255 - rows, rows]
        return np.stack(pair, axis=-1), expected

    return wide


def _bayer(pattern):
    def encode(rgb, _):
        mosaic = np.zeros(rgb.shape[:2], np.uint8)
        for index, colour in enumerate(pattern):
            y, x = divmod(index, 2)
            mosaic[y::2, x::2] = rgb[y::2, x::2, 'rgb'.index(colour)]
        return mosaic, rgb

    return encode


def _yuv(rgb):
    """ITU-R BT.601, limited range: Y 16 to 235, U and V 16 to 240."""
    r, g, b = np.moveaxis(rgb.astype(float), 2, 0)
    y = 16 + (65.481 * r + 128.553 * g + 24.966 * b) / 255
    u = 128 + (-37.797 * r - 74.203 * g + 112.0 * b) / 255
    v = 128 + (112.0 * r - 93.786 * g - 18.214 * b) / 255
    return (plane.round().astype(np.uint8) for plane in (y, u, v))


def _packed(order):
    def encode(rgb, _):
        y, u, v = _yuv(rgb)
        colours = np.where(np.arange(rgb.shape[1]) % 2 == 0, u, np.roll(v, 1, axis=1))
        planes = {'y': y, 'c': colours}
        return np.stack([planes[name] for name in order], axis=2), rgb

    return encode


def _planar(order):
    def encode(rgb, _):
        y, u, v = _yuv(rgb)
        planes = {'u': u[::2, ::2], 'v': v[::2, ::2]}
        colours = np.stack([planes[name] for name in order], axis=2)
        return np.vstack((y, colours.reshape(len(colours), -1))), rgb

    return encode


BYTES = {
    'rgb8': 'rgb',
    'bgr8': 'bgr',
    'rgba8': 'rgba',
    'bgra8': 'bgra',
    'mono8': 'y',
    '8UC1': 'y',
    '8UC3': 'bgr',
    '8UC4': 'bgra',
}
WIDE = {'mono16': 'y', 'rgb16': 'rgb', 'bgr16': 'bgr', 'rgba16': 'rgba', 'bgra16': 'bgra'}
BAYER = {f'bayer_{pattern}': pattern for pattern in ('rggb', 'bggr', 'gbrg', 'grbg')}
LOSSLESS = {*BYTES, *WIDE}

ENCODERS = {
    **{name: _bytes(channels) for name, channels in BYTES.items()},
    **{name: _wide(_bytes(channels)) for name, channels in WIDE.items()},
    **{f'{name}8': _bayer(pattern) for name, pattern in BAYER.items()},
    **{f'{name}16': _wide(_bayer(pattern)) for name, pattern in BAYER.items()},
    **dict.fromkeys(('uyvy', 'yuv422'), _packed('cy')),
    **dict.fromkeys(('yuyv', 'yuv422_yuy2'), _packed('yc')),
    'nv12': _planar('uv'),
    'nv21': _planar('vu'),
}


def encoded(rgb, name, *, big_endian=False, padding=0):
    """Return an RGB picture (h, w, 3) uint8 as a message, and what it shows as RGB."""
    stored, expected = ENCODERS[name](rgb, big_endian)
    rows = stored.reshape(len(stored), -1)
    rows = np.hstack((rows, np.full((len(rows), padding), 5, np.uint8)))
    message = Image(
        height=rgb.shape[0],
        width=rgb.shape[1],
        encoding=name,
        is_bigendian=int(big_endian),
        step=rows.shape[1],
        data=array('B', np.ascontiguousarray(rows).tobytes()),
    )
    return message, expected
