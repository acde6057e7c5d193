"""Random malformed images and detections do no harm, over DDS."""

import random
from array import array

import cv2
import numpy as np
from harness import START_LIMIT_S, clip_frame, detections_of, image_of, new_stamp
from sensor_msgs.msg import Image
from vision_msgs.msg import Detection2D, Detection2DArray, ObjectHypothesisWithPose

COUNT = 800
MEASURE_EVERY = 40
BUNCH = 8  # the queues of middleware and node hold as many, so that all are dealt with
# With these, glibc gives what is freed back at once: what stays is a leak.
FRANK_MALLOC = {'MALLOC_MMAP_THRESHOLD_': '100000', 'MALLOC_ARENA_MAX': '2'}
ENCODINGS = [
    'rgb8', 'bgr8', 'rgba8', 'bgra8', 'mono8', 'mono16', '8UC1', '8UC3', '8UC4', 'yuv422',
    'uyvy', 'yuyv', 'yuv422_yuy2', 'nv12', 'nv21', 'bayer_rggb8', 'bayer_bggr16', 'rgb16', '32FC1',
    '16UC1', '', 'jpeg', 'no such encoding', '\u00e9', 'x' * 300,
]  # fmt: skip
SIZES = [0, 1, 2, 3, 5, 16, 31, 64, 100, 2**15, 2**16, 2**31 - 1, 2**32 - 1]
NUMBERS = [
    0.0, -0.0, 1.0, -1.0, 5.5, 20.0, 40.0, 1e4, 1e6, 1e7, -1e9, 1e30, 1e300, -1e300, 5e-324,
    float('nan'), float('inf'), float('-inf'),
]  # fmt: skip


def malformed_image(rng):
    message = Image(
        width=rng.choice(SIZES),
        height=rng.choice(SIZES),
        step=rng.choice([*SIZES, 48, 192, 200, 256]),
        encoding=rng.choice(ENCODINGS),
        is_bigendian=rng.choice([0, 1, 255]),
    )
    if rng.random() < 0.7:  # nearly right
        message.width, message.height = rng.randint(1, 64), rng.randint(1, 64)
        message.step = message.width * rng.choice([1, 2, 3, 4, 8]) + rng.choice([0, 0, 1, 7])
    size = rng.choice(
        [0, 1, 100, message.step * message.height, message.step * message.height - 1]
    )
    message.data = array('B', rng.randbytes(min(max(size, 0), 100_000)))
    message.header.frame_id = rng.choice(['', 'camera', '\u4e2d' * 50])
    return message


def malformed_detections(rng):
    message = Detection2DArray()
    for _ in range(rng.choice([0, 1, 2, 10, 200])):
        detection = Detection2D(
            id=rng.choice(['', '7', '-1', '99999999999999', 'x' * 100, '\u00df'])
        )
        box = detection.bbox
        box.center.position.x, box.center.position.y = rng.choice(NUMBERS), rng.choice(NUMBERS)
        box.center.theta = rng.choice(NUMBERS)
        box.size_x, box.size_y = rng.choice(NUMBERS), rng.choice(NUMBERS)
        for _ in range(rng.choice([0, 1, 1, 3])):
            result = ObjectHypothesisWithPose()
            result.hypothesis.class_id = rng.choice(['', 'person', '0', '-3', 'dog', 'y' * 200])
            result.hypothesis.score = rng.choice(NUMBERS)
            detection.results.append(result)
        message.detections.append(detection)
    return message


def test_hundreds_of_malformed_frames_do_no_harm(start, probe):
    node = start('pose_node', device='cpu', frame_queue_size=BUNCH, environment=FRANK_MALLOC)
    probe.wait_until_matched()
    probe.watch()
    pixels, people = clip_frame()
    pixels = cv2.resize(pixels, None, fx=0.5, fy=0.5)  # large ones hold up those that follow
    boxes = np.array([people[0].box]) / 2
    rng = random.Random(4)
    memory = []
    for index in range(COUNT):
        image, detections = malformed_image(rng), malformed_detections(rng)
        image.header.stamp = detections.header.stamp = stamp = new_stamp()
        if rng.random() < 0.2:
            stamp.sec, stamp.nanosec = (
                rng.choice([0, -1, -(2**31), 2**31 - 1]),
                rng.choice([0, 2**32 - 1]),
            )
        if rng.random() < 0.05:
            detections.header.stamp = new_stamp()
        probe.send(image, detections)
        if index % BUNCH == BUNCH - 1:
            good = image_of(pixels)
            answer = probe.ask(good, detections_of(good, boxes))
            assert len(answer.subjects) == 1
        if index % MEASURE_EVERY == MEASURE_EVERY - 1:
            memory.append(node.memory_mb)
    assert node.alive and 'Traceback' not in node.log
    values = probe.values()
    print(values, memory)
    assert values['paired'] == values['published'] + values['failed'] + values['overwritten']
    assert values['images'] > 0.95 * COUNT, 'nearly all arrive'
    assert values['failed'] > 240, 'most are malformed'
    # The first ones load code and fill caches.
    assert np.mean(memory[-3:]) - np.mean(memory[7:10]) < 10, memory


def test_a_huge_array_of_detections_costs_its_frame_and_no_more(start, probe):
    node = start('pose_node', device='cpu')
    probe.wait_until_matched()
    pixels, people = clip_frame()
    image = image_of(pixels)
    detections = detections_of(
        image, [[10, 10, 50 + i % 300, 90 + i % 200] for i in range(20_000)]
    )
    probe.send(image, detections)
    probe.wait(lambda: probe.keypoints, 'keypoints of the largest', START_LIMIT_S)
    assert len(probe.keypoints[0].subjects) == 64
    good = image_of(pixels)
    probe.ask(good, detections_of(good, [person.box for person in people]))
    assert node.alive
