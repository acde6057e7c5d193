"""A camera with a detector that sees nobody; run as a file of its own, without the package.

Arguments: name, seconds, width, height, Hz, encoding, and by how many seconds detections are late.
It prints how many images it sent.
"""

import sys
import time
from collections import deque

JPEG = 'jpeg'  # the encoding of what is compressed
LIMIT_S = 60.0
SETTLING_S = 2.0


def main(
    name: str, seconds: float, width: int, height: int, rate: float, encoding: str, late_s: float
) -> int:
    """Send images once the node hears both topics; return how many."""
    import rclpy
    from rclpy.qos import qos_profile_sensor_data
    from sensor_msgs.msg import CompressedImage, Image
    from vision_msgs.msg import Detection2DArray

    rclpy.init()
    node = rclpy.create_node(f'camera_{name}')
    if encoding == JPEG:
        import cv2
        import numpy as np

        noise = np.random.default_rng(0).integers(0, 256, (height // 8, width // 8, 3), np.uint8)
        file = cv2.imencode('.jpg', cv2.resize(noise, (width, height)))[1]
        image = CompressedImage(format='jpeg')
        image.data.frombytes(file.tobytes())
    else:
        step = width * (2 if encoding == 'mono16' else 3)
        image = Image(width=width, height=height, step=step, encoding=encoding)
        image.data.frombytes(bytes(step * height))
    topic = 'image/compressed' if encoding == JPEG else 'image'
    images = node.create_publisher(type(image), f'{name}/{topic}', qos_profile_sensor_data)
    found = node.create_publisher(Detection2DArray, f'{name}/detections', 10)
    end = time.monotonic() + LIMIT_S
    while not images.get_subscription_count() == found.get_subscription_count() == 1:
        if time.monotonic() > end:
            raise TimeoutError(f'pose_node does not subscribe within {LIMIT_S:.0f} s')
        time.sleep(0.1)
    time.sleep(SETTLING_S)
    count = round(seconds * rate)
    waiting: deque[tuple[float, Detection2DArray]] = deque()
    begin = time.monotonic()
    sent = 0
    while sent < count or waiting:
        now = time.monotonic()
        if sent < count and now >= begin + sent / rate:
            image.header.stamp = node.get_clock().now().to_msg()
            images.publish(image)
            waiting.append((time.monotonic() + late_s, Detection2DArray(header=image.header)))
            sent += 1
        while waiting and waiting[0][0] <= time.monotonic():
            found.publish(waiting.popleft()[1])
        time.sleep(0.002)
    time.sleep(SETTLING_S)  # so that the last ones arrive
    rclpy.shutdown()
    return count


if __name__ == '__main__':
    name, seconds, width, height, rate, encoding, late_s = sys.argv[1:]
    size = int(width), int(height)
    print(main(name, float(seconds), *size, float(rate), encoding, float(late_s)))
