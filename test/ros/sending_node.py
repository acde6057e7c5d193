"""Publishes images and detections of several cameras at a rate, for some seconds.

sending_node.py CAMERAS RATE SECONDS WIDTH HEIGHT [best_effort] [without_detections]; prints how
many frames each camera sent. A camera without a name has topics without one.
"""

import sys
import time

import numpy as np
import rclpy
from harness import detections_of, image_of
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image
from vision_msgs.msg import Detection2DArray


def main():
    cameras, (rate, seconds), size = sys.argv[1].split(','), sys.argv[2:4], sys.argv[4:6]
    width, height = (int(side) for side in size)
    qos = qos_profile_sensor_data if 'best_effort' in sys.argv else 10
    kinds = {'image': Image, 'detections': Detection2DArray}
    if 'without_detections' in sys.argv:
        del kinds['detections']
    rclpy.init()
    node = Node('sender')
    publishers = [
        [
            node.create_publisher(kind, f'{camera}/{topic}'.strip('/'), qos)
            for topic, kind in kinds.items()
        ]
        for camera in cameras
    ]
    image = image_of(np.zeros((height, width, 3), np.uint8))
    box = [[width // 4, height // 4, width // 2, height - 10]]
    while not all(p.get_subscription_count() for pair in publishers for p in pair):
        time.sleep(0.1)
    time.sleep(1.0)
    begin = time.monotonic()
    count = round(float(rate) * float(seconds))
    for index in range(count):
        for number, (images, *detections) in enumerate(publishers):
            due = begin + (index + number / len(publishers)) / float(rate)
            time.sleep(max(0.0, due - time.monotonic()))
            image.header.stamp = node.get_clock().now().to_msg()
            images.publish(image)
            for publisher in detections:
                publisher.publish(detections_of(image, box))
    print(count, flush=True)
    time.sleep(3.0)  # so that the last ones arrive
    node.destroy_node()
    rclpy.shutdown()


if __name__ == '__main__':
    main()
